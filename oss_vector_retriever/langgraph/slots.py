"""The calls that a store has in progress: as many as its client sends at once, and no more.

Of thousands of operations that come together each waits here until it is its turn, and then for the
service alone: the timeout of a call counts from there.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from ..client import fork
from ..client.concurrency import limit_concurrency
from ..client.context import Context, Flow
from ..client.steps import Sleep, run_all

T = TypeVar("T")
_LOOK_AGAIN: Final = 60.0  # seconds; Ctrl-C may have ended a thread that was to wake this one


class _Claim:
    """A claim to a slot, from the moment that it is requested."""

    def __init__(self) -> None:
        self.is_given = False
        self.wake: Callable[[], object] | None = None
        self._lock = threading.Lock()

    def call_when_given(self, wake: Callable[[], object]) -> None:
        """Have a function called once, from whatever thread, when the slot is given."""
        with self._lock:
            self.wake = wake
            is_given = self.is_given
        if is_given:
            wake()

    def give(self) -> None:
        """Give the slot, and wake who waits for it."""
        with self._lock:
            self.is_given = True
            wake = self.wake
        if wake is not None:
            with contextlib.suppress(RuntimeError):  # its event loop is closed
                wake()


class Slots:
    """The slots of one store, for its threads and event loops together; given out in order."""

    def __init__(self) -> None:
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Begin with all slots free: those that hold them are the parent's."""
        # reentrant: a flow that was dropped releases its slot wherever its memory is freed
        self._lock = threading.RLock()
        self._taken = 0
        self._waiting: deque[_Claim] = deque()

    def run(self, context: Context, flow: Flow[T]) -> Flow[T]:
        """Run a flow when a slot is free; it must not wait for another slot itself."""
        claim = _Claim()
        try:  # requested within, or Ctrl-C between the two would leave the slot taken for ever
            self._request(claim, context.config.max_concurrency)
            while not claim.is_given:
                yield Sleep(_LOOK_AGAIN, claim)
            return (yield from flow)
        finally:
            self._release(claim)

    def run_each(self, context: Context, flows: Sequence[Flow[T]]) -> Flow[list[T]]:
        """Run flows, each in a slot, and return their results in order."""
        return run_in_lanes(context, [self.run(context, flow) for flow in flows])

    def _request(self, claim: _Claim, width: int) -> None:
        with self._lock:
            if self._taken >= width:
                self._waiting.append(claim)
                return
            self._taken += 1
        claim.give()

    def _release(self, claim: _Claim) -> None:
        with self._lock:
            if not claim.is_given:
                with contextlib.suppress(ValueError):  # it was never requested
                    self._waiting.remove(claim)
                return
            following = self._waiting.popleft() if self._waiting else None
            if following is None:
                self._taken -= 1
            else:
                following.give()


def run_in_lanes(context: Context, flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    """Run flows, as many at once as the client sends requests, and return their results."""
    if not flows:
        return []
    width = context.config.max_concurrency
    return (yield from limit_concurrency(context, width, _run_together, flows))


def _run_together(_: Context, flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    return run_all(flows)
