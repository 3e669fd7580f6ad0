"""Laws of retrying: fewer passing faults than attempts never matter, and outages are not fed."""

import itertools
import json
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.limited_services import Allowance, World
from support.machine import Machine
from support.promises import sized

from oss_vector_retriever import (
    DeadlineExceededError,
    InternalServiceError,
    OSSVectorError,
    QpsLimitExceededError,
    RetryPolicy,
)
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_vectors
from oss_vector_retriever.client.rate_limiter import RateLimiter
from oss_vector_retriever.client.steps import Fault, FaultKind, Send
from oss_vector_retriever.client.writes import upsert

SEQUENCES = sized(600, 10_000)
BATCH = [f"key-{number}" for number in range(100)]
DATA = [0.5, -2.0]
WHOLE = json.dumps({"vectors": [{"key": "a", "data": {"float32": DATA}, "metadata": {"t": "x"}}]})
GOOD = Reply(200, {"x-oss-request-id": "R"}, WHOLE.encode())
DOWN = Reply(503, {}, b'{"Error":{"Code":"InternalError","Message":"down"}}')


def refusal(status, code, **headers):
    return Reply(status, headers, json.dumps({"Error": {"Code": code}}).encode())


PASSING = [
    Fault(FaultKind.CONNECT, "ConnectError"),
    Fault(FaultKind.CLOSED, "ReadError"),
    Fault(FaultKind.CLOSED, "RemoteProtocolError"),
    refusal(500, "InternalError"),
    refusal(502, "BadGateway"),
    refusal(503, "QpsLimitExceeded"),
    refusal(503, "InternalError", **{"retry-after": "0.5"}),
    refusal(429, "TooManyRequests", **{"retry-after": "nan"}),
    refusal(408, "RequestTimeout"),
    Reply(504, {"content-type": "text/html"}, b"<html><title>Gateway</title></html>"),
    Reply(500),
    Reply(200),
    Reply(200, {}, b"<html></html>"),
    *(Reply(200, {}, GOOD.body[:length]) for length in range(1, len(GOOD.body), 7)),
]
THROTTLING = [
    refusal(503, "QpsLimitExceeded"),
    refusal(429, "TooManyRequests", **{"retry-after": "nan"}),
]
FINAL = [
    refusal(400, "VectorIndexParameterInvalid"),
    refusal(403, "AccessDenied"),
    refusal(404, "NoSuchVectorIndex"),
    refusal(501, "NotImplemented"),
    Reply(302, {"location": "https://elsewhere.example"}),
    Reply(200, {}, b"[]"),
    Fault(FaultKind.TLS, "SSLError"),
    Fault(FaultKind.PROTOCOL, "RemoteProtocolError"),
    Fault(FaultKind.TOO_LARGE, "ReplyTooLarge"),
    Fault(FaultKind.DEADLINE, "ReadTimeout"),
]
CASES = st.tuples(
    st.lists(st.sampled_from(PASSING), max_size=5),
    st.integers(0, 3),
    st.floats(0, 1),
    st.booleans(),
)


def assert_right(outcomes, attempts, machine):
    context = machine.context(retry=attempts, timeout=1000.0)
    played = machine.play(fetch(context, ["a"]), outcomes)
    assert played.error is None
    assert [(v.key, v.data.tolist(), v.metadata) for v in played.value] == [("a", DATA, {"t": "x"})]
    assert len(played.requests) == len(outcomes)


@pytest.mark.promise("R1", figure=f"{SEQUENCES:,} sequences of faults: 0 wrong")
@settings(max_examples=SEQUENCES, deadline=None, derandomize=True)
@given(CASES)
def test_fewer_passing_faults_than_attempts_always_give_the_right_data(case):
    faults, spare, dice, skewed = case
    machine = Machine(dice=dice)
    outcomes = [*faults, GOOD]
    if skewed:  # a wrong clock costs one more request, and no attempt
        date = format_datetime(machine.wall + timedelta(hours=1))
        outcomes.insert(len(faults) // 2, refusal(403, "RequestTimeTooSkewed", date=date))
    assert_right(outcomes, len(faults) + 1 + spare, machine)


@pytest.mark.promise("R1")
@pytest.mark.parametrize("first", range(9))
def test_every_order_of_up_to_four_faults_gives_the_right_data(first):
    kinds = PASSING[:9]
    for more in range(4):
        # of the 729 longest every fifth: nine kinds in turn, in each place
        every = sized(5, 1) if more == 3 else 1
        for rest in itertools.islice(itertools.product(kinds, repeat=more), 0, None, every):
            assert_right([kinds[first], *rest, GOOD], 2 + more, Machine(dice=0.5))


@settings(max_examples=sized(300, 1500), deadline=None, derandomize=True)
@given(
    st.integers(1, 5),
    st.lists(st.sampled_from(PASSING), max_size=6),
    st.none() | st.sampled_from(FINAL),
    st.floats(0, 1),
)
def test_no_call_makes_more_attempts_or_takes_longer_than_it_may(attempts, faults, end, dice):
    machine = Machine(dice=dice, takes=0.7)
    context = machine.context(retry=attempts, timeout=10.0)
    rest = iter([*faults, end or GOOD, *[GOOD] * 9])
    played = machine.play(get_vectors(context, ["a"]), lambda _: next(rest))
    # throttled ones do not count, unless no retry is wanted at all
    made = [*faults, end or GOOD, *[GOOD] * 9][: len(played.requests)]
    uncounted = sum(outcome in THROTTLING for outcome in made) if attempts > 1 else 0
    assert len(played.requests) - uncounted <= attempts
    assert machine.seconds - 1000.0 <= 10.0
    assert all(0 < seconds <= 10.0 for seconds in played.seconds_left)
    if played.error is not None:
        assert isinstance(played.error, OSSVectorError)
        assert played.error.attempts == len(played.requests)
        assert len(played.error.errors) == played.error.attempts - 1
        assert played.error.elapsed == pytest.approx(machine.seconds - 1000.0)


@settings(max_examples=sized(200, 500), deadline=None, derandomize=True)
@given(st.integers(1, 4), st.data(), st.sampled_from(FINAL))
def test_a_final_answer_ends_the_call_wherever_it_comes(attempts, data, final):
    before = data.draw(st.lists(st.sampled_from(PASSING), max_size=attempts - 1))
    machine = Machine()
    context = machine.context(retry=attempts, timeout=1000.0)
    played = machine.play(get_vectors(context, ["a"]), [*before, final])
    assert isinstance(played.error, OSSVectorError)
    assert played.error.attempts == len(before) + 1


@pytest.mark.promise("R3")
@pytest.mark.parametrize("attempts", [2, 3, 10])
def test_an_outage_is_not_answered_with_a_storm(attempts):
    machine = Machine()
    context = machine.context(retry=attempts)
    requests = 0
    for number in range(1000):
        client = context if number % 2 else context.with_options(timeout=20.0)
        played = machine.play(get_vectors(client, ["a"]), lambda _: DOWN)
        assert isinstance(played.error, InternalServiceError)
        requests += len(played.requests)
    assert requests == 1000 + 500 // 14
    assert requests <= 1036
    counted = context.counters.stats()
    assert (counted.calls, counted.failed, counted.attempts) == (1000, 1000, requests)
    assert (counted.retries, counted.refusals) == (500 // 14, 0)


SLOW = refusal(503, "QpsLimitExceeded")
BROKEN = Fault(FaultKind.CLOSED, "ReadError")
NOWHERE = Fault(FaultKind.CONNECT, "ConnectError")


@pytest.mark.promise("R3", figure="1,000 calls in an outage: at most 1.04 requests each")
@pytest.mark.parametrize("outcome", [DOWN, BROKEN, NOWHERE])
@pytest.mark.parametrize("dice", [0.0, 1.0])
def test_amplification_in_an_outage_is_at_most_four_in_a_hundred(outcome, dice):
    machine = Machine(dice=dice)
    context, bulk = machine.context(), [{"key": "a", "data": [1.0]}]
    requests = 0
    for number in range(1000):
        flow = upsert(context, bulk, on_error="report") if number % 3 else fetch(context, ["a"])
        requests += len(machine.play(flow, lambda _: outcome).requests)
        machine.passes(0.01)
    assert 1000 < requests <= 1040


@pytest.mark.promise("R3", figure="a service that refuses all: 100 requests, then one a second")
@pytest.mark.parametrize("header", [{}, {"retry-after": "0"}, {"retry-after": "3"}])
def test_a_service_that_refuses_everything_is_asked_once_a_second(header):
    machine = Machine(takes=0.02)
    context, bulk = machine.context(), [{"key": "a", "data": [1.0]}]
    requests, slow = 0, refusal(503, "QpsLimitExceeded", **header)
    for number in range(sized(200, 1000)):
        flow = upsert(context, bulk, on_error="report") if number % 3 else fetch(context, ["a"])
        requests += len(machine.play(flow, lambda _: slow).requests)
    assert requests <= 100 + machine.seconds - 1000.0


@pytest.mark.promise("R3")
@pytest.mark.parametrize("connections", [1, 32, 256])
@pytest.mark.parametrize("latency", [0.001, 0.3])
def test_a_service_that_refuses_everything_is_asked_so_by_all_calls_together(connections, latency):
    machine = Machine(seconds=0.0)
    context = machine.context(max_concurrency=connections, timeout=20.0)
    world = World(machine, Allowance(rate=0.0, burst=0), latency=latency)
    failed = []
    for number in range(connections):
        keys = ["a"] if number % 8 == 0 else BATCH
        world.begin(get_vectors(context, keys), failed.append)
    world.run(until=25.0)
    assert len(failed) == connections
    assert all(isinstance(error, QpsLimitExceededError | DeadlineExceededError) for error in failed)
    for second in range(25):
        asked = sum(one.at < second for one in world.asked)
        assert asked <= 100 + second


@pytest.mark.promise("R3")
def test_amplification_holds_for_calls_that_are_in_progress_together():
    machine = Machine()
    context = machine.context()
    waiting = [get_vectors(context, ["a"]) for _ in range(1000)]
    steps = {flow: next(flow) for flow in waiting}
    requests = 0
    while steps:
        for flow, step in list(steps.items()):
            requests += isinstance(step, Send)
            try:
                steps[flow] = flow.send(DOWN if isinstance(step, Send) else None)
            except InternalServiceError:
                del steps[flow]
        machine.passes(0.5)
    assert 1000 < requests <= 1040


@pytest.mark.parametrize("fault", [DOWN, SLOW, BROKEN, Reply(200, {}, b"<html>")])
def test_a_retry_that_leads_to_success_is_paid_back(fault):
    machine = Machine()
    context = machine.context()
    for _ in range(300):  # many times the budget
        assert machine.play(get_vectors(context, ["a"]), [fault, GOOD]).error is None
        machine.passes(10.0)
    assert context.retry_budget.balance == 500


def test_a_success_pays_back_only_what_its_own_call_paid_last():
    machine = Machine()
    context = machine.context()
    assert machine.play(get_vectors(context, ["a"]), [DOWN, DOWN, GOOD]).error is None
    assert context.retry_budget.balance == 500 - 14
    assert machine.play(get_vectors(context, ["a"]), [GOOD]).error is None
    assert context.retry_budget.balance == 500 - 14 + 1


def test_after_the_outage_retries_come_back():
    machine = Machine()
    context = machine.context()
    for _ in range(1000):
        machine.play(get_vectors(context, ["a"]), lambda _: DOWN)
    assert machine.play(get_vectors(context, ["a"]), [DOWN]).error.attempts == 1
    for _ in range(14):
        assert machine.play(get_vectors(context, ["a"]), [GOOD]).error is None
    assert machine.play(get_vectors(context, ["a"]), [DOWN, GOOD]).error is None


@settings(max_examples=sized(200, 500), deadline=None, derandomize=True)
@given(st.integers(0, 10), st.integers(1, 60), st.floats(0, 20))
def test_a_pause_lies_between_half_and_all_of_the_doubled_base(failures, cap, dice_seed):
    policy = RetryPolicy(cap=cap)
    pause = policy.pause(failures + 1, lambda: dice_seed / 20)
    whole = min(policy.transient_base * 2**failures, cap)
    assert whole / 2 <= pause <= whole


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(0.1, 1000), st.lists(st.floats(0, 5), max_size=30))
def test_a_rate_is_never_exceeded(rate, steps):
    now, sends = 0.0, []
    rate_limiter = RateLimiter(rate, lambda: now)
    for step in steps:
        now += step
        for pause in rate_limiter.wait_for_turn(1, 1e9):
            now += pause.seconds
        sends.append(now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sends)]
    assert all(gap >= 1 / rate - 1e-6 for gap in gaps)
