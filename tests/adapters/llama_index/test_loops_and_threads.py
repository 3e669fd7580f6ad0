"""Every class that fetches serves loops that come and go, loops within loops, and threads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.async_utils import asyncio_run
from support.llama_calls import awaited, blocking, things
from support.promises import sized

from oss_vector_retriever import llama_index

OFTEN = sized(8, 16)  # as many as there are threads, or twice
NOT_FETCHING = {
    "ConnectionOptions",
    "DocumentStream",
    "IncompleteSearchEvent",
    "KeyQueryBundle",
    "MissingKeysEvent",
    "NodeWithProvenance",
    "QueryOptions",
}


def test_every_class_is_here():
    assert set(things(None)) == set(llama_index.__all__) - NOT_FETCHING


@pytest.fixture(params=["embedded", "http"])
def cases(request, put):
    """Give a call of every class."""
    put(["a"])
    return things(
        request.getfixturevalue("client" if request.param == "embedded" else "http_client")
    )


@pytest.mark.parametrize("name", things(None))
def test_one_loop_after_another_and_blocking_calls_between(cases, name):
    expected = blocking(cases[name])
    for _ in range(3):
        assert asyncio.run(awaited(cases[name])) == expected
        assert blocking(cases[name]) == expected


@pytest.mark.parametrize("name", things(None))
async def test_opensearch_a_blocking_call_works_where_a_loop_runs(cases, name):
    """It ran its own loop with `run_until_complete`, which a running loop refuses."""
    assert blocking(cases[name]) == await awaited(cases[name])


@pytest.mark.parametrize("name", things(None))
async def test_cores_own_way_out_of_a_running_loop(client, put, name):
    """Embedded alone: core closes its loop without a word, and sockets then warn."""
    put(["a"])
    case = things(client)[name]
    assert asyncio_run(awaited(case)) == blocking(case)


@pytest.mark.parametrize("name", things(None))
def test_threads_and_their_loops_at_once(cases, name):
    expected = blocking(cases[name])
    with ThreadPoolExecutor(8) as threads:
        plain = threads.map(blocking, [cases[name]] * OFTEN)
        looped = threads.map(lambda _: asyncio.run(awaited(cases[name])), range(OFTEN))
        assert [*plain, *looped] == [expected] * 2 * OFTEN


@pytest.mark.parametrize("name", things(None))
async def test_many_calls_on_one_loop(cases, name):
    expected = blocking(cases[name])
    answers = await asyncio.gather(*(awaited(cases[name]) for _ in range(20)))
    assert answers == [expected] * 20
