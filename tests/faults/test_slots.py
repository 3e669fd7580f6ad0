"""Fetches of threads: each goes at once while a slot is free, and shares a call while none is."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calls import run, settings
from support.vector_server import VectorServer

from oss_vector_retriever import AsyncOSSVectorClient, DeadlineExceededError, OSSVectorClient

pytestmark = pytest.mark.usefixtures("library")

KEYS = [f"key-{n}" for n in range(1000)]
PATIENCE = 10


class HoldingServer(VectorServer):
    """A server that holds its replies until it is told to `reply` to so many calls."""

    def __init__(self):
        self._replies = threading.Semaphore(0)
        super().__init__(KEYS, delay=self._hold)

    def _hold(self):
        self._replies.acquire(timeout=PATIENCE)
        return 0.0

    def reply(self, count=1000):
        self._replies.release(count)

    def wait_for_calls(self, count):
        self._wait(lambda: len(self.calls) >= count, "too few calls came in")

    def __exit__(self, *error):
        self.reply()
        super().__exit__(*error)


def wait_for_pending(client, count):
    last = time.monotonic() + PATIENCE
    while len(client._runner._coalescer._queue) < count:
        assert time.monotonic() < last, "too few fetches wait for a slot"
        time.sleep(0.001)


def key_of(result):
    [vector] = result
    return vector.key


def test_200_threads_take_a_call_for_each_slot_and_two_for_the_rest():
    barrier = threading.Barrier(200)
    with (
        VectorServer(KEYS, delay=lambda: 0.2) as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=8)) as client,
        ThreadPoolExecutor(200) as pool,
    ):

        def fetch(key):
            barrier.wait(PATIENCE)
            return key_of(client.fetch([key]))

        assert list(pool.map(fetch, KEYS[:200])) == KEYS[:200]
    assert len(server.calls) <= 8 + 3
    assert server.most_in_hand <= 8


def test_1000_tasks_take_10_calls():
    async def fetch_all(client):
        return await asyncio.gather(*(client.fetch([key]) for key in KEYS))

    with VectorServer(KEYS, delay=lambda: 0.05) as server:
        (results,) = run("async", settings(server.endpoint), fetch_all)
    assert [key_of(result) for result in results] == KEYS
    assert len(server.calls) == 10


def test_a_fetch_goes_at_once_while_others_are_on_their_way():
    with (
        HoldingServer() as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=3)) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        fetches = []
        for number in range(3):
            fetches.append(pool.submit(client.fetch, [KEYS[number]]))
            server.wait_for_calls(number + 1)
        server.reply()
        assert [key_of(fetch.result()) for fetch in fetches] == KEYS[:3]
    assert server.calls == [[key] for key in KEYS[:3]]


@pytest.mark.parametrize(
    "occupy",
    [
        lambda client: client.get_vectors(KEYS[:1]),
        lambda client: client.fetch(KEYS[:100]),
        lambda client: list(client.stream(KEYS[:100])),
        lambda client: client.with_options(coalesce=False).fetch(KEYS[:1]),
        lambda client: client.fetch(KEYS[:1]),
    ],
    ids=["another operation", "100 keys", "a stream", "one that shares nothing", "a fetch"],
)
def test_every_call_of_a_client_counts(occupy):
    with (
        HoldingServer() as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=1)) as client,
        ThreadPoolExecutor(6) as pool,
    ):
        first = pool.submit(occupy, client)
        server.wait_for_calls(1)
        fetches = [pool.submit(client.fetch, [key]) for key in KEYS[200:205]]
        wait_for_pending(client, 5)
        server.reply()
        first.result()
        assert [key_of(fetch.result()) for fetch in fetches] == KEYS[200:205]
    assert sorted(server.calls[1]) == KEYS[200:205]
    assert len(server.calls) == 2


def test_waiting_for_a_slot_is_within_the_deadline_of_each():
    with (
        HoldingServer() as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=1)) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        first = pool.submit(client.fetch, KEYS[:1])
        server.wait_for_calls(1)
        patient = pool.submit(client.fetch, KEYS[1:2])
        wait_for_pending(client, 1)
        hasty = pool.submit(client.fetch, KEYS[2:3], timeout=0.1)
        with pytest.raises(DeadlineExceededError, match=r"within 0\.1 s") as caught:
            hasty.result()
        assert 0.1 <= caught.value.elapsed < 1
        server.reply()
        assert [key_of(fetch.result()) for fetch in (first, patient)] == KEYS[:2]
    assert server.calls == [KEYS[:1], KEYS[1:2]]


def test_ctrl_c_in_the_thread_that_makes_a_call_strands_none_of_the_others():
    with (
        HoldingServer() as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=1, timeout=PATIENCE)) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        first = pool.submit(client.fetch, KEYS[:1])
        server.wait_for_calls(1)
        others = [pool.submit(client.fetch, [key]) for key in KEYS[1:3]]
        wait_for_pending(client, 2)

        def interrupt():
            wait_for_pending(client, 3)
            server.reply(1)
            server.wait_for_calls(2)
            os.kill(os.getpid(), signal.SIGINT)

        interruption = pool.submit(interrupt)
        # the most patient makes the call: this thread
        with pytest.raises(KeyboardInterrupt):
            client.fetch(KEYS[3:4], timeout=2 * PATIENCE)
        interruption.result()
        server.reply()
        assert key_of(first.result()) == KEYS[0]
        assert [key_of(other.result()) for other in others] == KEYS[1:3]
        assert key_of(client.fetch(KEYS[4:5])) == KEYS[4]
    assert [sorted(call) for call in server.calls[1:3]] == [KEYS[1:4], KEYS[1:3]]


def test_the_slot_of_an_interrupted_call_is_free_again():
    with (
        HoldingServer() as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=1)) as client,
        ThreadPoolExecutor(1) as pool,
    ):

        def interrupt():
            server.wait_for_calls(1)
            os.kill(os.getpid(), signal.SIGINT)

        interruption = pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            client.fetch(KEYS[:1])
        interruption.result()
        server.reply()
        assert client._runner._coalescer.holders == set()
        assert key_of(client.fetch(KEYS[:1])) == KEYS[0]


def test_a_signal_that_another_thread_took_is_heard_while_a_reply_is_waited_for():
    # so it is with one that comes just before the wait for bytes: nothing interrupts that wait
    with (
        HoldingServer() as server,
        OSSVectorClient(**settings(server.endpoint, timeout=PATIENCE)) as client,
        ThreadPoolExecutor(1) as pool,
    ):

        def interrupt():
            server.wait_for_calls(1)
            time.sleep(0.1)
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        interruption, begun = pool.submit(interrupt), time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            client.fetch(KEYS[:1])
        assert time.monotonic() - begun < PATIENCE / 2
        interruption.result()
        server.reply()
        assert key_of(client.fetch(KEYS[:1])) == KEYS[0]


@pytest.mark.parametrize("count", [1, 250])
def test_a_signals_handler_may_fetch_while_its_thread_holds_the_only_slot(count):
    keys, found = KEYS[:count], []

    def handle(*_):
        found.append(client.fetch(keys, timeout=5))

    with (
        VectorServer(KEYS, delay=lambda: 0.15) as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=1)) as client,
    ):
        before = signal.signal(signal.SIGUSR1, handle)
        try:
            timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGUSR1])
            timer.start()
            assert key_of(client.fetch(KEYS[-1:])) == KEYS[-1]
            timer.join()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert [vector.key for vector in found[0]] == keys
        assert client._runner._coalescer.holders == set()
        assert key_of(client.fetch(KEYS[:1])) == KEYS[0]


def test_a_window_ends_at_the_deadline(mode):
    with VectorServer(KEYS) as server:
        options = settings(server.endpoint, coalesce=1.0)
        started = time.monotonic()
        (error,) = run(mode, options, lambda client: client.fetch(KEYS[:1], timeout=0.1))
        assert time.monotonic() - started < 0.9
    assert isinstance(error, DeadlineExceededError)
    assert 0.1 <= error.elapsed < 0.5
    assert server.calls == []


def test_the_window_of_one_holds_up_nobody_who_asked_for_none():
    async def fetch_both(endpoint):
        async with AsyncOSSVectorClient(**settings(endpoint)) as client:
            slow = asyncio.ensure_future(client.with_options(coalesce=1.0).fetch(KEYS[:1]))
            await asyncio.sleep(0)
            started = time.monotonic()
            await client.fetch(KEYS[:1])
            slow.cancel()
            return time.monotonic() - started

    with VectorServer(KEYS) as server:
        assert asyncio.run(fetch_both(server.endpoint)) < 0.8
        with OSSVectorClient(**settings(server.endpoint)) as client:
            slow = client.with_options(coalesce=1.0)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(slow.fetch, KEYS[:1])
                started = time.monotonic()
                client.fetch(KEYS[:1])
                assert time.monotonic() - started < 0.8
