"""One sync client in many threads, and many clients one after the other."""

import asyncio
import contextlib
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.calls import collect, open_sockets, run, settings, threads
from support.promises import sized
from support.replies import data_of
from support.vector_server import VectorServer

from oss_vector_retriever import AsyncOSSVectorClient, ConfigurationError, OSSVectorClient

pytestmark = pytest.mark.usefixtures("library")

THREADS = 16
CALLS = sized(30, 500)
CLIENTS = sized(60, 200)
OFTEN = sized(1000, 10_000)
STATM = Path("/proc/self/statm")
KEYS = [f"key-{n}" for n in range(2_000)]


def check(result, asked):
    assert [vector.key for vector in result] == asked
    assert all(vector.data.tolist() == data_of(vector.key) for vector in result)


@pytest.mark.promise("R14")
@pytest.mark.parametrize("coalesce", [True, False], ids=["merged", "alone"])
def test_sixteen_threads_get_what_each_asked_for(coalesce, figure):
    def calls(seed):
        dice = random.Random(seed)
        for _ in range(CALLS):
            asked = dice.choices(KEYS, k=dice.choice([1, 2, 3, 130]))
            check(client.fetch(asked), asked)

    with (
        VectorServer(KEYS) as server,
        OSSVectorClient(**settings(server.endpoint, coalesce=coalesce)) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        list(pool.map(calls, range(THREADS)))
    figure(f"{THREADS} threads, {CALLS} calls each: 0 mismatched replies")
    assert coalesce or len(server.calls) >= THREADS * CALLS
    assert server.most_in_hand <= 8
    assert server.connections <= 8


def test_a_client_that_is_closed_while_threads_use_it_leaves_nothing_open():
    with VectorServer(KEYS, delay=lambda: 0.01) as server:
        client = OSSVectorClient(**settings(server.endpoint))
        begun = threading.Barrier(9)

        def call(_):
            begun.wait()
            with contextlib.suppress(ConfigurationError):  # for those that come after the closing
                check(client.fetch(["key-1"]), ["key-1"])

        with ThreadPoolExecutor(8) as pool:
            done = pool.map(call, range(8))
            begun.wait()
            client.close()
            list(done)


@pytest.mark.promise("R13")
@pytest.mark.over_tls("long")
def test_many_clients_leave_no_thread_and_no_socket(mode, figure):
    with VectorServer(KEYS) as server:
        options = settings(server.endpoint)
        run(mode, options, lambda client: client.fetch(KEYS[:1]))
        server.wait_until_idle()
        before, running = open_sockets(), threads()
        for _ in range(CLIENTS):
            (result,) = run(mode, options, lambda client: client.fetch(KEYS[:101]))
            check(result, KEYS[:101])
        collect()
        server.wait_until_idle()
        assert open_sockets() == before
        for thread in threads() - running:
            thread.join(2)
        assert threads() <= running
    figure(f"{CLIENTS} clients: 0 threads, 0 sockets left")


def test_a_client_that_is_let_go_closes_its_connections():
    with VectorServer(KEYS) as server:
        check(OSSVectorClient(**settings(server.endpoint)).fetch(KEYS[:250]), KEYS[:250])
        collect()
        server.wait_until_idle()


async def _with_many(client, tasks):
    return await asyncio.gather(*(client.fetch([key]) for key in tasks))


def test_many_fetches_at_once_share_the_connections_of_an_async_client():
    with VectorServer(KEYS) as server:
        options = settings(server.endpoint, max_concurrency=4)
        (results,) = run("async", options, lambda client: _with_many(client, KEYS[:500]))
    assert [result[0].key for result in results] == KEYS[:500]
    assert server.connections <= 4
    assert server.most_in_hand <= 4


def fetch_often(client, times):
    if isinstance(client, AsyncOSSVectorClient):
        return _fetch_often_on_loop(client, times)
    for _ in range(times):
        client.fetch(KEYS[:3])
    return None


async def _fetch_often_on_loop(client, times):
    for _ in range(times):
        await client.fetch(KEYS[:3])


@pytest.mark.promise("R13")
@pytest.mark.over_tls("long")
@pytest.mark.skipif(not STATM.exists(), reason="this platform does not tell a process's memory")
def test_many_calls_leave_no_memory_behind(mode, figure, measurement):
    with VectorServer(KEYS) as server:

        def memory(_):
            server.calls.clear()  # what it has noted of each
            server.requests.clear()
            collect()
            return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        options = settings(server.endpoint)
        warm_up, work = (lambda client, n=n: fetch_often(client, n) for n in (1000, OFTEN))
        _, before, _, between, _, after = run(
            mode, options, warm_up, memory, work, memory, work, memory
        )
    # twice, for what other tests left behind is let go and taken again; a leak shows each time
    grown = min(between - before, after - between)
    measurement(f"{grown / 2**20:+.2f} MiB")
    figure(f"{OFTEN:,} calls: the process grows by less than 4 MiB")
    assert grown < 4 * 2**20
