"""The attempts of one call: what was tried, what came back, and what it says of the next try."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from oss_vector_retriever.client.context import Context, Deadline
from oss_vector_retriever.client.errors import (
    DeadlineExceededError,
    OSSVectorError,
    ResponseError,
    ServiceError,
    TransportError,
)
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.retry import http_date, retry_after
from oss_vector_retriever.client.steps import Fault, FaultKind

T = TypeVar("T")
_log = logging.getLogger("oss_vector_retriever")


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """Describe one API operation with its arguments: how to ask, and how to read the answer.

    `on_bucket` is False for what is asked of the region; `idempotent` is False where a repeated
    request could find its own first effect. `headers` are sent beside the usual ones.
    """

    name: str
    decode: Callable[[Reply], T]
    method: str = "POST"
    query: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    index: str | None = None
    on_bucket: bool = True
    idempotent: bool = True


class Attempts(Generic[T]):
    """Keep what one call has tried so far."""

    def __init__(self, context: Context, operation: Operation[T], deadline: Deadline) -> None:
        self.context = context
        self.operation = operation
        self.deadline = deadline
        self.reply: Reply | None = None
        self.errors: list[OSSVectorError] = []
        self.made = 0
        self.free = 0
        self.paid = 0
        self.clock_corrected = False
        self.credentials_renewed = False

    def left(self) -> float:
        """Return the seconds until the deadline; below 0 when it has passed."""
        return self.deadline.moment - self.context.monotonic()

    def told(self, error: OSSVectorError) -> OSSVectorError:
        """Return an error with what is known of the call written on it."""
        error.attempts = self.made
        error.elapsed = self.context.monotonic() - self.deadline.started
        error.errors = tuple(self.errors)
        if isinstance(error, ServiceError):
            error.where = self.where()
        return error

    def where(self) -> str:
        """Return the operation, with the index and bucket it is for."""
        bucket = self.context.config.bucket if self.operation.on_bucket else None
        index = f" on index {self.operation.index!r}" if self.operation.index else ""
        return f"{self.operation.name}{index}" + (f" of bucket {bucket!r}" if bucket else "")

    def late(self) -> DeadlineExceededError:
        """Return the error for a call that ran out of time."""
        last = f" The last attempt failed with: {self.errors[-1]}" if self.errors else ""
        return DeadlineExceededError(
            f"{self.operation.name} did not end within {self.deadline.seconds:g} s "
            f"({self.made} attempts).{last}",
            FaultKind.DEADLINE,
        )

    def broken(self, fault: Fault, request: Request) -> OSSVectorError:
        """Return the error for an attempt that brought no whole reply."""
        name, where = self.operation.name, f"{request.origin} ({fault.name})"
        if fault.kind is FaultKind.DEADLINE:
            return self.late()
        if fault.kind is FaultKind.TOO_LARGE:
            most = self.context.config.max_reply_bytes
            return ResponseError(
                f"{name}: the reply is larger than max_reply_bytes ({most} bytes); it was not "
                "read to its end."
            )
        return TransportError(f"{name}: {_SAID[fault.kind].format(where)}.", fault.kind)

    def asked_pause(self) -> float | None:
        """Return the pause that the last reply asked for with Retry-After, in seconds."""
        header = self.reply.headers.get("retry-after") if self.reply else None
        return retry_after(header, self.context.clock.now())

    def learn_clock(self) -> bool:
        """Correct the client's clock by the last reply's Date; True where that may help.

        Only the refusal of a date leads here, never any other reply: a cached or hostile Date
        must not steer signing.
        """
        theirs = http_date(self.reply.headers.get("date", "") if self.reply else "")
        return theirs is not None and self.context.clock.learn(theirs)

    def log(self, outcome: Reply | Fault) -> None:
        """Log the outcome of an attempt, without contents."""
        if not _log.isEnabledFor(logging.DEBUG):
            return
        name, made = self.operation.name, self.made
        if isinstance(outcome, Fault):
            _log.debug("%s attempt %d: %s (%s)", name, made, outcome.kind, outcome.name)
            return
        size, request_id = len(outcome.body), outcome.request_id
        status = outcome.status
        _log.debug("%s attempt %d: HTTP %d, %d bytes, %s", name, made, status, size, request_id)


_SAID = {
    FaultKind.CONNECT: "could not connect to {}; check the endpoint, the region and the network",
    FaultKind.TLS: "could not agree on TLS with {}: its certificate was not accepted, or it speaks "
    "no TLS 1.2 or newer",
    FaultKind.CLOSED: "the connection to {} broke before the reply was whole",
    FaultKind.PROTOCOL: "{} did not answer in HTTP",
}
