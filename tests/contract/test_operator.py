"""Counters, hook and log of real clients, embedded and over sockets."""

import asyncio
import contextvars
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    FinishedCall,
    NoSuchVectorIndexError,
    OSSVectorClient,
    QpsLimitExceededError,
    RetryPolicy,
    emulator,
)
from oss_vector_retriever.client.wire import decoder
from oss_vector_retriever.emulator import faults

KEYS = [f"k{number}" for number in range(250)]
CALLER = contextvars.ContextVar("caller", default="nobody")


@pytest.fixture(scope="module")
def service():
    with emulator.Service.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture(scope="module")
def settings(service):
    with emulator.Server(service) as server:
        settings = {"index": "operator", **server.settings}
        with OSSVectorClient(**settings) as client:
            client.put_vector_index(dimension=2)
            client.upsert([{"key": key, "data": [n, 1]} for n, key in enumerate(KEYS)])
        yield settings


@pytest.fixture(autouse=True)
def _no_faults(service):
    yield
    service.faults.clear()


def test_the_counters_of_a_client_are_what_it_did(face):
    count = face.client.stats
    before = count()
    vectors = [{"key": f"k{n}", "data": [n, 1, 0.5]} for n in range(150)]
    face.upsert(vectors)
    face.fetch([f"k{n}" for n in range(151)] * 2)
    with pytest.raises(NoSuchVectorIndexError):
        face.fetch(["a"], index="missing")
    after = count()
    assert after.calls - before.calls == 1 + 2 + 1
    assert (after.failed, after.missing, after.retries) == (1, 1, 0)
    assert after.attempts - before.attempts == 4
    assert after.operations["GetVectors"].calls == 3
    assert after.operations["PutVectors"].bytes_sent > 150 * len('{"key":"k0"}')
    assert after.bytes_received > 1000
    assert after.seconds > before.seconds
    assert after.decoder == decoder()


async def test_fetches_that_share_a_call_are_counted_as_fetches(settings):
    async with AsyncOSSVectorClient(**settings) as client:
        await asyncio.gather(*(client.fetch([key]) for key in [*KEYS, "gone"]))
        stats = client.stats()
    assert stats.calls == 3
    assert (stats.shared, stats.missing) == (251 - 3, 1)


def test_a_thread_that_fetches_alone_shares_nothing(settings):
    with OSSVectorClient(**settings) as client:
        for _ in range(3):
            client.fetch(KEYS[:3])
        client.fetch(KEYS)
        assert (client.stats().calls, client.stats().shared) == (3 + 3, 0)


def test_clients_that_share_connections_or_settings_count_together(settings):
    with OSSVectorClient(**settings) as client:
        client.with_options(timeout=5.0).fetch(["k1"])

        async def fetch_on_a_loop():
            async with client.to_async() as twin:
                await twin.fetch(["k1"])
                return twin.stats()

        assert asyncio.run(fetch_on_a_loop()).calls == 2
        client.fetch(["k1"])
        assert client.stats().calls == client.with_options(retry=1).stats().calls == 3
    assert client.stats().calls == 3  # a closed one tells it still
    with OSSVectorClient(**settings) as other:
        assert other.stats().calls == 0


def test_throttling_and_retries_are_counted(settings, service):
    policy = RetryPolicy(throttle_base=0.01, transient_base=0.01, patience=0.0)
    with OSSVectorClient(**settings, retry=policy) as client:
        service.faults.add(faults.Throttle(times=4), faults.ServerError(times=1))
        client.fetch(["k1"])
        stats = client.stats()
        assert (stats.calls, stats.attempts, stats.retries, stats.refusals) == (1, 6, 5, 4)
        service.faults.add(faults.Throttle(times=None))
        with pytest.raises(QpsLimitExceededError, match=r"\(\d+ attempts in 0\.\d\d s\)$"):
            client.with_options(timeout=0.6, retry=RetryPolicy(throttle_base=0.5)).fetch(["k1"])


def test_the_hook_is_called_by_the_thread_that_called_with_its_variables(settings):
    seen = []

    def hook(call):
        seen.append((call, threading.get_ident(), CALLER.get()))

    with OSSVectorClient(**settings, on_call=hook) as client:
        CALLER.set("this test")
        client.fetch(["k1", "gone"])
        client.with_options(timeout=9.0).get_vector_index()
        client.fetch(KEYS)  # three calls, some of them in threads of the client's own
    (fetched, thread, caller), (described, *_), *_ = seen
    assert (thread, caller) == (threading.get_ident(), "this test")
    assert isinstance(fetched, FinishedCall)
    assert (fetched.operation, fetched.index, fetched.error) == ("GetVectors", "operator", None)
    assert (fetched.attempts, fetched.keys, fetched.missing) == (1, 2, 1)
    assert 0 < fetched.seconds < 10
    assert described.operation == "GetVectorIndex"
    assert len(seen) == 2 + 3


async def test_the_hook_of_an_async_client_is_called_on_its_loop_with_the_callers_variables(
    settings,
):
    seen = []

    def hook(call):
        seen.append((call.operation, asyncio.get_running_loop(), CALLER.get()))

    async def describe(caller):
        CALLER.set(caller)
        await client.get_vector_index()

    async with AsyncOSSVectorClient(**settings, on_call=hook) as client:
        await asyncio.gather(describe("one"), describe("two"))
    loop = asyncio.get_running_loop()
    assert sorted(seen) == [("GetVectorIndex", loop, "one"), ("GetVectorIndex", loop, "two")]


async def test_a_call_that_is_cancelled_is_told_as_such(settings, service):
    told = []
    async with AsyncOSSVectorClient(**settings, on_call=told.append) as client:
        service.faults.add(faults.Delay(seconds=1.0, times=1))
        task = asyncio.ensure_future(client.get_vector_index())
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [(call.operation, call.error) for call in told] == [("GetVectorIndex", "CancelledError")]


def test_a_hook_that_raises_harms_no_call_of_many_threads(settings, caplog):
    def broken(_):
        raise RuntimeError("of the hook")

    with (
        caplog.at_level(logging.WARNING, "oss_vector_retriever"),
        OSSVectorClient(**settings, on_call=broken) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        results = list(pool.map(lambda key: client.fetch([key]), KEYS))
    assert [result[0].key for result in results] == KEYS
    messages = [record.getMessage() for record in caplog.records]
    assert [text for text in messages if "on_call" in text] == [
        "on_call= raised RuntimeError, and is told of the next calls all the same"
    ]


def test_an_operator_is_told_of_throttling_and_of_each_retry(settings, service, caplog):
    service.faults.add(faults.Throttle(times=2), faults.ServerError(times=1))
    policy = RetryPolicy(throttle_base=0.01, transient_base=0.01, patience=0.0)
    with (
        caplog.at_level(logging.INFO, "oss_vector_retriever"),
        OSSVectorClient(**settings, retry=policy) as client,
    ):
        client.fetch(["k1"])
    levels = [record.levelname for record in caplog.records if "oss_vector" in record.name]
    assert sorted(levels) == ["INFO", "INFO", "INFO", "WARNING"]


def test_missing_keys_are_counted_and_not_logged(settings, caplog):
    with (
        caplog.at_level(logging.INFO, "oss_vector_retriever"),
        OSSVectorClient(**settings) as client,
    ):
        client.fetch(["gone", "k1", "gone too"])
        assert client.stats().missing == 2
    assert [record for record in caplog.records if "oss_vector" in record.name] == []
