"""Async calls never block the loop, and loops and threads may come and go."""

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor

import pytest
from blockbuster import BlockingError, blockbuster_ctx
from support import gates

from oss_vector_retriever import AsyncOSSVectorClient
from oss_vector_retriever.langchain import OSSVectorRetriever

QUERY = "c\na\ngone"
ANSWER = ["c", "a"]


async def ask(retriever, query=QUERY):
    return [document.id for document in await retriever.ainvoke(query)]


async def test_it_does_not_go_through_the_blocking_method(either, monkeypatch):
    monkeypatch.delattr(OSSVectorRetriever, "_get_relevant_documents")
    assert await ask(either) == ANSWER


async def test_it_never_blocks_the_loop(either):
    with blockbuster_ctx():
        assert await ask(either) == ANSWER
        assert await asyncio.gather(*(ask(either) for _ in range(20))) == [ANSWER] * 20


async def test_a_blocking_call_on_the_loop_would_be_noticed(http_retriever):
    http_retriever.invoke(QUERY)  # connects
    with blockbuster_ctx(), pytest.raises(BlockingError):
        http_retriever.invoke(QUERY)


async def test_it_makes_its_calls_at_once(either, monkeypatch):
    gates.open_for(4, monkeypatch)
    four_calls = "\n".join([QUERY, *(f"none-{number}" for number in range(350))])
    assert await ask(either, four_calls) == ANSWER


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
    assert len(either._clients._on_loops) == 1


def test_it_serves_loops_in_several_threads_at_once_and_blocking_calls_between(either):
    def through_a_loop(_):
        return asyncio.run(ask(either))

    def blocking(_):
        return [document.id for document in either.invoke(QUERY)]

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(through_a_loop, range(16)), *threads.map(blocking, range(16))]
    assert answers == [ANSWER] * 32


@pytest.mark.parametrize("first", ["async", "sync"])
def test_an_async_client_serves_every_loop_and_blocking_calls(put, http_settings, first):
    put(["a", "c"])
    client = AsyncOSSVectorClient(**http_settings)
    retriever = OSSVectorRetriever(client=client)
    if first == "sync":
        assert len(retriever.invoke(QUERY)) == 2
    assert asyncio.run(ask(retriever)) == ANSWER
    assert asyncio.run(ask(retriever)) == ANSWER
    assert len(retriever.invoke(QUERY)) == 2
    asyncio.run(client.close())


def test_nothing_stays_open_behind_a_loop_that_has_ended(either):
    for _ in range(2):
        asyncio.run(ask(either))
        gc.collect()  # a socket left open would warn, and warnings are errors
    del either
    gc.collect()


async def test_a_cancelled_call_leaves_a_retriever_that_answers(either):
    for _ in range(10):
        task = asyncio.create_task(ask(either))
        await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await ask(either) == ANSWER
