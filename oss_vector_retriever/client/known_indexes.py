"""What clients know of their indexes, each asked for once for all who need it meanwhile.

A description (GetVectorIndex) is believed for five minutes. A refusal, a write that does not fit,
and the index's making or deletion by these clients bring a new look. So of an index that others
delete and make again, with another dimension or metric, what was before is believed for five
minutes at most.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from weakref import WeakKeyDictionary

from . import errors, fork
from .context import Context, Deadline, Flow
from .credentials import CredentialsKeeper
from .endpoint import check_index
from .flow import Attempts, make_attempts
from .models import Acknowledgement, VectorIndex
from .operations import indexes
from .recent import forget_writes
from .retry import RetryPolicy, http_date
from .steps import Sleep

_BELIEVED = 300.0  # seconds
FRESH = 10.0  # seconds; the same of one that is `creating`
_NEW = 60.0  # seconds from its making, or from when it was last seen `creating`
_PAUSES = (0.5, 1.0, 2.0)  # seconds between two trials, or looks; the last again and again
# seconds; nobody waits longer for one flow, whose event loop may have stopped, or be held up by the
# very thread that waits: a blocking call on it
_STUCK = {"look": 2.0, "glance": 2.0, "making": 5.0, "trial": 5.0}
_MOST_INDEXES = 1000  # of one client; beyond it the oldest are forgotten


def peek(context: Context, index: str | None = None) -> VectorIndex | None:
    """Return the description of an index that is ready, where it is known; no call."""
    found = known_index(context, index).description(context.monotonic())
    return None if found is None or found.status == "creating" else found


def forget(context: Context, index: str | None, asked_at: float) -> None:
    """Look again next time: the index was not there, to a call that began at a moment."""
    known = known_index(context, index)
    # what is known since may be of one that was made meanwhile
    if known.changed_at <= asked_at:
        known.forget()


def was_absent(context: Context, index: str | None = None) -> bool:
    """Tell whether a look has found no such index within the last second."""
    return context.monotonic() - known_index(context, index).absent_at < 1.0


def made_at(context: Context, index: str | None) -> float:
    """Return when these clients have made the index, by `context.monotonic`; -inf if others did."""
    return known_index(context, index).made_at


def describe(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    """Return the description of an index, as it is known or by a look.

    Where the caller may not look it has dimension 0 and no metric: the service judges alone.

    Raises:
        NoSuchVectorIndexError: it is not there.
    """
    known = known_index(context, index)
    if (making := known.turn("making")) is not None:  # it ends with a look
        yield from wait_for(known, "making", making, context.deadline())
    found = known.description(context.monotonic())
    return found or (yield from look(context, index))


def look(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    """Return the description of an index as it is now, else as `describe` does."""
    name, deadline = context.config.index_or(index), context.deadline()
    try:
        return (yield from share(context, name, "look", deadline, ask(context, name, deadline)))
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
        if known_index(context, index).looked_at >= began:
            raise
        found = yield from look(context, index)
        check(found)
    return found


def get_vector_index(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    """Return the flow of `OSSVectorClient.get_vector_index`: always a call of its own."""
    return ask(context, context.config.index_or(index), context.deadline())


def delete_vector_index(context: Context, index: str) -> Flow[Acknowledgement]:
    """Return the flow of `OSSVectorClient.delete_vector_index`."""
    name = check_index(index)
    return _delete(context, name, indexes.delete_vector_index(context, name))


def _delete(context: Context, name: str, deleting: Flow[Acknowledgement]) -> Flow[Acknowledgement]:
    try:
        done = yield from deleting
    finally:  # also where it broke: nobody knows what it has done
        known_index(context, name).forget()
    # not where it was refused: what stands there is still to be found
    forget_writes(context, name)
    return done


def make_for_all(
    context: Context, index: str | None, making: Flow[VectorIndex]
) -> Flow[VectorIndex]:
    """Run a flow that makes an index, once for all who would make it meanwhile."""
    name, deadline = context.config.index_or(index), context.deadline()
    return share(context, name, "making", deadline, making)


def ask(
    context: Context, name: str, deadline: Deadline, policy: RetryPolicy | None = None
) -> Flow[VectorIndex]:
    """Look at an index, and note what comes of it."""
    known = known_index(context, name)
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


def share(
    context: Context, name: str, what: str, deadline: Deadline, flow: Flow[VectorIndex]
) -> Flow[VectorIndex]:
    """Run a flow that looks at an index, for all who need it, or return what another's brought."""
    known, own, began = known_index(context, name), Turn(), context.monotonic()
    try:
        while (turn := known.begin(what, own)) is not own:
            deadline.check("GetVectorIndex")
            yield from wait_for(known, what, turn, deadline)
            if turn.serves:
                return turn.result()
            # others may have been quicker to take over from one that ended with nothing
            if (found := known.description_since(began)) is not None:
                return found
        result = yield from flow
        own.give(result)
    except errors.OSSVectorError as error:
        own.fail(error)
        raise
    finally:
        known.end(what, own)
    return result


def wait_for(known: KnownIndex, what: str, turn: Turn, deadline: Deadline) -> Flow[None]:
    """Wait until another's turn is over; end one that hangs, so that the next may begin."""
    yield Sleep(min(deadline.remaining_seconds, _STUCK[what]), turn)
    if deadline.remaining_seconds > 0 and not turn.is_over:
        known.end(what, turn)


def pause(count: int) -> float:
    """Return the seconds after a number of trials or looks."""
    return _PAUSES[min(count, len(_PAUSES)) - 1]


class Turn:
    """The turn of one flow to do what others need as well; a signal to them when it is over."""

    def __init__(self) -> None:
        self._outcome: Future[VectorIndex] = Future()

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._outcome.done()

    @property
    def serves(self) -> bool:
        """Tell whether it has ended with what serves others too."""
        return self._outcome.done() and not self._outcome.cancelled()

    def result(self) -> VectorIndex:
        """Return what came of it, or raise an error of the caller's own."""
        if (error := self._outcome.exception()) is not None:
            raise errors.own_copy(error) if isinstance(error, Exception) else error
        return self._outcome.result()

    def give(self, result: VectorIndex) -> None:
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


class KnownIndex:
    """What is known of one index.

    All are moments of the clients' monotonic clock: when it was last asked for (`asked_at`), when
    its description came (`looked_at`) or it was made (`changed_at`, the later of both), when a look
    found that it is not there (`absent_at`), and when these clients made it (`made_at`). Until
    `new_until` a write that is refused with 500 is no failed attempt; before `next_trial` none is
    tried.
    """

    def __init__(self) -> None:
        # reentrant: a flow that was dropped ends its turn wherever its memory is freed
        self._lock = threading.RLock()
        self._found: VectorIndex | None = None
        self._turns: dict[str, Turn] = {}
        self.asked_at = self.looked_at = self.absent_at = self.changed_at = -math.inf
        self.made_at = -math.inf
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
        seconds = FRESH if found.status == "creating" else _BELIEVED
        return found if now - self.looked_at < seconds else None

    def description_since(self, moment: float) -> VectorIndex | None:
        """Return its description, if that came after a moment."""
        return self._found if self.looked_at > moment else None

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
            self.forget()
            self.new_until, self.changed_at, self.made_at = now + _NEW, now, now
            self.absent_at = -math.inf

    def note_refusal(self, now: float) -> float | None:
        """Note a refused write; return the seconds to the next trial, or None where others pass."""
        with self._lock:
            if self._has_taken_writes:
                return None
            self._close(now)
            return max(self.next_trial - now, 0.0)

    def _close(self, now: float) -> None:
        # several that are refused at once are one trial
        if not self._is_closed or now >= self.next_trial:
            self._refusals += 1
            self.next_trial = now + pause(self._refusals)
        self._is_closed = True

    def is_closed(self, now: float) -> bool:
        """Tell whether writes wait until one has passed."""
        return self._is_closed and now < self.new_until

    @property
    def is_ready(self) -> bool:
        """Tell whether nothing that was seen of it says that writes have to wait."""
        return not self._is_closed

    def open(self) -> None:
        """Let writes go: one has passed."""
        with self._lock:
            self._has_taken_writes, self._is_closed, self._refusals = True, False, 0
            turn = self._turns.pop("trial", None)
        if turn is not None:  # so that who has it, and may pause yet, need not try
            turn.end()

    def turn(self, what: str) -> Turn | None:
        """Return the turn in progress, if there is one."""
        return self._turns.get(what)

    def begin(self, what: str, turn: Turn) -> Turn:
        """Return the turn in progress, else begin this one."""
        with self._lock:
            return self._turns.setdefault(what, turn)

    def end(self, what: str, turn: Turn) -> None:
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
            CredentialsKeeper, dict[tuple[str | None, ...], KnownIndex]
        ] = WeakKeyDictionary()

    def find(self, context: Context, index: str | None) -> KnownIndex:
        place = context.place_of(index)
        with self._lock:
            known = self._indexes.setdefault(context.credentials, {})
            if (found := known.get(place)) is None:
                if len(known) >= _MOST_INDEXES:
                    del known[next(iter(known))]
                found = known[place] = KnownIndex()
            return found


_table = _Table()


def known_index(context: Context, index: str | None) -> KnownIndex:
    """Return what is known of an index to who has these credentials."""
    return _table.find(context, index)
