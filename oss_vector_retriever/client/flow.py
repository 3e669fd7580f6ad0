"""One API call as a generator: retry, deadline, clock correction, re-signing, choice of error.

No I/O and no clock of its own: a runner runs it in the sync and the async client alike, tests run
it by hand.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Generic, TypeVar

from ..version import USER_AGENT
from . import signing
from .config import ClientConfig
from .context import Context, Deadline
from .credentials import Credentials
from .endpoint import Endpoint
from .errors import (
    DeadlineExceededError,
    Message,
    OSSVectorError,
    RequestTimeTooSkewedError,
    ResponseError,
    SecurityTokenError,
    ServiceError,
    TransportError,
)
from .models.messages import Reply, Request
from .retry import RetryDecision, http_date, judge, retry_after
from .steps import Fault, FaultKind, Flow, Sleep, send
from .wire import error_from

T = TypeVar("T")
_log = logging.getLogger("oss_vector_retriever")


def call(context: Context, operation: Operation[T], deadline: Deadline | None = None) -> Flow[T]:
    """Make one API call and return its decoded result.

    Raises:
        OSSVectorError: after the last attempt, with the errors of the earlier ones.
    """
    attempts = Attempts(context, operation, deadline or context.deadline())
    while True:
        # before signing: what waits long after it may be refused for its date
        yield from _wait_for_turn(attempts)
        credentials = yield from context.credentials.resolve()
        result = yield from _attempt(attempts, credentials)
        if not isinstance(result, OSSVectorError):
            context.retry_budget.give_back(attempts.paid)
            return result
        yield from _recover(attempts, result, credentials)
        attempts.errors.append(result)


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One API operation with its arguments: how to ask, and how to read the answer.

    `on_bucket` is False for what is asked of the region; `idempotent` is False where a repeated
    request could find its own first effect. `headers` are sent in addition to the usual ones.
    """

    name: str
    decode: Callable[[Reply], T]
    method: str = "POST"
    query: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    index: str | None = None
    on_bucket: bool = True
    idempotent: bool = True


def _wait_for_turn(attempts: Attempts[T]) -> Flow[None]:
    remaining = attempts.deadline.remaining_seconds
    seconds = attempts.context.rate_limiter.reserve(remaining) if remaining > 0 else None
    if seconds is None:
        raise attempts.annotate(attempts.deadline_error())
    if seconds > 0:
        yield Sleep(seconds)


def _attempt(attempts: Attempts[T], credentials: Credentials) -> Flow[T | OSSVectorError]:
    context = attempts.context
    # signed anew each time: a signature holds for its date, and the clock may just have been set
    request = signed_request(context.config, attempts.operation, credentials, context.clock.now())
    attempts.attempt_count += 1
    attempts.reply = None
    outcome = yield from send(request, max(attempts.deadline.remaining_seconds, 0.0))
    attempts.log(outcome)
    if isinstance(outcome, Fault):
        return attempts.transport_error(outcome, request)
    attempts.reply = outcome
    if not outcome.ok:
        # the service may quote what it was sent: the credentials are cut out of its words
        return error_from(outcome, credentials.secrets())
    try:
        return attempts.operation.decode(outcome)
    except ResponseError as error:  # an attempt that failed: a reply cut short is worth another
        return error


def _recover(attempts: Attempts[T], error: OSSVectorError, used: Credentials) -> Flow[None]:
    """Do what makes another attempt worthwhile, or raise the error."""
    if (yield from _recover_clock_or_credentials(attempts, error, used)):
        attempts.free += 1  # the user's number of attempts is for faults, not for this
        return
    context = attempts.context
    decision = judge(error, idempotent=attempts.operation.idempotent)
    if decision is RetryDecision.FINAL:
        raise attempts.annotate(error)
    seconds = _pause(attempts, error, decision)
    last = attempts.attempt_count - attempts.free >= context.config.retry.attempts
    if last or seconds >= attempts.deadline.remaining_seconds:
        raise attempts.annotate(error)
    cost = context.retry_budget.take(decision)
    if cost is None:
        raise attempts.annotate(error)
    attempts.paid = cost
    # throttling is waited for with the whole client, which no reply may stop beyond the cap
    alone = decision is RetryDecision.TRANSIENT or seconds > context.config.retry.cap
    if alone and seconds > 0:
        yield Sleep(seconds)


def _recover_clock_or_credentials(
    attempts: Attempts[T], error: OSSVectorError, used: Credentials
) -> Flow[bool]:
    # True where that may help; each once a call, for what is refused a second time is refused for
    # another reason
    if isinstance(error, RequestTimeTooSkewedError) and not attempts.clock_corrected:
        attempts.clock_corrected = attempts.learn_clock()
        if attempts.clock_corrected:
            offset = timedelta(seconds=round(attempts.context.clock.offset.total_seconds()))
            _log.warning("the service's clock differs from this machine's by %s; using it", offset)
        return attempts.clock_corrected
    if isinstance(error, SecurityTokenError) and not attempts.credentials_renewed:
        attempts.credentials_renewed = True
        return (yield from attempts.context.credentials.renew()) != used
    return False


def _pause(attempts: Attempts[T], error: OSSVectorError, decision: RetryDecision) -> float:
    """Return the seconds before the next attempt; throttling holds back the whole client."""
    context = attempts.context
    policy = context.config.retry
    seconds = attempts.requested_pause()  # the service's word goes before the policy
    if seconds is None:
        seconds = policy.pause(decision, len(attempts.errors) + 1, context.random)
        # the first time a connection breaks it was often just kept alive for too long
        closed = isinstance(error, TransportError) and error.kind == FaultKind.CLOSED
        seconds = 0.0 if closed and not attempts.errors else seconds
    if decision is RetryDecision.THROTTLED:
        context.rate_limiter.slow_down(min(seconds, policy.cap))
    return seconds


class Attempts(Generic[T]):
    """The attempts of one call so far: their count, their errors, and the last reply.

    `free` is how many of them do not count against the policy, `paid` what the last one took from
    the retry budget.
    """

    def __init__(self, context: Context, operation: Operation[T], deadline: Deadline) -> None:
        self.context = context
        self.operation = operation
        self.deadline = deadline
        self.reply: Reply | None = None
        self.errors: list[OSSVectorError] = []
        self.attempt_count = 0
        self.free = 0
        self.paid = 0
        self.clock_corrected = False
        self.credentials_renewed = False

    def annotate(self, error: OSSVectorError) -> OSSVectorError:
        """Write on an error what is known of the call, and return it."""
        error.attempts = self.attempt_count
        error.elapsed = self.deadline.elapsed_seconds
        error.errors = tuple(self.errors)
        if isinstance(error, ServiceError):
            error.where = self.place()
        return error

    def place(self) -> str:
        """Return the operation, with the index and bucket it is for."""
        bucket = self.context.config.bucket if self.operation.on_bucket else None
        index = f" on index {self.operation.index!r}" if self.operation.index else ""
        return f"{self.operation.name}{index}" + (f" of bucket {bucket!r}" if bucket else "")

    def deadline_error(self) -> DeadlineExceededError:
        """Return the error for a call that ran out of time."""
        text = (
            f"{self.operation.name} did not end within {self.deadline.seconds:g} s "
            f"({self.attempt_count} attempts)."
        )
        if not self.errors:
            return DeadlineExceededError(text, FaultKind.DEADLINE)
        last = Message(f"{text} The last attempt failed with: {{last}}", {"last": self.errors[-1]})
        return DeadlineExceededError(last, FaultKind.DEADLINE)

    def transport_error(self, fault: Fault, request: Request) -> OSSVectorError:
        """Return the error for an attempt that brought no whole reply."""
        name, where = self.operation.name, f"{request.origin} ({fault.name})"
        if fault.kind is FaultKind.DEADLINE:
            return self.deadline_error()
        if fault.kind is FaultKind.TOO_LARGE:
            size = self.context.config.max_reply_bytes
            text = f"{name}: the reply is larger than {{max_reply_bytes}} ({size} bytes); it was "
            return ResponseError(Message(text + "not read to its end.", {}))
        return TransportError(f"{name}: {_FAULT_TEXTS[fault.kind].format(where)}.", fault.kind)

    def requested_pause(self) -> float | None:
        """Return the pause that the last reply asked for with Retry-After, in seconds."""
        header = self.reply.headers.get("retry-after") if self.reply else None
        return retry_after(header, self.context.clock.now())

    def learn_clock(self) -> bool:
        """Correct the client's clock by the last reply's Date; True where that may help."""
        # only the refusal of a date leads here, never any other reply: a cached or hostile Date
        # must not steer signing
        theirs = http_date(self.reply.headers.get("date", "") if self.reply else "")
        return theirs is not None and self.context.clock.learn(theirs)

    def log(self, outcome: Reply | Fault) -> None:
        """Log the outcome of an attempt, without contents."""
        # nor the texts of HTTP libraries, which quote headers: logs are read by many
        if not _log.isEnabledFor(logging.DEBUG):
            return
        name, count = self.operation.name, self.attempt_count
        if isinstance(outcome, Fault):
            _log.debug("%s attempt %d: %s (%s)", name, count, outcome.kind, outcome.name)
            return
        size, request_id = len(outcome.body), outcome.request_id
        status = outcome.status
        _log.debug("%s attempt %d: HTTP %d, %d bytes, %s", name, count, status, size, request_id)


_FAULT_TEXTS = {
    FaultKind.CONNECT: "could not connect to {}; check the endpoint, the region and the network",
    FaultKind.TLS: "could not agree on TLS with {}: its certificate was not accepted, or it speaks "
    "no TLS 1.2 or newer",
    FaultKind.CLOSED: "the connection to {} broke before the reply was whole",
    FaultKind.PROTOCOL: "{} did not answer in HTTP",
}


def signed_request(
    config: ClientConfig, operation: Operation[Any], credentials: Credentials, moment: datetime
) -> Request:
    """Return the request of an operation, signed for a moment."""
    # whole seconds, as a signature has them: what is computed from them is then often known
    moment = moment.replace(microsecond=0)
    bucket = config.bucket_or_raise() if operation.on_bucket else None
    origin, path, resource = _route(config.endpoint, config.region, config.account_id, bucket)
    headers = _headers(operation, origin, moment, credentials)
    stamp = signing.timestamp(moment)
    signable = signing.Signable(
        operation.method, resource, operation.query, headers, config.additional_headers
    )
    headers["authorization"] = signing.authorization(
        signable,
        credentials.access_key_id,
        credentials.access_key_secret,
        stamp,
        signing.Scope(stamp[:8], config.region),
    )
    return Request(operation.method, origin, path, operation.query, headers, operation.body)


@lru_cache(maxsize=64)
def _route(
    endpoint: Endpoint, region: str, account_id: str, bucket: str | None
) -> tuple[str, str, str]:
    """Return where the requests of a bucket go: origin, path, and the resource that is signed."""
    origin, path = endpoint.locate(bucket, account_id)
    return origin, path, signing.resource_name(region, account_id, bucket)


def _headers(
    operation: Operation[Any], origin: str, moment: datetime, credentials: Credentials
) -> dict[str, str]:
    headers = {
        "host": origin.partition("://")[2],
        "accept": "*/*",
        # a reply that is unpacked could be many times its size, past max_reply_bytes
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        **dict(operation.headers),
        **signing.dated_headers(moment, credentials.security_token),
    }
    if operation.body:
        headers["content-type"] = "application/json"
        headers["content-md5"] = _md5(operation.body)
    # servers and proxies may refuse such a method without a length (HTTP 411), even without a body
    if operation.body or operation.method in {"POST", "PUT"}:
        headers["content-length"] = str(len(operation.body))
    return headers


def _md5(body: bytes) -> str:
    # the API's check of the body (Content-MD5), no protection
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
