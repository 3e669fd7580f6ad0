"""How late a call ends whose deadline passes, whatever it waits for.

make bench TESTS=tests/benchmarks/test_deadlines.py
"""

import asyncio
import contextlib
import json
import os
import threading
import time

import pytest
from support.calls import MODES, settings
from support.vector_server import VectorServer

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    DeadlineExceededError,
    OSSVectorClient,
    OSSVectorError,
)

ROUNDS, SECONDS, LONG = 5, 1.0, 30

pytestmark = pytest.mark.benchmark


def hang():
    time.sleep(LONG)


async def hang_on_the_loop():
    await asyncio.sleep(LONG)


@contextlib.contextmanager
def timed(late, seconds):
    begun = time.perf_counter()
    with pytest.raises(DeadlineExceededError):
        yield
    late.append((time.perf_counter() - begun - seconds) * 1000)


def lateness_of(client, seconds=SECONDS, rounds=ROUNDS):
    """Return the milliseconds by which calls of a blocking client end after their deadline."""
    late = []
    for _ in range(rounds):
        with timed(late, seconds):
            client.fetch(["key-0"], timeout=seconds)
    return late


def lateness(mode, options, seconds=SECONDS, rounds=ROUNDS):
    """Return the milliseconds by which calls of a new client end after their deadline."""
    if mode == "sync":
        with OSSVectorClient(**options) as client:
            return lateness_of(client, seconds, rounds)

    async def measure():
        late = []
        async with AsyncOSSVectorClient(**options) as client:
            for _ in range(rounds):
                with timed(late, seconds):
                    await client.fetch(["key-0"], timeout=seconds)
        return late

    return asyncio.run(measure())


def show(what, late):
    print(f"\n{what}: {min(late):.1f} to {max(late):.1f} ms late, of {len(late)}")


@contextlib.contextmanager
def held_slots(client, server, count):
    """Keep a client's slots busy with other calls."""

    def hold():
        with contextlib.suppress(OSSVectorError):  # `close` ends it
            client.fetch(["key-1"], timeout=LONG)

    threads = [threading.Thread(target=hold) for _ in range(count)]
    for thread in threads:
        thread.start()
    server.wait_for_requests(count)
    yield
    client.close()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("mode", "source"), [("sync", hang), ("async", hang), ("async", hang_on_the_loop)]
)
def test_credentials_that_do_not_come(mode, source):
    with VectorServer(["key-0"]) as server:
        options = settings(server.endpoint) | {"credentials": source}
        show(f"{mode}, credentials, {source.__name__}", lateness(mode, options))


@pytest.mark.parametrize("mode", MODES)
def test_a_window_that_is_longer(mode):
    with VectorServer(["key-0"]) as server:
        options = settings(server.endpoint, coalesce=1.0)
        # each with a client of its own: the next would join the window that the first has opened
        late = [lateness(mode, options, 0.5, rounds=1)[0] for _ in range(ROUNDS)]
        show(f"{mode}, a window of 1 s, deadline 0.5 s", late)


@pytest.mark.parametrize("mode", MODES)
def test_a_reply_that_does_not_come(mode):
    with VectorServer(["key-0"], delay=lambda: LONG) as server:
        show(f"{mode}, no reply", lateness(mode, settings(server.endpoint)))


@pytest.mark.parametrize("slots", [1, 8])
def test_slots_that_others_hold(slots):
    with (
        VectorServer(["key-0"], delay=lambda: LONG) as server,
        OSSVectorClient(**settings(server.endpoint, max_concurrency=slots)) as client,
        held_slots(client, server, slots),
    ):
        show(f"sync, all {slots} slots are held", lateness_of(client))


def test_a_forked_pool():
    held = threading.Event()
    with (
        VectorServer(["key-0"], delay=lambda: LONG if held.is_set() else 0.0) as server,
        OSSVectorClient(**settings(server.endpoint)) as client,
    ):
        client.fetch(["key-0"])
        held.set()
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            try:
                os.write(writer, json.dumps(lateness_of(client)).encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as told:
            late = json.load(told)
        os.waitpid(child, 0)
        show("sync, in a forked child", late)
