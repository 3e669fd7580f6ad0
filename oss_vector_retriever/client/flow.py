"""One API call as a generator without I/O: retry, deadline, clock, signing, choice of error, log.

Each call is counted when it ends, and the user's `on_call` is told of it. What is logged are codes,
counts, times and names of indexes: nothing of a record, no text of a library's or the service's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..version import USER_AGENT
from . import errors, fork, signing
from .config import ClientConfig
from .context import Context, Deadline, Flow
from .credentials import Credentials, CredentialsLateError
from .endpoint import Endpoint
from .errors import PLAIN, identify
from .models.messages import Reply, Request
from .models.results import FinishedCall
from .retry import RetryDecision, RetryPolicy, http_date, judge, retry_after
from .steps import NO_TLS, Fault, FaultKind, Sleep, send
from .wire import error_from, hide_secrets

if TYPE_CHECKING:
    from .tracing import CallSpan

T = TypeVar("T")
_log = logging.getLogger("oss_vector_retriever")
# bytes; a reply of so many takes ten milliseconds to decode, which count as well
_LONG_READ = 1_000_000
_SUCCESS = range(200, 300)
# seconds, and of a timeout, that must be left for another attempt of a call that was refused
_FOR_ANSWER = 0.2
_SHARE_FOR_ANSWER = 1 / 6


def call(
    context: Context,
    operation: Operation[T],
    deadline: Deadline | None = None,
    policy: RetryPolicy | None = None,
    parents: Sequence[CallSpan] = (),
) -> Flow[T]:
    """Make one API call and return its decoded result; `policy` is by default the client's.

    `parents` are the spans of what it serves.

    Raises:
        OSSVectorError: after the last attempt, with the errors of the earlier ones.
    """
    attempts = Attempts(context, operation, deadline or context.deadline(), policy, parents)
    return (yield from make_attempts(attempts))


def make_attempts(attempts: Attempts[T]) -> Flow[T]:
    """Make one API call, whose attempts others may look at meanwhile, and return its result."""
    operation = attempts.operation
    attempts.span = attempts.context.begin_span(
        operation.name, operation.index, operation.key_count, attempts.parents
    )
    try:
        result = yield from _try_until_done(attempts)
    except GeneratorExit as dropped:  # where it waited: nobody is told of what nobody waits for
        if attempts.span is not None:
            attempts.end_span(attempts.span, dropped)
        raise
    except BaseException as error:
        attempts.finish(error)
        raise
    count_missing = operation.count_missing
    attempts.finish(None, 0 if count_missing is None else count_missing(result))
    return result


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One API operation with its arguments: how to ask, and how to read the answer.

    `on_bucket` is False for what is asked of the region; `idempotent` is False where a repeated
    request could find its own first effect. `headers` are sent in addition to the usual ones.
    `key_count` is how many keys it names; `count_missing` tells how many a result lacks. `recover`
    is told of what an attempt failed with; where it does what makes another worthwhile, it returns
    True, and the failure is not counted. `written` is what it puts and deletes, by key (`recent`).
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
    key_count: int = 0
    count_missing: Callable[[T], int] | None = None
    recover: Callable[[errors.OSSVectorError], Flow[bool]] | None = None
    written: Mapping[str, Any] | None = None


def _try_until_done(attempts: Attempts[T]) -> Flow[T]:
    context, deadline = attempts.context, attempts.deadline
    limiter = context.rate_limiters[attempts.operation.name]
    while True:
        # before signing: what waits long after it may be refused for its date
        if not limiter.is_open:
            count, again = attempts.operation.key_count, attempts.attempt_count > 0
            until = deadline.moment - attempts.seconds_for_answer
            if not (yield from limiter.wait_for_turn(count, until, again=again)):
                raise attempts.annotate(attempts.late_error())
        credentials = yield from _resolve_credentials(attempts)
        # both may have taken longer than they were to; no attempt begins after the deadline
        if deadline.remaining_seconds <= 0:
            raise attempts.annotate(attempts.deadline_error())
        result = yield from _attempt(attempts, credentials)
        if not limiter.is_open and not attempts.is_refused(result):
            limiter.note_answer(is_taken=attempts.reply is not None)
        if not isinstance(result, errors.OSSVectorError):
            context.retry_budget.give_back(attempts.paid)
            if not attempts.operation.idempotent:
                attempts.settle(None)
            return result
        yield from _recover(attempts, result, credentials)
        attempts.errors.append(result)


def _attempt(attempts: Attempts[T], credentials: Credentials) -> Flow[T | errors.OSSVectorError]:
    context = attempts.context
    # signed anew each time: a signature holds for its date, and the clock may just have been set
    with fork.gate:
        request = signed_request(
            context.config,
            attempts.operation,
            credentials,
            context.clock.now(),
            context.credentials.signing_keys,
        )
    attempts.attempt_count += 1
    attempts.reply = attempts.paused_for = None
    began = attempts.sent_at = context.monotonic()
    seconds, most = max(attempts.deadline.remaining_seconds, 0.0), context.config.max_reply_bytes
    outcome = yield from send(request, seconds, most, reuse=attempts.reuse)
    attempts.bytes_sent += len(request.body)
    attempts.reuse_refused = isinstance(outcome, Fault) and outcome.reused
    if isinstance(outcome, Reply):
        attempts.reply = outcome
        attempts.bytes_received += len(outcome.body)
    result = _read(attempts, outcome, request, credentials)
    if _log.isEnabledFor(logging.DEBUG):
        attempts.log(request, outcome, result, context.monotonic() - began, credentials.secrets())
    return result


def _read(
    attempts: Attempts[T], outcome: Reply | Fault, request: Request, credentials: Credentials
) -> T | errors.OSSVectorError:
    """Return what an exchange brought, or the error that it stands for."""
    if isinstance(outcome, Fault):
        return attempts.transport_error(outcome, request)
    if not outcome.ok:
        # the service may quote what it was sent: the credentials are cut out of its words
        return error_from(outcome, credentials.secrets())
    if len(outcome.body) > _LONG_READ:
        outcome = replace(outcome, check_time=attempts.deadline.check)
    try:
        return attempts.operation.decode(outcome)
    except errors.DeadlineExceededError:
        return attempts.deadline_error()
    except errors.ResponseError as error:
        hide_secrets(error, credentials.secrets())
        return error  # an attempt that failed: a reply cut short is worth another


def _recover(attempts: Attempts[T], error: errors.OSSVectorError, used: Credentials) -> Flow[None]:
    """Do what makes another attempt worthwhile, or raise the error."""
    if (yield from _recover_clock_or_credentials(attempts, error, used)):
        # no failure is counted: the user's number of attempts is for faults, not for this
        attempts.log_retry(error, 0.0)
        return
    recover = attempts.operation.recover
    # one attempt means no retry, whatever happened
    if recover is not None and attempts.policy.attempts > 1 and (yield from recover(error)):
        return
    context = attempts.context
    decision = judge(error, idempotent=attempts.operation.idempotent)
    if decision is RetryDecision.FINAL:
        raise attempts.annotate(error)
    if attempts.reuse_refused:
        # a connection that died while it was kept says nothing of the service: no pause, and
        # nothing from the budget, which 50 of them at once would use up
        attempts.reuse = False
        attempts.log_retry(error, 0.0)
        return
    attempts.count_failure(decision)
    if decision is RetryDecision.THROTTLED:
        yield from _give_way(attempts, error)
        return
    seconds = _pause(attempts)
    last = attempts.failures[decision] >= attempts.policy.attempts
    last = last or seconds >= attempts.deadline.remaining_seconds
    cost = None if last else context.retry_budget.take()
    if cost is None:
        raise attempts.annotate(error)
    attempts.paid = cost
    attempts.paused_for = error
    attempts.log_retry(error, seconds)
    if seconds > 0:
        yield Sleep(seconds)


def _give_way(attempts: Attempts[T], error: errors.OSSVectorError) -> Flow[None]:
    """Hold back the whole client after a refusal; raise it where no turn comes in time."""
    context, policy = attempts.context, attempts.policy
    operation = attempts.operation
    limiter = context.rate_limiters[operation.name]
    # no reply may stop the client for longer than the cap
    asked = retry_after(attempts.reply_header("retry-after"), context.clock.now()) or 0.0
    if asked > 0:
        limiter.slow_down(min(asked, policy.cap))
    seconds = limiter.note_refusal(attempts.sent_at, operation.key_count, policy.throttle_base)
    attempts.warn_of_throttling(error)
    # a turn whose answer comes too late would hide the refusal behind the deadline
    took = context.monotonic() - attempts.sent_at
    least = min(_FOR_ANSWER, attempts.deadline.seconds * _SHARE_FOR_ANSWER)
    attempts.seconds_for_answer = max(2 * took, least)
    remaining = attempts.deadline.remaining_seconds - attempts.seconds_for_answer
    # one attempt means no retry, whatever happened
    if policy.attempts == 1 or max(asked, seconds) >= remaining:
        raise attempts.annotate(error)
    attempts.paused_for = error
    attempts.log_retry(error, max(asked, seconds))
    if asked > policy.cap:
        yield Sleep(asked)


def _recover_clock_or_credentials(
    attempts: Attempts[T], error: errors.OSSVectorError, used: Credentials
) -> Flow[bool]:
    # True where that may help; each once a call, for what is refused a second time is refused for
    # another reason
    if isinstance(error, errors.RequestTimeTooSkewedError) and not attempts.clock_corrected:
        # by no other reply than this refusal: a cached or hostile Date must not steer signing
        theirs, clock = http_date(attempts.reply_header("date") or ""), attempts.context.clock
        attempts.clock_corrected = theirs is not None and clock.learn(theirs)
        if attempts.clock_corrected:
            offset = timedelta(seconds=round(clock.offset.total_seconds()))
            _log.warning("the service's clock differs from this machine's by %s; using it", offset)
        return attempts.clock_corrected
    if isinstance(error, errors.SecurityTokenError) and not attempts.credentials_renewed:
        attempts.credentials_renewed = True
        attempts.errors.append(error)  # for the deadline's error, where renewal takes too long
        renewed = yield from _resolve_credentials(attempts, used)
        attempts.errors.pop()
        return renewed != used
    return False


def _resolve_credentials(
    attempts: Attempts[T], refused: Credentials | None = None
) -> Flow[Credentials]:
    keeper, seconds = attempts.context.credentials, attempts.deadline.remaining_seconds
    attempts.asked_at = attempts.context.monotonic()
    flow = keeper.resolve(seconds) if refused is None else keeper.renew(refused, seconds)
    try:
        found = yield from flow
    except CredentialsLateError as late:
        # `asked_at` stays: those who share the call, and are over it a moment later, are told this
        raise attempts.annotate(attempts.deadline_error(late)) from None
    attempts.asked_at = None
    return found


def _pause(attempts: Attempts[T]) -> float:
    """Return the seconds between an attempt that failed and the next."""
    context, policy = attempts.context, attempts.policy
    failures = attempts.failures[RetryDecision.TRANSIENT]
    # the service's word goes before the policy
    seconds = retry_after(attempts.reply_header("retry-after"), context.clock.now())
    if seconds is None:
        seconds = policy.pause(failures, context.random)
    if failures == policy.attempts - 1:
        remaining = attempts.deadline.remaining_seconds
        elapsed = context.monotonic() - attempts.first_failure
        seconds = policy.last_pause(seconds, elapsed, remaining, context.random)
    return seconds


class Attempts(Generic[T]):
    """The attempts of one call so far: their count, their errors, and the last reply.

    `failures` counts those that were tried again, by what was decided; `paid` is what the last one
    took from the retry budget, and `sent_at` the moment at which it began. A refused call begins no
    other where less than `seconds_for_answer` are left. `paused_for` is what the last one failed
    with while the next is waited for, and `asked_at` the moment since which credentials are.
    """

    def __init__(
        self,
        context: Context,
        operation: Operation[T],
        deadline: Deadline,
        policy: RetryPolicy | None,
        parents: Sequence[CallSpan] = (),
    ) -> None:
        self.context = context
        self.operation = operation
        self.deadline = deadline
        self.policy = policy or context.config.retry
        self.reply: Reply | None = None
        self.errors: list[errors.OSSVectorError] = []
        self.attempt_count = 0
        self.failures = {RetryDecision.TRANSIENT: 0, RetryDecision.THROTTLED: 0}
        self.first_failure = 0.0
        self.paid = 0
        self.paused_for: errors.OSSVectorError | None = None
        self.asked_at: float | None = None
        self.clock_corrected = False
        self.credentials_renewed = False
        # what may not be repeated must not meet a connection that died while it was kept
        self.reuse = operation.idempotent
        self.reuse_refused = False
        self.sent_at = self.seconds_for_answer = 0.0
        self._began = context.monotonic()
        self.bytes_sent = 0
        self.bytes_received = 0
        # where spans are collected: its own, and those of what it serves
        self.parents = parents
        self.span: CallSpan | None = None

    def end_span(self, span: CallSpan, error: BaseException | None, missing: int = 0) -> None:
        """End the call's span with what is known of its attempts."""
        refusals = self.failures[RetryDecision.THROTTLED]
        counts = {"attempts": self.attempt_count, "refusals": refusals, "missing": missing}
        span.end(error, {f"oss_vectors.{name}": count for name, count in counts.items()})

    def count_failure(self, decision: RetryDecision) -> None:
        """Count an attempt that failed, by what was decided on it."""
        self.failures[decision] += 1
        if self.failures[RetryDecision.TRANSIENT] == 1:
            self.first_failure = self.context.monotonic()

    def is_refused(self, result: object) -> bool:
        """Tell whether an attempt was refused because requests come too fast."""
        if not isinstance(result, errors.OSSVectorError):
            return False
        return judge(result, idempotent=True) is RetryDecision.THROTTLED

    def late_error(self) -> errors.OSSVectorError:
        """Return what to say where no turn came in time: what the last attempt failed with."""
        return self.errors.pop() if self.errors else self.deadline_error()

    def finish(self, error: BaseException | None, missing: int = 0) -> None:
        """Count the call, and tell the user's function of it, if there is one; end its span."""
        if self.span is not None:
            self.end_span(self.span, error, missing)
        context, name = self.context, self.operation.name
        refusals = self.failures[RetryDecision.THROTTLED]
        seconds = context.monotonic() - self._began
        context.counters.count(
            name,
            error is not None,
            self.attempt_count,
            max(self.attempt_count - 1, 0),
            refusals,
            missing,
            self.bytes_sent,
            self.bytes_received,
            seconds,
        )
        if context.config.on_call is None:
            return
        finished = FinishedCall(
            operation=name,
            index=self.operation.index,
            error=None if error is None else identify(error),
            attempts=self.attempt_count,
            refusals=refusals,
            keys=self.operation.key_count,
            missing=missing,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            seconds=seconds,
        )
        context.tell(context.config.on_call, finished)

    def annotate(self, error: errors.OSSVectorError) -> errors.OSSVectorError:
        """Add to an error what is known of the call, and return it."""
        error.attempts = self.attempt_count
        error.elapsed = self.deadline.elapsed_seconds
        error.errors = tuple(self.errors)
        if not self.operation.idempotent:
            self.settle(error)
        if isinstance(error, errors.ServiceError):
            bucket = self.context.config.bucket if self.operation.on_bucket else None
            index = f" on index {self.operation.index!r}" if self.operation.index else ""
            of_bucket = f" of bucket {bucket!r}" if bucket else ""
            error.where = f"{self.operation.name}{index}{of_bucket}"
        return error

    def settle(self, error: errors.OSSVectorError | None) -> None:
        """Keep in mind what nobody can know: whether a call that broke has done its work."""
        unsettled = self.context.unsettled
        target = (self.context.config.bucket, self.operation.index)
        name = unsettled.pop(target, None)
        if error is not None and self.attempt_count > 0 and may_have_acted(error):
            unsettled[target] = self.operation.name
        elif name == self.operation.name and isinstance(error, _OWN_EFFECTS):
            error.remark = (
                "An earlier call of this client for it ended without an answer, and may have done "
                "it: whether that or somebody else did cannot be known."
            )

    def deadline_error(
        self, late: CredentialsLateError | None = None, deadline: Deadline | None = None
    ) -> errors.DeadlineExceededError:
        """Return what to say where the call's deadline has passed, or that of one it serves."""
        deadline = deadline or self.deadline
        if late is None and self.asked_at is not None:
            late = self.context.credentials.late_error()
        why = f": {late}" if late else "."
        text = (
            f"{self.operation.name} did not end within {deadline.seconds:g} s "
            f"({self.attempt_count} attempts){why}"
        )
        if not self.errors:
            return errors.DeadlineExceededError(text, FaultKind.DEADLINE)
        last = errors.Message(
            f"{text} The last attempt failed with: {{last}}", {"last": self.errors[-1]}
        )
        return errors.DeadlineExceededError(last, FaultKind.DEADLINE)

    def transport_error(self, fault: Fault, request: Request) -> errors.OSSVectorError:
        """Return the error that a fault stands for."""
        name = self.operation.name
        if fault.kind is FaultKind.DEADLINE:
            return self.deadline_error()
        if fault.kind is FaultKind.TOO_LARGE:
            size = self.context.config.max_reply_bytes
            text = f"{name}: the reply is larger than {{max_reply_bytes}} ({size} bytes); it was "
            return errors.ResponseError(errors.Message(text + "not read to its end.", {}))
        texts = _PROXY_TEXTS if fault.proxy and fault.kind in _PROXY_TEXTS else _FAULT_TEXTS
        peer = f"the proxy {fault.proxy}" if fault.proxy else request.origin
        text = texts[fault.kind].format(f"{peer} ({fault.name})")
        if fault.kind is FaultKind.TLS and fault.reason == NO_TLS and not fault.proxy:
            endpoint = self.context.config.endpoint
            allow = "" if endpoint.is_loopback else ", and {allow_http=True} for all to read it"
            plain = f"it answers plain http: use {endpoint.over_http}{allow}."
            return errors.TransportError(errors.Message(f"{name}: {text}: {plain}", {}), fault.kind)
        reason = f": {fault.reason}" if fault.reason else ""
        return errors.TransportError(f"{name}: {text}{reason}.", fault.kind)

    def reply_header(self, name: str) -> str | None:
        """Return a header of the last reply, or None."""
        return self.reply.headers.get(name) if self.reply else None

    def log(
        self,
        request: Request,
        outcome: Reply | Fault,
        result: object,
        seconds: float,
        secrets: Iterable[str],
    ) -> None:
        """Log an exchange at DEBUG."""
        operation = self.operation
        parts = [
            f"index {operation.index!r}" if operation.index else "",
            f"{operation.key_count} keys" if operation.key_count else "",
            f"{len(request.body)} bytes sent",
        ]
        if isinstance(outcome, Fault):
            text = f"{outcome.kind} ({outcome.name})"
        else:
            code = f" {identify(result)}" if isinstance(result, errors.OSSVectorError) else ""
            text = f"HTTP {outcome.status}{code}"
            parts.append(f"{len(outcome.body)} received")
        parts += [f"{seconds:.3f} s", f"retry budget {self.context.retry_budget.balance}"]
        found = outcome.request_id if isinstance(outcome, Reply) else None
        if found and PLAIN.fullmatch(found) and not any(secret in found for secret in secrets):
            parts.append(f"request id {found}")
        shown = ", ".join(part for part in parts if part)
        _log.debug("%s attempt %d: %s, %s", operation.name, self.attempt_count, text, shown)

    def log_retry(self, error: errors.OSSVectorError, seconds: float) -> None:
        """Log that a failed attempt is followed by another."""
        text = "%s: attempt %d failed with %s; the next in %.3g s"
        _log.info(text, self._described, self.attempt_count, identify(error), seconds)

    def warn_of_throttling(self, error: errors.OSSVectorError) -> None:
        """Warn, once a minute, that the service throttles the client."""
        text = (
            "the service throttles this client: %s failed with %s; it sends as fast as the service "
            "bears now, and rate_limit= and max_concurrency= of the client send less at once"
        )
        self.context.warn_once_a_minute("throttled", text, self._described, identify(error))

    @property
    def _described(self) -> str:
        index = self.operation.index
        return f"{self.operation.name} on index {index!r}" if index else self.operation.name


# what a request meets that has been carried out before
_OWN_EFFECTS = (
    errors.BucketAlreadyExistsError,
    errors.VectorIndexAlreadyExistsError,
    errors.NoSuchBucketError,
    errors.NoSuchVectorIndexError,
)


def may_have_acted(error: errors.OSSVectorError) -> bool:
    """Tell whether the service may have done what a call asked for that ended in an error."""
    if isinstance(error, errors.TransportError):
        return error.kind in (FaultKind.CLOSED, FaultKind.DEADLINE)
    # of a success with a body that makes no sense, too, nobody knows who sent it
    if isinstance(error, errors.ResponseError) and error.status in _SUCCESS:
        return True
    return isinstance(error, errors.InternalServiceError)


_FAULT_TEXTS = {
    FaultKind.CONNECT: "could not connect to {}; check the endpoint, the region and the network",
    FaultKind.TLS: "could not agree on TLS with {}",
    FaultKind.CLOSED: "the connection to {} broke before the reply was whole",
    FaultKind.PROTOCOL: "{} did not answer in HTTP",
}
_PROXY_TEXTS = {
    FaultKind.CONNECT: "could not connect through {}; check the proxy and the network",
    FaultKind.PROXY: "{} refused to pass the request on",
}


def signed_request(
    config: ClientConfig,
    operation: Operation[Any],
    credentials: Credentials,
    moment: datetime,
    keys: signing.SigningKeys | None = None,
) -> Request:
    """Return the request of an operation, signed for a moment; `keys` are the client's."""
    # whole seconds, as a signature has them: what is computed from them is then often known
    moment = moment.replace(microsecond=0)
    bucket = config.bucket_or_raise() if operation.on_bucket else None
    origin, path, resource = _route(config.endpoint, config.region, config.account_id, bucket)
    stamp = signing.timestamp(moment)
    # neither the headers nor a part of the credentials get a name here: whoever collects the frames
    # of an error shows what is named
    signable = signing.Signable(
        operation.method,
        resource,
        operation.query,
        _headers(operation, origin, moment, config.user_agent_extra),
        config.additional_headers,
    )
    request = Request(
        operation.method, origin, path, operation.query, signable.headers, operation.body
    )
    if request.body:
        # the API's check of the body, no protection
        signable.headers["content-md5"] = request.content_md5
    if credentials.security_token:
        signable.headers["x-oss-security-token"] = credentials.security_token
    scope = signing.Scope(stamp[:8], config.region)
    key = (keys or signing.SigningKeys()).key_of(credentials, scope)
    signable.headers["authorization"] = signing.authorization(
        signable, credentials.access_key_id, key, stamp, scope
    )
    return request


@lru_cache(maxsize=64)
def _route(
    endpoint: Endpoint, region: str, account_id: str, bucket: str | None
) -> tuple[str, str, str]:
    # where the requests of a bucket go: origin, path, and the resource that is signed
    origin, path = endpoint.locate(bucket, account_id)
    return origin, path, signing.resource_name(region, account_id, bucket)


def _headers(
    operation: Operation[Any], origin: str, moment: datetime, user_agent_extra: str | None
) -> dict[str, str]:
    headers = {
        "host": origin.partition("://")[2],
        "accept": "*/*",
        # a reply that is unpacked could be many times its size, past max_reply_bytes
        "accept-encoding": "identity",
        "user-agent": f"{USER_AGENT} {user_agent_extra}" if user_agent_extra else USER_AGENT,
        **dict(operation.headers),
        **signing.dated_headers(moment),
    }
    if operation.body:
        headers["content-type"] = "application/json"
    # servers and proxies may refuse such a method without a length (HTTP 411), even without a body
    if operation.body or operation.method in {"POST", "PUT"}:
        headers["content-length"] = str(len(operation.body))
    return headers
