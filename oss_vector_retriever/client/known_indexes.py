"""What clients know of their indexes, and how writes wait for one that is new.

One look at an index (GetVectorIndex) serves all who need it meanwhile, and is believed for five
minutes. A refusal, a write that does not fit, and the index's making or deletion by these clients
bring a new look. So of an index that others delete and make again, with another dimension or
metric, what was before is believed for five minutes at most.

A new index is `creating` first; one user saw writes fail with 500 then, and for 10 to 15 seconds
after it (reference 4.2, 16). The SDKs' tests write at once, and pass. So writes find out: a 500 is
no failed attempt while the index is new. Until the first has passed, one write at a time tries for
all that wait, after pauses that grow: each carries its whole body.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from . import errors, fork
from .context import Context, Deadline, Flow
from .credentials import CredentialsKeeper
from .endpoint import check_index
from .flow import Attempts, Operation, call, make_attempts
from .models import Acknowledgement, VectorIndex
from .operations import indexes
from .operations.indexes import DistanceMetric
from .retry import RetryPolicy, http_date
from .steps import FaultKind, Sleep

T = TypeVar("T")

_BELIEVED = 300.0  # seconds
# seconds; the same of one that is `creating`, and of one that a write is refused by with 500
_FRESH = 10.0
_NEW = 60.0  # seconds from its making, or from when it was last seen `creating`
_PAUSES = (0.5, 1.0, 2.0)  # seconds between two tries, or looks; the last again and again
# seconds; nobody waits longer for a flow whose event loop has stopped, or whose thread hangs
_STUCK = 10.0
_MOST_INDEXES = 1000  # of one client; beyond it the oldest are forgotten
_ONE_ATTEMPT = RetryPolicy(attempts=1)
_INTERNAL_ERROR = 500
_log = logging.getLogger("oss_vector_retriever")


def peek(context: Context, index: str | None = None) -> VectorIndex | None:
    """Return the description of an index that is ready, where it is known; no call."""
    found = _find(context, index).description(context.monotonic())
    return None if found is None or found.status == "creating" else found


def forget(context: Context, index: str | None, asked_at: float) -> None:
    """Look again next time: the index was not there, to a call that began at a moment."""
    known = _find(context, index)
    # what is known since may be of one that was made meanwhile
    if known.changed_at <= asked_at:
        known.forget()


def was_absent(context: Context, index: str | None = None) -> bool:
    """Tell whether a look has found no such index within the last second."""
    return context.monotonic() - _find(context, index).absent_at < 1.0


def describe(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    """Return the description of an index, as it is known or by a look.

    Where the caller may not look it has dimension 0 and no metric: the service judges alone.

    Raises:
        NoSuchVectorIndexError: it is not there.
    """
    found = _find(context, index).description(context.monotonic())
    return found or (yield from look(context, index))


def look(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    """Return the description of an index as it is now, else as `describe` does."""
    name, deadline = context.config.index_or(index), context.deadline()
    try:
        return (yield from _share(context, name, "look", deadline, _ask(context, name, deadline)))
    except errors.AccessDeniedError:
        # a role may write vectors and not look at indexes
        return VectorIndex(index_name=name)


def check_by_description(
    context: Context, index: str | None, check: Callable[[VectorIndex], None]
) -> Flow[VectorIndex]:
    """Return the description of an index that passes a check.

    Raises:
        InvalidRequestError: the check raised it, of an index that was looked at just now: what is
            only known may be of one that others have deleted and made anew.
    """
    began = context.monotonic()
    found = yield from describe(context, index)
    try:
        check(found)
    except errors.InvalidRequestError:
        if _find(context, index).looked_at >= began:
            raise
        found = yield from look(context, index)
        check(found)
    return found


def get_vector_index(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    """Return the flow of `OSSVectorClient.get_vector_index`: always a call of its own."""
    return _ask(context, context.config.index_or(index), context.deadline())


def put_vector_index(
    context: Context,
    dimension: int,
    index: str | None = None,
    distance_metric: DistanceMetric = "cosine",
    non_filterable_metadata_keys: Iterable[str] = (),
    *,
    wait: bool = False,
) -> Flow[Acknowledgement]:
    """Return the flow of `OSSVectorClient.put_vector_index`."""
    name, deadline = context.config.index_or(index), context.deadline()
    making = indexes.put_vector_index(
        context, dimension, name, distance_metric, non_filterable_metadata_keys
    )
    return _make(context, name, making, deadline, wait=wait)


def _make(
    context: Context, name: str, making: Flow[Acknowledgement], deadline: Deadline, *, wait: bool
) -> Flow[Acknowledgement]:
    known = _find(context, name)
    known.forget()
    done = yield from making
    known.note_making(context.monotonic())
    if wait:
        yield from _wait_until_ready(context, name, deadline)
    return done


def _wait_until_ready(context: Context, name: str, deadline: Deadline) -> Flow[None]:
    count = 0
    with _Waiting(context, name, deadline) as waiting:
        while True:
            try:
                asking = _ask(context, name, deadline)
                found = yield from _share(context, name, "look", deadline, asking)
            except errors.AccessDeniedError:
                return  # its writes wait all the same, when they are refused
            if found.status != "creating":
                return
            waiting.begin()
            count += 1
            seconds = _pause(count)
            if seconds >= deadline.remaining_seconds:
                raise errors.DeadlineExceededError(
                    f"index {errors.quote(name)} is made, and was still creating after "
                    f"{deadline.elapsed_seconds:.3g} s; writes wait for it too.",
                    FaultKind.DEADLINE,
                )
            yield Sleep(seconds)


def delete_vector_index(context: Context, index: str) -> Flow[Acknowledgement]:
    """Return the flow of `OSSVectorClient.delete_vector_index`."""
    name = check_index(index)
    return _delete(context, name, indexes.delete_vector_index(context, name))


def _delete(context: Context, name: str, deleting: Flow[Acknowledgement]) -> Flow[Acknowledgement]:
    try:
        return (yield from deleting)
    finally:  # also where it broke: nobody knows what it has done
        _find(context, name).forget()


def make_for_all(
    context: Context, index: str | None, making: Flow[VectorIndex]
) -> Flow[VectorIndex]:
    """Run a flow that makes an index, once for all who would make it meanwhile."""
    name, deadline = context.config.index_or(index), context.deadline()
    return _share(context, name, "making", deadline, making)


def write(
    context: Context,
    operation: Operation[Acknowledgement],
    deadline: Deadline,
    policy: RetryPolicy | None = None,
) -> Flow[Acknowledgement]:
    """Make a call that writes into an index; wait for one that is new, within the deadline.

    Raises:
        OSSVectorError: after the last attempt, with the errors of the earlier ones.
    """
    with _Trial(context, context.config.index_or(operation.index), deadline) as trial:
        if not (yield from trial.wait_for_turn()):
            raise errors.DeadlineExceededError(
                f"index {errors.quote(trial.name)} is new, and was not ready for writes within "
                f"{deadline.seconds:g} s; nothing was sent.",
                FaultKind.DEADLINE,
            )
        operation = replace(operation, recover=trial.recover)
        done = yield from call(context, operation, deadline, policy)
        trial.known.open()
        return done


class _Waiting:
    """A wait for an index to be ready; the log tells of the first that begins, and of the end."""

    def __init__(self, context: Context, name: str, deadline: Deadline) -> None:
        self.context = context
        self.name = name
        self.deadline = deadline
        self.known = _find(context, name)
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._has_begun:
            return
        now = self.context.monotonic()
        if (since := self.known.end_wait()) is not None:
            text = "still not ready" if self.known.is_closed(now) else "ready"
            _log.info("index %r is %s after %.3g s", self.name, text, now - since)

    def begin(self) -> None:
        """Begin to wait, where it has not begun."""
        if self._has_begun:
            return
        self._has_begun = True
        if self.known.begin_wait(self.context.monotonic()):
            text = "index %r of bucket %r is new and not ready; it is waited for, at most %.3g s"
            bucket, seconds = self.context.config.bucket, self.deadline.remaining_seconds
            _log.info(text, self.name, bucket, seconds)


class _Trial(_Waiting):
    """A write that waits for its index, and at its turn tries it for all others."""

    def __init__(self, context: Context, name: str, deadline: Deadline) -> None:
        super().__init__(context, name, deadline)
        self._turn: _Turn[None] = _Turn()
        self._refusals = 0

    def __exit__(self, *_: object) -> None:
        self.known.end("trial", self._turn)
        super().__exit__()

    def wait_for_turn(self) -> Flow[bool]:
        """Wait until the index takes writes, or it is for this one to find out; False: too long."""
        known, deadline = self.known, self.deadline
        while known.is_closed(self.context.monotonic()):
            self.begin()
            if (turn := known.begin("trial", self._turn)) is self._turn:
                seconds = known.next_trial - self.context.monotonic()
                # half of the time is left for the write
                seconds = min(seconds, deadline.remaining_seconds / 2)
                if seconds > 0:
                    yield Sleep(seconds, turn)  # another may have passed, which ends it
                break
            if deadline.remaining_seconds <= 0:
                return False
            yield Sleep(min(deadline.remaining_seconds, _STUCK), turn)
            if not turn.is_over and deadline.remaining_seconds > 0:
                known.end("trial", turn)
        return True

    def recover(self, error: errors.OSSVectorError) -> Flow[bool]:
        """Wait after a refusal of a new index; False where it is for another reason."""
        if not isinstance(error, errors.ServiceError) or error.status != _INTERNAL_ERROR:
            return False
        known = self.known
        # others try before this one comes again: a record that is refused for itself, with 500
        # too, holds up no other
        known.end("trial", self._turn)
        self._turn = _Turn()
        yield from self._look()
        now = self.context.monotonic()
        if now >= known.new_until:
            return False
        self._refusals += 1
        seconds = known.note_refusal(now, self._refusals)
        if seconds < self.deadline.remaining_seconds:
            self.begin()
            yield Sleep(seconds)
            if (yield from self.wait_for_turn()):
                return True
        error.remark = "The index is new, and was not ready for writes in time."
        return False

    def _look(self) -> Flow[None]:
        # an index may have been made anew by others; in an outage each attempt would ask
        known, context, now = self.known, self.context, self.context.monotonic()
        if now < known.new_until or now - known.asked_at < _FRESH:
            return
        asking = _ask(context, self.name, self.deadline, _ONE_ATTEMPT)
        with contextlib.suppress(errors.OSSVectorError):
            yield from _share(context, self.name, "glance", self.deadline, asking)


def _ask(
    context: Context, name: str, deadline: Deadline, policy: RetryPolicy | None = None
) -> Flow[VectorIndex]:
    known = _find(context, name)
    attempts = Attempts(context, indexes.get_operation(name), deadline, policy)
    try:
        found = yield from make_attempts(attempts)
    except errors.AccessDeniedError:
        known.note(VectorIndex(index_name=name), None, context.monotonic())
        raise
    except errors.NoSuchVectorIndexError:
        known.forget()
        known.absent_at = context.monotonic()
        raise
    finally:
        known.asked_at = context.monotonic()
    # by the service's own clock: this machine's may be minutes off
    moment = http_date(attempts.reply_header("date") or "")
    made = found.create_time
    age = (moment - made).total_seconds() if moment and made else None
    known.note(found, age, context.monotonic())
    return found


def _share(context: Context, name: str, what: str, deadline: Deadline, flow: Flow[T]) -> Flow[T]:
    # run a flow for all who need its outcome, or take that of one which is in progress
    known, own = _find(context, name), _Turn[T]()
    try:
        while (turn := known.begin(what, own)) is not own:
            deadline.check("GetVectorIndex")
            yield Sleep(min(deadline.remaining_seconds, _STUCK), turn)
            if turn.serves:
                return turn.result()
            if not turn.is_over and deadline.remaining_seconds > 0:
                known.end(what, turn)
        result = yield from flow
        own.give(result)
    except errors.OSSVectorError as error:
        own.fail(error)
        raise
    finally:
        known.end(what, own)
    return result


def _pause(count: int) -> float:
    return _PAUSES[min(count, len(_PAUSES)) - 1]


class _Turn(Generic[T]):
    """The turn of one flow to do what others need as well; a signal to them when it is over."""

    def __init__(self) -> None:
        self._outcome: Future[T] = Future()

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._outcome.done()

    @property
    def serves(self) -> bool:
        """Tell whether it has ended with what serves others too."""
        return self._outcome.done() and not self._outcome.cancelled()

    def result(self) -> T:
        """Return what came of it, or raise an error of the caller's own."""
        if (error := self._outcome.exception()) is not None:
            raise errors.own_copy(error) if isinstance(error, Exception) else error
        return self._outcome.result()

    def give(self, result: T) -> None:
        """End it with what serves all."""
        with contextlib.suppress(InvalidStateError):  # nobody waited for it any longer
            self._outcome.set_result(result)

    def fail(self, error: errors.OSSVectorError) -> None:
        """End it with an error that all have, were they to ask; not with one's own deadline."""
        all_have = errors.ServiceError | errors.ResponseError | errors.TransportError
        is_own = isinstance(error, errors.DeadlineExceededError) or not isinstance(error, all_have)
        if not is_own:
            with contextlib.suppress(InvalidStateError):
                # without the frames of the flow that met it
                self._outcome.set_exception(errors.own_copy(error))

    def end(self) -> None:
        """End it with nothing, where it has not ended: the next does it."""
        self._outcome.cancel()

    def call_when_given(self, wake: Callable[[], object], /) -> None:
        """Have a function called when it is over; at once where it is."""

        def call_it(_: object) -> None:
            with contextlib.suppress(RuntimeError):  # of an event loop that has ended
                wake()

        self._outcome.add_done_callback(call_it)


class _KnownIndex:
    """What is known of one index.

    All are moments of the clients' monotonic clock: when it was last asked for (`asked_at`), when
    its description came (`looked_at`) or it was made (`changed_at`, the later of both), when a look
    found that it is not there (`absent_at`). Until `new_until` a write that is refused with 500 is
    no failed attempt; before `next_trial` none is tried.
    """

    def __init__(self) -> None:
        # reentrant: a flow that was dropped ends its turn wherever its memory is freed
        self._lock = threading.RLock()
        self._found: VectorIndex | None = None
        self._turns: dict[str, _Turn[Any]] = {}
        self.asked_at = self.looked_at = self.absent_at = self.changed_at = -math.inf
        self._waiting = 0
        self._waiting_since = 0.0
        self.forget()

    def forget(self) -> None:
        """Know nothing of it any more."""
        with self._lock:
            self._found = None
            self._has_taken_writes = self._is_closed = False
            self.new_until = self.next_trial = -math.inf
            self._refusals = 0
            self.asked_at = -math.inf

    def description(self, now: float) -> VectorIndex | None:
        """Return its description, if that is not too old."""
        found = self._found
        if found is None:
            return None
        seconds = _FRESH if found.status == "creating" else _BELIEVED
        return found if now - self.looked_at < seconds else None

    def note(self, found: VectorIndex, age: float | None, now: float) -> None:
        """Note a description that came, and the seconds since it was made, where they are known."""
        with self._lock:
            if self._found is not None and self._found.create_time != found.create_time:
                self.forget()  # others have made it anew
            was_creating = self._found is not None and self._found.status == "creating"
            self._found, self.looked_at, self.changed_at = found, now, now
            self.absent_at = -math.inf
            if found.status == "creating":
                self.new_until = now + _NEW
                self._has_taken_writes = False
                self._close(now)
                return
            if was_creating:
                self._is_closed = False
            if age is not None and age < _NEW:
                self.new_until = max(self.new_until, now + _NEW - max(age, 0.0))

    def note_making(self, now: float) -> None:
        """Note that it was made a moment ago."""
        with self._lock:
            self.new_until, self.changed_at = now + _NEW, now
            self.absent_at = -math.inf

    def note_refusal(self, now: float, count: int) -> float:
        """Note that a write was refused, its `count`-th time; return the pause before the next."""
        with self._lock:
            if self._has_taken_writes:
                # others pass: it takes its own time
                return _pause(count)
            self._close(now)
            return max(self.next_trial - now, 0.0)

    def _close(self, now: float) -> None:
        # several that are refused at once are one trial
        if not self._is_closed or now >= self.next_trial:
            self._refusals += 1
            self.next_trial = now + _pause(self._refusals)
        self._is_closed = True

    def is_closed(self, now: float) -> bool:
        """Tell whether writes wait until one has passed."""
        return self._is_closed and now < self.new_until

    def open(self) -> None:
        """Let writes go: one has passed."""
        with self._lock:
            self._has_taken_writes, self._is_closed, self._refusals = True, False, 0
            turn = self._turns.pop("trial", None)
        if turn is not None:  # so that who has it, and may pause yet, need not try
            turn.end()

    def begin(self, what: str, turn: _Turn[T]) -> _Turn[T]:
        """Return the turn in progress, else begin this one."""
        with self._lock:
            return self._turns.setdefault(what, turn)

    def end(self, what: str, turn: _Turn[T]) -> None:
        """End a turn, whatever came of it; the next may begin."""
        with self._lock:
            if self._turns.get(what) is turn:
                del self._turns[what]
        turn.end()

    def begin_wait(self, now: float) -> bool:
        """Count one more who waits; True of the first."""
        with self._lock:
            self._waiting += 1
            if self._waiting == 1:
                self._waiting_since = now
            return self._waiting == 1

    def end_wait(self) -> float | None:
        """Count one less; return since when there was a wait where it is the last."""
        with self._lock:
            self._waiting -= 1
            return None if self._waiting else self._waiting_since


class _Table:
    """What is known, by the credentials that were used to ask."""

    def __init__(self) -> None:
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Know nothing: the flows that look, or try, are the parent's."""
        self._lock = threading.RLock()
        self._indexes: WeakKeyDictionary[
            CredentialsKeeper, dict[tuple[object, ...], _KnownIndex]
        ] = WeakKeyDictionary()

    def find(self, context: Context, name: str) -> _KnownIndex:
        config = context.config
        place = (config.endpoint, config.account_id, config.region, config.bucket, name)
        with self._lock:
            known = self._indexes.setdefault(context.credentials, {})
            if (found := known.get(place)) is None:
                if len(known) >= _MOST_INDEXES:
                    del known[next(iter(known))]
                found = known[place] = _KnownIndex()
            return found


_table = _Table()


def _find(context: Context, index: str | None) -> _KnownIndex:
    return _table.find(context, context.config.index_or(index))
