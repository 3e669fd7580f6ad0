"""What other programs see of the records of the stores: copies of their fields, and the mark."""

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("llama_index.core")

from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from oss_vector_retriever.llama_index import OSSVectorStore as OSSNodeStore

FIELDS = {"tenant": "small", "year": 2024, "share": 0.5, "yes": True, "tags": ["x"], "none": None}
MANY = FIELDS | {f"more_{number}": "y" for number in range(6)}
OWN = {"_row", "_within", "_embedded", "_unsure", "_record", "_record_text", "ref_doc_id"}


def by_langchain(client, fields):
    store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
    store.add_texts(["text"], [fields], ids=["k"])
    return "k"


def by_llama_index(client, fields, document=None):
    node = TextNode(id_="k", text="text", embedding=[1.0, 2.0], metadata=fields)
    if document:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=document)
    OSSNodeStore(client).add([node])
    return "k"


def by_llama_index_of_a_document(client, fields):
    return by_llama_index(client, fields, "d1")


def by_langgraph(client, fields):
    index = {"dims": 2, "embed": DeterministicFakeEmbedding(size=2)}
    OSSVectorGraphStore(client=client, index=index).put(("a",), "k", fields)
    return "a..k"


@pytest.mark.parametrize(
    ("write", "names", "count"),
    [
        (by_langchain, "{}", 7),
        (by_llama_index, "{}", 7),
        (by_llama_index_of_a_document, "{}", 6),
        (by_langgraph, "_value_{}", 4),
    ],
)
def test_other_programs_filter_by_what_readme_says(write, names, count):
    with OSSVectorClient.local() as client:
        key = write(client, MANY)
        [stored] = client.fetch([key])
        copies = {name: value for name, value in stored.metadata.items() if name not in OWN}
        able = {names.format(name): value for name, value in MANY.items() if value is not None}
        assert copies == dict(list(able.items())[:count])  # as they are, in the record's order
        assert set(stored.metadata["_unsure"]) == set(able) - set(copies)
        assert len(stored.metadata) == 10
        for name, value in copies.items():
            wanted = {name: {"$in" if isinstance(value, list) else "$eq": value}}
            assert client.query_vectors([1.0, 1.0], top_k=1, filter=wanted)[0].key == key
        write(client, {"tenant": "small"})
        [stored] = client.fetch([key])
        assert stored.metadata["_unsure"] == ["-"]
