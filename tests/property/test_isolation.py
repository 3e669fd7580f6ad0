"""What comes of a fetch that shares calls is what comes of it alone.

Random sets of fetches, of records that spoil their request or their reply, and of troubles that
meet all. There are 100 sets; `make trust` takes 3,000.
"""

import asyncio
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.promises import sized
from support.spoiled_service import (
    HARMLESS,
    LARGEST_REPLY,
    REFUSALS,
    SPOILERS,
    TROUBLES,
    SpoiledServer,
    SpoiledService,
    async_client_of,
    client_of,
)

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.coalesce import PendingFetch, SharedCall
from oss_vector_retriever.client.concurrency import run_together
from oss_vector_retriever.client.errors import OSSVectorError, ServiceError
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.flow import Operation
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.client.retry import RetryPolicy
from oss_vector_retriever.langchain import OSSVectorRetriever

SETS = sized(100, 3000)
NAMES = [f"key-{letter}{letter}" for letter in "abcdefghijkl"]
OWN = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "docs",
    "endpoint": "http://127.0.0.1:1",
    "credentials": ("id", "a-long-secret"),
    "retry": RetryPolicy(attempts=2, transient_base=0, throttle_base=0, cap=0, patience=0),
    "max_reply_bytes": LARGEST_REPLY,
    "timeout": 20.0,
}


class OddError(Exception):
    """An exception of a user's that `copy` cannot copy."""

    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")


def fail():
    """Give no credentials."""
    try:
        {}["AccessKeyId"]
    except KeyError as error:
        raise OddError(7, why="no credentials today") from error


@dataclass
class Waiter:
    """One fetch; `told` is what its `on_missing` was called with."""

    keys: list[str]
    index: str = "docs"
    return_data: bool = True
    return_metadata: bool = True
    on_missing: str = "omit"
    timeout: float | None = None
    cancelled: bool = False
    told: list[str] = field(default_factory=list)

    def options(self):
        return {
            "index": self.index,
            "return_data": self.return_data,
            "return_metadata": self.return_metadata,
            "on_missing": {"tell": self.told.append, "fail": self.fail}.get(
                self.on_missing, self.on_missing
            ),
            "timeout": self.timeout,
        }

    @staticmethod
    def fail(key):
        raise LookupError(key)


@dataclass
class Case:
    """A set of fetches of a service."""

    waiters: list[Waiter]
    kinds: Mapping[str, str]
    trouble: str = ""
    delay: float = 0.0

    def service(self):
        return SpoiledService(self.kinds, self.trouble, self.delay)

    def options(self, **more):
        credentials = {"credentials": fail} if self.trouble == "credentials" else {}
        return {**OWN, **credentials, **more}


KINDS = st.one_of(
    st.sampled_from(HARMLESS), st.sampled_from(HARMLESS), st.sampled_from(REFUSALS + SPOILERS)
)
WAITERS = st.builds(
    Waiter,
    keys=st.lists(st.sampled_from(NAMES), max_size=4),
    index=st.sampled_from(["docs", "docs", "docs", "docs", "absent"]),
    return_data=st.sampled_from([True, True, True, False]),
    return_metadata=st.sampled_from([True, True, True, False]),
    on_missing=st.sampled_from(["omit", "omit", "raise", "tell", "fail"]),
    cancelled=st.sampled_from([False, False, False, True]),
)
CASES = st.builds(
    Case,
    waiters=st.lists(WAITERS, min_size=2, max_size=9),
    kinds=st.fixed_dictionaries(dict.fromkeys(NAMES, KINDS)),
    trouble=st.sampled_from(["", "", "", "", *TROUBLES, "credentials"]),
)
# some are in a hurry, and the service in none
HASTY = st.builds(
    Case,
    waiters=st.lists(
        st.builds(
            Waiter,
            keys=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
            timeout=st.sampled_from([0.1, 5.0]),
        ),
        min_size=2,
        max_size=6,
    ),
    kinds=st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from(HARMLESS))),
    delay=st.just(0.25),
)


def outcome_of(work):
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - it is what is compared
        return error


def alone(case, waiter, service):
    """Return what comes of a fetch that shares nothing, with what its callback was told."""
    client, _ = client_of(service, **case.options(coalesce=False))
    return alone_on(client, waiter)


def alone_over_sockets(case, waiter, service):
    with SpoiledServer(service) as server:
        options = case.options(coalesce=False, endpoint=server.endpoint)
        return alone_on(OSSVectorClient(**options), waiter)


def alone_on(client, waiter):
    waiter = replace(waiter, told=[])
    with client:
        outcome = outcome_of(lambda: client.fetch(waiter.keys, **waiter.options()))
    return seen(outcome, waiter.told)


def seen(outcome, told):
    """Return what a caller sees of an outcome, to compare it with another."""
    if isinstance(outcome, Exception):
        # how often a call was tried, and for how long, is no promise
        text = re.sub(r" \(\d+ attempts( in [\d.]+ s)?\)", "", str(outcome))
        text = re.sub(r"127\.0\.0\.1:\d+", "host", text)
        return type(outcome), text, repr(outcome.__cause__), told
    vectors = [(v.key, v.data and v.data.tolist(), v.metadata) for v in outcome]
    return outcome.keys, outcome.missing, vectors, told


def check_shared(case, outcomes, requests, oracle=alone):
    """Compare each outcome with that alone, and look for what is another's."""
    expected_requests = 0
    for waiter, outcome in zip(case.waiters, outcomes, strict=True):
        if isinstance(outcome, asyncio.CancelledError):
            assert waiter.cancelled
            continue
        service = case.service()
        assert seen(outcome, waiter.told) == oracle(case, waiter, service), (waiter, case)
        expected_requests += len(service.requests)
        foreign = set(NAMES) - set(waiter.keys)
        if isinstance(outcome, Exception):
            assert_own_error(outcome, foreign)
    assert_nothing_is_shared(outcomes)
    if not any(waiter.cancelled for waiter in case.waiters):
        # at most one call more for each, of two attempts at most
        most = expected_requests + 2 * len(case.waiters)
        assert len(requests) <= most, (len(requests), most, case)


def assert_own_texts(error, foreign):
    for each in chain_of(error):
        texts = [str(each), repr(each), repr(each.args), repr(vars(each))]
        if isinstance(each, ServiceError):
            texts += [each.message, each.where]
        found = {key for key in foreign for text in texts if key in text}
        assert not found, (error, found)


def assert_own_error(error, foreign):
    assert_own_texts(error, foreign)
    for each in chain_of(error):
        traceback = each.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_globals["__name__"].startswith("oss_vector_retriever"):
                for name, value in traceback.tb_frame.f_locals.items():
                    found = {key for key in foreign if key in contents(value)}
                    assert not found, (traceback.tb_frame, name, found)
            traceback = traceback.tb_next


def chain_of(error):
    """Return an error, its causes and the errors of earlier attempts."""
    chain = []
    pending = [error]
    while pending:
        each = pending.pop()
        if each is None or any(each is known for known in chain):
            continue
        chain.append(each)
        pending += [each.__cause__, each.__context__]
        pending += each.errors if isinstance(each, OSSVectorError) else ()
    return chain


def contents(value):
    """Return as text what a variable of a frame holds of keys."""
    match value:
        case SharedCall():
            return repr((value.keys, [w.keys for w in value.waiters]))
        case PendingFetch():
            return repr((value.keys, value.found))
        case Operation() | Request():
            return repr(value.body)
        case str() | bytes() | list() | tuple() | dict() | set():
            return repr(value)
    return ""


def assert_nothing_is_shared(outcomes):
    owners = {}
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, asyncio.CancelledError):
            continue
        parts = chain_of(outcome) if isinstance(outcome, Exception) else mutable_parts(outcome)
        for part in parts:
            other = owners.setdefault(id(part), number)
            assert other == number, (part, outcome, outcomes[other])


def mutable_parts(result):
    parts = []
    pending = [part for v in result for part in (v.data, v.metadata) if part is not None]
    while pending:
        part = pending.pop()
        parts.append(part)
        inner = part.values() if isinstance(part, dict) else part
        pending += [value for value in inner if isinstance(value, dict | list)]
    return parts


def fetch_for(context, waiter):
    return fetch(context, waiter.keys, **waiter.options())


async def gather(case, service):
    async with async_client_of(service, **case.options()) as client:
        return await gather_on(case, client)


async def gather_on(case, client):
    tasks = [
        asyncio.ensure_future(client.fetch(waiter.keys, **waiter.options()))
        for waiter in case.waiters
    ]
    await asyncio.sleep(0)
    for number, (task, waiter) in enumerate(zip(tasks, case.waiters, strict=True)):
        if waiter.cancelled:
            if number % 2:
                await asyncio.sleep(0)
            task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


def in_threads(case, service):
    client, exchange = client_of(service, **case.options(max_concurrency=2))
    with client, ThreadPoolExecutor(len(case.waiters) + 2) as pool:
        return in_threads_on(case, client, pool, exchange.gate)


def in_threads_on(case, client, pool, gate):
    """Have all wait for a slot, behind two fetches that are held back."""
    gate.clear()
    coalescer = client._runner._coalescer
    first = [pool.submit(outcome_of, lambda: client.fetch(["first"])) for _ in range(2)]
    # where there are no credentials none of them holds a slot for long
    wait_until(lambda: len(coalescer.holders) == 2 or all(each.done() for each in first))
    fetches = [
        pool.submit(outcome_of, lambda w=waiter: client.fetch(w.keys, **w.options()))
        for waiter in case.waiters
    ]
    asking = sum(1 for waiter in case.waiters if waiter.keys)
    wait_until(lambda: len(coalescer._queue) >= asking or all(each.done() for each in first))
    gate.set()
    return [each.result() for each in fetches]


def wait_until(condition):
    last = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < last, "too few wait for a slot"
        time.sleep(0.0002)


def together(case, service):
    client, _ = client_of(service, **case.options())
    with client:
        return client.run(run_together, fetch_for, case.waiters)


async def together_async(case, service):
    async with async_client_of(service, **case.options()) as client:
        return await client.run(run_together, fetch_for, case.waiters)


WAYS = {
    "tasks": lambda case, service: asyncio.run(gather(case, service)),
    "threads": in_threads,
    "together": together,
    "together on a loop": lambda case, service: asyncio.run(together_async(case, service)),
}


def run_way(way, case):
    service = case.service()
    if way != "tasks":
        for waiter in case.waiters:
            waiter.cancelled = False
    outcomes = WAYS[way](case, service)
    requests = [keys for keys in service.requests if keys != ["first"]]
    check_shared(case, outcomes, requests)


@pytest.mark.promise("P3", figure=f"{SETS:,} random sets of fetches: 0 differences")
@pytest.mark.parametrize("way", WAYS)
def test_each_fetch_ends_as_it_would_alone(way):
    @settings(max_examples=max(SETS // len(WAYS), 1), derandomize=SETS == 100, deadline=None)
    @given(CASES)
    def run(case):
        run_way(way, case)

    run()


@pytest.mark.promise("P3")
@pytest.mark.parametrize("way", ["tasks", "threads"])
def test_the_deadline_of_each_is_its_own(way):
    # each set takes the time of its deadlines, alone and together: none is made smaller
    @settings(
        max_examples=max(SETS // 50, 1),
        derandomize=SETS == 100,
        deadline=None,
        phases=[Phase.generate],
    )
    @given(HASTY)
    def run(case):
        run_way(way, case)

    run()


def over_sockets(way, case):
    with SpoiledServer(case.service()) as server:
        options = case.options(endpoint=server.endpoint, max_concurrency=2)
        if way == "tasks":
            outcomes = asyncio.run(tasks_over_sockets(case, options))
        else:
            with (
                OSSVectorClient(**options, coalesce=0.03) as client,
                ThreadPoolExecutor(len(case.waiters)) as pool,
            ):
                fetches = [
                    pool.submit(outcome_of, lambda w=waiter: client.fetch(w.keys, **w.options()))
                    for waiter in case.waiters
                ]
                outcomes = [each.result() for each in fetches]
        check_shared(case, outcomes, server.service.requests, alone_over_sockets)


async def tasks_over_sockets(case, options):
    async with AsyncOSSVectorClient(**options) as client:
        return await gather_on(case, client)


@pytest.mark.promise("P3")
@pytest.mark.parametrize("way", ["tasks", "threads"])
def test_each_fetch_ends_over_sockets_as_it_would_alone(way):
    @settings(
        max_examples=max(SETS // 10, 1),
        derandomize=SETS == 100,
        deadline=None,
        phases=[Phase.generate],
    )
    @given(CASES)
    def run(case):
        # what only an exchange in this process can do, what sockets say in other words, and what
        # lasts as long as each call's timeout
        if case.trouble in {"connect", "tls", "protocol", "throttled"}:
            case.trouble = ""
        if way == "threads":
            for waiter in case.waiters:
                waiter.cancelled = False
        over_sockets(way, case)

    run()


QUESTIONS = st.builds(
    Case,
    waiters=st.lists(
        st.builds(Waiter, keys=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)),
        min_size=2,
        max_size=9,
    ),
    kinds=st.fixed_dictionaries(dict.fromkeys(NAMES, KINDS)),
    trouble=st.sampled_from(["", "", "", "", *TROUBLES, "credentials"]),
)


def answer_seen(outcome):
    if isinstance(outcome, Exception):
        return seen(outcome, [])
    return [(document.id, document.page_content, document.metadata) for document in outcome]


def invoke_alone(case, waiter):
    client, _ = client_of(case.service(), **case.options(coalesce=False))
    with client:
        retriever = OSSVectorRetriever(client=client, text_key="of")
        return answer_seen(outcome_of(lambda: retriever.invoke("\n".join(waiter.keys))))


@pytest.mark.promise("P3")
@pytest.mark.parametrize("way", ["batch", "abatch"])
def test_each_question_of_a_batch_ends_as_it_would_alone(way):
    @settings(max_examples=max(SETS // 5, 1), derandomize=SETS == 100, deadline=None)
    @given(QUESTIONS)
    def run(case):
        inputs = ["\n".join(waiter.keys) for waiter in case.waiters]
        if way == "batch":
            client, _ = client_of(case.service(), **case.options())
            with client:
                retriever = OSSVectorRetriever(client=client, text_key="of")
                outcomes = retriever.batch(inputs, return_exceptions=True)
        else:
            outcomes = asyncio.run(answer_batch(case, inputs))
        for waiter, outcome in zip(case.waiters, outcomes, strict=True):
            assert answer_seen(outcome) == invoke_alone(case, waiter), (waiter, case)
            if isinstance(outcome, Exception):
                assert_own_texts(outcome, set(NAMES) - set(waiter.keys))

    run()


async def answer_batch(case, inputs):
    async with async_client_of(case.service(), **case.options()) as client:
        retriever = OSSVectorRetriever(client=client, text_key="of")
        return await retriever.abatch(inputs, return_exceptions=True)
