"""Cancellations at random moments harm no later call and leave nothing open; 1,000 at full size."""

import asyncio
import random
import time

import pytest
import trustme
from support.calls import settings, settled
from support.promises import sized
from support.replies import data_of
from support.socket_server import server_context
from support.vector_server import VectorServer

from oss_vector_retriever import AsyncOSSVectorClient

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.promise("R9")]

WIDTH = 8
MANY = sized(150, 1000)
KEYS = [f"key-{n}" for n in range(250)]


def check(result, asked):
    assert [vector.key for vector in result] == asked
    assert all(vector.data.tolist() == data_of(vector.key) for vector in result)


async def cancel_many(client, dice, times):
    """Cancel fetches that run 8 at a time, some while they connect; return how many got through."""
    cancelled = finished = 0
    while cancelled < times:
        batches = [dice.sample(KEYS, dice.choice([1, 1, 1, 120])) for _ in range(WIDTH)]
        tasks = [asyncio.ensure_future(client.fetch(batch)) for batch in batches]
        for task in dice.sample(tasks, dice.randint(WIDTH // 2, WIDTH)):
            await asyncio.sleep(dice.choice([0, 0, dice.uniform(0, 0.001), dice.uniform(0, 0.004)]))
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome, batch in zip(outcomes, batches, strict=True):
            if isinstance(outcome, asyncio.CancelledError):
                cancelled += 1
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                finished += 1
                check(outcome, batch)
    return cancelled, finished


async def churn(client, dice, times):
    """Return what happened; a call that fails, or is wrong, raises."""
    async with client:
        cancelled, finished = await cancel_many(client, dice, times)
        started = time.monotonic()
        check(await client.fetch(KEYS), KEYS)
        elapsed = time.monotonic() - started
    await settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return f"{cancelled} cancelled, {finished} got through, next call took {elapsed:.3f} s"


def cancel_and_count(seed, measurement, *, times=MANY, tls=None, **options):
    dice = random.Random(seed)
    with VectorServer(KEYS, delay=lambda: dice.choice([0, 0.002]), seed=seed, tls=tls) as server:
        client = AsyncOSSVectorClient(**settings(server.endpoint, max_concurrency=WIDTH, **options))
        told = asyncio.run(churn(client, dice, times))
        server.wait_until_idle()
    measurement(f"seed {seed}: {told}; {server.connections} connections, {len(server.calls)} calls")


MORE_SEEDS = [pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 21)]


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("coalesce", [True, False], ids=["merged", "alone"])
@pytest.mark.parametrize("seed", [20261, *MORE_SEEDS])
def test_a_client_answers_after_many_cancellations(seed, coalesce, measurement):
    cancel_and_count(seed, measurement, coalesce=coalesce)


@pytest.mark.plain
@pytest.mark.parametrize("seed", [20262, *MORE_SEEDS])
def test_a_client_answers_after_cancellations_over_tls(seed, measurement, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = server_context(authority.issue_cert("127.0.0.1"))
    pem = str(tmp_path / "ca.pem")
    cancel_and_count(seed, measurement, times=sized(100, 300), tls=tls, ca_file=pem, coalesce=False)
