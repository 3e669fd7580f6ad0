"""A client that is closed beside calls in flight: whoever waits is told so at once."""

import asyncio
import random
import threading
import time

import pytest
from support import faults
from support.calls import settings
from support.fault_server import FaultServer
from support.vector_server import VectorServer

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    OSSVectorClient,
    PartialWriteError,
)

pytestmark = pytest.mark.usefixtures("library")

KEYS = [f"key-{n}" for n in range(1000)]
PATIENCE = 5  # seconds; it should take none, and a reply would take 30
DELAY = 30


def noted(outcomes, call):
    try:
        outcomes.append(call())
    except Exception as error:  # noqa: BLE001 - it is looked at by the test
        outcomes.append(error)


def told(outcomes):
    """Return whether each of some callers was told that the client is closed.

    A writer is told so with the report of what is written and what is not.
    """
    kinds = ConfigurationError | PartialWriteError
    return [isinstance(one, kinds) and "is closed" in str(one) for one in outcomes]


def test_threads_that_wait_for_anything_are_told():
    calls = [
        lambda client: client.fetch(KEYS),  # several calls at once, more than there are slots
        lambda client: client.fetch(KEYS[:1]),
        lambda client: client.fetch(KEYS[:2]),  # waits for a slot, and shares a call
        lambda client: client.get_vectors(KEYS[:3]),
        lambda client: client.upsert({"key": key, "data": [1.0]} for key in KEYS),
        lambda client: list(client.stream(iter(KEYS))),
    ]
    with VectorServer(KEYS, delay=lambda: DELAY) as server:
        client = OSSVectorClient(**settings(server.endpoint, max_concurrency=2, timeout=60))
        outcomes = []
        threads = [
            threading.Thread(target=noted, args=[outcomes, lambda call=call: call(client)])
            for call in calls
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        client.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert time.monotonic() - started < PATIENCE
        assert told(outcomes) == [True] * len(threads), outcomes


def test_a_pause_before_a_retry_ends_too():
    refusal = faults.refuse(503, "QpsLimitExceeded", headers={"Retry-After": "20"})
    with FaultServer(then=refusal) as server:
        client = OSSVectorClient(**settings(server.endpoint, timeout=60))
        outcomes = []
        calls = [lambda: client.fetch(KEYS[:1]), lambda: client.fetch(KEYS)]
        threads = [threading.Thread(target=noted, args=[outcomes, call]) for call in calls]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        client.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert told(outcomes) == [True, True], outcomes


def test_a_stream_that_is_read_half_ends_with_its_client():
    with VectorServer(KEYS) as server:
        client = OSSVectorClient(**settings(server.endpoint))
        vectors = client.stream(iter(KEYS * 5))
        next(vectors)
        client.close()
        with pytest.raises(ConfigurationError, match="is closed"):
            list(vectors)


async def test_tasks_that_wait_for_anything_are_told():
    with VectorServer(KEYS, delay=lambda: DELAY) as server:
        client = AsyncOSSVectorClient(**settings(server.endpoint, max_concurrency=2, timeout=60))

        async def stream():
            return [vector async for vector in client.stream(iter(KEYS))]

        calls = [
            client.fetch(KEYS),
            client.fetch(KEYS[:1]),
            client.get_vectors(KEYS[:3]),
            client.upsert({"key": key, "data": [1.0]} for key in KEYS),
            stream(),
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.3)
        started = time.monotonic()
        await client.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        assert time.monotonic() - started < PATIENCE
        assert told(outcomes) == [True] * len(tasks), outcomes


async def test_a_stream_that_a_task_has_read_half_ends_with_its_client():
    with VectorServer(KEYS) as server:
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        vectors = client.stream(iter(KEYS * 5))
        await anext(vectors)
        await client.close()
        with pytest.raises(ConfigurationError, match="is closed"):
            [vector async for vector in vectors]


@pytest.mark.parametrize("seed", [1, 2])
def test_at_random_moments(seed):
    dice = random.Random(seed)
    with VectorServer(KEYS, delay=lambda: 0.01) as server:
        for _ in range(40):
            client = OSSVectorClient(**settings(server.endpoint, max_concurrency=3))
            ended = []

            def work(client=client, ended=ended):
                try:
                    while True:
                        client.fetch(dice.sample(KEYS, dice.choice([1, 3, 250])))
                except Exception as error:  # noqa: BLE001 - it is looked at below
                    ended.append(error)

            threads = [threading.Thread(target=work) for _ in range(5)]
            for thread in threads:
                thread.start()
            time.sleep(dice.uniform(0, 0.08))
            client.close()
            for thread in threads:
                thread.join(PATIENCE)
            assert told(ended) == [True] * 5, ended
