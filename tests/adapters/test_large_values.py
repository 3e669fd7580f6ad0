"""Values over 36 KB in both frameworks and LangGraph: whole wherever they are read, gone when gone.

The service gives 40 hits at most, or lists what it likes: filters are judged on the whole value.
"""

import asyncio
import pickle
import random

import pytest
from support.embedded import embedded, settings

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langgraph.store.base import PutOp
from llama_index.core.schema import ImageNode, TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery
from support.llama_nodes import filters, where

from oss_vector_retriever import InvalidRequestError, Limits, OSSVectorClient, emulator
from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorDocStore,
    OSSVectorEmbeddingStore,
    OSSVectorFetcher,
    OSSVectorRetriever,
    OSSVectorStore,
)
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from oss_vector_retriever.llama_index import (
    OSSVectorDocumentStore,
    OSSVectorNodeMapping,
    OSSVectorReader,
)
from oss_vector_retriever.llama_index import OSSVectorStore as OSSNodeStore

LARGE = random.Random(1).randbytes(100_000).hex()
TEXTS = {"a": f"a {LARGE}", "b": "b small", "c": f"c {LARGE}"}


@pytest.fixture
def list_filter():
    return "honoured"


@pytest.fixture
def service(list_filter):
    behaviour = emulator.Behaviour(list_filter=list_filter)
    with emulator.Service.in_memory(behaviour=behaviour) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service):
    with embedded(service, limits=Limits(top_k=2)) as client:
        yield client


def parts(client):
    return list(client.iter_vectors(index="vectorsside"))


def written(store, **options):
    documents = [
        # in a field without a copy, so that only the whole value tells
        Document(id=key, page_content=text, metadata={"deep": {"key": key}, "key": key, "n": 1})
        for key, text in TEXTS.items()
    ]
    store.add_documents(documents, embeddings=[[1, 0], [1, 0.1], [1, 0.2]], **options)
    return documents


every_listing = pytest.mark.parametrize("list_filter", ["honoured", "ignored", "refused"])


@every_listing
def test_langchain_searches_gets_and_updates_large_documents(client):
    store = OSSVectorStore(client=client, filterable=())
    documents = written(store)
    assert store.get_by_ids(["c", "x", "a"]) == [documents[2], documents[0]]
    assert store.similarity_search_by_vector([1, 0], 2) == documents[:2]
    for key, text in TEXTS.items():  # of which some are found by a listing alone
        (found,) = store.similarity_search_by_vector([1, 0], 1, filter={"key": key})
        assert found.page_content == text
    found = store.max_marginal_relevance_search_by_vector([1, 0], k=2, fetch_k=2)
    assert {one.id for one in found} == {"a", "b"}
    assert asyncio.run(store.aget_by_ids(["a"])) == documents[:1]
    assert OSSVectorRetriever(client=client).invoke("a") == documents[:1]
    assert OSSVectorFetcher(client=client).invoke(["a", "b"]) == documents[:2]
    store.update_metadata(["a"], {"n": 2})
    assert store.get_by_ids(["a"])[0].metadata["n"] == 2
    assert store.get_by_ids(["a"])[0].page_content == TEXTS["a"]
    store.delete(["a", "b"])
    assert store.sweep(0) == 0
    assert asyncio.run(store.asweep(0)) == 0
    store.delete(["c"])
    assert parts(client) == []


def test_ids_made_here_are_not_looked_at(client):
    store = OSSVectorStore(client=client, create_index=True)
    written(store)
    before = client.stats().operations["GetVectors"].calls
    store.add_texts(["small"], embeddings=[[1, 0]])
    assert client.stats().operations["GetVectors"].calls == before


@every_listing
def test_llama_index_queries_gets_and_deletes_large_nodes(client):
    store = OSSNodeStore(client=client)
    data = {"a": [1.0, 0.0], "b": [1.0, 0.1], "c": [1.0, 0.2]}
    nodes = [
        TextNode(id_=key, text=text, embedding=data[key], metadata={"key": key})
        for key, text in TEXTS.items()
    ]
    nodes.append(ImageNode(id_="i", image=LARGE, text="", embedding=[0.0, 1.0]))
    store.add(nodes)
    assert [node.text for node in store.get_nodes(["c", "a"])] == [TEXTS["c"], TEXTS["a"]]
    (image,) = store.get_nodes(["i"])
    assert image.image == LARGE
    for key, text in TEXTS.items():
        query = VectorStoreQuery(
            query_embedding=[1, 0], similarity_top_k=1, filters=filters(where("key", "==", key))
        )
        (node,) = store.query(query).nodes
        assert node.text == text
    docstore = OSSVectorDocumentStore(client)
    assert docstore.get_nodes(["a"])[0].get_content() == TEXTS["a"]
    assert OSSVectorNodeMapping(client)["a"].get_content() == TEXTS["a"]
    assert OSSVectorReader(client=client).load_data(["a"])[0].text == TEXTS["a"]
    store.delete_nodes(["a", "i"])
    store.delete_nodes(filters=filters(where("key", "==", "c")))
    assert store.sweep(0) == asyncio.run(store.asweep(0)) == 0
    assert parts(client) == []
    assert [node.node_id for node in store.get_nodes(["a", "b", "c"])] == ["b"]


def test_langgraph_keeps_large_items(client):
    store = OSSVectorGraphStore(client=client)
    namespace = ("user", "notes")
    store.put(namespace, "a", {"kind": "x", "text": LARGE})
    store.batch([PutOp(namespace, key, {"kind": key, "text": LARGE}) for key in "bc"])
    assert store.get(namespace, "a").value == {"kind": "x", "text": LARGE}
    made = store.get(namespace, "a").created_at
    store.put(namespace, "a", {"kind": "y", "text": LARGE[::-1]})
    assert store.get(namespace, "a").value == {"kind": "y", "text": LARGE[::-1]}
    assert store.get(namespace, "a").created_at == made
    (found,) = store.search(("user",), filter={"kind": "y"})
    assert found.value["text"] == LARGE[::-1]
    assert store.sweep(0) == asyncio.run(store.asweep(0)) == 0
    for key in "abc":
        store.delete(namespace, key)
    assert parts(client) == []


@pytest.mark.parametrize("side_index", [None, True, "vectors"], ids=["own", "beside", "same"])
def test_key_value_stores_keep_large_values(client, side_index):
    options = {"client": client, "side_index": side_index}
    values, documents = OSSVectorByteStore(**options), OSSVectorDocStore(key_prefix="d/", **options)
    raw = random.Random(2).randbytes(300_000)
    values.mset([("a", raw), ("b", b"small")])
    documents.mset([("a", Document(page_content=LARGE, metadata={"n": 1}))])
    assert values.mget(["b", "a", "x"]) == [b"small", raw, None]
    assert documents.mget(["a"]) == [Document(page_content=LARGE, metadata={"n": 1})]
    assert list(documents.yield_keys()) == ["a"]
    if side_index is not None:
        there = ["vectorsside"] if side_index is True else ["vectors"]
        assert [one.index_name for one in client.list_vector_indexes()] == there
        (one,) = client.list_vectors(index=there[0], max_results=1, return_data=True)
        assert list(one.data) == [0.0]
    assert values.sweep(0) == asyncio.run(values.asweep(0)) == 0
    values.mdelete(["a", "b"])
    documents.mdelete(["a"])
    for one in client.list_vector_indexes():
        assert not client.list_vectors(index=one.index_name)


def test_rows_in_a_side_index_and_records_that_are_searched_leave_one_another_alone(client):
    store = OSSVectorStore(client=client)
    values = OSSVectorByteStore(client=client, side_index=True)
    values.mset([("a", LARGE.encode()), ("b", b"")])  # made first
    documents = written(store)
    assert sorted(values.yield_keys()) == ["a", "b"]
    assert [one.id for one in store.similarity_search_by_vector([1, 0], 2)] == ["a", "b"]
    store.delete(delete_all=True)
    assert values.mget(["a"]) == [LARGE.encode()]
    assert store.sweep(0) == 0
    values.mdelete(["a", "b"])
    assert parts(client) == []
    assert documents


def test_embeddings_have_no_large_values(client):
    with pytest.raises(TypeError, match="side_index"):
        OSSVectorEmbeddingStore(client=client, side_index=True)
    with pytest.raises(InvalidRequestError, match="side_index"):
        OSSVectorStore(client=client, side_index="no-index")


@pytest.mark.parametrize(
    "kind",
    [OSSVectorStore, OSSVectorByteStore, OSSVectorDocStore, OSSNodeStore, OSSVectorGraphStore],
)
def test_saved_forms_carry_the_side_index(kind):
    with OSSVectorClient(**settings("http://127.0.0.1:1")) as client:
        for side_index in ("other", False, None):
            store = kind(client=client, side_index=side_index)
            assert pickle.loads(pickle.dumps(store)).side_index == side_index
