"""Concurrent fetches that share API calls: the part without I/O and without waiting.

Each fetch of a few keys is pending until its vectors are there. Pending fetches that agree on
everything but their keys share calls of at most 100 distinct keys, and each takes its own out of
the reply. When they are put together, the runners decide: `transport.coalescer`. There is no cache.
"""

from collections.abc import Iterable
from copy import copy, deepcopy
from dataclasses import dataclass, field

from .context import Context, Deadline, Flow
from .errors import DeadlineExceededError, OSSVectorError, ResponseError, ServiceError
from .flow import call
from .models import GetVectorsResult, Vector
from .operations.vectors import get_operation
from .steps import FaultKind

_BAD_REQUEST = 400


@dataclass(eq=False, slots=True)
class PendingFetch:
    """A fetch that is not over, with what has arrived of it; its keys are distinct.

    `refused_with_others` is set when a call that served others as well was refused, or its reply:
    whose keys are to blame is not known, so each has to ask by itself.
    """

    context: Context
    index: str
    keys: list[str]
    return_data: bool
    return_metadata: bool
    deadline: Deadline
    # what has arrived; not `init`, so that `replace` makes a fetch with nothing of it
    found: dict[str, Vector] = field(default_factory=dict, init=False)
    request_ids: list[str] = field(default_factory=list, init=False)
    calls: int = field(default=0, init=False)
    outstanding: int = field(default=0, init=False)
    error: BaseException | None = field(default=None, init=False)
    refused_with_others: bool = field(default=False, init=False)
    # by a call that another pending fetch stands for
    served_by_another: bool = field(default=False, init=False)

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
        return ended or self.refused_with_others or self.error is not None

    def raise_error(self) -> None:
        """Raise what went wrong, or that not all arrived in time."""
        if self.error is not None:
            raise self.error
        if not self.is_over:
            text = f"GetVectors did not end within {self.deadline.seconds:g} s."
            error = DeadlineExceededError(text, FaultKind.DEADLINE)
            error.elapsed = self.deadline.elapsed_seconds
            raise error


class SharedCall:
    """One API call that serves several pending fetches."""

    def __init__(self, keys: list[str], waiters: list[PendingFetch]) -> None:
        self.keys = keys
        self.waiters = waiters
        for pending in waiters:
            pending.outstanding += 1

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
        return call(first.context, operation, self.most_patient.deadline)

    def serve(self) -> Flow[None]:
        """Make the call and give each fetch its part of the reply, or its error."""
        try:
            self.deal((yield from self.flow()))
        except Exception as error:  # noqa: BLE001 - it is raised in those who wait
            self.fail(error)

    def deal(self, reply: GetVectorsResult) -> None:
        """Give each fetch its own vectors."""
        # the first may have those of the reply; the metadata of the others are copies, for callers
        # may change theirs, while data are read-only
        vectors = {vector.key: vector for vector in reply.vectors}
        for number, pending in enumerate(self.waiters):
            mine = vectors
            if len(self.waiters) > 1:
                mine = {key: vectors[key] for key in pending.keys if key in vectors}
            if number > 0:
                pending.served_by_another = True
                mine = {key: Vector(key, v.data, deepcopy(v.metadata)) for key, v in mine.items()}
            pending.found |= mine
            pending.calls += 1
            pending.outstanding -= 1
            if reply.request_id:
                pending.request_ids.append(reply.request_id)

    def fail(self, error: BaseException) -> None:
        """Give each fetch an error of its own, or send it to ask by itself."""
        apart = len(self.waiters) > 1 and _may_be_of_one(error)
        for pending in self.waiters:
            pending.outstanding -= 1
            if apart:
                pending.refused_with_others = True
                continue
            # a copy: raised in several threads, one object would collect the tracebacks of all
            own = copy(error) if isinstance(error, OSSVectorError) else error
            pending.calls += 1
            pending.error = pending.error or own


def _may_be_of_one(error: BaseException) -> bool:
    # one bad key has the whole call refused, and the reply does not say which it was; one bad
    # record, or all of them together, has a whole reply refused that each alone might have had, and
    # the text names a key that may be another caller's
    if isinstance(error, ServiceError):
        return error.status == _BAD_REQUEST
    return isinstance(error, ResponseError) and not error.unreadable


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
