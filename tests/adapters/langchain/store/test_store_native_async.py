"""Async calls never block the loop, whatever the embedding model does."""

import asyncio
import time

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex
from support import gates

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorDocStore,
    OSSVectorDocumentIndex,
    OSSVectorEmbeddingStore,
    OSSVectorStore,
    VerifyingRecordManager,
)

BLOCKING = (
    "add_documents",
    "add_texts",
    "delete",
    "get_by_ids",
    "get_by_ids_with_embeddings",
    "max_marginal_relevance_search",
    "max_marginal_relevance_search_by_vector",
    "similarity_search",
    "similarity_search_by_id",
    "similarity_search_by_vector",
    "similarity_search_with_embeddings",
    "similarity_search_with_relevance_scores",
    "similarity_search_with_score",
    "similarity_search_with_score_by_id",
    "similarity_search_with_score_by_vector",
    "update_metadata",
)


@pytest.fixture(params=["embedded", "http"])
def there(request, service, client):
    """Give a client of the service, embedded and over real sockets in turn."""
    if request.param == "embedded":
        yield client
        return
    config = client.config
    with (
        emulator.Server(service) as server,
        OSSVectorClient(
            endpoint=server.endpoint,
            bucket=config.bucket,
            account_id=config.account_id,
            region=config.region,
            index="vectors",
            credentials=(
                emulator.DEVELOPMENT_ACCESS_KEY_ID,
                emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
            ),
        ) as http_client,
    ):
        yield http_client


@pytest.fixture
def slow(model):
    """Give a model that blocks, as one on this machine does."""
    embed = model.embed_documents

    def blocking(texts):
        time.sleep(0.001)
        return embed(texts)

    model.embed_documents = blocking
    return model


async def everything(store, vector):
    ids = await store.aadd_texts(["a", "b"], ids=["a", "b"])
    await store.aadd_documents([Document(page_content="c")])
    await store.aget_by_ids(ids)
    await store.aget_by_ids_with_embeddings(ids)
    for kind in ("similarity", "mmr", "similarity_score_threshold"):
        await store.asearch("a", kind, k=2)
    await store.asimilarity_search_with_score("a")
    await store.asimilarity_search_with_embeddings("a")
    await store.asimilarity_search_by_id("a")
    await store.asimilarity_search_with_score_by_id("a")
    await store.asimilarity_search_by_vector(vector)
    await store.amax_marginal_relevance_search_by_vector(vector)
    await store.aupdate_metadata(ids, {"n": 1})
    await store.adelete(ids)
    await store.adelete(delete_all=True)


async def test_no_method_of_the_store_blocks_the_loop(there, slow):
    with blockbuster_ctx():
        await everything(OSSVectorStore(slow, client=there), slow.of("a"))


def forbidden(*_, **__):
    raise AssertionError("a blocking method was called")


async def test_no_async_method_goes_through_a_blocking_one(there, slow):
    kind = type("AsyncOnly", (OSSVectorStore,), dict.fromkeys(BLOCKING, forbidden))
    await everything(kind(slow, client=there), slow.of("a"))


async def test_no_key_value_store_blocks_the_loop(there):
    values = {
        OSSVectorDocStore(client=there, key_prefix="d:"): Document(page_content="a"),
        OSSVectorByteStore(client=there, key_prefix="b:"): b"a",
    }
    with blockbuster_ctx():
        for store, value in values.items():
            await store.amset([("x", value)])
            assert await store.amget(["x", "y"]) == [value, None]
            assert [key async for key in store.ayield_keys()] == ["x"]
            await store.amdelete(["x"])
        cache = OSSVectorEmbeddingStore(client=there, index="cache")
        await cache.amset([("x", [1.0, 2.0])])
        assert await cache.amget(["x"]) == [[1.0, 2.0]]


async def test_neither_the_document_index_nor_the_record_manager_does(there, slow):
    store = OSSVectorStore(slow, client=there)
    index = OSSVectorDocumentIndex(store=store)
    inner = InMemoryRecordManager(namespace="n")
    await inner.acreate_schema()
    with blockbuster_ctx():
        await index.aupsert([Document(id="x", page_content="a")])
        assert [d.id for d in await index.aget(["x", "y"])] == ["x"]
        assert [d.id for d in await index.ainvoke("a")] == ["x"]
        await index.adelete(["x"])
        manager = VerifyingRecordManager(inner, store)
        await aindex([Document(page_content="a")], manager, store, key_encoder="sha256")


def test_one_store_serves_threads_and_loops_that_come_and_go(there, slow):
    store = OSSVectorStore(slow, client=there)
    store.add_texts(["a"], ids=["a"])
    for _ in range(3):
        assert [d.id for d in asyncio.run(store.aget_by_ids(["a"]))] == ["a"]
    assert [d.id for d in store.get_by_ids(["a"])] == ["a"]


async def test_writers_that_race_to_make_the_index_all_succeed(there, slow):
    stores = [OSSVectorStore(slow, client=there) for _ in range(8)]
    await asyncio.gather(*(s.aadd_texts(["a"], ids=[f"k{n}"]) for n, s in enumerate(stores)))
    assert len(await stores[0].aget_by_ids([f"k{n}" for n in range(8)])) == 8


def test_astradb_the_calls_of_one_fetch_really_overlap(there, slow, monkeypatch, call):
    store = OSSVectorStore(slow, client=there)
    store.add_texts(["a"], ids=["a"])
    gates.open_for(4, monkeypatch)
    keys = ["a", *(f"none-{number}" for number in range(399))]
    assert [document.id for document in call(store, "get_by_ids", keys)] == ["a"]
