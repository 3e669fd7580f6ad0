"""The parts of the policy: decisions, pauses, Retry-After and the budget."""

import math
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from oss_vector_retriever import ConfigurationError, RetryPolicy
from oss_vector_retriever.client import errors
from oss_vector_retriever.client.retry import (
    RetryBudget,
    RetryDecision,
    http_date,
    judge,
    retry_after,
)
from oss_vector_retriever.client.steps import FaultKind

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def unreadable():
    error = errors.ResponseError("cut short")
    error.unreadable = True
    return error


@pytest.mark.parametrize(
    ("error", "decision", "decision_if_not_idempotent"),
    [
        (errors.ServiceError("X", 400), RetryDecision.FINAL, RetryDecision.FINAL),
        (errors.ServiceError("X", 408), RetryDecision.TRANSIENT, RetryDecision.FINAL),
        (errors.ServiceError("X", 429), RetryDecision.THROTTLED, RetryDecision.THROTTLED),
        (errors.ServiceError("X", 500), RetryDecision.TRANSIENT, RetryDecision.FINAL),
        (errors.ServiceError("X", 501), RetryDecision.FINAL, RetryDecision.FINAL),
        (errors.QpsLimitExceededError("QpsLimitExceeded", 503), *[RetryDecision.THROTTLED] * 2),
        (errors.TransportError("x", FaultKind.CONNECT), *[RetryDecision.TRANSIENT] * 2),
        (
            errors.TransportError("x", FaultKind.CLOSED),
            RetryDecision.TRANSIENT,
            RetryDecision.FINAL,
        ),
        (errors.TransportError("x", FaultKind.TLS), RetryDecision.FINAL, RetryDecision.FINAL),
        (errors.TransportError("x", FaultKind.PROTOCOL), RetryDecision.FINAL, RetryDecision.FINAL),
        (errors.DeadlineExceededError("x", FaultKind.DEADLINE), *[RetryDecision.FINAL] * 2),
        (errors.ResponseError("nonsense"), RetryDecision.FINAL, RetryDecision.FINAL),
        (unreadable(), RetryDecision.TRANSIENT, RetryDecision.FINAL),
        (errors.MissingKeysError(["a"]), RetryDecision.FINAL, RetryDecision.FINAL),
    ],
)
def test_the_decision_on_an_error(error, decision, decision_if_not_idempotent):
    assert judge(error, idempotent=True) is decision
    assert judge(error, idempotent=False) is decision_if_not_idempotent


@pytest.mark.parametrize("name", ["transient_base", "throttle_base", "cap", "patience"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 10**400, True, "1", None])
def test_a_pause_that_is_no_finite_number_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=name):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("attempts", [0, -1, 2.5, math.nan, True, "3", None])
def test_attempts_that_are_no_whole_number_are_refused(attempts):
    with pytest.raises(ConfigurationError, match="attempts"):
        RetryPolicy(attempts=attempts)


def test_a_policy_that_is_refused_names_what_was_given():
    with pytest.raises(ConfigurationError) as refused:
        RetryPolicy(attempts=0)
    assert str(refused.value) == "retry: attempts must be a whole number from 1, not 0."
    assert refused.value.argument == "retry"
    with pytest.raises(ConfigurationError) as refused:
        RetryPolicy(cap=-1)
    assert str(refused.value) == "retry: cap must be finite and >= 0, not -1."
    assert (refused.value.argument, refused.value.value) == ("retry", "-1")
    assert RetryPolicy(cap=sys.float_info.max).cap == sys.float_info.max


def test_the_pause_is_a_share_of_a_doubling_base():
    policy = RetryPolicy(transient_base=0.1, cap=0.3)
    assert [policy.pause(n, lambda: 0.5) for n in (1, 2, 3)] == pytest.approx([0.075, 0.15, 0.225])
    assert policy.pause(1, lambda: 0.0) == pytest.approx(0.05)
    assert policy.pause(10**6, lambda: 0.0) == pytest.approx(0.15)
    assert [policy.pause(n, lambda: 1.0) for n in (1, 2, 3, 9)] == [0.1, 0.2, 0.3, 0.3]


class TestRetryAfter:
    @pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), ("12", 12.0), ("1e2", 100.0)])
    def test_reads_seconds(self, value, seconds):
        assert retry_after(value, NOW) == seconds

    @pytest.mark.parametrize("value", [None, "", "-1", "nan", "NaN", "inf", "Infinity", "x" * 9999])
    def test_ignores_what_makes_no_sense(self, value):
        assert retry_after(value, NOW) is None

    def test_reads_a_date_that_lies_ahead(self):
        assert retry_after(format_datetime(NOW + timedelta(minutes=1)), NOW) == 60.0
        assert retry_after(format_datetime(NOW - timedelta(minutes=1)), NOW) is None

    def test_takes_a_date_without_a_zone_for_utc(self):
        assert http_date("Sun, 01 Nov 2026 12:00:00") == NOW
        assert http_date("Sun, 01 Nov 2026 20:00:00 +0800") == NOW


class TestQuota:
    def test_pays_for_retries_until_it_is_empty(self):
        retry_budget = RetryBudget()
        assert [retry_budget.take() for _ in range(36)] == [14] * 35 + [None]

    def test_gets_back_what_led_to_success(self):
        retry_budget = RetryBudget()
        for _ in range(10_000):
            retry_budget.give_back(retry_budget.take())
        assert retry_budget.take() == 14

    def test_refills_by_one_for_a_success_without_a_retry(self):
        retry_budget = RetryBudget()
        while retry_budget.take():
            pass
        for _ in range(4):  # 500 - 35 * 14 = 10 were left
            assert retry_budget.take() is None
            retry_budget.give_back(0)
        assert retry_budget.take() == 14

    def test_never_holds_more_than_it_began_with(self):
        retry_budget = RetryBudget()
        for _ in range(1000):
            retry_budget.give_back(14)
        assert sum(1 for _ in range(1000) if retry_budget.take()) == 35

    def test_counts_right_under_threads(self):
        retry_budget, taken = RetryBudget(), []

        def take():
            taken.extend(filter(None, (retry_budget.take() for _ in range(50))))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 35
