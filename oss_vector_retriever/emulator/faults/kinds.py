"""The kinds of faults: which requests meet each, and what it does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..operations.table import OPERATIONS

_NAMES = frozenset(operation.name for operation in OPERATIONS)
_LONGEST_SECONDS = 1e9  # about 30 years, which a date still bears


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

    Attributes:
        retry_after: seconds for a Retry-After header, which is else not sent.
    """

    retry_after: float | None = None

    def _check(self) -> None:
        if self.retry_after is not None:
            _check_number("retry_after", self.retry_after, low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError(Fault):
    """A reply with a status of 500 to 599.

    500 is InternalError as the service words it; any other is the HTML page of a gateway.

    Attributes:
        status: the HTTP status.
        performed: whether what was asked for is done all the same.
    """

    status: int = 500
    performed: bool = False

    def _check(self) -> None:
        if type(self.status) is not int or not 500 <= self.status <= 599:  # noqa: PLR2004 - HTTP
            raise ValueError("status must be a whole number from 500 to 599")
        _check_boolean("performed", self.performed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(Fault):
    """A reply that comes later; what was asked for is done before."""

    seconds: float = 1.0

    def _check(self) -> None:
        _check_number("seconds", self.seconds, low=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Fault):
    """A connection closed within the reply: after its head and a part of its body.

    What was asked for is done. Of a reply without a body nothing is sent. In process the reply has
    the shortened body; one of which nothing is left ends in `ConnectionResetError`.

    Attributes:
        keep: the part of the body that is sent, at least 0 and less than 1.
    """

    keep: float = 0.5

    def _check(self) -> None:
        _check_number("keep", self.keep, low=0, high=math.nextafter(1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Fault):
    """A connection reset instead of a reply; in process that is a `ConnectionResetError`.

    Attributes:
        performed: whether what was asked for is done before.
    """

    performed: bool = False

    def _check(self) -> None:
        _check_boolean("performed", self.performed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew(Fault):
    """A service's clock that is wrong, until `clear()` unless `times` says how often.

    Attributes:
        seconds: by how much it is ahead; negative for behind.
    """

    times: int | None = None
    seconds: float = 3600.0

    def _check(self) -> None:
        _check_number("seconds", self.seconds, low=-_LONGEST_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorder(Fault):
    """A reply whose `vectors` are shuffled.

    Attributes:
        seed: of the shuffle; None for another each time.
    """

    seed: int | None = None

    def _check(self) -> None:
        if self.seed is not None and type(self.seed) is not int:
            raise ValueError("seed must be a whole number, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate(Fault):
    """A reply in which each of the `vectors` stands twice."""


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


def _check_number(name: str, value: object, *, low: float, high: float = _LONGEST_SECONDS) -> None:
    # Not NaN either: it is neither below nor above anything.
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}")


def _check_boolean(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")  # noqa: TRY004 - one kind for all
