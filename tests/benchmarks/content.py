"""The documents and nodes that every contender writes and reads back."""

import hashlib

DIMENSION = 1024


def make_documents(keys):
    """Return LangChain's documents: 1,000 characters and a few metadata each."""
    from langchain_core.documents import Document

    return [
        Document(
            id=key,
            page_content=f"This is the text of {key}. " + "word " * 200,
            metadata={"source": f"https://example.com/{key}", "page": page, "tags": ["a", "b"]},
        )
        for page, key in enumerate(keys)
    ]


def essence_of_documents(documents):
    return [(one.id, one.page_content, one.metadata) for one in documents]


def make_embeddings():
    """Return LangChain's embeddings; what they are is the service's affair here."""
    from langchain_core.embeddings import Embeddings

    class Same(Embeddings):
        def embed_documents(self, texts):
            return [[0.5] * DIMENSION for _ in texts]

        def embed_query(self, text):
            return self.embed_documents([text])[0]

    return Same()


def make_nodes(keys):
    """Return LlamaIndex's nodes: 1,000 characters, a few metadata and a source each."""
    from llama_index.core.schema import NodeRelationship, ObjectType, RelatedNodeInfo, TextNode

    source = RelatedNodeInfo(
        node_id="source", node_type=ObjectType.DOCUMENT, hash=hashlib.sha256(b"source").hexdigest()
    )
    return [
        TextNode(
            id_=key,
            text="word " * 200,
            metadata={"title": f"Document {key}", "page": page, "tag": "a"},
            relationships={NodeRelationship.SOURCE: source},
            embedding=[0.5] * DIMENSION,
        )
        for page, key in enumerate(keys)
    ]


def essence_of_nodes(nodes):
    return [(one.node_id, one.text, one.metadata, one.ref_doc_id) for one in nodes]


def make_rows(count, dimension):
    """Return a matrix of normal float32."""
    import numpy as np

    return np.random.default_rng(7).standard_normal((count, dimension), np.float32)


def make_vectors(count, dimension, *, lists=False):
    """Return what is put, with rows of numpy as data, or lists, whose text has all digits."""
    rows = make_rows(count, dimension)
    if lists:
        rows = rows.tolist()
    return [
        {
            "key": f"k{number:06}",
            "data": row,
            "metadata": {"title": "A title", "n": str(number % 10)},
        }
        for number, row in enumerate(rows)
    ]
