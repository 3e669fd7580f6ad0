"""Concurrent fetches that share API calls: the part without I/O and without waiting.

Each fetch of a few keys is pending until its vectors are there. Pending fetches that agree on
everything but their keys share calls of at most 100 distinct keys, and each takes its own out of
the reply. When they are put together, the runners decide: `transport.coalescer`. There is no cache.

What comes of a fetch is what would have come of it alone. So a call that failed for what may be in
one of its fetches is made again in halves, and theirs, until each of those that fail is alone.
"""

import re
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from .context import Context, Deadline, Flow
from .errors import (
    AccessDeniedError,
    DeadlineExceededError,
    NoSuchBucketError,
    NoSuchVectorIndexError,
    OSSVectorError,
    ResponseError,
    ServiceError,
    TransportError,
    own_copy,
)
from .flow import Attempts, call, make_attempts
from .models import Float32Array, GetVectorsResult, Reply, Vector
from .operations.vectors import get_operation
from .retry import RetryDecision, judge, retry_after
from .steps import FaultKind, Sleep, Step, do_steps

if TYPE_CHECKING:
    from .tracing import CallSpan

_REFUSALS = range(400, 500)
_REDIRECTIONS = range(300, 400)
_SERVER_FAILED = 500
_SHORTEST_WORD = 4  # of the keys that are found in a text without quotes


@dataclass(eq=False, slots=True)
class PendingFetch:
    """A fetch that is not over, with what has arrived of it; its keys are distinct.

    `must_ask_alone` is set when it has to ask for all of its keys by itself: a call failed that
    held some of them, and those of others, or will go on too late for it.
    """

    context: Context
    index: str
    keys: list[str]
    return_data: bool
    return_metadata: bool
    deadline: Deadline
    # its own, where spans are collected; of the calls that serve it, the parent
    span: "CallSpan | None" = None
    # what has arrived; not `init`, so that `replace` makes a fetch with nothing of it
    found: dict[str, Vector] = field(default_factory=dict, init=False)
    request_ids: list[str] = field(default_factory=list, init=False)
    calls: int = field(default=0, init=False)
    outstanding: int = field(default=0, init=False)
    error: BaseException | None = field(default=None, init=False)
    must_ask_alone: bool = field(default=False, init=False)
    # its vectors came with those of a fetch that asked before it
    served_by_another: bool = field(default=False, init=False)
    # the call in progress, and how to wake who waits, where a coalescer says how
    shared: "SharedCall | None" = field(default=None, init=False)
    wake: Callable[[], None] = field(default=lambda: None, init=False)

    @property
    def window(self) -> float | None:
        """Return the seconds to wait for others, or None where the user asked for no such wait."""
        window = self.context.config.coalesce
        return None if isinstance(window, bool) else window or None

    @property
    def group(self) -> tuple[object, ...]:
        """Return what fetches must agree on to share a call."""
        # the context stands for bucket, credentials and the rest of the settings
        return id(self.context), self.index, self.return_data, self.return_metadata

    @property
    def is_over(self) -> bool:
        """Tell whether its end is known: nothing more has to arrive."""
        ended = self.calls > 0 and self.outstanding == 0
        return ended or self.must_ask_alone or self.error is not None

    def raise_error(self) -> None:
        """Raise what went wrong, or that not all arrived in time."""
        if self.error is not None:
            raise self.error
        if not self.is_over:
            raise self._deadline_error()

    def _deadline_error(self) -> BaseException:
        shared = self.shared  # another thread may just settle it
        if shared is not None and (error := shared.deadline_error(self)) is not None:
            return error
        text = f"GetVectors did not end within {self.deadline.seconds:g} s (0 attempts)."
        error = DeadlineExceededError(text, FaultKind.DEADLINE)
        error.elapsed = self.deadline.elapsed_seconds
        return error


class SharedCall:
    """One API call that serves several pending fetches.

    `paid` is what it has cost of the retry budget, as half of a call that failed.
    """

    def __init__(self, keys: list[str], waiters: list[PendingFetch], paid: int = 0) -> None:
        self.keys = keys
        self.waiters = waiters
        self.paid = paid
        self.is_shared = len(waiters) > 1
        self.reply_is_refused = False
        self.attempts: Attempts[GetVectorsResult] | None = None
        for pending in waiters:
            pending.outstanding += 1

    @classmethod
    def for_whole(cls, waiters: list[PendingFetch], paid: int = 0) -> Self:
        """Return a call for all keys of some fetches, which fit in."""
        return cls(list(dict.fromkeys(key for w in waiters for key in w.keys)), waiters, paid)

    @property
    def most_patient(self) -> PendingFetch:
        """Return the fetch with the latest deadline: as long as that the call may take."""
        waiters = self.waiters
        return waiters[0] if len(waiters) == 1 else max(waiters, key=lambda w: w.deadline.moment)

    def flow(self) -> Flow[GetVectorsResult]:
        """Return the flow that makes the call."""
        first = self.waiters[0]
        shown = {"return_data": first.return_data, "return_metadata": first.return_metadata}
        operation = get_operation(first.index, self.keys, **shown)
        traced = first.span is not None
        spans = [w.span for w in self.waiters if w.span is not None] if traced else []
        if not self.is_shared:
            first.shared = None
            return call(first.context, operation, first.deadline, parents=spans)
        policy = first.context.config.retry
        # of halves the whole call was tried for long enough
        policy = replace(policy, patience=0.0) if self.paid else policy
        operation = replace(operation, decode=self._guard(operation.decode))
        deadline = self.most_patient.deadline
        self.attempts = Attempts(first.context, operation, deadline, policy, spans)
        for pending in self.waiters:
            pending.shared = self
        return self._release_hasty(self.attempts)

    def _guard(
        self, decode: Callable[[Reply], GetVectorsResult]
    ) -> Callable[[Reply], GetVectorsResult]:
        def read(reply: Reply) -> GetVectorsResult:
            try:
                return decode(reply)
            except Exception as error:
                self.reply_is_refused = True
                if isinstance(error, ResponseError):
                    # not tried again as it is: the halves are the next attempt, and where one
                    # record spoils the reply, another of all would only take the others' time
                    error.unreadable = False
                raise

        return read

    def _release_hasty(self, attempts: Attempts[GetVectorsResult]) -> Flow[GetVectorsResult]:
        # a pause is as long as the most patient can bear: those whose deadline falls in it would
        # have made another attempt before, alone
        def do(step: Step) -> Flow[Any]:
            # while credentials are asked for, it is they that are waited for
            if isinstance(step, Sleep) and attempts.paused_for and attempts.asked_at is None:
                self._release_before(attempts, attempts.paused_for, step.seconds)
            return (yield step)

        return do_steps(make_attempts(attempts), do)

    def _release_before(
        self, attempts: Attempts[GetVectorsResult], failure: OSSVectorError, seconds: float
    ) -> None:
        patient = self.most_patient
        # alone, too, they would not go on where the service names a later moment
        is_told = retry_after(attempts.reply_header("retry-after"), attempts.context.clock.now())
        for pending in list(self.waiters):
            if pending is patient or pending.deadline.remaining_seconds > seconds:
                continue
            if is_told is not None or _is_throttling(failure):
                told = attempts.annotate(own_copy(failure))
                told.errors = tuple(error for error in told.errors if error is not failure)
                pending.error = self._own_error(told, pending)
            else:
                pending.must_ask_alone = True
            self.waiters.remove(pending)
            pending.outstanding -= 1
            pending.shared = None
            pending.wake()

    def deadline_error(self, pending: PendingFetch) -> BaseException | None:
        """Return what to say to a fetch whose deadline has passed while the call goes on."""
        attempts = self.attempts
        if attempts is None:
            return None
        error = attempts.annotate(attempts.deadline_error(deadline=pending.deadline))
        return self._own_error(error, pending)

    def serve(self) -> Flow[list["SharedCall"]]:
        """Make the call and settle it; return the calls to make in its place, if any."""
        return self.settle((yield from self.outcome()))

    def outcome(self) -> Flow[GetVectorsResult | Exception]:
        """Make the call and return its result, or what it failed with."""
        try:
            return (yield from self.flow())
        except Exception as error:  # noqa: BLE001 - it is raised in those who wait
            return error

    def settle(self, outcome: GetVectorsResult | BaseException) -> list["SharedCall"]:
        """Give each fetch its part of the reply, or its error; return the calls to make instead."""
        for pending in self.waiters:
            pending.shared = None
        halves: list[SharedCall] = []
        if isinstance(outcome, BaseException):
            halves = self.fail(outcome)
        else:
            self.deal(outcome)
        self.attempts = None  # or a circle of references would keep the reply
        return halves

    def deal(self, reply: GetVectorsResult) -> None:
        """Give each fetch its own vectors."""
        if self.paid:
            self.waiters[0].context.retry_budget.give_back(self.paid)
        vectors = {vector.key: vector for vector in reply.items}
        # all are dealt before any is told, or one could change what is still to be copied
        for number, (pending, mine) in enumerate(list(self._shares(vectors))):
            pending.served_by_another = pending.served_by_another or number > 0
            pending.found |= mine
            if reply.request_id:
                pending.request_ids.append(reply.request_id)
            pending.calls += 1
            pending.outstanding -= 1

    def _shares(
        self, vectors: dict[str, Vector]
    ) -> Iterable[tuple[PendingFetch, dict[str, Vector]]]:
        if not self.is_shared:
            yield self.waiters[0], vectors
            return
        # the first who asked for a vector has that of the reply, the others have copies: callers
        # may change their metadata, and their data through a buffer
        taken: set[str] = set()
        for pending in self.waiters:
            mine = [vectors[key] for key in pending.keys if key in vectors]
            yield pending, {v.key: _copy(v) if v.key in taken else v for v in mine}
            taken.update(pending.keys)

    def fail(self, error: BaseException) -> list["SharedCall"]:
        """Give each fetch an error of its own, or return the halves to call for instead."""
        seconds = self.most_patient.deadline.seconds
        for pending in self.waiters:
            pending.outstanding -= 1
        # also where only one is left: it may be the fault of those who have gone
        if self.is_shared and (cost := self._cost_of_half(error)) is not None:
            return self._halves(cost)
        for pending in self.waiters:
            pending.calls += 1
            if isinstance(error, DeadlineExceededError) and pending.deadline.seconds != seconds:
                pending.error = pending.error or self.deadline_error(pending)
            pending.error = pending.error or self._own_error(error, pending)
        return []

    def _cost_of_half(self, error: BaseException) -> int | None:
        """Return what asking each half costs of the retry budget; None where it is not to be."""
        if self.reply_is_refused or _may_be_of_one(error):
            return 0
        if not (_may_be_of_one_or_of_all(error) or _names_key(error, self.keys)):
            return None
        # An outage, too, answers 500 and breaks connections. There each call would become as many
        # as it has fetches, and more. So the halves are paid for as retries are: one bad record
        # costs little, for the good halves give back what they took, and in an outage the budget
        # is soon spent.
        budget = self.waiters[0].context.retry_budget
        cost = budget.take()
        if cost is not None and budget.take() is None:
            budget.give_back(cost)
            return None
        return cost

    def _halves(self, cost: int) -> list["SharedCall"]:
        # a fetch that this call serves in part would wait for two calls, and fail with either
        keys = set(self.keys)
        whole = [pending for pending in self.waiters if keys.issuperset(pending.keys)]
        for pending in self.waiters:
            pending.must_ask_alone = pending.must_ask_alone or pending not in whole
        middle = (len(whole) + 1) // 2
        halves = [half for half in (whole[:middle], whole[middle:]) if half]
        return [SharedCall.for_whole(half, cost) for half in halves]

    def keep(self, waiting: Container[PendingFetch]) -> bool:
        """Drop the fetches that nobody waits for; tell whether any are left."""
        if not all(pending in waiting for pending in self.waiters):
            self.waiters = [pending for pending in self.waiters if pending in waiting]
            self.keys = list(dict.fromkeys(key for w in self.waiters for key in w.keys))
            self.is_shared = len(self.waiters) > 1
        return bool(self.waiters)

    def _own_error(self, error: BaseException, pending: PendingFetch) -> BaseException:
        if not self.is_shared:
            return error
        own = own_copy(error)
        if isinstance(own, OSSVectorError) and own.elapsed:
            own.elapsed = pending.deadline.elapsed_seconds
        _hide_keys(own, [key for key in self.keys if key not in pending.keys])
        return own


def _copy(vector: Vector) -> Vector:
    # not by `deepcopy`: it takes several frames for each level, so that metadata nested as deep as
    # JSON is read would exceed Python's limit
    data, metadata = vector.data, vector.metadata
    copied = None if metadata is None else metadata.copy()
    unfinished: list[Any] = [] if copied is None else [copied]
    while unfinished:
        container = unfinished.pop()
        for place, value in container.items() if type(container) is dict else enumerate(container):
            if type(value) in {dict, list}:
                container[place] = value.copy()
                unfinished.append(container[place])
    return Vector(vector.key, data and Float32Array.from_bytes(data.tobytes()), copied)


def _is_throttling(error: OSSVectorError) -> bool:
    return judge(error, idempotent=True) is RetryDecision.THROTTLED


def _may_be_of_one(error: BaseException) -> bool:
    # one bad key has the whole call refused, and the reply does not say which it was; a gateway may
    # dislike a word in one, or the size of all; one bad record, or all of them together, has a
    # whole reply refused that each alone might have had
    if isinstance(error, ResponseError):
        return error.status not in _REDIRECTIONS
    if not isinstance(error, ServiceError) or error.status not in _REFUSALS:
        return False
    # what is said of the caller, the bucket or the index is said of all
    of_all = isinstance(error, AccessDeniedError | NoSuchBucketError | NoSuchVectorIndexError)
    return not of_all and judge(error, idempotent=True) is RetryDecision.FINAL


def _may_be_of_one_or_of_all(error: BaseException) -> bool:
    # what one record does to a service that stumbles over it; 502, 503 and 504 are said of a
    # service that is not there
    if isinstance(error, ServiceError):
        return error.status == _SERVER_FAILED
    return isinstance(error, TransportError) and error.kind == FaultKind.CLOSED


def _names_key(error: BaseException, keys: Iterable[str]) -> bool:
    named = _words(keys)
    return any(named.search(each.message) for each in _service_errors(error))


def _hide_keys(error: BaseException, keys: Sequence[str]) -> None:
    # the service may quote what it was sent, and of this, nothing is this caller's
    if keys:
        named = _words(keys)
        for each in _service_errors(error):
            each.message = named.sub("***", each.message)
            each.args = (each.message,)


def _service_errors(error: BaseException) -> list[ServiceError]:
    earlier = error.errors if isinstance(error, OSSVectorError) else ()
    return [each for each in (error, *earlier) if isinstance(each, ServiceError)]


def _words(keys: Iterable[str]) -> re.Pattern[str]:
    # as a word of its own, and in quotes where any sentence may hold it, such as "a"
    quoted = r"(?<=['\"`]){}(?=['\"`])"
    words = [
        re.escape(key) if len(key) >= _SHORTEST_WORD else quoted.format(re.escape(key))
        for key in keys
    ]
    return re.compile(rf"(?<![\w./:@-])(?:{'|'.join(words)})(?![\w/:@-]|\.\w)")


def shared_calls(waiters: Iterable[PendingFetch]) -> list[SharedCall]:
    """Return the fewest calls that serve pending fetches; one may be served by several of them."""
    groups: dict[tuple[object, ...], list[PendingFetch]] = {}
    for pending in waiters:
        groups.setdefault(pending.group, []).append(pending)
    calls: list[SharedCall] = []
    for group in groups.values():
        askers: dict[str, list[PendingFetch]] = {}
        for pending in group:
            for key in pending.keys:
                askers.setdefault(key, []).append(pending)
        keys, size = list(askers), group[0].context.config.limits.keys_per_get
        for start in range(0, len(keys), size):
            batch = keys[start : start + size]
            served = dict.fromkeys(pending for key in batch for pending in askers[key])
            calls.append(SharedCall(batch, list(served)))
    return calls


def next_call(queue: Iterable[PendingFetch]) -> SharedCall:
    """Return one call for the first of a queue, and for those behind it whose keys fit in whole."""
    # in whole: a fetch that two calls serve would be over only when two threads are done
    first, *others = queue
    limit, group = first.context.config.limits.keys_per_get, first.group
    keys, waiters = dict.fromkeys(first.keys), [first]
    for pending in others:
        added = [key for key in pending.keys if key not in keys]
        if len(keys) + len(added) <= limit and pending.group == group:
            keys.update(dict.fromkeys(added))
            waiters.append(pending)
    return SharedCall(list(keys), waiters)
