"""Services that bear so many requests a second, and a world of simulated time to meet them in."""

from __future__ import annotations

import heapq
import itertools
import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.steps import Send, Sleep

REFUSED = Reply(503, {}, b'{"Error":{"Code":"QpsLimitExceeded","Message":"too fast"}}')


@dataclass
class Allowance:
    """An allowance that fills at a rate and holds a burst; a request takes one of it."""

    rate: float
    burst: float
    left: float = field(init=False)
    at: float | None = None

    def __post_init__(self):
        self.left = self.burst

    def take(self, now):
        self.at = now if self.at is None else self.at
        self.left, self.at = min(self.burst, self.left + (now - self.at) * self.rate), now
        taken = self.left >= 1
        self.left -= taken
        return taken


@dataclass
class Windows:
    """So many requests in each second of the clock."""

    rate: float
    second: int = -1
    count: int = 0

    def take(self, now):
        if int(now) != self.second:
            self.second, self.count = int(now), 0
        self.count += 1
        return self.count <= self.rate


@dataclass
class LastSecond:
    """So many requests in any second."""

    rate: float
    taken: deque = field(default_factory=deque)

    def take(self, now):
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) < self.rate:
            self.taken.append(now)
            return True
        return False


@dataclass
class Asked:
    """A request as the service saw it: when, whether it was taken, and for how many keys."""

    at: float
    taken: bool
    keys: int


@dataclass
class World:
    """Flows that run at once in simulated time, against one service.

    A request takes `latency` seconds and up to a tenth more, by a seeded die; who sleeps wakes up
    to a millisecond late.
    """

    machine: Any
    service: Any
    latency: float = 0.02
    seed: int = 1

    def __post_init__(self):
        self.asked: list[Asked] = []
        self.took: list[float] = []
        self._random = random.Random(self.seed)
        self._events: list = []
        self._numbers = itertools.count()

    def at(self, moment, do):
        """Have a function called at a moment."""
        heapq.heappush(self._events, (moment, next(self._numbers), do))

    def run(self, until):
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            moment, _, do = heapq.heappop(self._events)
            self.machine.seconds = moment
            do()
        self.machine.seconds = until

    def begin(self, flow, end=lambda _: None):
        """Run a flow; `end` is told of its result, or of what it raised."""
        began = self.machine.seconds

        def finish(outcome):
            self.took.append(self.machine.seconds - began)
            end(outcome)

        self._resume(flow, None, finish)

    def repeat(self, make, times=1_000_000):
        """Run flows one after the other, as one of several workers does."""
        left = iter(range(times))

        def go_on(outcome=None):
            if isinstance(outcome, Exception):
                raise outcome
            if next(left, None) is not None:
                self.begin(make(), go_on)

        go_on()

    def _resume(self, flow, answer, end):
        try:
            step = flow.send(answer)
        except StopIteration as stop:
            end(stop.value)
        except Exception as error:  # noqa: BLE001 - the caller judges it
            end(error)
        else:
            self._do(step, flow, end)

    def _do(self, step, flow, end):
        now = self.machine.seconds
        match step:
            case Sleep(seconds):
                late = self._random.uniform(0, 0.001)
                self.at(now + seconds + late, lambda: self._resume(flow, None, end))
            case Send(request):
                way = self.latency / 2
                arrives = now + way * self._random.uniform(1, 1.1)
                self.at(arrives, lambda: self._serve(request, flow, end, way))
            case _:
                raise AssertionError(f"not in this world: {step!r}")

    def _serve(self, request, flow, end, way):
        now = self.machine.seconds
        keys = json.loads(request.body).get("keys", ())
        taken = self.service.take(now)
        self.asked.append(Asked(now, taken, len(keys)))
        reply = Reply(200, {}, b'{"vectors":[]}') if taken else REFUSED
        self.at(now + way, lambda: self._resume(flow, reply, end))

    def taken_a_second(self, start, end):
        """Return how many requests a second were taken between two moments."""
        return sum(one.taken for one in self.asked if start <= one.at < end) / (end - start)

    def refused(self, start, end):
        """Return the share of the requests between two moments that were refused."""
        outcomes = [one.taken for one in self.asked if start <= one.at < end]
        return outcomes.count(False) / max(len(outcomes), 1)
