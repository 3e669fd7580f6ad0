"""Fetches that share calls over sockets: how many calls their faults cost, and whose they are."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.calls import settings
from support.replies import error_body, http, vectors_body
from support.socket_server import SocketServer
from support.spoiled_service import LARGEST_REPLY, SpoiledServer, SpoiledService

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    DeadlineExceededError,
    InternalServiceError,
    OSSVectorClient,
    OSSVectorError,
    QpsLimitExceededError,
    RetryPolicy,
)

KEYS = [f"key-{number:02d}" for number in range(64)]
ONCE = RetryPolicy(attempts=1)
WAYS = ["tasks", "threads"]


def outcome_of(work):
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return error


def fetch_all(way, options, fetches):
    """Return what comes of fetches, given as keys and options, that are made at once."""
    if way == "tasks":
        return asyncio.run(_fetch_in_tasks(options, fetches))
    barrier = threading.Barrier(len(fetches))
    with (
        OSSVectorClient(**options, coalesce=0.3) as client,
        ThreadPoolExecutor(len(fetches)) as pool,
    ):

        def fetch(keys, more):
            barrier.wait(10)
            return outcome_of(lambda: client.fetch(keys, **more))

        return [each.result() for each in [pool.submit(fetch, *one) for one in fetches]]


async def _fetch_in_tasks(options, fetches):
    async with AsyncOSSVectorClient(**options) as client:
        return await asyncio.gather(
            *(client.fetch(keys, **more) for keys, more in fetches), return_exceptions=True
        )


def spoiled(way, kinds=(), trouble="", retry=ONCE):
    """Return what comes of 64 fetches at once, and what was asked for."""
    known = {**dict.fromkeys(KEYS, "good"), **dict(kinds)}
    with SpoiledServer(SpoiledService(known, trouble)) as server:
        options = settings(server.endpoint, retry=retry, max_reply_bytes=LARGEST_REPLY)
        if way == "tasks":
            outcomes = fetch_all(way, options, [([key], {}) for key in KEYS])
        else:
            outcomes = fetch_behind_another(server, options)
        return outcomes, server.service.requests


def fetch_behind_another(server, options):
    """Return what comes of 64 threads that all wait for the one slot, which is held."""
    with (
        OSSVectorClient(**options, max_concurrency=1) as client,
        ThreadPoolExecutor(len(KEYS) + 1) as pool,
    ):
        first = pool.submit(client.fetch, ["first"])
        server.wait_for_requests(1)
        waiting = []
        for number, key in enumerate(KEYS, 1):
            waiting.append(pool.submit(outcome_of, lambda key=key: client.fetch([key])))
            while len(client._runner._coalescer._queue) < number:
                time.sleep(0.0001)
        server.gate.set()
        first.result()
        return [each.result() for each in waiting]


@pytest.mark.promise("P3")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["refused", "deep", "huge", "crash"])
def test_one_bad_fetch_of_64_costs_two_calls_for_each_halving(way, kind):
    outcomes, requests = spoiled(way, {KEYS[37]: kind})
    assert isinstance(outcomes.pop(37), OSSVectorError)
    assert [outcome[0].key for outcome in outcomes] == [*KEYS[:37], *KEYS[38:]]
    assert len(requests) == 1 + 2 * 6


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_a_spoiled_reply_is_tried_again_only_where_it_is_asked_for_alone(way):
    retry = RetryPolicy(attempts=3, transient_base=0.01, patience=0.0)
    outcomes, requests = spoiled(way, {KEYS[37]: "deep"}, retry=retry)
    assert outcomes[37].attempts == 3
    assert len(requests) == 1 + 2 * 6 + 2


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_where_all_64_are_bad_there_is_one_call_more_for_each(way):
    outcomes, requests = spoiled(way, dict.fromkeys(KEYS, "refused"))
    assert len({id(outcome) for outcome in outcomes}) == 64
    assert len(requests) == 64 + 63


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_what_is_well_shares_one_call(way):
    assert len(spoiled(way)[1]) == 1


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trouble", ["denied", "expired", "throttled", "down", "moved"])
def test_what_meets_all_is_not_asked_again_for_each(way, trouble):
    outcomes, requests = spoiled(way, trouble=trouble)
    assert len(requests) == 1
    assert len({str(outcome) for outcome in outcomes}) == 1
    assert len({id(outcome) for outcome in outcomes}) == 64


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("trouble", ["outage", "closed"])
def test_in_an_outage_the_retry_budget_ends_the_halving(way, trouble):
    outcomes, requests = spoiled(way, trouble=trouble)
    assert all(isinstance(outcome, OSSVectorError) for outcome in outcomes)
    # 500 in all, 14 for each half
    assert len(requests) <= 1 + 500 // 14


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_the_service_quotes_nobody_elses_key_though_the_budget_is_spent(way):
    kinds = dict.fromkeys(KEYS, "crash quoted")
    outcomes, requests = spoiled(way, kinds)
    assert len(requests) <= 1 + 500 // 14
    for key, error in zip(KEYS, outcomes, strict=True):
        assert isinstance(error, InternalServiceError)
        assert not [other for other in KEYS if other != key and other in f"{error} {error.args}"]


class ScriptedServer(SocketServer):
    """Answer 500 to the requests that come before a moment; then properly, or never."""

    def __init__(self, seconds, *, then="proper", headers=None, status=500, code="InternalError"):
        self.ends = time.monotonic() + seconds
        self.then = then
        self.refusal = http(error_body(code, "Not now."), status=status, headers=headers)
        super().__init__()

    def handle(self, connection):
        while connection.wait_for_bytes():
            keys = connection.read_request().json()["keys"]
            if time.monotonic() < self.ends:
                connection.send(self.refusal)
            elif self.then == "proper":
                connection.send(http(vectors_body(keys)))
            else:
                connection.hold()


def hasty_and_patient(way, hasty, patient, **options):
    """Return what comes of two fetches at once, and when the hasty one had ended."""
    fetches = [(["key-1"], {"timeout": hasty}), (["key-2"], {"timeout": patient})]
    return fetch_all(way, options, fetches)


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_a_patient_fetchs_pauses_are_not_those_of_a_hasty_one(way):
    # the patient call's last pause lasts two seconds: alone the hasty one is not refused so long
    with ScriptedServer(0.45) as server:
        options = settings(server.endpoint, retry=RetryPolicy())
        hasty, patient = hasty_and_patient(way, 1.2, 20.0, **options)
        assert hasty[0].key == "key-1"
        assert patient[0].key == "key-2"


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_who_is_asked_to_come_back_after_its_deadline_hears_so(way):
    refusal = {"status": 503, "code": "QpsLimitExceeded", "headers": {"Retry-After": "1"}}
    with ScriptedServer(0.7, **refusal) as server:
        hasty, patient = hasty_and_patient(way, 0.6, 20.0, **settings(server.endpoint))
        assert type(hasty) is QpsLimitExceededError
        assert patient[0].key == "key-2"
    with ScriptedServer(0.7, **refusal) as server:
        client = OSSVectorClient(**settings(server.endpoint, coalesce=False))
        with client, pytest.raises(QpsLimitExceededError) as alone:
            client.fetch(["key-1"], timeout=0.6)
    assert str(hasty) == str(alone.value)


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_who_misses_its_deadline_hears_of_the_calls_attempts(way):
    with ScriptedServer(0.4, then="silence") as server:
        options = settings(server.endpoint, retry=RetryPolicy(attempts=9, patience=0.0))
        hasty, patient = hasty_and_patient(way, 1.0, 1.6, **options)
    for error, seconds in ((hasty, 1), (patient, 1.6)):
        assert type(error) is DeadlineExceededError
        assert f"did not end within {seconds:g} s" in str(error)
        assert "The last attempt failed with" in str(error)
        assert error.elapsed == pytest.approx(seconds, abs=0.5)
        assert type(error.errors[-1]) is InternalServiceError
    assert hasty.errors[-1] is not patient.errors[-1]


@pytest.mark.over_tls("long")
@pytest.mark.parametrize("way", WAYS)
def test_who_waits_for_credentials_is_told_its_own_seconds(way):
    release = threading.Event()
    with SpoiledServer(SpoiledService({})) as server:
        options = settings(server.endpoint, credentials=lambda: release.wait(10))
        hasty, patient = hasty_and_patient(way, 0.5, 1.0, **options)
        release.set()
    assert "did not end within 0.5 s" in str(hasty)
    assert "did not end within 1 s" in str(patient)
    assert "had not answered in time" in str(hasty)
    assert "had not answered in time" in str(patient)


@pytest.mark.over_tls("long")
def test_credentials_that_are_cancelled_end_each_fetch_before_its_deadline():
    async def cancelled():
        raise asyncio.CancelledError

    with SpoiledServer(SpoiledService({})) as server:
        options = settings(server.endpoint, credentials=cancelled)
        began = time.monotonic()
        outcomes = fetch_all("tasks", options, [([key], {}) for key in KEYS[:3]])
    assert time.monotonic() - began < 5
    assert all(isinstance(outcome, BaseException) for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == 3


@pytest.mark.over_tls("long")
async def test_who_cancels_every_task_of_a_loop_but_the_fetches_ends_them_too():
    with ScriptedServer(0.0, then="silence") as server:
        async with AsyncOSSVectorClient(**settings(server.endpoint)) as client:
            fetches = [asyncio.ensure_future(client.fetch([key])) for key in KEYS[:3]]
            await asyncio.to_thread(server.wait_for_requests, 1)
            for task in asyncio.all_tasks() - {asyncio.current_task(), *fetches}:
                task.cancel()
            done, _ = await asyncio.wait(fetches, timeout=5)
            assert len(done) == 3
            assert all(task.cancelled() for task in fetches)
