"""Concurrent fetches share calls, and nothing of one touches another."""

import asyncio
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    DeadlineExceededError,
    InvalidRequestError,
    NoSuchVectorIndexError,
    OSSVectorClient,
    ResponseError,
    VectorIndexParameterInvalidError,
    emulator,
)
from oss_vector_retriever.client.models.messages import Reply

INDEX = "coalesced"
KEYS = [f"k{number:04d}" for number in range(1000)]


class CountingService(emulator.Service):
    """Count the GetVectors calls, and take a moment for each where a test wants that."""

    calls = 0
    lock = threading.Lock()
    wait = None

    def handle(self, request):
        if request.query == "getVectors":
            with self.lock:
                self.calls += 1
            if self.wait is not None:
                self.wait.wait(timeout=10)
        return super().handle(request)


@pytest.fixture(scope="module")
def service():
    with CountingService.in_memory() as service:
        yield service


@pytest.fixture(scope="module")
def settings(service):
    with emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        settings = {"index": INDEX, **server.settings}
        with OSSVectorClient(**settings) as client:
            client.put_vector_index(dimension=2)
            client.upsert(
                [{"key": k, "data": [n, 1], "metadata": {"n": str(n)}} for n, k in enumerate(KEYS)]
            )
        yield settings


def wait_for_pending(client, count):
    last = time.monotonic() + 10
    while len(client._runner._coalescer._queue) < count:
        assert time.monotonic() < last, "too few fetches wait for a slot"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _fresh_count(service):
    service.calls = 0
    service.wait = None


async def test_1000_concurrent_fetches_of_one_key_take_at_most_11_calls(settings, service):
    async with AsyncOSSVectorClient(**settings) as client:
        results = await asyncio.gather(*(client.fetch([key]) for key in KEYS))
    assert [result[0].key for result in results] == KEYS
    assert [result[0].metadata["n"] for result in results[:3]] == ["0", "1", "2"]
    assert service.calls <= 11
    assert {result.calls for result in results} == {1}


def test_threads_that_find_all_slots_busy_share_the_next_calls(settings, service):
    service.wait = threading.Event()
    with OSSVectorClient(**settings, max_concurrency=8) as client, ThreadPoolExecutor(200) as pool:
        fetches = [pool.submit(client.fetch, [key]) for key in KEYS[:200]]
        wait_for_pending(client, 192)
        service.wait.set()
        assert [fetch.result()[0].key for fetch in fetches] == KEYS[:200]
    assert service.calls == 10


async def test_cancelling_a_random_half_leaves_the_other_half_answered_100_times(settings):
    seed = 20261122
    dice = random.Random(seed)
    async with AsyncOSSVectorClient(**settings) as client:
        for attempt in range(100):
            tasks = {key: asyncio.ensure_future(client.fetch([key])) for key in KEYS[:40]}
            await asyncio.sleep(dice.choice([0, 0, 0.001, 0.004]))
            cancelled = set(dice.sample(sorted(tasks), 20))
            for key in cancelled:
                tasks[key].cancel()
            answers = await asyncio.gather(*tasks.values(), return_exceptions=True)
            for key, answer in zip(tasks, answers, strict=True):
                if key not in cancelled:
                    assert answer[0].key == key, (seed, attempt)
        assert (await client.fetch(KEYS[:1]))[0].key == KEYS[0]


async def test_a_short_deadline_of_one_is_no_deadline_of_another(settings, service):
    service.wait = threading.Event()
    async with AsyncOSSVectorClient(**settings) as client:
        hasty = asyncio.ensure_future(client.fetch(["k0001"], timeout=0.2))
        patient = asyncio.ensure_future(client.fetch(["k0002"]))
        with pytest.raises(DeadlineExceededError):
            await hasty
        assert not patient.done()
        service.wait.set()
        assert (await patient)[0].key == "k0002"
    assert service.calls == 1


async def test_a_call_that_nobody_wants_any_more_is_given_up(settings, service):
    service.wait = threading.Event()
    async with AsyncOSSVectorClient(**settings) as client:
        tasks = [asyncio.ensure_future(client.fetch([key])) for key in KEYS[:5]]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(200):
            if not client._runner._coalescer()._calls:
                break
            await asyncio.sleep(0.01)
        assert not client._runner._coalescer()._calls
        service.wait.set()


async def test_fetches_of_different_indexes_or_parts_are_kept_apart(settings, service):
    async with AsyncOSSVectorClient(**settings) as client:
        with_data, without, missing = await asyncio.gather(
            client.fetch(["k0001"]),
            client.fetch(["k0001"], return_data=False),
            client.fetch(["k0001"], index="absent"),
            return_exceptions=True,
        )
    assert with_data[0].data.tolist() == [1, 1]
    assert without[0].data is None
    assert isinstance(missing, NoSuchVectorIndexError)
    assert service.calls == 3


async def test_those_who_share_a_call_share_no_metadata_and_no_error(settings):
    async with AsyncOSSVectorClient(**settings) as client:
        one, other = await asyncio.gather(client.fetch(["k0001"]), client.fetch(["k0001"]))
        one[0].metadata["n"] = "changed"
        assert other[0].metadata == {"n": "1"}
        failures = await asyncio.gather(
            client.fetch(["a"], index="absent"),
            client.fetch(["b"], index="absent"),
            return_exceptions=True,
        )
        assert failures[0] is not failures[1]
        assert failures[0].request_id == failures[1].request_id


class ParticularService(CountingService):
    """Refuse a call that holds a certain key."""

    def handle(self, request):
        if b"poison" in request.body:
            if self.wait is not None:
                self.wait.wait(timeout=10)
            body = {"Error": {"Code": "VectorIndexParameterInvalid", "Message": "No such key."}}
            headers = {"content-type": "application/json"}
            return Reply(400, headers, json.dumps(body).encode())
        return super().handle(request)


@pytest.fixture
def particular(settings):
    """Give a service that refuses a key, and the settings of its clients."""
    with ParticularService.in_memory() as service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        own = {**settings, "endpoint": server.endpoint}
        with OSSVectorClient(**own) as client:
            client.put_vector_index(dimension=2)
            client.upsert([{"key": "good", "data": [1, 2]}])
        service.calls = 0
        yield service, own


async def test_keys_that_the_service_refuses_spoil_nobody_elses_fetch(particular):
    _, settings = particular
    async with AsyncOSSVectorClient(**settings) as client:
        good, bad = await asyncio.gather(
            client.fetch(["good"]), client.fetch(["poison"]), return_exceptions=True
        )
    assert good[0].key == "good"
    assert isinstance(bad, VectorIndexParameterInvalidError)


def test_keys_that_the_service_refuses_spoil_no_other_threads_fetch(particular):
    service, settings = particular
    service.wait = threading.Event()
    with OSSVectorClient(**settings, max_concurrency=1) as client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(client.fetch, ["good"])
        waiting = []
        for number, key in enumerate(("good", "other", "poison"), 1):
            waiting.append(pool.submit(client.fetch, [key]))
            wait_for_pending(client, number)
        good, other, bad = waiting
        service.wait.set()
        assert first.result()[0].key == good.result()[0].key == "good"
        assert other.result().missing == ("other",)
        assert isinstance(bad.exception(), VectorIndexParameterInvalidError)
        assert good.result().calls == 1
    assert service.calls == 2  # the first, and the half of the good ones


class BrokenRecordService(CountingService):
    """Answer with a number that is none, or with more numbers than others have, for two keys."""

    def handle(self, request):
        reply = super().handle(request)
        if "getVectors" not in request.query:
            return reply
        members = json.loads(reply.body)
        for vector in members["vectors"]:
            if vector["key"] == "broken":
                vector["data"]["float32"][0] = None
            if vector["key"] == "longer":
                vector["data"]["float32"].append(1.0)
        return Reply(reply.status, reply.headers, json.dumps(members).encode())


@pytest.fixture
def broken(settings):
    """Give the settings of clients of a service with two records that spoil a reply."""
    with BrokenRecordService.in_memory() as service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        own = {**settings, "endpoint": server.endpoint}
        with OSSVectorClient(**own) as client:
            client.put_vector_index(dimension=2)
            keys = ("good", "fine", "broken", "longer")
            client.upsert([{"key": key, "data": [1, 2]} for key in keys])
        yield own


async def test_a_record_that_cannot_be_read_spoils_nobody_elses_fetch(broken):
    async with AsyncOSSVectorClient(**broken) as client:
        good, bad, longer, fine = await asyncio.gather(
            *(client.fetch([key]) for key in ("good", "broken", "longer", "fine")),
            return_exceptions=True,
        )
    assert [good[0].key, fine[0].key] == ["good", "fine"]
    assert len(longer[0].data) == 3  # even in itself, as it is when it is asked for alone
    assert isinstance(bad, ResponseError)
    assert "'broken'" in str(bad)


def test_a_record_that_cannot_be_read_spoils_no_other_threads_fetch(broken):
    with OSSVectorClient(**broken, coalesce=0.2) as client, ThreadPoolExecutor(4) as pool:
        keys = ("good", "broken", "longer", "fine")
        good, bad, longer, fine = [pool.submit(client.fetch, [key]) for key in keys]
        assert [good.result()[0].key, fine.result()[0].key] == ["good", "fine"]
        assert len(longer.result()[0].data) == 3
        assert isinstance(bad.exception(), ResponseError)


async def test_bad_keys_are_refused_before_they_join_others(settings):
    async with AsyncOSSVectorClient(**settings) as client:
        good, bad = await asyncio.gather(
            client.fetch(["k0001"]), client.fetch([""]), return_exceptions=True
        )
    assert good[0].key == "k0001"
    assert isinstance(bad, InvalidRequestError)


async def test_it_can_be_switched_off_and_given_a_window(settings, service):
    async with AsyncOSSVectorClient(**settings, coalesce=False) as client:
        await asyncio.gather(*(client.fetch([key]) for key in KEYS[:5]))
    assert service.calls == 5
    service.calls = 0

    async def later(client, key, seconds):
        await asyncio.sleep(seconds)
        return await client.fetch([key])

    async with AsyncOSSVectorClient(**settings, coalesce=0.2) as client:
        await asyncio.gather(*(later(client, KEYS[n], n * 0.01) for n in range(5)))
    assert service.calls == 1


def test_threads_share_a_window_that_is_given(settings, service):
    with OSSVectorClient(**settings, coalesce=0.3) as client, ThreadPoolExecutor(5) as pool:

        def later(number):
            time.sleep(number * 0.02)
            return client.fetch([KEYS[number]])[0].key

        assert list(pool.map(later, range(5))) == KEYS[:5]
    assert service.calls == 1


def test_a_window_that_is_given_is_not_made_longer_by_those_who_come(settings, service):
    with OSSVectorClient(**settings, coalesce=0.05) as client, ThreadPoolExecutor(20) as pool:

        def later(number):
            time.sleep(number * 0.02)
            return client.fetch([KEYS[number]])[0].key

        assert list(pool.map(later, range(20))) == KEYS[:20]
    assert service.calls >= 2
