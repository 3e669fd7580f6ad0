"""What of our adapters works without a service: objects of records, and diversity."""

from content import make_documents, make_nodes, make_rows
from worker import serve

TIMES = 1000


def document(job):
    from oss_vector_retriever import Vector
    from oss_vector_retriever.langchain.documents import document_from
    from oss_vector_retriever.records import decode, encode

    (made,) = make_documents(job["keys"])
    stored = encode(made.id, [0.5] * 8, text=made.page_content, metadata=made.metadata)
    vector = Vector(made.id, None, stored.metadata)

    def call():
        for _ in range(TIMES):
            found = document_from(decode(vector))
        return found

    return call, lambda found: (found.id, found.page_content, found.metadata)


def node(job):
    from oss_vector_retriever import Vector
    from oss_vector_retriever.llama_index.nodes import node_fields, node_from
    from oss_vector_retriever.records import decode, encode

    (made,) = make_nodes(job["keys"])
    text, metadata, payload = node_fields(made)
    stored = encode(made.node_id, made.embedding, text=text, metadata=metadata, node=payload)
    vector = Vector(made.node_id, made.embedding, stored.metadata)

    def call():
        for _ in range(TIMES):
            found = node_from(decode(vector))
        return found

    return call, lambda found: (found.node_id, found.text, found.metadata, found.ref_doc_id)


def diversity(job):
    from oss_vector_retriever.embeddings import maximal_marginal_relevance

    query, *candidates = make_rows(job["count"] + 1, job["dimension"]).tolist()
    return lambda: maximal_marginal_relevance(query, candidates, job["top"]), len


if __name__ == "__main__":
    serve({"document": document, "node": node, "diversity": diversity})
