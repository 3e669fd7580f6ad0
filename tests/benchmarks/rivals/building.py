"""The frameworks' own classes and helpers, called with what they take."""

from content import make_documents, make_nodes, make_rows
from worker import serve

TIMES = 1000


def document(job):
    from langchain_core.documents import Document

    (made,) = make_documents(job["keys"])
    key, text, metadata = made.id, made.page_content, made.metadata

    def call():
        for _ in range(TIMES):
            found = Document(id=key, page_content=text, metadata=metadata)
        return found

    return call, lambda found: (found.id, found.page_content, found.metadata)


def node(job):
    from llama_index.core.schema import TextNode

    (made,) = make_nodes(job["keys"])
    fields = {"id_": made.node_id, "text": made.text, "metadata": made.metadata}
    fields |= {"relationships": made.relationships, "embedding": made.embedding}

    def call():
        for _ in range(TIMES):
            found = TextNode(**fields)
        return found

    return call, lambda found: (found.node_id, found.text, found.metadata, found.ref_doc_id)


def diversity(job):
    # It looks at its last pick alone, so that its picks may differ from those of the definition.
    from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings

    query, *candidates = make_rows(job["count"] + 1, job["dimension"]).tolist()
    top = job["top"]
    return lambda: get_top_k_mmr_embeddings(query, candidates, similarity_top_k=top)[1], len


if __name__ == "__main__":
    serve({"document": document, "node": node, "diversity": diversity})
