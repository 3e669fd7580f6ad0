"""What happens to requests: the `Faults` of a service, and the `RequestFaults` that one meets."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from ...client.models.messages import Reply
from .. import json_text
from .kinds import (
    ENDINGS,
    Delay,
    Duplicate,
    Fault,
    Reorder,
    Reset,
    ServerError,
    Skew,
    Throttle,
    Truncate,
)

F = TypeVar("F", bound=Fault)
_REMEMBERED = 10_000
_INTERNAL_ERROR = 500


@dataclass(frozen=True, slots=True)
class AppliedFault:
    """A fault that a request met; `operation` is None where the request named none."""

    fault: Fault
    operation: str | None


class Faults:
    """The faults of one service, and the last 10,000 that requests met; safe for threads.

    A fault for several requests is counted down for whoever comes first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []
        self._applied: deque[AppliedFault] = deque(maxlen=_REMEMBERED)

    @property
    def pending(self) -> tuple[Fault, ...]:
        """Return the faults to come, with the `times` that are left."""
        with self._lock:
            return tuple(self._pending)

    @property
    def applied(self) -> tuple[AppliedFault, ...]:
        """Return which faults requests met since `clear()`, the first first."""
        with self._lock:
            return tuple(self._applied)

    def add(self, *faults: Fault) -> None:
        """Apply faults to requests from now on."""
        with self._lock:
            self._pending.extend(faults)

    def clear(self) -> None:
        """End all faults, and forget which were applied."""
        with self._lock:
            self._pending.clear()
            self._applied.clear()

    def take(self, operation: str | None) -> tuple[Fault, ...]:
        """Return the faults that a request meets, and count them down."""
        with self._lock:
            positions = _positions(self._pending, operation)
            taken = [self._pending[position] for position in positions]
            # From the end, for those that are used up leave the list.
            for position in reversed(positions):
                self._count_down(position)
            self._applied.extend(AppliedFault(fault, operation) for fault in taken)
            return tuple(taken)

    def _count_down(self, position: int) -> None:
        times = self._pending[position].times
        if times == 1:
            del self._pending[position]
        elif times is not None:
            self._pending[position] = replace(self._pending[position], times=times - 1)


def _positions(pending: Iterable[Fault], operation: str | None) -> list[int]:
    """Return the positions of the faults that a request for an operation meets."""
    first_of_kind: dict[type[Fault], int] = {}
    for position, fault in enumerate(pending):
        if fault.operation in (None, operation):
            # All endings count as one kind: a request can end in one way only.
            kind = Fault if isinstance(fault, ENDINGS) else type(fault)
            first_of_kind.setdefault(kind, position)
    return sorted(first_of_kind.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ends, for a transport to carry out.

    Attributes:
        reply: the whole reply, or None where the connection is reset.
        delay: seconds until then.
        kept: how many bytes of the body are sent before the connection is closed, or None for all.
    """

    reply: Reply | None
    delay: float = 0.0
    kept: int | None = None

    def arrive(self) -> Reply:
        """Return what arrives where there is no connection to break.

        Raises:
            ConnectionResetError: nothing does.
        """
        if self.reply is None or self.kept == 0:
            raise ConnectionResetError("the connection was reset (a fault of the emulator)")
        if self.kept is None:
            return self.reply
        # The length that was declared is that of the whole body, as over HTTP.
        headers = {**self.reply.headers, "content-length": str(len(self.reply.body))}
        return Reply(self.reply.status, headers, self.reply.body[: self.kept])


@dataclass(frozen=True, slots=True)
class RequestFaults:
    """The faults that one request meets."""

    faults: tuple[Fault, ...] = ()

    def _find(self, kind: type[F]) -> F | None:
        return next((fault for fault in self.faults if isinstance(fault, kind)), None)

    @property
    def skew(self) -> timedelta:
        """Return how far the service's clock is ahead."""
        fault = self._find(Skew)
        return timedelta(seconds=fault.seconds if fault else 0)

    @property
    def performs(self) -> bool:
        """Tell whether what was asked for is done."""
        loss = self._find(ServerError) or self._find(Reset)
        return loss.performed if loss else self._find(Throttle) is None

    @property
    def code(self) -> str | None:
        """Return the code of the refusal that takes the reply's place, or None."""
        if self._find(Throttle):
            return "QpsLimitExceeded"
        error = self._find(ServerError)
        return "InternalError" if error and error.status == _INTERNAL_ERROR else None

    def outcome(self, reply: Reply | None) -> Outcome:
        """Return how the request ends, given the reply or the refusal in its place."""
        delay = self._find(Delay)
        seconds = delay.seconds if delay else 0.0
        error = self._find(ServerError)
        if error and error.status != _INTERNAL_ERROR:
            reply = _gateway_page(error.status)
        if reply is None or self._find(Reset):
            return Outcome(None, seconds)
        throttle = self._find(Throttle)
        if throttle and throttle.retry_after is not None:
            headers = {**reply.headers, "retry-after": f"{throttle.retry_after:g}"}
            reply = replace(reply, headers=headers)
        reply = _rearrange(reply, self._find(Reorder), self._find(Duplicate))
        cut = self._find(Truncate)
        return Outcome(reply, seconds, int(len(reply.body) * cut.keep) if cut else None)


def _rearrange(reply: Reply, reorder: Reorder | None, duplicate: Duplicate | None) -> Reply:
    if not (reorder or duplicate) or not reply.body:
        return reply
    answer: Any = json_text.loads(reply.body)
    if not isinstance(answer, dict) or "vectors" not in answer:
        return reply
    vectors = [v for v in answer["vectors"] for _ in range(2 if duplicate else 1)]
    if reorder:
        random.Random(reorder.seed).shuffle(vectors)  # noqa: S311 - a test's order, not a secret
    return replace(reply, body=json_text.dumps({**answer, "vectors": vectors}))


def _gateway_page(status: int) -> Reply:
    # A load balancer before the service answers in HTML, and without a request id.
    body = f"<html><head><title>{status}</title></head><body>gateway</body></html>".encode()
    return Reply(status, {"content-type": "text/html"}, body)
