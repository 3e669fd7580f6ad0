"""Async calls never block the loop, whichever client was given, on loops that come and go."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from support.calls import settings
from support.vector_server import VectorServer

from oss_vector_retriever import AsyncOSSVectorClient
from oss_vector_retriever.llama_index import OSSVectorRetriever

QUERY = "c\na\ngone"
ANSWER = ["c", "a"]


def blocking(retriever):
    return [found.node_id for found in retriever.retrieve(QUERY)]


async def ask(retriever, query=QUERY):
    return [found.node_id for found in await retriever.aretrieve(query)]


async def test_it_does_not_go_through_the_blocking_method(either, monkeypatch):
    monkeypatch.delattr(OSSVectorRetriever, "_retrieve")
    assert await ask(either) == ANSWER


async def test_it_never_blocks_the_loop(either):
    with blockbuster_ctx():
        assert await ask(either) == ANSWER
        assert await asyncio.gather(*(ask(either) for _ in range(20))) == [ANSWER] * 20


async def test_a_blocking_call_on_the_loop_would_be_noticed(http_retriever):
    blocking(http_retriever)  # connects
    with blockbuster_ctx(), pytest.raises(BlockingError):
        blocking(http_retriever)


async def test_it_makes_its_calls_at_once(either, service, monkeypatch):
    handle = service.handle
    together = threading.Barrier(2)

    def in_company(request):
        together.wait(timeout=10)
        return handle(request)

    monkeypatch.setattr(service, "handle", in_company)
    two_calls = "\n".join([QUERY, *(f"none-{number}" for number in range(150))])
    assert await ask(either, two_calls) == ANSWER


async def test_four_calls_are_in_hand_at_once():
    """Shown on plain sockets: the embedded service reads in two threads."""
    keys = [f"key-{number}" for number in range(400)]
    together = threading.Barrier(4)

    def arrive():
        together.wait(timeout=30)
        return 0.0

    with VectorServer(keys, delay=arrive) as server:
        async with AsyncOSSVectorClient(**settings(server.endpoint)) as client:
            assert await ask(OSSVectorRetriever(client), "\n".join(keys)) == keys
    assert not together.broken


async def test_retrievals_at_once_share_a_call(either, service, monkeypatch):
    handle, calls = service.handle, []

    def counted(request):
        calls.append(request)
        return handle(request)

    monkeypatch.setattr(service, "handle", counted)
    assert await asyncio.gather(*(ask(either) for _ in range(200))) == [ANSWER] * 200
    assert len(calls) == 1


def test_it_serves_one_loop_after_another(either):
    for _ in range(3):
        assert asyncio.run(ask(either)) == ANSWER
        assert blocking(either) == ANSWER


def test_it_serves_loops_in_several_threads_at_once(either):
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: asyncio.run(ask(either)), range(16))
    assert list(answers) == [ANSWER] * 16


def test_it_serves_threads_at_once(either):
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(blocking, [either] * 32)) == [ANSWER] * 32


@pytest.mark.parametrize("first", [blocking, lambda retriever: asyncio.run(ask(retriever))])
def test_an_async_client_alone_serves_every_loop_and_blocking_calls(put, http_settings, first):
    put(["a", "c"])
    client = AsyncOSSVectorClient(**http_settings)
    retriever = OSSVectorRetriever(client)
    assert first(retriever) == ANSWER
    assert asyncio.run(ask(retriever)) == ANSWER
    assert asyncio.run(ask(retriever)) == ANSWER
    assert blocking(retriever) == ANSWER
    asyncio.run(client.close())


async def test_an_async_client_is_used_itself_on_its_own_loop(put, http_settings):
    put(["a", "c"])
    async with AsyncOSSVectorClient(**http_settings) as client:
        await client.fetch(["a"])
        retriever = OSSVectorRetriever(client)
        with blockbuster_ctx():
            assert await ask(retriever) == ANSWER
        assert retriever._clients.on_this_loop() is client


def test_nothing_stays_open_behind_a_loop_that_has_ended(either):
    for _ in range(2):
        asyncio.run(ask(either))
        gc.collect()  # a socket left open would warn, and warnings are errors


async def test_a_cancelled_call_leaves_a_retriever_that_answers(either):
    for _ in range(10):
        task = asyncio.create_task(ask(either))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await ask(either) == ANSWER
