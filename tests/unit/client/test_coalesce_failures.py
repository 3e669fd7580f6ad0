"""What each of those who share a call is told of its failure, and what is asked for again."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

import pytest

from oss_vector_retriever import (
    AccessDeniedError,
    DeadlineExceededError,
    InternalServiceError,
    NoSuchBucketError,
    NoSuchVectorIndexError,
    QpsLimitExceededError,
    ResponseError,
    ServiceError,
    TransportError,
)
from oss_vector_retriever.client import coalesce
from oss_vector_retriever.client.coalesce import SharedCall, next_call, shared_calls
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.results import GetVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.vectors import get_operation
from oss_vector_retriever.client.steps import FaultKind, Send, Sleep


def refusal(status, code, message="Said so.", **headers):
    body = f'{{"Error": {{"Code": "{code}", "Message": "{message}"}}}}'
    return Reply(status, {"content-type": "application/json", **headers}, body.encode())


def end_of(flow, answer):
    with pytest.raises(StopIteration) as end:
        flow.send(answer)
    return end.value.value


def result(*keys, request_id="id"):
    vectors = tuple(Vector(key, [1.0], {}) for key in keys)
    return GetVectorsResult(vectors, request_id=request_id)


@pytest.mark.parametrize(
    ("error", "is_halved"),
    [
        (ServiceError("VectorIndexParameterInvalid", 400), True),
        (ServiceError("RequestUriTooLarge", 414), True),
        (ServiceError("Whatever", 499), True),
        (ServiceError("Whatever", 408), False),
        (ServiceError("TooManyRequests", 429), False),
        (AccessDeniedError("AccessDenied", 403), False),
        (NoSuchBucketError("NoSuchBucket", 404), False),
        (NoSuchVectorIndexError("NoSuchVectorIndex", 404), False),
        (ServiceError("InternalError", 500), True),
        (ServiceError("BadGateway", 502), False),
        (ServiceError("QpsLimitExceeded", 503), False),
        (ResponseError("redirected", 302), False),
        (ResponseError("too large", 200), True),
        (ResponseError("too large"), True),
        (TransportError("broke", FaultKind.CLOSED), True),
        (TransportError("no way", FaultKind.CONNECT), False),
        (TransportError("TLS", FaultKind.TLS), False),
        (DeadlineExceededError("late", FaultKind.DEADLINE), False),
        (RuntimeError("not ours"), False),
    ],
    ids=str,
)
def test_a_call_is_halved_where_one_fetch_may_have_spoiled_it(pend, error, is_halved):
    one, other = pend("a"), pend("b")
    halves = next_call([one, other]).fail(error)
    assert [half.keys for half in halves] == ([["a"], ["b"]] if is_halved else [])
    assert all(fetch.is_over is not is_halved for fetch in (one, other))


def test_any_error_is_each_ones_own(pend):
    one, other = pend("a"), pend("b")
    next_call([one, other]).fail(RuntimeError("not ours"))
    assert str(one.error) == str(other.error) == "not ours"
    assert one.error is not other.error
    assert type(one.error) is RuntimeError


def test_the_error_of_who_is_alone_is_the_calls(pend):
    alone, error = pend("a"), ServiceError("VectorIndexParameterInvalid", 400)
    assert next_call([alone]).fail(error) == []
    assert alone.error is error
    assert alone.calls == 1


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("The key 'other' is bad.", "The key '***' is bad."),
        ("word, other! a b", "***, ***! a b"),
        ('`a` or "b"', '`***` or "***"'),
        ("mine and 'c'", "mine and 'c'"),
    ],
)
def test_the_keys_of_others_are_blotted_out_of_earlier_errors_too(pend, message, shown):
    one, other = pend("mine", "c"), pend("other", "word", "a", "b")
    while one.context.retry_budget.take():
        pass  # or the call would be made in halves
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404, message)
    error.errors = (InternalServiceError("InternalError", 500, message), TransportError("x", "y"))
    assert next_call([one, other]).fail(error) == []
    assert (one.error.message, one.error.errors[0].message) == (shown, shown)
    assert error.message == message


def test_an_earlier_error_that_names_a_key_is_reason_enough_to_halve(pend):
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404, "No such index.")
    error.errors = (InternalServiceError("InternalError", 500, "the key 'b' stumbles"),)
    assert len(next_call([pend("a"), pend("b")]).fail(error)) == 2


def test_fetches_of_different_kinds_have_calls_of_their_own(pend):
    fetches = [pend("a"), pend("a", index="other"), pend("a", return_metadata=False), pend("b")]
    calls = shared_calls(fetches)
    assert [call.waiters for call in calls] == [
        [fetches[0], fetches[3]],
        *([f] for f in fetches[1:3]),
    ]


def test_a_fetch_that_two_calls_serve_is_over_after_the_second(pend):
    first, second = pend(*(f"k{n}" for n in range(60))), pend(*(f"k{n}" for n in range(60, 120)))
    one, other = shared_calls([first, second])
    assert (first.outstanding, second.outstanding) == (1, 2)
    one.settle(result(*one.keys, request_id="R1"))
    assert (first.is_over, second.is_over) == (True, False)
    other.settle(result(*other.keys, request_id="R2"))
    assert second.is_over
    assert (second.calls, second.request_ids) == (2, ["R1", "R2"])
    assert list(second.found) == second.keys


def test_a_copy_is_of_the_same_vector(pend):
    fetches = [pend("a"), pend("a")]
    next_call(fetches).deal(GetVectorsResult((Vector("a", [1.5], {"x": [1]}),), "R1"))
    mine, theirs = (fetch.found["a"] for fetch in fetches)
    assert (theirs.key, theirs.data.tolist(), theirs.metadata) == ("a", [1.5], {"x": [1]})
    assert mine == theirs
    assert [fetch.served_by_another for fetch in fetches] == [False, True]


def test_what_a_reply_lacks_is_copied_to_nobody(pend):
    fetches = [pend("a", return_data=False), pend("a", return_data=False)]
    next_call(fetches).deal(GetVectorsResult((Vector("a", None, None),), None))
    assert [(f.found["a"].data, f.found["a"].metadata) for f in fetches] == [(None, None)] * 2
    assert [fetch.request_ids for fetch in fetches] == [[], []]


class TestWhoseTimeIsOverWhileACallGoesOn:
    def test_is_told_of_the_attempts_of_the_call(self, machine, pend):
        hasty, patient = pend("a", timeout=2), pend("b", timeout=50)
        flow = next_call([hasty, patient]).serve()
        assert isinstance(next(flow), Send)
        assert isinstance(flow.send(refusal(500, "InternalError")), Sleep)
        assert isinstance(flow.send(None), Send)
        machine.passes(2.5)
        with pytest.raises(DeadlineExceededError) as late:
            hasty.raise_error()
        assert "did not end within 2 s (2 attempts)" in str(late.value)
        assert "The last attempt failed with: InternalError" in str(late.value)
        assert (late.value.kind, late.value.elapsed) == (FaultKind.DEADLINE, 2.5)
        assert late.value.attempts == 2

    def test_is_told_so_where_it_is_alone(self, machine, pend):
        alone = pend("a", timeout=2)
        flow = next_call([alone]).serve()
        next(flow)
        machine.passes(2.5)
        with pytest.raises(DeadlineExceededError, match=r"within 2 s \(0 attempts\)\.") as late:
            alone.raise_error()
        assert (late.value.kind, late.value.elapsed) == (FaultKind.DEADLINE, 2.5)

    def test_is_told_so_where_no_call_has_begun(self, pend):
        hasty, patient = pend("a", timeout=2), pend("b", timeout=50)
        late = DeadlineExceededError("GetVectors did not end within 50 s", FaultKind.DEADLINE)
        next_call([hasty, patient]).fail(late)
        assert [str(fetch.error) for fetch in (hasty, patient)] == [str(late)] * 2


class TestWhoHasNoTimeForAPause:
    def wait(self, pend, answer, hasty_seconds=0.5):
        hasty, patient = pend("hasty-key", timeout=hasty_seconds), pend("mine", timeout=500)
        call = next_call([patient, hasty])
        woken = []
        hasty.wake = lambda: woken.append(hasty)
        flow = call.serve()
        next(flow)
        step = flow.send(answer)
        return call, step, hasty, patient, woken

    @pytest.mark.parametrize("seconds", [0.5, 1.0])
    def test_is_told_that_the_service_throttles(self, pend, seconds):
        slow = refusal(503, "QpsLimitExceeded", **{"retry-after": "1"})
        call, step, hasty, patient, woken = self.wait(pend, slow, seconds)
        assert step == Sleep(1.0)
        assert isinstance(hasty.error, QpsLimitExceededError)
        assert (hasty.must_ask_alone, hasty.shared, hasty.outstanding) == (False, None, 0)
        assert (hasty.error.attempts, hasty.error.errors) == (1, ())
        assert (woken, call.waiters, patient.shared) == ([hasty], [patient], call)

    def test_asks_alone_after_a_failure(self, pend):
        call, step, hasty, patient, woken = self.wait(pend, refusal(500, "InternalError"), 0.4)
        assert step == Sleep(0.4)
        assert (hasty.must_ask_alone, hasty.error, hasty.shared) == (True, None, None)
        assert (woken, call.waiters, patient.shared) == ([hasty], [patient], call)

    def test_stays_where_there_is_time(self, pend):
        call, _, hasty, patient, woken = self.wait(pend, refusal(500, "InternalError"), 0.41)
        assert (hasty.must_ask_alone, hasty.error, hasty.shared) == (False, None, call)
        assert (woken, call.waiters) == ([], [patient, hasty])


def test_the_halves_of_a_500_wait_for_no_blip_as_the_whole_has(machine, pend):
    fetches = [pend(key) for key in "abcd"]
    failed = refusal(500, "InternalError")
    halves = next_call(fetches).fail(InternalServiceError("InternalError", 500))
    assert [half.paid for half in halves] == [14, 14]
    flow = halves[0].serve()
    next(flow)
    pauses = []
    for _ in range(2):
        pauses.append(flow.send(failed).seconds)
        machine.passes(pauses[-1])
        flow.send(None)
    assert pauses == pytest.approx([0.4, 0.8])
    assert [half.keys for half in end_of(flow, failed)] == [["a"], ["b"]]


def test_a_shared_call_waits_as_the_clients_policy_says(machine, pend):
    flow = next_call([pend("a"), pend("b")]).serve()
    next(flow)
    pauses = []
    for _ in range(2):
        pauses.append(flow.send(refusal(500, "InternalError")).seconds)
        machine.passes(pauses[-1])
        flow.send(None)
    assert pauses == pytest.approx([0.4, 2.1])


def test_a_call_costs_nothing_unless_it_is_said(pend):
    budget = pend("a").context.retry_budget
    budget.take()
    before = budget.balance
    for call in (SharedCall(["a"], [pend("a")]), SharedCall.for_whole([pend("a"), pend("b")])):
        call.deal(result("a", "b"))
    assert budget.balance == before


def test_nobody_is_released_while_the_rate_limit_is_waited_for(machine, pend):
    hasty, patient = pend("a", timeout=0.5), pend("b", timeout=500)
    hasty.context.rate_limiters["GetVectors"].slow_down(1.0)
    call = next_call([hasty, patient])
    flow = call.serve()
    assert next(flow) == Sleep(1.0)
    machine.passes(1.0)
    assert isinstance(flow.send(None), Send)
    assert (call.waiters, hasty.must_ask_alone, hasty.shared) == ([hasty, patient], False, call)


def test_the_most_patient_is_never_released(pend):
    hasty, patient = pend("a", timeout=4), pend("b", timeout=5)
    call = next_call([hasty, patient])
    flow = call.serve()
    next(flow)
    hasty.context.rate_limiters["GetVectors"].slow_down(4.5)  # by another call, meanwhile
    assert flow.send(refusal(503, "QpsLimitExceeded")) == Sleep(4.5)
    assert call.waiters == [patient]
    assert (patient.shared, patient.error) == (call, None)


def test_a_later_moment_that_the_service_names_as_a_date_is_one(machine, pend):
    hasty, patient = pend("a", timeout=4), pend("b", timeout=500)
    flow = next_call([hasty, patient]).serve()
    next(flow)
    date = format_datetime(machine.wall + timedelta(seconds=60), usegmt=True)
    assert flow.send(refusal(500, "InternalError", **{"retry-after": date})) == Sleep(60.0)
    assert isinstance(hasty.error, InternalServiceError)
    assert not hasty.must_ask_alone


@pytest.mark.parametrize("body", [b'{"vectors": [{"key":', b'{"vectors": [{"key": "c"}]}'])
def test_a_reply_that_cannot_be_used_is_asked_for_in_halves_at_once_and_at_no_cost(pend, body):
    one, other = pend("a"), pend("b")
    before = one.context.retry_budget.balance
    flow = next_call([one, other]).serve()
    next(flow)
    halves = end_of(flow, Reply(200, {}, body))
    assert [(half.keys, half.paid) for half in halves] == [(["a"], 0), (["b"], 0)]
    assert one.context.retry_budget.balance == before
    assert (one.shared, other.shared) == (None, None)


def test_whatever_is_raised_while_a_reply_is_read_may_be_of_one_record(pend, monkeypatch):
    def broken(_):
        raise MemoryError

    operation = replace(
        get_operation("docs", ["a", "b"], return_data=True, return_metadata=True), decode=broken
    )
    monkeypatch.setattr(coalesce, "get_operation", lambda *_, **__: operation)
    flow = next_call([pend("a"), pend("b")]).serve()
    next(flow)
    assert [half.keys for half in end_of(flow, Reply(200, {}, b"{}"))] == [["a"], ["b"]]


def test_what_a_runner_raises_is_told_to_all(pend):
    fetches = [pend("a"), pend("b")]
    flow = next_call(fetches).serve()
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.throw(RuntimeError("no thread is left"))
    assert end.value.value == []
    assert [str(fetch.error) for fetch in fetches] == ["no thread is left"] * 2
    assert [fetch.shared for fetch in fetches] == [None, None]


def test_fetches_of_different_deadlines_are_told_the_same_of_the_index(pend):
    fetches = [pend("a", timeout=5), pend("b", timeout=50)]
    flow = next_call(fetches).serve()
    next(flow)
    assert end_of(flow, refusal(404, "NoSuchVectorIndex")) == []
    assert [type(fetch.error) for fetch in fetches] == [NoSuchVectorIndexError] * 2


def test_an_error_tells_each_since_when_it_has_waited(machine, pend):
    early = pend("a")
    machine.passes(3.0)
    late = pend("b")
    machine.passes(1.0)
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404)
    next_call([early, late]).fail(error)
    assert (early.error.elapsed, late.error.elapsed) == (error.elapsed, error.elapsed)
    error.elapsed = 1.0  # as of the call
    early, late = pend("a"), pend("b")
    machine.passes(2.0)
    next_call([early, late]).fail(error)
    assert (early.error.elapsed, late.error.elapsed) == (2.0, 2.0)
    assert error.elapsed == 1.0


def test_halves_that_cannot_both_be_paid_for_cost_nothing(pend):
    one, other = pend("a"), pend("b")
    budget = one.context.retry_budget
    while budget.balance >= 28:
        budget.take()
    before = budget.balance
    assert before >= 14
    assert next_call([one, other]).fail(InternalServiceError("InternalError", 500)) == []
    assert budget.balance == before


def test_who_is_left_alone_in_a_call_that_fails_has_another(machine, pend):
    hasty, patient = pend("a", timeout=0.1), pend("b", timeout=500)
    flow = next_call([hasty, patient]).serve()
    next(flow)
    failed = refusal(500, "InternalError")
    for _ in range(2):
        machine.passes(flow.send(failed).seconds)
        flow.send(None)
    assert [half.waiters for half in end_of(flow, failed)] == [[patient]]


def test_a_half_with_one_fetch_left_hands_on_the_error_as_it_is(pend):
    one, other = pend("a"), pend("b")
    error = NoSuchVectorIndexError("NoSuchVectorIndex", 404)
    half = next_call([one, other])
    assert half.keep([other])
    half.fail(error)
    assert other.error is error
    fetches = [pend("a"), pend("b"), pend("c")]
    half = next_call(fetches)
    assert half.keep(fetches[1:])
    half.fail(error)
    assert all(fetch.error is not error for fetch in fetches[1:])
    half = next_call(fetches)
    assert half.keep(fetches)
    assert half.is_shared


def test_a_fetch_of_two_calls_of_which_one_fails_counts_both(pend):
    first, second = pend(*(f"k{n}" for n in range(60))), pend(*(f"k{n}" for n in range(60, 120)))
    one, other = shared_calls([first, second])
    one.settle(result(*one.keys))
    assert other.settle(NoSuchVectorIndexError("NoSuchVectorIndex", 404)) == []
    assert (second.calls, second.outstanding, second.is_over) == (2, 0, True)
    with pytest.raises(NoSuchVectorIndexError):
        second.raise_error()
    first.raise_error()  # which has all of its vectors
