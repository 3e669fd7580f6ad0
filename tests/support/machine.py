"""A machine whose clocks and dice move only when a test moves them, and flows played by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from oss_vector_retriever.client.coalesce import shared_calls
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.context import Clock, Context
from oss_vector_retriever.client.errors import OSSVectorError
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.client.steps import (
    Acquire,
    Begin,
    Call,
    Coalesce,
    Fault,
    FaultKind,
    RunAll,
    Send,
    Sleep,
)

LATE = Fault(FaultKind.DEADLINE, "ReadTimeout")
SETTINGS = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "vectorindex1",
    "credentials": ("ak", "sk"),
    "coalesce": False,  # the drivers' business, and no driver is at work here
}


@dataclass
class Played:
    """What a flow asked for, and how it ended."""

    requests: list[Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    seconds_left: list[float] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    value: object = None
    error: OSSVectorError | None = None


@dataclass
class Machine:
    """A machine; each exchange `takes` some seconds, and is cut off at its deadline."""

    seconds: float = 1000.0
    wall: datetime = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
    dice: float = 1.0
    takes: float = 0.0

    def passes(self, seconds):
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)

    def config(self, **options):
        return resolve_config(**{**SETTINGS, **options}, environment={})

    def context(self, **options):
        return Context(
            self.config(**options),
            monotonic=lambda: self.seconds,
            random=lambda: self.dice,
            clock=Clock(lambda: self.wall),
        )

    def play(self, flow, outcomes):
        """Drive a flow: `outcomes` are replies and faults in order, or a function of a request."""
        played = Played()
        try:
            played.value = self._run(flow, _answers(outcomes), played)
        except OSSVectorError as error:
            played.error = error
        return played

    def _run(self, flow, answer, played):
        outcome, advance = None, flow.send
        while True:
            try:
                step = advance(outcome)
            except StopIteration as end:
                return end.value
            try:
                outcome, advance = self._do(step, answer, played), flow.send
            except Exception as error:
                if isinstance(error, AssertionError):
                    raise
                outcome, advance = error, flow.throw

    def _do(self, step, answer, played):  # noqa: PLR0911 - one for each step
        match step:
            case Send(request, seconds):
                played.sends.append(step)
                played.requests.append(request)
                played.seconds_left.append(seconds)
                outcome = answer(request)
                self.passes(min(self.takes, seconds))
                return outcome if seconds >= self.takes else LATE
            case Begin(inquiry):
                return inquiry.run()
            case Sleep(seconds):
                played.sleeps.append(seconds)
                return self.passes(seconds)
            case Call(function):
                return function()
            case RunAll(flows):
                return [self._run(flow, answer, played) for flow in flows]
            case Coalesce(pending):
                return self._join(pending, answer, played)
            case Acquire(pacer):
                return pacer.acquire(blocking=False)
        raise AssertionError(f"not a step: {step!r}")

    def _join(self, pending, answer, played):
        """Serve one pending fetch alone, as a runner does where there is no other."""
        for shared in shared_calls([pending]):
            self._run(shared.serve(), answer, played)


def _answers(outcomes):
    if callable(outcomes):
        return outcomes
    rest = iter(outcomes)

    def answer(request):
        outcome = next(rest, None)
        assert outcome is not None, f"one request too many: {request!r}"
        return outcome

    return answer
