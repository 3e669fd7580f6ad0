"""The wait for an index that is new: by who makes it, where that is wanted, and by all writes.

A new index is `creating` first; one user saw writes fail with 500 then, and for 10 to 15 seconds
after it (reference 4.2, 16). The SDKs' tests write at once, and pass. So writes find out: a 500 is
no failed attempt while the index is new. Until the first has passed, one write at a time tries for
all that wait, after pauses that grow: each carries its whole body.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from . import errors
from .context import Context, Deadline, Flow
from .flow import Operation, call
from .known_indexes import FRESH, Turn, ask, known_index, pause, share, wait_for
from .models import Acknowledgement
from .operations import indexes
from .operations.indexes import DistanceMetric
from .recent import Writing, forget_writes
from .retry import RetryPolicy
from .steps import FaultKind, Sleep

_ONE_ATTEMPT = RetryPolicy(attempts=1)
_INTERNAL_ERROR = 500
_log = logging.getLogger("oss_vector_retriever")


def put_vector_index(
    context: Context,
    dimension: int,
    index: str | None = None,
    distance_metric: DistanceMetric = "cosine",
    non_filterable_metadata_keys: Iterable[str] = (),
    *,
    wait: bool = False,
    may_exist: bool = False,
) -> Flow[Acknowledgement]:
    """Return the flow of `OSSVectorClient.put_vector_index`.

    With `may_exist` the caller takes one that is there as well, so that an attempt that failed is
    followed by others: of as many writers as there are none is refused for a moment's load.
    """
    name, deadline = context.config.index_or(index), context.deadline()
    making = indexes.put_vector_index(
        context, dimension, name, distance_metric, non_filterable_metadata_keys, may_exist=may_exist
    )
    return _make(context, name, making, deadline, wait=wait)


def _make(
    context: Context, name: str, making: Flow[Acknowledgement], deadline: Deadline, *, wait: bool
) -> Flow[Acknowledgement]:
    known = known_index(context, name)
    try:
        done = yield from making
    except errors.VectorIndexAlreadyExistsError:
        raise
    except BaseException:  # nobody knows what it has done
        known.forget()
        raise
    known.note_making(context.monotonic())
    forget_writes(context, name, is_made=True)
    if wait:
        yield from _wait_until_ready(context, name, deadline)
    return done


def _wait_until_ready(context: Context, name: str, deadline: Deadline) -> Flow[None]:
    count = 0
    with _Waiting(context, name, deadline) as waiting:
        while True:
            try:
                asking = ask(context, name, deadline)
                found = yield from share(context, name, "look", deadline, asking)
            except errors.AccessDeniedError:
                return  # its writes wait all the same, when they are refused
            if found.status != "creating":
                return
            waiting.begin()
            count += 1
            seconds = pause(count)
            if seconds >= deadline.remaining_seconds:
                raise errors.DeadlineExceededError(
                    f"index {errors.quote(name)} is made, and was still creating after "
                    f"{deadline.elapsed_seconds:.3g} s; writes wait for it too.",
                    FaultKind.DEADLINE,
                )
            yield Sleep(seconds)


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
    # that deletions pass says nothing of puts: neither waits for the other
    is_put = operation.name == "PutVectors"
    name = context.config.index_or(operation.index)
    with _Trial(context, name, deadline, for_all=is_put) as trial:
        if not (yield from trial.wait_for_turn()):
            raise errors.DeadlineExceededError(
                f"index {errors.quote(trial.name)} is new, and was not ready for writes within "
                f"{deadline.seconds:g} s; nothing was sent.",
                FaultKind.DEADLINE,
            )
        operation = replace(operation, recover=trial.recover)
        with Writing(context, name, operation.written or {}):
            done = yield from call(context, operation, deadline, policy)
        if is_put:
            trial.known.open()
        return done


class _Waiting:
    """A wait for an index to be ready; the log tells of the first that begins, and of the end."""

    def __init__(self, context: Context, name: str, deadline: Deadline) -> None:
        self.context = context
        self.name = name
        self.deadline = deadline
        self.known = known_index(context, name)
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._has_begun:
            return
        if (since := self.known.end_wait()) is not None:
            text = "ready" if self.known.is_ready else "still not ready"
            seconds = self.context.monotonic() - since
            _log.info("index %r is %s after %.3g s", self.name, text, seconds)

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
    """A write that waits for its index, and at its turn tries it, `for_all` or itself alone."""

    def __init__(self, context: Context, name: str, deadline: Deadline, *, for_all: bool) -> None:
        super().__init__(context, name, deadline)
        self._for_all = for_all
        self._turn = Turn()
        self._refusals = 0

    def __exit__(self, *_: object) -> None:
        self.known.end("trial", self._turn)
        super().__exit__()

    def wait_for_turn(self) -> Flow[bool]:
        """Wait until the index takes writes, or it is for this one to find out; False: too long."""
        known, deadline = self.known, self.deadline
        while self._for_all and known.is_closed(self.context.monotonic()):
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
            yield from wait_for(known, "trial", turn, deadline)
        return True

    def recover(self, error: errors.OSSVectorError) -> Flow[bool]:
        """Wait after a refusal of a new index; False where it is for another reason."""
        if not isinstance(error, errors.ServiceError) or error.status != _INTERNAL_ERROR:
            return False
        known = self.known
        # others try before this one comes again: a record that is refused for itself, with 500
        # too, holds up no other
        known.end("trial", self._turn)
        self._turn = Turn()
        yield from self._look()
        now = self.context.monotonic()
        if now >= known.new_until:
            return False
        self._refusals += 1
        seconds = known.note_refusal(now) if self._for_all else None
        # where others pass it takes its own time
        seconds = pause(self._refusals) if seconds is None else seconds
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
        if now < known.new_until or now - known.asked_at < FRESH:
            return
        asking = ask(context, self.name, self.deadline, _ONE_ATTEMPT)
        with contextlib.suppress(errors.OSSVectorError):
            yield from share(context, self.name, "glance", self.deadline, asking)
