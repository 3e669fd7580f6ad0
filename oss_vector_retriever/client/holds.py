"""Writes of one process that wait for one another: what was read stays true until it is written.

The service has no conditional write. Whoever reads a record to write it back, changed, holds its
key alone meanwhile; plain writes and deletions share theirs, and wait for such a one only. All
clients of the process that point to one index take part, blocking and async together. Of other
processes nothing is known here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from . import errors, fork
from .context import Context, Deadline, Flow
from .steps import FaultKind, Sleep

T = TypeVar("T")


class Hold:
    """A claim on keys of an index, or on the whole of it, from the moment that it is requested.

    Holds are granted in the order of their requests. Each asks for all of its keys at once and for
    none later, so that no two wait for each other.

    Args:
        context: says which bucket.
        index: the index.
        keys: the keys; None for all that it has.
        alone: True for what reads before it writes; False for a write that others may join.
    """

    def __init__(
        self, context: Context, index: str, keys: Iterable[str] | None, *, alone: bool = False
    ) -> None:
        config = context.config
        # not by the endpoint: one bucket is reached by several
        self.index = (config.account_id, config.region, config.bucket, index)
        self.keys = None if keys is None else set(keys)
        self.alone = alone
        self.over = False
        self.waits_for: set[Hold] = set()
        self.followers: list[Hold] = []
        self.wake: Callable[[], object] | None = None

    def release(self, keys: Iterable[str] | None = None) -> None:
        """Let go of some keys, or of everything; what was let go before does no harm."""
        _table.release(self, keys)

    def call_when_given(self, wake: Callable[[], object]) -> None:
        """Have a function called once, from whatever thread, when the hold is granted."""
        _table.set_waker(self, wake)

    def meets(self, other: Hold) -> bool:
        """Tell whether both claim a key."""
        if self.keys is None or other.keys is None:
            return True
        return not self.keys.isdisjoint(other.keys)


def run_with(hold: Hold, flow: Flow[T], deadline: Deadline) -> Flow[T]:
    """Run a flow when a hold is granted, and release the hold when the flow is over.

    Raises:
        DeadlineExceededError: others held a key for too long.
    """
    try:  # requested within, or Ctrl-C between the two would leave it requested for ever
        yield from wait_for(hold, deadline)
        return (yield from flow)
    finally:
        hold.release()


def wait_for(hold: Hold, deadline: Deadline) -> Flow[bool]:
    """Request a hold that the caller releases whatever comes; tell whether it had to be waited for.

    Raises:
        DeadlineExceededError: others held a key for too long.
    """
    _table.request(hold)
    waits = bool(hold.waits_for)
    while hold.waits_for:
        seconds = deadline.remaining_seconds
        if seconds <= 0:
            raise _deadline_error(hold, deadline)
        yield Sleep(seconds, hold)
    return waits


def _deadline_error(hold: Hold, deadline: Deadline) -> errors.DeadlineExceededError:
    others = set().union(*(other.keys or () for other in hold.waits_for))
    keys = sorted(others if hold.keys is None else hold.keys & others)
    which = f" of {errors.quote(keys[0])}" if keys else ""
    return errors.DeadlineExceededError(
        f"other writes{which} in this process did not end within {deadline.seconds:g} s; nothing "
        "was sent.",
        FaultKind.DEADLINE,
    )


@dataclass(slots=True)
class _Index:
    """The holds on one index: those that are shared, and for each key the last one alone."""

    shared: set[Hold] = field(default_factory=set)
    last: dict[str, Hold] = field(default_factory=dict)


class _Table:
    """The holds of a process: only of writes in progress, so that nothing stays behind."""

    def __init__(self) -> None:
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Forget all holds: the threads that would release them are the parent's."""
        # reentrant: a flow that was dropped releases its hold wherever its memory is freed
        self._lock = threading.RLock()
        self._indexes: dict[tuple[str | None, ...], _Index] = {}

    def request(self, hold: Hold) -> None:
        with self._lock:
            known = self._indexes.setdefault(hold.index, _Index())
            last = known.last
            if hold.alone:
                earlier = {other for other in list(known.shared) if other.meets(hold)}
                for key in hold.keys or ():
                    if key in last:
                        earlier.add(last[key])
                    last[key] = hold
            else:
                # a set and a view: in C, by the shorter of the two
                keys = last.keys() if hold.keys is None else last.keys() & hold.keys if last else ()
                earlier = {last[key] for key in list(keys)}
                known.shared.add(hold)
            hold.waits_for = earlier
            for other in earlier:
                other.followers.append(hold)

    def set_waker(self, hold: Hold, wake: Callable[[], object]) -> None:
        with self._lock:
            hold.wake = wake
            waits = bool(hold.waits_for)
        if not waits:
            wake()

    def release(self, hold: Hold, keys: Iterable[str] | None = None) -> None:
        granted: list[Hold] = []
        with self._lock:
            if keys is not None and hold.keys is not None:
                hold.keys.difference_update(keys)
                granted = [one for one in hold.followers if not one.meets(hold)]
                hold.followers = [one for one in hold.followers if one.meets(hold)]
                granted = [one for one in granted if _grant(one, hold)]
            elif not hold.over:
                hold.over = True
                granted = self._remove(hold)
        for one in granted:
            if one.wake is not None:
                with contextlib.suppress(RuntimeError):  # its event loop is closed
                    one.wake()

    def _remove(self, hold: Hold) -> list[Hold]:
        # Return those that are granted now. One that gave up waiting stays in the order, or those
        # behind it would overtake those before it.
        granted: list[Hold] = []
        over = [hold]
        while over:
            one = over.pop()
            if one.alone and one.waits_for:
                continue
            self._forget(one)
            for follower in one.followers:
                if _grant(follower, one):
                    (over if follower.over else granted).append(follower)
            one.followers = []
        return granted

    def _forget(self, hold: Hold) -> None:
        if (known := self._indexes.get(hold.index)) is None:
            return
        known.shared.discard(hold)
        if hold.alone:
            for key in hold.keys or ():
                if known.last.get(key) is hold:
                    del known.last[key]
        if not known.shared and not known.last:
            del self._indexes[hold.index]


def _grant(hold: Hold, released: Hold) -> bool:
    # True where it has nothing to wait for any more
    hold.waits_for.discard(released)
    return not hold.waits_for


_table = _Table()
