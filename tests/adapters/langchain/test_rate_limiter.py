"""LangChain's own rate limiter as `rate_limit=`: blocking, on a loop, and up to a deadline."""

import asyncio
import pickle
import time

import pytest
from langchain_core.rate_limiters import InMemoryRateLimiter

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    DeadlineExceededError,
    OSSVectorClient,
    RateLimit,
)

KEYS = [f"key-{number}" for number in range(4)]


@pytest.fixture
def limiter():
    # 20 a second, one at once; it looks again each millisecond where it blocks
    return InMemoryRateLimiter(
        requests_per_second=20, check_every_n_seconds=0.001, max_bucket_size=1
    )


@pytest.fixture
def client(limiter):
    with OSSVectorClient.local(rate_limit=limiter, coalesce=False) as client:
        client.put_vector_index(dimension=1)
        client.upsert([{"key": key, "data": [1.0]} for key in KEYS])
        yield client


def test_spaces_blocking_calls(client):
    began = time.monotonic()
    for key in KEYS:
        assert client.fetch([key]).missing == ()
    assert 0.15 <= time.monotonic() - began < 5.0


def test_spaces_async_calls_and_holds_up_no_event_loop(client):
    async def fetch_all():
        turns = 0

        async def count():
            nonlocal turns
            while True:
                await asyncio.sleep(0.005)
                turns += 1

        counter = asyncio.ensure_future(count())
        async with client.to_async() as twin:
            began = time.monotonic()
            await asyncio.gather(*(twin.fetch([key]) for key in KEYS))
            seconds = time.monotonic() - began
        counter.cancel()
        return seconds, turns

    seconds, turns = asyncio.run(fetch_all())
    assert 0.15 <= seconds < 5.0
    assert turns >= 5


@pytest.mark.parametrize("is_async", [False, True])
def test_does_not_keep_a_call_beyond_its_deadline(is_async):
    never = InMemoryRateLimiter(requests_per_second=0.001)

    async def fetch_on_a_loop():
        async with AsyncOSSVectorClient.local(rate_limit=never, timeout=0.2) as client:
            await client.fetch(KEYS)

    def fetch():
        with OSSVectorClient.local(rate_limit=never, timeout=0.2) as client:
            client.fetch(KEYS)

    began = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"within 0\.2 s \(0 attempts\)"):
        asyncio.run(fetch_on_a_loop()) if is_async else fetch()
    assert time.monotonic() - began < 5.0


async def test_an_async_limiter_that_blocks_all_the_same_ends_with_the_call():
    class Stubborn:
        def acquire(self, *, blocking):
            raise AssertionError(f"asked on an event loop, {blocking=}")

        async def aacquire(self, *, blocking):
            await asyncio.sleep(60)
            return blocking

    async with AsyncOSSVectorClient.local(rate_limit=Stubborn(), timeout=0.1) as client:
        with pytest.raises(DeadlineExceededError):
            await client.fetch(KEYS)


def test_stays_where_it_is_when_settings_travel(limiter, tmp_path):
    with OSSVectorClient.local(tmp_path / "v.db", rate_limit=limiter) as client:
        settings = pickle.loads(pickle.dumps(client.settings))
    assert (settings.rate_limit, settings.omitted) == (None, ("rate_limit",))


def test_numbers_travel_with_the_settings(tmp_path):
    limit = RateLimit(requests=50, keys=2000)
    with OSSVectorClient.local(tmp_path / "v.db", rate_limit=limit) as client:
        settings = pickle.loads(pickle.dumps(client.settings))
        assert client.settings.to_dict()["rate_limit"] == {"requests": 50, "keys": 2000}
    assert settings.rate_limit == limit
    with OSSVectorClient.from_settings(settings) as again:
        assert again.config.rate_limit == limit
