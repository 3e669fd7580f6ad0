"""One rate for many processes: the slots of a timeline, leased a few at a time.

A slot is the moment at which one request may be sent. Whoever keeps the timeline hands out slots
and forgets them: what a process that died had leased goes by unused, a few slots at most, since
nobody leases more than wait for one just then, or than it used in as little as `AHEAD`. Processes
on other machines have other clocks, so slots travel as seconds from now.

In any 5 seconds at most 1.05 of the rate are sent, for two reasons. The slots are spaced for 0.97
of it. And a slot is used within `LATENESS` of its moment or not at all, so that no pause of a
process, and no reply that comes late, saves slots up for a burst. It is less where slots are far
apart: there one more is a large share.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

HEADROOM = 0.97
LATENESS = 0.25  # seconds
_LATENESS_OF_FEW = 0.15  # of less than 10 slots a second
_FAR = 0.1
CATCH_UP = 0.05  # seconds; of a moment in which nobody was quick enough to ask
AHEAD = 0.1  # seconds; where a request to the keeper takes long, few need be made
# seconds; a keeper that begins may follow one that died, whose slots are still being used
SETTLING = 1.0

_MOST_AHEAD = 64  # slots


class Lease(NamedTuple):
    """Slots: the seconds until the first, which may be just past, and between one and the next."""

    first: float
    interval: float


class SlotTimeline:
    """The timeline of one service; of all slots ever leased no two are nearer than the rate allows.

    It is told the rate with each request: those who have different ones share the same time.
    """

    def __init__(self, now: float) -> None:
        self._next = now + SETTLING

    def lease(self, count: int, rate: float, now: float) -> Lease:
        """Lease the next `count` slots, at `rate` a second."""
        interval = 1 / (rate * HEADROOM)
        first = max(self._next, now - CATCH_UP)
        self._next = first + count * interval
        return Lease(first - now, interval)


class _Slot(NamedTuple):
    opens: float
    closes: float


class LeasedRate:
    """A rate limiter whose slots are leased, with the two methods of LangChain's rate limiters.

    It is safe for threads. Those that wait together share one request to the keeper.

    Args:
        lease: asks the keeper for a number of slots.
        monotonic: returns the time, in seconds.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        lease: Callable[[int], Lease],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._lease = lease
        self._monotonic = monotonic
        self._sleep = sleep
        self._slots: deque[_Slot] = deque()
        self._asking = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._used_at: deque[float] = deque(maxlen=_MOST_AHEAD)

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for a slot, or tell whether there is one now."""
        return self.acquire_within(threading.TIMEOUT_MAX if blocking else 0.0)

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Wait for a slot, or tell whether there is one now; the event loop goes on meanwhile."""
        return await asyncio.to_thread(self.acquire, blocking=blocking)

    def acquire_within(self, seconds: float) -> bool:
        """Wait for a slot for some seconds at most, and tell whether it came."""
        end = self._monotonic() + seconds
        while True:
            slot = self._take()
            now = self._monotonic()
            if slot.opens > max(end, now):
                with self._asking:  # another may want it
                    self._slots.appendleft(slot)
                    self._used_at.pop()
                return False
            if slot.opens > now:
                self._sleep(slot.opens - now)
            # a process that was held up meanwhile lets the slot go by
            if self._monotonic() <= slot.closes:
                return True

    def _take(self) -> _Slot:
        with self._counting:
            self._waiting += 1
        # held while the keeper is asked: whoever comes meanwhile finds a slot when it is let go
        with self._asking:
            now = self._monotonic()
            while self._slots and self._slots[0].closes < now:
                self._slots.popleft()
            try:
                if not self._slots:
                    usual = sum(moment > now - AHEAD for moment in self._used_at)
                    self._fill(max(self._waiting, usual))
            finally:
                with self._counting:
                    self._waiting -= 1
            self._used_at.append(now)
            return self._slots.popleft()

    def _fill(self, count: int) -> None:
        asked = self._monotonic()
        lease = self._lease(count)
        answered = self._monotonic()
        # when between the two the keeper looked at its clock nobody knows: a slot opens no sooner
        # than it can have meant, and closes no later
        lateness = LATENESS if lease.interval < _FAR else _LATENESS_OF_FEW
        for number in range(count):
            after = lease.first + number * lease.interval
            self._slots.append(_Slot(answered + after, asked + after + lateness))
