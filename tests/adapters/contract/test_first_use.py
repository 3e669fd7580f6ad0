"""Every store writes into an index that is not ready, and says of one that is not there."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQuery

from oss_vector_retriever import (
    OSSVectorClient,
    RetryPolicy,
    emulator,
    langchain,
    langgraph,
    llama_index,
)
from oss_vector_retriever.client import known_indexes
from oss_vector_retriever.client.clients import client_of
from oss_vector_retriever.records import indexing

EMBEDDING = DeterministicFakeEmbedding(size=4)
SLOW = emulator.Behaviour(
    index_creation_seconds=0.1, creating_refuses_writes=True, enable_failure_seconds=0.1
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(known_indexes, "_PAUSES", (0.05, 0.1))
    monkeypatch.setattr(indexing, "_MAKING_SECONDS", 0.05)


# attempts that are spent before the index is ready
HASTY = RetryPolicy(transient_base=0.001, patience=0.0)


class Calls(list):
    """The names of the operations that a client has called, and the indexes that it looked at."""

    def __init__(self):
        super().__init__()
        self.looked_at = []

    def __call__(self, call):
        self.append(call.operation)
        self.looked_at += [call.index] if call.operation == "GetVectorIndex" else []


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def make_client(calls):
    made = []

    def make_client(behaviour=SLOW):
        options = {"behaviour": behaviour, "on_call": calls, "retry": HASTY}
        made.append(OSSVectorClient.local(max_concurrency=50, **options))
        return made[-1]

    yield make_client
    for client in made:
        client.close()


class LangChainStore:
    def __init__(self, client):
        self.store = langchain.OSSVectorStore(EMBEDDING, client=client)

    def write(self, key):
        self.store.add_texts([key], ids=[key])

    async def awrite(self, key):
        await self.store.aadd_texts([key], ids=[key])

    def read(self):
        self.store.get_by_ids(["x"])
        self.store.similarity_search("x")


class ByteStore:
    def __init__(self, client):
        self.store = langchain.OSSVectorByteStore(client=client, dimension=4)

    def write(self, key):
        self.store.mset([(key, b"value")])

    async def awrite(self, key):
        await self.store.amset([(key, b"value")])

    def read(self):
        self.store.mget(["x"])
        list(self.store.yield_keys())


class ParentStore(ByteStore):
    def __init__(self, client):
        self.store = langchain.OSSVectorDocStore(client=client, dimension=4)

    def write(self, key):
        self.store.mset([(key, Document("text"))])

    async def awrite(self, key):
        await self.store.amset([(key, Document("text"))])


class DocumentIndex(LangChainStore):
    def __init__(self, client):
        self.store = langchain.OSSVectorDocumentIndex(
            store=langchain.OSSVectorStore(EMBEDDING, client=client)
        )

    def write(self, key):
        assert self.store.upsert([Document("text", id=key)])["failed"] == []

    async def awrite(self, key):
        assert (await self.store.aupsert([Document("text", id=key)]))["failed"] == []

    def read(self):
        self.store.get(["x"])


class Memory:
    def __init__(self, client):
        config = {"dims": 4, "embed": EMBEDDING}
        self.store = langgraph.OSSVectorGraphStore(client=client, index=config)

    def write(self, key):
        self.store.put(("m",), key, {"text": key})

    async def awrite(self, key):
        await self.store.aput(("m",), key, {"text": key})

    def read(self):
        self.store.get(("m",), "x")
        self.store.search(("m",), query="x")
        self.store.search(("m",))
        self.store.list_namespaces()


class NodeStore:
    def __init__(self, client):
        self.store = llama_index.OSSVectorStore(client)

    def write(self, key):
        self.store.add([TextNode(id_=key, text=key, embedding=[1, 2, 3, 4])])

    async def awrite(self, key):
        await self.store.async_add([TextNode(id_=key, text=key, embedding=[1, 2, 3, 4])])

    def read(self):
        self.store.get_nodes(["x"])
        self.store.query(VectorStoreQuery(query_embedding=[1, 2, 3, 4], similarity_top_k=2))


class DocumentStore:
    def __init__(self, client):
        self.store = llama_index.OSSVectorDocumentStore(client)

    def write(self, key):
        self.store.add_documents([TextNode(id_=key, text=key, embedding=[1, 2, 3, 4])])

    async def awrite(self, key):
        nodes = [TextNode(id_=key, text=key, embedding=[1, 2, 3, 4])]
        await self.store.async_add_documents(nodes)

    def read(self):
        self.store.get_nodes(["x"], raise_error=False)
        self.store.document_exists("x")


STORES = [LangChainStore, ByteStore, ParentStore, DocumentIndex, Memory, NodeStore, DocumentStore]


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_one_who_finds_the_index_in_the_making_waits_as_its_maker_does(kind, is_async, make_client):
    client = make_client()
    with client_of(client.config, client._local) as another:
        another.put_vector_index(dimension=4)
    store = kind(client)
    if is_async:
        asyncio.run(store.awrite("a"))
    else:
        store.write("a")
    assert len(client.list_vectors()) == 1


def test_all_stores_of_a_process_share_a_look_and_the_making(make_client, calls):
    client = make_client()
    with ThreadPoolExecutor(21) as pool:
        work = [
            pool.submit(kind(client).write, f"{kind.__name__}-{n}")
            for kind in STORES
            for n in range(3)
        ]
        for each in work:
            each.result()
    assert len(client.list_vectors()) == 21
    assert calls.count("PutVectorIndex") == 1
    assert calls.looked_at.count("vectors") <= 3
    assert len(set(calls.looked_at)) <= 2  # and at its side index, whether it is there
    assert len(calls.looked_at) <= 4


def test_fifty_first_writes_on_an_event_loop_look_once(make_client, calls):
    store = langchain.OSSVectorStore(EMBEDDING, client=make_client())

    async def write():
        await asyncio.gather(*(store.aadd_texts([str(n)]) for n in range(50)))

    asyncio.run(write())
    assert {name: calls.count(name) for name in set(calls)} == {
        "GetVectorIndex": 2,
        "PutVectorIndex": 1,
        "PutVectors": 50,
    }


def test_fifty_first_searches_that_need_the_metric_look_once(make_client, calls):
    client = make_client(emulator.Behaviour())
    langchain.OSSVectorStore(EMBEDDING, client=client).add_texts(["one", "two"])

    async def search():
        twin = client_of(client.config, client._local).to_async()
        async with twin:
            store = langchain.OSSVectorStore(EMBEDDING, client=twin, score_key="score")
            return await asyncio.gather(*(store.asimilarity_search("one") for _ in range(50)))

    calls.clear()
    found = asyncio.run(search())
    assert all(documents[0].metadata["score"] == pytest.approx(1.0) for documents in found)
    assert calls.count("GetVectorIndex") == 1


@pytest.mark.parametrize("remade_by", ["this client", "another process"])
def test_scores_are_in_the_metric_of_the_index_that_is_there(make_client, remade_by, monkeypatch):
    client = make_client(emulator.Behaviour())

    def make_store():
        return langchain.OSSVectorStore(
            EMBEDDING, client=client, distance_metric=None, score_key="s"
        )

    client.put_vector_index(dimension=4, distance_metric="euclidean")
    old = make_store()
    old.add_texts(["one"])
    old.similarity_search("one")
    maker = client if remade_by == "this client" else client_of(client.config, client._local)
    maker.delete_vector_index(index="vectors")
    maker.put_vector_index(dimension=4, distance_metric="cosine")
    old.add_texts(["four", "five"], ids=["4", "5"])
    if remade_by == "another process":  # some minutes later
        monkeypatch.setattr(known_indexes, "_BELIEVED", 0.0)
    scores = [document.metadata["s"] for document in old.similarity_search("four")]
    fresh = [document.metadata["s"] for document in make_store().similarity_search("four")]
    assert scores == pytest.approx(fresh)
    hits = client.query_vectors(EMBEDDING.embed_query("four"), top_k=2)
    assert scores == pytest.approx([1 - hit.distance / 2 for hit in hits], abs=1e-6)


def absences(caplog):
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    return [text for text in warnings if "is not there, and is taken for empty" in text]


@pytest.mark.parametrize("kind", STORES)
def test_reading_an_index_that_is_not_there_is_warned_of_once(kind, make_client, caplog):
    store = kind(make_client(emulator.Behaviour()))
    for _ in range(3):
        store.read()
    assert len(absences(caplog)) == 1


@pytest.mark.parametrize("kind", [LangChainStore, ByteStore, ParentStore, NodeStore])
def test_a_first_write_is_no_reason_for_a_warning(kind, make_client, caplog):
    kind(make_client(emulator.Behaviour())).write("a")
    assert absences(caplog) == []
