"""Faults that users switch on for their own tests.

    service.faults.add(Throttle(times=3, operation="GetVectors"), Delay(seconds=0.2))

The next `times` requests for its operation meet a fault, also those that are not signed. Of
`Throttle`, `ServerError`, `Truncate` and `Reset` a request meets one, the first added, so that
several follow one another; the other kinds come with it, the first added of each. The last of what
happened are in `service.faults.applied`, and `service.faults.counts` says how often each kind did.

Over HTTP the same is done at `/_emulator/faults`.
"""

import math
import random
import threading
from collections import Counter, deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import orjson

from ..client.models.messages import Reply
from .clock import is_number
from .operations.table import OPERATIONS

__all__ = ["AppliedFault", "Delay", "Duplicate", "Fault", "Faults", "Outcome", "Reorder", "Reset"]
__all__ += ["ServerError", "Skew", "Throttle", "Truncate"]

F = TypeVar("F", bound="Fault")
_NAMES = frozenset(operation.name for operation in OPERATIONS)
_LONGEST_SECONDS = 1e9  # about 30 years, which a date still bears
_REMEMBERED = 100
_INTERNAL_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, and which requests meet it.

    Attributes:
        times: how many; None for all until `clear()`.
        operation: the name of one, such as "GetVectors"; None for every operation.

    Raises:
        ValueError: an attribute is impossible.
    """

    times: int | None = 1
    operation: str | None = None

    def __post_init__(self) -> None:
        if self.times is not None and (type(self.times) is not int or self.times < 1):
            raise ValueError("times must be a whole number from 1, or None")
        if self.operation is not None and self.operation not in _NAMES:
            raise ValueError(f"operation must be one of {', '.join(sorted(_NAMES))}")
        self._check()

    def _check(self) -> None:
        """Refuse impossible values of a kind's own attributes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Fault):
    """A refusal with 503 QpsLimitExceeded; nothing is done.

    `retry_after` is in seconds, for a Retry-After header, which is else not sent.

    Examples:
        >>> Service.in_memory().faults.add(Throttle(retry_after=2))
    """

    retry_after: float | None = None

    def _check(self) -> None:
        if self.retry_after is not None:
            _check_number("retry_after", self.retry_after, low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError(Fault):
    """A reply with a status of 500 to 599.

    500 is InternalError as the service words it; any other is the HTML page of a gateway. Where it
    is `performed`, what was asked for is done all the same.

    Examples:
        >>> Service.in_memory().faults.add(ServerError(times=2, status=502, performed=True))
    """

    status: int = 500
    performed: bool = False

    def _check(self) -> None:
        if type(self.status) is not int or not 500 <= self.status <= 599:  # noqa: PLR2004 - HTTP
            raise ValueError("status must be a whole number from 500 to 599")
        _check_boolean("performed", self.performed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Fault):
    """A reply that comes later; what was asked for is done before.

    Examples:
        >>> Service.in_memory().faults.add(Delay(seconds=0.5))
    """

    seconds: float = 1.0

    def _check(self) -> None:
        _check_number("seconds", self.seconds, low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Fault):
    """A connection closed within the reply: after its head and a part of its body.

    What was asked for is done. `keep` is the part of the body that is sent, at least 0 and less
    than 1; of a reply without a body nothing is sent. In process the reply has the shortened body;
    one of which nothing is left ends in `ConnectionResetError`.

    Examples:
        >>> Service.in_memory().faults.add(Truncate(keep=0.25))
    """

    keep: float = 0.5

    def _check(self) -> None:
        _check_number("keep", self.keep, low=0, high=math.nextafter(1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Fault):
    """A connection reset instead of a reply; in process that is a `ConnectionResetError`.

    Where it is `performed`, what was asked for is done before.

    Examples:
        >>> Service.in_memory().faults.add(Reset(operation="PutVectors", performed=True))
    """

    performed: bool = False

    def _check(self) -> None:
        _check_boolean("performed", self.performed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew(Fault):
    """A service's clock that is wrong, until `clear()` unless `times` says how often.

    It is ahead by `seconds`; negative for behind.

    Examples:
        >>> Service.in_memory().faults.add(Skew(seconds=-900))
    """

    times: int | None = None
    seconds: float = 3600.0

    def _check(self) -> None:
        _check_number("seconds", self.seconds, low=-_LONGEST_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(Fault):
    """A reply whose `vectors` are shuffled, by `seed`; None for another order each time.

    Examples:
        >>> Service.in_memory().faults.add(Reorder(seed=7))
    """

    seed: int | None = None

    def _check(self) -> None:
        if self.seed is not None and type(self.seed) is not int:
            raise ValueError("seed must be a whole number, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Fault):
    """A reply in which each of the `vectors` stands twice.

    Examples:
        >>> Service.in_memory().faults.add(Duplicate(times=None))
    """


# Of these a request meets one only: each decides how it ends.
ENDINGS = (Throttle, ServerError, Truncate, Reset)
# By the names that `/_emulator/faults` knows them by.
KINDS: dict[str, type[Fault]] = {
    "throttle": Throttle,
    "server_error": ServerError,
    "delay": Delay,
    "truncate": Truncate,
    "reset": Reset,
    "skew": Skew,
    "reorder": Reorder,
    "duplicate": Duplicate,
}
KIND_NAMES = {kind: name for name, kind in KINDS.items()}


def _check_number(name: str, value: object, *, low: float, high: float = _LONGEST_SECONDS) -> None:
    if not is_number(value, low, high):
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}")


def _check_boolean(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")  # noqa: TRY004 - one kind for all


@dataclass(frozen=True, slots=True)
class AppliedFault:
    """A fault that a request met; `operation` is None where the request named none."""

    fault: Fault
    operation: str | None


class Faults:
    """The faults of one service, and the last hundred that requests met; safe for threads.

    A fault for several requests is counted down for whoever comes first.

    Examples:
        >>> service = Service.in_memory()
        >>> service.faults.add(Throttle(times=2, operation="GetVectors"))
        >>> service.faults.pending
        (Throttle(times=2, operation='GetVectors', retry_after=None),)
        >>> service.faults.clear()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: list[Fault] = []
        # A fault without an end would else fill the memory, and the replies that list them.
        self._applied: deque[AppliedFault] = deque(maxlen=_REMEMBERED)
        self._counts: Counter[str] = Counter()

    @property
    def pending(self) -> tuple[Fault, ...]:
        """Return the faults to come, with the `times` that are left."""
        with self._lock:
            return tuple(self._pending)

    @property
    def applied(self) -> tuple[AppliedFault, ...]:
        """Return the last hundred faults that requests met since `clear()`, the first first."""
        with self._lock:
            return tuple(self._applied)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many requests met each kind of fault since `clear()`, by its name."""
        with self._lock:
            return dict(self._counts)

    def add(self, *faults: Fault) -> None:
        """Apply faults to requests from now on."""
        with self._lock:
            self._pending.extend(faults)

    def clear(self) -> None:
        """End all faults, and forget which were applied."""
        with self._lock:
            self._pending.clear()
            self._applied.clear()
            self._counts.clear()

    def take(self, operation: str | None) -> tuple[Fault, ...]:
        """Return the faults that a request meets, and count them down."""
        with self._lock:
            first_of_kind: dict[type[Fault], int] = {}
            for position, fault in enumerate(self._pending):
                if fault.operation in (None, operation):
                    # All endings count as one kind: a request can end in one way only.
                    kind = Fault if isinstance(fault, ENDINGS) else type(fault)
                    first_of_kind.setdefault(kind, position)
            positions = sorted(first_of_kind.values())
            taken = [self._pending[position] for position in positions]
            # From the end, for those that are used up leave the list.
            for position in reversed(positions):
                times = self._pending[position].times
                if times == 1:
                    del self._pending[position]
                elif times is not None:
                    self._pending[position] = replace(self._pending[position], times=times - 1)
            self._applied.extend(AppliedFault(fault, operation) for fault in taken)
            self._counts.update(KIND_NAMES[type(fault)] for fault in taken)
            return tuple(taken)


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

    faults: tuple[Fault, ...]

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
            # A load balancer before the service answers in HTML, and without a request id.
            title = f"<head><title>{error.status}</title></head>"
            page = f"<html>{title}<body>gateway</body></html>".encode()
            reply = Reply(error.status, {"content-type": "text/html"}, page)
        if reply is None or self._find(Reset):
            return Outcome(None, seconds)
        throttle = self._find(Throttle)
        if throttle and throttle.retry_after is not None:
            headers = {**reply.headers, "retry-after": f"{throttle.retry_after:g}"}
            reply = replace(reply, headers=headers)
        reply = _rearrange(reply, self._find(Reorder), self._find(Duplicate))
        cut = self._find(Truncate)
        return Outcome(reply, seconds, int(len(reply.body) * cut.keep) if cut else None)

    def _find(self, kind: type[F]) -> F | None:
        return next((fault for fault in self.faults if isinstance(fault, kind)), None)


def _rearrange(reply: Reply, reorder: Reorder | None, duplicate: Duplicate | None) -> Reply:
    if not (reorder or duplicate) or not reply.body:
        return reply
    answer = orjson.loads(reply.body)
    if not isinstance(answer, dict) or "vectors" not in answer:
        return reply
    vectors = [v for v in answer["vectors"] for _ in range(2 if duplicate else 1)]
    if reorder:
        random.Random(reorder.seed).shuffle(vectors)  # noqa: S311 - a test's order, not a secret
    return replace(reply, body=orjson.dumps({**answer, "vectors": vectors}))


def __dir__() -> list[str]:
    return sorted(__all__)
