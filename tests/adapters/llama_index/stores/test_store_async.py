"""Every async method is native and ours: nothing blocks the loop, on loops that come and go."""

import asyncio
import inspect
import time

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQueryMode
from support.llama_nodes import filters, ids, query, text_node, where

from oss_vector_retriever import AsyncOSSVectorClient
from oss_vector_retriever.llama_index import OSSVectorStore

NODES = [text_node(key, (1.0, n, 0.0, 0.0), tag=key, of="doc") for n, key in enumerate("abcd")]
TWINS = ("async_add", "aquery", "aget_nodes", "adelete", "adelete_nodes", "aclear")
BLOCKING = ("add", "query", "get_nodes", "delete", "delete_nodes", "clear")


@pytest.fixture(params=["embedded", "http"])
def store(request):
    client = request.getfixturevalue("client" if request.param == "embedded" else "http_client")
    return OSSVectorStore(client, index="nodes", filterable=["tag"])


async def everything(store):
    """Call every async method once, and say what was seen."""
    await store.async_add(NODES)
    tagged = filters(where("tag", "in", ["b", "c"]), where("tag", "!=", "b"))
    near = await store.aquery(query(k=2))
    varied = await store.aquery(query(k=2, mode=VectorStoreQueryMode.MMR))
    among = await store.aquery(query(k=2, node_ids=["c", "d"]))
    one = await store.aget_nodes(["c", "gone"])
    passed = await store.aget_nodes(filters=tagged)
    await store.adelete_nodes(["a"])
    left = await store.aget_nodes()
    await store.adelete("doc")
    await store.async_add(NODES)
    await store.aclear()
    seen = [near.ids, varied.ids, among.ids, ids(one), ids(passed), sorted(ids(left))]
    return seen, await store.aget_nodes()


EXPECTED = ([["a", "b"], ["a", "b"], ["c", "d"], ["c"], ["c"], ["b", "c", "d"]], [])


def test_every_method_of_the_interface_is_our_own():
    for name in (*TWINS, *BLOCKING):
        assert getattr(OSSVectorStore, name) is not getattr(BasePydanticVectorStore, name)
    assert all(inspect.iscoroutinefunction(getattr(OSSVectorStore, name)) for name in TWINS)
    interface = {
        name
        for name, member in vars(BasePydanticVectorStore).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }
    assert interface - {"persist"} == {*TWINS, *BLOCKING}


async def test_no_method_blocks_the_loop(store):
    with blockbuster_ctx():
        assert await everything(store) == EXPECTED


async def test_a_blocking_call_on_the_loop_would_be_noticed(http_client):
    store = OSSVectorStore(http_client, index="nodes")
    store.add(NODES)
    with blockbuster_ctx(), pytest.raises(BlockingError):
        store.get_nodes(["a"])


async def test_no_async_method_goes_through_a_blocking_one(store, monkeypatch):
    for name in BLOCKING:
        monkeypatch.setattr(OSSVectorStore, name, None)
    assert await everything(store) == EXPECTED


def test_one_store_serves_loops_that_come_and_go_and_blocking_calls(store):
    for _ in range(3):
        assert asyncio.run(everything(store)) == EXPECTED
        assert store.get_nodes() == []


async def test_writes_and_reads_go_out_at_once(client, service, monkeypatch):
    store = OSSVectorStore(client, index="nodes")
    await store.async_add([text_node(f"n{n}") for n in range(500)])
    handle, running, most = service.handle, [], []

    def watched(request):
        running.append(request)
        most.append(len(running))
        time.sleep(0.02)  # long enough for another to arrive
        try:
            return handle(request)
        finally:
            running.pop()

    monkeypatch.setattr(service, "handle", watched)
    found = await store.aget_nodes([f"n{n}" for n in range(500)])
    assert len(found) == 500
    assert max(most) > 1


async def test_an_async_client_serves_the_store(service, http_settings):  # noqa: ARG001
    async with AsyncOSSVectorClient(**http_settings) as client:
        store = OSSVectorStore(client, index="nodes")
        assert store.client is client
        with blockbuster_ctx():
            await store.async_add(NODES)
            assert ids(await store.aget_nodes(["d", "a"])) == ["d", "a"]


async def test_calls_at_once_share_what_is_known_of_the_index(store, calls):
    await store.async_add(NODES)
    calls.clear()
    await asyncio.gather(*(store.aget_nodes(["a", "b"]) for _ in range(50)))
    assert calls.taken() == {"getVectors": 1}
