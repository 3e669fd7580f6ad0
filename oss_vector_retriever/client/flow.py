"""One API call as a generator: retry, deadline, clock correction, re-signing, choice of error.

No I/O and no clock of its own: `drive` runs it in the sync and the async client alike, tests run it
by hand.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TypeVar

from oss_vector_retriever.client.attempts import Attempts, Operation
from oss_vector_retriever.client.context import Context, Deadline
from oss_vector_retriever.client.credentials import Credentials
from oss_vector_retriever.client.error_replies import error_from
from oss_vector_retriever.client.errors import (
    OSSVectorError,
    RequestTimeTooSkewedError,
    ResponseError,
    SecurityTokenError,
    TransportError,
)
from oss_vector_retriever.client.requests import signed_request
from oss_vector_retriever.client.retry import Verdict, judge
from oss_vector_retriever.client.steps import Fault, FaultKind, Flow, Sleep, send

T = TypeVar("T")
_log = logging.getLogger("oss_vector_retriever")


def call(context: Context, operation: Operation[T], deadline: Deadline | None = None) -> Flow[T]:
    """Make one API call and return its decoded result.

    Raises:
        OSSVectorError: after the last attempt, with the errors of the earlier ones.
    """
    attempts = Attempts(context, operation, deadline or context.deadline())
    while True:
        yield from _wait_for_turn(attempts)
        credentials = yield from context.credentials.current()
        result = yield from _attempt(attempts, credentials)
        if not isinstance(result, OSSVectorError):
            context.quota.give_back(attempts.paid)
            return result
        yield from _recover(attempts, result, credentials)
        attempts.errors.append(result)


def _wait_for_turn(attempts: Attempts[T]) -> Flow[None]:
    left = attempts.left()
    seconds = attempts.context.pace.reserve(left) if left > 0 else None
    if seconds is None:
        raise attempts.told(attempts.late())
    if seconds > 0:
        yield Sleep(seconds)


def _attempt(attempts: Attempts[T], credentials: Credentials) -> Flow[T | OSSVectorError]:
    context = attempts.context
    request = signed_request(context.config, attempts.operation, credentials, context.clock.now())
    attempts.made += 1
    attempts.reply = None
    outcome = yield from send(request, max(attempts.left(), 0.0))
    attempts.log(outcome)
    if isinstance(outcome, Fault):
        return attempts.broken(outcome, request)
    attempts.reply = outcome
    if not outcome.ok:
        return error_from(outcome, credentials.secrets())
    try:
        return attempts.operation.decode(outcome)
    except ResponseError as error:
        return error


def _recover(attempts: Attempts[T], error: OSSVectorError, used: Credentials) -> Flow[None]:
    """Do what makes another attempt worthwhile, or raise the error."""
    if (yield from _mended(attempts, error, used)):
        attempts.free += 1
        return
    verdict = judge(error, idempotent=attempts.operation.idempotent)
    if verdict is Verdict.FINAL:
        raise attempts.told(error)
    seconds = _pause(attempts, error, verdict)
    last = attempts.made - attempts.free >= attempts.context.config.retry.attempts
    if last or seconds >= attempts.left():
        raise attempts.told(error)
    cost = attempts.context.quota.take(verdict)
    if cost is None:
        raise attempts.told(error)
    attempts.paid = cost
    # throttling is waited for with the whole client, which no reply may stop beyond the cap
    alone = verdict is Verdict.TRANSIENT or seconds > attempts.context.config.retry.cap
    if alone and seconds > 0:
        yield Sleep(seconds)


def _mended(attempts: Attempts[T], error: OSSVectorError, used: Credentials) -> Flow[bool]:
    """Mend a wrong clock or expired credentials, each once a call: a second refusal differs."""
    if isinstance(error, RequestTimeTooSkewedError) and not attempts.clock_corrected:
        attempts.clock_corrected = attempts.learn_clock()
        if attempts.clock_corrected:
            offset = timedelta(seconds=round(attempts.context.clock.offset.total_seconds()))
            _log.warning("the service's clock differs from this machine's by %s; using it", offset)
        return attempts.clock_corrected
    if isinstance(error, SecurityTokenError) and not attempts.credentials_renewed:
        attempts.credentials_renewed = True
        return (yield from attempts.context.credentials.renewed()) != used
    return False


def _pause(attempts: Attempts[T], error: OSSVectorError, verdict: Verdict) -> float:
    """Return the seconds before the next attempt; throttling holds back the whole client."""
    context = attempts.context
    policy = context.config.retry
    seconds = attempts.asked_pause()
    if seconds is None:
        seconds = policy.pause(verdict, len(attempts.errors) + 1, context.random)
        # the first time a connection breaks it was often just kept alive for too long
        broke = isinstance(error, TransportError) and error.kind == FaultKind.CLOSED
        seconds = 0.0 if broke and not attempts.errors else seconds
    if verdict is Verdict.THROTTLED:
        context.pace.slow_down(min(seconds, policy.cap))
    return seconds
