"""When pending fetches are put together into calls: for threads, and on an event loop.

How they are put together is decided in `coalesce`; here is only the waiting. No fetch waits for
company: on threads it goes at once while the client has a free slot, and shares the next call where
it has to wait for one; on a loop those of one turn share. Only a window that the user asked for is
waited out. No fetch's cancellation, deadline or error touches another.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...lazy import LazyModule
from ..coalesce import PendingFetch, SharedCall, next_call, shared_calls
from ..steps import Flow

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = LazyModule("asyncio", globals())

# seconds beyond a deadline: a call that ends at the same moment says more of why
_GRACE = 0.02
# of an event loop: a call whose time is up takes about five to say so
_TURNS = 20
# seconds; Ctrl-C may have ended a thread between two steps of handing a call over, and those who
# wait for it find that out by themselves
_LOOK_AGAIN = 1.0


@dataclass(eq=False, slots=True)
class _Waiter:
    """A thread that waits for its fetch; `lead` is the call that it has to make for others too."""

    thread: int = field(default_factory=threading.get_ident)
    woken: threading.Event = field(default_factory=threading.Event)
    lead: SharedCall | None = None


@dataclass(eq=False, slots=True)
class _Window:
    """The fetches of one group that wait until a moment for others."""

    ends: float
    fetches: dict[PendingFetch, None] = field(default_factory=dict)


class ThreadCoalescer:
    """The pending fetches of threads, and the slots that they wait for.

    There are as many slots as connections. Each exchange holds one, whatever it is for; a fetch
    holds one from the moment that it may go until its first exchange is over. The coalescer has no
    thread of its own: whoever ends an exchange gives out the next call, to the one of the threads
    served that has the latest deadline.
    """

    def __init__(self, run: Callable[[Flow[Any]], Any], slots: int) -> None:
        # the threads that hold a slot; a set, because taking out what is not in it does no harm:
        # Ctrl-C can end a thread anywhere, and a count that it left too high would stay so
        self.holders: set[int] = set()
        self._run = run
        self._slots = slots
        # reentrant: a signal's handler may fetch in a thread that stands still amid this
        self._lock = threading.RLock()
        self._waiters: dict[PendingFetch, _Waiter] = {}
        self._queue: dict[PendingFetch, None] = {}
        # of calls that failed for what may be in one of their fetches
        self._halves: deque[SharedCall] = deque()
        self._windows: dict[object, _Window] = {}
        self._closed = False

    def join(self, pending: PendingFetch) -> bool:
        """Return True where a slot is free: the fetch holds it now, and makes its call alone.

        Else wait until it is over or its deadline has passed, and make a call for it and others
        where that falls to it. What ends this thread early, such as Ctrl-C, must not strand those
        others: they go back to the queue.
        """
        if threading.get_ident() in self.holders:
            return True  # a signal's handler: its thread, which stands still, has a slot already
        if pending.window is None:
            # the slot is taken here, not when the exchange begins: of many threads that come at
            # once, each must see what those before it have taken
            with self._lock:
                if not (self._queue or self._halves) and len(self.holders) < self._slots:
                    self.holders.add(threading.get_ident())
                    return True
        waiter = _Waiter()
        pending.wake = waiter.woken.set
        try:
            with self._lock:
                if self._closed:
                    return False
                self._waiters[pending] = waiter
                if pending.window is None:
                    self._queue[pending] = None
                    self._give_out_calls()
            if pending.window is not None:
                self._wait_for_window(pending, waiter)
            self._wait(pending, waiter)
            while waiter.lead is not None:
                self._hand_on(waiter, self._run(waiter.lead.serve()))
                self._wait(pending, waiter)
        finally:
            self._leave(pending, waiter)
        return False

    def close(self) -> None:
        """Wake whoever waits, now or later: nothing that could serve them is made any more."""
        with self._lock:
            self._closed = True
            for waiter in self._waiters.values():
                waiter.woken.set()

    def release_slot(self, thread: int) -> None:
        """End a thread's hold, and give out what waited for it."""
        self.holders.discard(thread)
        if self._queue or self._halves:
            # one turn however many slots are held: where other operations keep all connections
            # busy, with more waiting, no slot is ever free
            with self._lock:
                self._give_out_calls(turns=1)

    def _give_out_calls(self, turns: int = 0) -> None:
        # a call for each free slot, and at least so many; the lock is held
        while self._queue or self._halves:
            if turns <= 0 and len(self.holders) >= self._slots:
                return
            # halves first: who is in them has waited for a call already
            call = self._halves.popleft() if self._halves else next_call(self._queue)
            if not call.keep(self._waiters):
                continue
            turns -= 1
            leader = self._waiters[call.most_patient]
            leader.lead = call
            self.holders.add(leader.thread)
            for pending in call.waiters:
                self._queue.pop(pending, None)
            leader.woken.set()

    def _wait_for_window(self, pending: PendingFetch, waiter: _Waiter) -> None:
        # each thread wakes at the window's end and would end it: none relies on the first to come,
        # which its deadline or Ctrl-C may have taken away
        with self._lock:
            new = _Window(time.monotonic() + (pending.window or 0.0))
            window = self._windows.setdefault(pending.group, new)
            window.fetches[pending] = None
        seconds = max(window.ends - time.monotonic(), 0.0)
        remaining = max(pending.deadline.remaining_seconds, 0.0)
        waiter.woken.wait(min(seconds, remaining))
        if seconds > remaining:
            return  # the deadline cut this thread's wait short; the others' window goes on
        with self._lock:
            if self._windows.get(pending.group) is window:
                del self._windows[pending.group]
                self._queue |= window.fetches
                self._give_out_calls()

    def _wait(self, pending: PendingFetch, waiter: _Waiter) -> None:
        ends = time.monotonic() + max(pending.deadline.remaining_seconds, 0.0) + _GRACE
        while not pending.is_over and (seconds := ends - time.monotonic()) > 0:
            if waiter.woken.wait(min(seconds, _LOOK_AGAIN)):
                return
            with self._lock:
                self._give_out_calls()

    def _hand_on(self, waiter: _Waiter, halves: list[SharedCall]) -> None:
        # what this thread's call has brought, and what is to be called for in its place
        with self._lock:
            if waiter.lead is None:
                return
            if not self._closed:
                waiter.woken.clear()
            for other in waiter.lead.waiters:
                if other in self._waiters and other.is_over:
                    self._waiters[other].woken.set()
            self._halves.extend(halves)
            self._end_lead(waiter)

    def _leave(self, pending: PendingFetch, waiter: _Waiter) -> None:
        with self._lock:
            self._waiters.pop(pending, None)
            self._queue.pop(pending, None)
            if window := self._windows.get(pending.group):
                window.fetches.pop(pending, None)
            if waiter.lead is None:
                return
            # something ended this thread in the middle of the call
            again: dict[PendingFetch, None] = {}
            for other in waiter.lead.waiters:
                if other in self._waiters and other.is_over:
                    self._waiters[other].woken.set()
                elif other in self._waiters:
                    other.outstanding = 0
                    again[other] = None
            self._queue = again | self._queue
            self._end_lead(waiter)

    def _end_lead(self, waiter: _Waiter) -> None:
        # a call that failed before its exchange, for want of credentials, holds its slot still
        held = waiter.thread in self.holders
        self.holders.discard(waiter.thread)
        waiter.lead = None
        self._give_out_calls(turns=int(held))


class LoopCoalescer:
    """The pending fetches of the tasks of one event loop."""

    def __init__(self, run: Callable[[Flow[Any]], Coroutine[Any, Any, Any]]) -> None:
        self._run = run
        self._gathered: dict[float | None, list[PendingFetch]] = {}
        self._woken: dict[PendingFetch, asyncio.Event] = {}
        self._calls: dict[asyncio.Task[None], SharedCall] = {}

    async def join(self, pending: PendingFetch) -> None:
        """Wait until a fetch is over, or its deadline has passed."""
        woken, window = asyncio.Event(), pending.window
        self._woken[pending] = woken
        pending.wake = woken.set
        if window not in self._gathered:
            self._gathered[window] = []
            loop = asyncio.get_running_loop()
            if window is None:
                # after the tasks that are ready now: they have their say in this turn
                loop.call_soon(self._send, window)
            else:
                loop.call_later(window, self._send, window)
        self._gathered[window].append(pending)
        try:
            async with asyncio.timeout(max(pending.deadline.remaining_seconds, 0.0) + _GRACE):
                await woken.wait()
        except TimeoutError:
            # on a loop that is late this timer and the call's go off together
            for _ in range(_TURNS):
                if pending.is_over:
                    return
                await asyncio.sleep(0)
        finally:
            del self._woken[pending]
            if not woken.is_set():
                self._cancel_unwanted_calls()

    def _send(self, window: float | None) -> None:
        waiters = [pending for pending in self._gathered.pop(window) if pending in self._woken]
        for shared in shared_calls(waiters):
            self._start(shared)

    def _start(self, shared: SharedCall) -> None:
        # a task that belongs to none of those served: each of them may be cancelled
        task = asyncio.ensure_future(self._make(shared))
        self._calls[task] = shared
        task.add_done_callback(lambda done: self._calls.pop(done, None))

    async def _make(self, shared: SharedCall) -> None:
        halves: list[SharedCall] = []
        try:
            halves = await self._run(shared.serve())
        except asyncio.CancelledError as error:
            # somebody else's doing, such as a credentials callable's, or nobody waits any more
            shared.settle(error)
            raise
        finally:
            for pending in shared.waiters:
                if pending.is_over and pending in self._woken:
                    self._woken[pending].set()
        for half in halves:
            if half.keep(self._woken):
                self._start(half)

    def _cancel_unwanted_calls(self) -> None:
        for task, shared in list(self._calls.items()):
            if not any(pending in self._woken for pending in shared.waiters):
                task.cancel()
