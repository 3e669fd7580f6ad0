"""Retry-After, deadlines, throttling of the whole client, and its rate limit."""

from email.utils import format_datetime

import pytest

from oss_vector_retriever import (
    DeadlineExceededError,
    InternalServiceError,
    QpsLimitExceededError,
    RetryPolicy,
)
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_operation, get_vectors
from oss_vector_retriever.client.steps import Fault, FaultKind, Send, Sleep

GOOD = Reply(200, {}, b'{"vectors":[]}')
FAILED = Reply(503, {}, b'{"Error":{"Code":"InternalError"}}')
SLOW_DOWN = Reply(503, {}, b'{"Error":{"Code":"QpsLimitExceeded"}}')
SHOWN = {"return_data": False, "return_metadata": False}
LATE = Fault(FaultKind.DEADLINE, "ReadTimeout")


def asking(pause, reply=FAILED):
    return Reply(reply.status, {"retry-after": pause}, reply.body)


@pytest.mark.parametrize(("header", "pause"), [("7", 7.0), ("0", 0.0), ("2.5", 2.5), (" 3 ", 3.0)])
def test_retry_after_in_seconds_is_honoured(machine, header, pause):
    played = machine.play(get_vectors(machine.context(), ["a"]), [asking(header), GOOD])
    assert played.error is None
    assert played.sleeps == ([pause] if pause else [])


def test_retry_after_as_a_date_is_honoured(machine):
    header = format_datetime(machine.wall.replace(second=9), usegmt=True)
    played = machine.play(get_vectors(machine.context(), ["a"]), [asking(header), GOOD])
    assert played.sleeps == [9.0]


@pytest.mark.parametrize(
    "header",
    [
        "-5",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "soon",
        "",
        "Sun, 01 Nov 2026 11:00:00 GMT",
        "Mon, 99 Foo 99999 99:99:99 GMT",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "1, 2",
        "\N{SUPERSCRIPT TWO}",
    ],
)
def test_retry_after_that_makes_no_sense_is_ignored(machine, header):
    played = machine.play(get_vectors(machine.context(), ["a"]), [asking(header), GOOD])
    assert played.sleeps == pytest.approx([0.4])


@pytest.mark.parametrize("reply", [FAILED, SLOW_DOWN])
@pytest.mark.parametrize("header", ["30", "86400", "1e300"])
def test_retry_after_beyond_the_deadline_gives_up_now(machine, reply, header):
    played = machine.play(get_vectors(machine.context(), ["a"]), [asking(header, reply)])
    assert isinstance(played.error, InternalServiceError | QpsLimitExceededError)
    assert (played.error.attempts, played.error.elapsed, played.sleeps) == (1, 0.0, [])


@pytest.mark.parametrize("reply", [FAILED, SLOW_DOWN])
def test_retry_after_longer_than_the_cap_is_waited_for_in_full(machine, reply):
    context = machine.context(retry=RetryPolicy(cap=20))
    played = machine.play(get_vectors(context, ["a"]), [asking("25", reply), GOOD])
    assert played.error is None
    assert sum(played.sleeps) == pytest.approx(25.0)


def test_no_retry_after_can_stop_the_client_for_longer_than_the_cap(machine):
    context = machine.context(retry=RetryPolicy(cap=20))
    machine.play(get_vectors(context, ["a"]), [asking("86400", SLOW_DOWN)])
    played = machine.play(get_vectors(context, ["a"]), [GOOD])
    assert played.error is None
    assert played.sleeps == [20.0]


class TestTheDeadline:
    def test_covers_attempts_and_pauses_together(self, machine):
        machine.takes = 4.0
        context = machine.context(timeout=10.0, retry=RetryPolicy(transient_base=1.0))
        played = machine.play(get_vectors(context, ["a"]), lambda _: FAILED)
        assert played.sleeps == [1.0]
        assert played.seconds_left == [10.0, 5.0]
        # 1.0 s is left: a pause of 2.0 s would end after the deadline, so there is none
        assert isinstance(played.error, InternalServiceError)
        assert (played.error.attempts, played.error.elapsed) == (2, 9.0)

    def test_that_has_passed_is_found_before_the_next_attempt(self, machine):
        context = machine.context(timeout=10.0, retry=RetryPolicy(transient_base=0.0))
        machine.takes = 10.0
        flow = get_vectors(context, ["a"])
        played = machine.play(flow, lambda _: Fault(FaultKind.CLOSED, "ReadError"))
        assert played.error.attempts == 1
        assert len(played.requests) == 1

    def test_that_passes_during_an_exchange_says_so(self, machine):
        machine.takes = 30.0
        played = machine.play(get_vectors(machine.context(), ["a"]), [LATE])
        assert isinstance(played.error, DeadlineExceededError)
        assert isinstance(played.error, TimeoutError)
        assert "GetVectors did not end within 30 s (1 attempts)" in str(played.error)
        assert played.error.elapsed == 30.0

    def test_leaves_an_exchange_what_is_left_however_little(self, machine):
        played = machine.play(get_vectors(machine.context(timeout=0.25), ["a"]), [GOOD])
        assert played.seconds_left == [0.25]

    def test_holds_for_the_reading_of_a_long_reply(self, machine):
        body = b'{"vectors":[{"key":"a","data":{"float32":[%s1]}}]}' % (b"1," * 500_000)

        def reply(_, moment=29.9):
            machine.seconds = 1000.0 + moment
            return Reply(200, {}, body)

        flow = fetch(machine.context(), ["a"])
        assert len(machine.play(flow, reply).value[0].data) == 500_001
        machine.seconds = 1000.0
        played = machine.play(fetch(machine.context(), ["a"]), lambda it: reply(it, 30.1))
        assert isinstance(played.error, DeadlineExceededError)
        assert "GetVectors did not end within 30 s (1 attempts)" in str(played.error)

    def test_names_what_the_attempts_before_it_failed_with(self, machine):
        played = machine.play(get_vectors(machine.context(), ["a"]), [FAILED, LATE])
        assert isinstance(played.error, DeadlineExceededError)
        assert "The last attempt failed with: InternalError" in str(played.error)
        assert [type(error) for error in played.error.errors] == [InternalServiceError]

    def test_of_a_fetch_holds_for_all_its_calls(self, machine):
        machine.takes = 2.0
        keys = [str(number) for number in range(250)]
        played = machine.play(fetch(machine.context(), keys, timeout=5.0), lambda _: GOOD)
        assert played.seconds_left == [5.0, 3.0, 1.0]
        machine.takes = 3.0
        played = machine.play(fetch(machine.context(), keys, timeout=5.0), lambda _: GOOD)
        assert isinstance(played.error, DeadlineExceededError)
        assert len(played.requests) == 2

    def test_starts_when_a_call_starts_not_when_its_turn_comes(self, machine):
        context = machine.context(rate_limit=0.5, timeout=3.0)
        first, second, third = (get_vectors(context, ["a"]) for _ in range(3))
        assert isinstance(next(first), Send)
        assert next(second) == Sleep(2.0)
        with pytest.raises(DeadlineExceededError) as refused:
            next(third)
        assert refused.value.attempts == 0


class TestThrottling:
    def test_gives_the_call_another_turn_soon(self, machine):
        machine.takes = 0.25
        played = machine.play(get_vectors(machine.context(), ["a"]), [SLOW_DOWN, GOOD])
        # most of a turn at 2 a second, half of what was sent
        assert played.sleeps == pytest.approx([0.9 / 2])

    def test_gives_it_turns_further_apart_the_more_is_refused_up_to_the_throttling_base(
        self, machine
    ):
        context = machine.context(retry=RetryPolicy(throttle_base=2.0))
        played = machine.play(get_vectors(context, ["a"]), [SLOW_DOWN] * 16 + [GOOD])
        assert played.error is None
        assert played.sleeps == sorted(played.sleeps)
        assert played.sleeps[0] < 0.01
        assert played.sleeps[-1] == pytest.approx(2.0)

    @pytest.mark.parametrize("code", ["SlowDown", "Throttling", "TooManyRequests"])
    def test_is_known_by_its_other_codes_too(self, machine, code):
        context = machine.context()
        reply = Reply(503, {}, b'{"Error":{"Code":"%s"}}' % code.encode())
        assert machine.play(get_vectors(context, ["a"]), [reply, GOOD]).error is None
        assert context.counters.stats().refusals == 1
        assert context.rate_limiters["GetVectors"].rate is not None

    def test_is_known_by_its_status_too(self, machine):
        context = machine.context()
        assert machine.play(get_vectors(context, ["a"]), [Reply(429), GOOD]).error is None
        assert context.counters.stats().refusals == 1

    def test_slows_the_whole_client_and_those_made_with_options(self, machine):
        context = machine.context()
        flow = get_vectors(context, ["a"])
        next(flow)
        assert flow.send(asking("5", SLOW_DOWN)) == Sleep(5.0)
        for other in (
            context,
            context.with_options(timeout=10.0),
            context.with_options(credentials=("b", "c")),
        ):
            before = machine.seconds
            played = machine.play(get_vectors(other, ["b"]), [GOOD])
            assert sum(played.sleeps) == pytest.approx(5.0, abs=0.01)
            machine.seconds = before

    def test_does_not_slow_another_client(self, machine):
        machine.play(get_vectors(machine.context(retry=1), ["a"]), [SLOW_DOWN])
        assert machine.play(get_vectors(machine.context(), ["a"]), [GOOD]).sleeps == []

    def test_holds_back_others_even_when_the_throttled_call_has_ended(self, machine):
        context = machine.context(retry=1)
        assert (
            machine.play(get_vectors(context, ["a"]), [asking("3", SLOW_DOWN)]).error.attempts == 1
        )
        assert machine.play(get_vectors(context, ["a"]), [GOOD]).sleeps == [3.0]

    def test_that_outlasts_a_calls_deadline_ends_it_at_once(self, machine):
        context = machine.context(timeout=3.0)
        context.rate_limiters["GetVectors"].slow_down(4.0)
        played = machine.play(get_vectors(context, ["a"]), [])
        assert isinstance(played.error, DeadlineExceededError)
        assert played.sleeps == []
        assert str(played.error) == "GetVectors did not end within 3 s (0 attempts)."


def test_a_rate_limit_spaces_the_requests_of_all_calls(machine):
    context = machine.context(rate_limit=4)
    flows = [get_vectors(context.with_options(timeout=20.0), ["a"]) for _ in range(4)]
    steps = [next(flow) for flow in flows]
    assert isinstance(steps[0], Send)
    assert [step.seconds for step in steps[1:]] == pytest.approx([0.25, 0.5, 0.75])


def test_a_rate_limit_holds_for_the_attempts_too(machine):
    policy = RetryPolicy(transient_base=0.0, patience=0.0)
    context = machine.context(rate_limit=0.5, retry=policy)
    played = machine.play(get_vectors(context, ["a"]), [FAILED, FAILED, GOOD])
    assert played.sleeps == [2.0, 2.0]


class TestNoAttemptBeginsAfterTheDeadline:
    def test_however_long_a_pause_has_taken(self, machine):
        flow = get_vectors(machine.context(timeout=3.0), ["a"])
        next(flow)
        pause = flow.send(FAILED)
        assert isinstance(pause, Sleep)
        machine.passes(3.0)  # a machine that was busy, or suspended
        with pytest.raises(DeadlineExceededError) as late:
            flow.send(None)
        assert late.value.attempts == 1

    def test_however_long_the_rate_limit_was_waited_for(self, machine):
        context = machine.context(rate_limit=1.0, timeout=3.0)
        machine.play(get_vectors(context, ["a"]), [GOOD])
        flow = get_vectors(context, ["a"])
        assert next(flow) == Sleep(1.0)
        machine.passes(3.0)
        with pytest.raises(DeadlineExceededError) as late:
            flow.send(None)
        assert late.value.attempts == 0

    def test_however_long_credentials_have_taken(self, machine):
        def slow():
            machine.passes(3.0)
            return "id", "secret"

        context = machine.context(credentials=slow, timeout=3.0)
        played = machine.play(get_vectors(context, ["a"]), [])
        assert isinstance(played.error, DeadlineExceededError)
        assert (played.error.attempts, played.requests) == (0, [])

    @pytest.mark.parametrize("late", [0.0, 1.0])
    def test_and_what_begins_too_late_takes_nobodys_turn_and_asks_for_nothing(self, machine, late):
        asked = []
        context = machine.context(
            rate_limit=1.0, timeout=3.0, credentials=lambda: asked.append(1) or ("id", "secret")
        )
        deadline = context.deadline()
        machine.passes(3.0 + late)
        flow = call(context, get_operation("i", ["a"], **SHOWN), deadline)
        with pytest.raises(DeadlineExceededError):
            next(flow)
        assert asked == []
        assert machine.play(get_vectors(context, ["a"]), [GOOD]).sleeps == []

    @pytest.mark.parametrize("left", [0.4, 0.2])
    def test_and_a_pause_that_would_outlast_it_ends_the_call_at_once(self, machine, left):
        machine.takes = 3.0 - left
        context = machine.context(timeout=3.0)
        played = machine.play(get_vectors(context, ["a"]), [FAILED])
        assert isinstance(played.error, InternalServiceError)
        assert (played.error.attempts, played.sleeps) == (1, [])
        assert played.error.elapsed == pytest.approx(3.0 - left)


class TestThrottlingIsNoMatterOfAttempts:
    def test_it_is_waited_for_until_the_service_takes_the_call(self, machine):
        outcomes = [SLOW_DOWN] * 25 + [GOOD]
        played = machine.play(get_vectors(machine.context(retry=2), ["a"]), outcomes)
        assert played.error is None
        assert len(played.requests) == 26

    def test_its_refusals_leave_the_attempts_for_other_failures(self, machine):
        outcomes = [SLOW_DOWN, FAILED, SLOW_DOWN, FAILED, SLOW_DOWN, FAILED]
        played = machine.play(get_vectors(machine.context(), ["a"]), outcomes)
        assert isinstance(played.error, InternalServiceError)
        assert played.error.attempts == 6

    def test_where_no_retry_is_wanted_there_is_none(self, machine):
        played = machine.play(get_vectors(machine.context(retry=1), ["a"]), [SLOW_DOWN])
        assert played.error.attempts == 1

    def test_a_service_that_wants_no_pause_is_not_asked_all_the_time(self, machine):
        played = machine.play(
            get_vectors(machine.context(), ["a"]), [asking("0", SLOW_DOWN)] * 16 + [GOOD]
        )
        assert played.sleeps[-1] == pytest.approx(1.0)

    def test_it_takes_nothing_from_the_budget(self, machine):
        context = machine.context(timeout=10_000.0)
        played = machine.play(get_vectors(context, ["a"]), [SLOW_DOWN] * 300 + [GOOD])
        assert played.error is None
        assert context.retry_budget.balance == 500

    def test_a_call_that_no_turn_is_left_for_says_that_it_was_refused(self, machine):
        context = machine.context(timeout=3.0)
        flow = get_vectors(context, ["a"])
        next(flow)
        pause = flow.send(SLOW_DOWN)
        machine.passes(pause.seconds)
        context.rate_limiters["GetVectors"].slow_down(60.0)  # by another call, meanwhile
        with pytest.raises(QpsLimitExceededError) as refused:
            flow.send(None)
        assert (refused.value.attempts, refused.value.errors) == (1, ())
