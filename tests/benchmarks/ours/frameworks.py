"""Our stores: LangChain's documents and LlamaIndex' nodes by id."""

from client import options
from content import (
    essence_of_documents,
    essence_of_nodes,
    make_documents,
    make_embeddings,
    make_nodes,
)
from worker import serve


def documents(job):
    from oss_vector_retriever import OSSVectorClient
    from oss_vector_retriever.langchain import OSSVectorStore

    store = OSSVectorStore(client=OSSVectorClient(**options(job)), embedding=make_embeddings())
    keys = job["keys"]
    store.add_documents(make_documents(keys), ids=keys)
    return lambda: store.get_by_ids(keys), essence_of_documents


def nodes(job):
    from oss_vector_retriever import OSSVectorClient
    from oss_vector_retriever.llama_index import OSSVectorStore

    client, keys = OSSVectorClient(**options(job)), job["keys"]
    OSSVectorStore(client).add(make_nodes(keys))
    store = OSSVectorStore(client, return_data=job["data"])
    return lambda: store.get_nodes(keys), essence_of_nodes


def fetch_and_list(job):
    """Fetch the nodes' records and, where their floats are fetched, make a list of each.

    It has loaded what makes nodes, too: a list takes longer where the memory of a large program is
    filled up with it.
    """
    from oss_vector_retriever import OSSVectorClient
    from oss_vector_retriever.llama_index import OSSVectorStore

    client, keys, data = OSSVectorClient(**options(job)), job["keys"], job["data"]
    OSSVectorStore(client).add(make_nodes(keys))

    def call():
        found = client.fetch(keys, return_data=data)
        return [one.data.tolist() if data else None for one in found]

    return call, len


if __name__ == "__main__":
    serve({"documents": documents, "nodes": nodes, "fetch and list": fetch_and_list})
