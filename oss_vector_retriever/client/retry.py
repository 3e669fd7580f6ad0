"""When to try again, and how long to wait before that.

Decisions and budget follow botocore's standard mode; figures: reference engineering.md 2.1. The
pauses do not: at least half of each is certain, and the last attempt waits until a blip is over.
"""

import math
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from http import HTTPStatus
from typing import Self

from . import fork
from .errors import ConfigurationError, OSSVectorError, ResponseError, ServiceError, TransportError
from .steps import FaultKind

# the first is OSS Vectors' own; the others are those of OSS and of gateways before it
_THROTTLE_CODES = frozenset({"QpsLimitExceeded", "SlowDown", "Throttling", "TooManyRequests"})
_MOST_DOUBLINGS = 60
# what is not implemented (501) will not be by the next attempt
_PASSING_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, *range(500, 1000)} - {501})
# TLS and protocol faults are what the peer is; a deadline is over for good
_PASSING_FAULTS = frozenset({FaultKind.CONNECT, FaultKind.CLOSED})


class RetryDecision(Enum):
    """The decision on what follows a failed attempt."""

    FINAL = "final"
    TRANSIENT = "transient"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The rule of how often and after what pause a call is tried again.

    The attempts of a call are few, for the service's sake, and so they are spread: those between
    the first and the last wait as long as most faults last, and the last begins no sooner than
    `patience` after the first failure. Three attempts within 0.2 s, as full jitter gave them,
    outlived two of twelve blips of 0.2 s; the official SDK's outlived ten.

    While the service says that requests come too fast, attempts are not counted: the client sends
    as fast as it bears, and a call that was refused has another turn as long as its deadline allows
    one.

    Attributes:
        attempts: HTTP attempts in all, the first included; 1 means no retry, whatever happened. A
            kept connection that turns out dead is replaced, which is no attempt.
        transient_base: seconds; the pause after failure n lies between half of it and all of
            `transient_base * 2**(n-1)`.
        throttle_base: seconds between two requests, of all calls together, while the service
            refuses every one because they come too fast.
        cap: no pause is longer, seconds.
        patience: seconds from the first failure to the last attempt, and up to a quarter more; at
            most half of the time that is left. 0: the last pause is like the others.

    `upsert` and `delete` of many make twice as many attempts, over five times as long.

    Raises:
        ConfigurationError: attempts is no whole number from 1, or a pause no finite number >= 0.
    """

    attempts: int = 3
    transient_base: float = 0.4
    throttle_base: float = 1.0
    cap: float = 20.0
    patience: float = 2.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            text = "{argument}: attempts must be a whole number from 1, not {value}."
            raise ConfigurationError(text, argument="retry", value=self.attempts)
        for name in ("transient_base", "throttle_base", "cap", "patience"):
            value = getattr(self, name)
            if not is_finite_number(value) or value < 0:
                text = "{argument}: {name} must be finite and >= 0, not {value}."
                raise ConfigurationError(text, argument="retry", value=value, fields={"name": name})

    def pause(self, failures: int, random: Callable[[], float]) -> float:
        """Return the seconds to wait after `failures` failed attempts (half jitter)."""
        # the doubling ends long before a float overflows
        doubled = self.transient_base * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        return (0.5 + random() / 2) * min(doubled, self.cap)

    def last_pause(
        self, pause: float, elapsed: float, remaining: float, random: Callable[[], float]
    ) -> float:
        """Return the seconds before the last attempt, where `pause` is what the others would wait.

        `elapsed` seconds have gone by since the first failure, `remaining` are left of the call.
        """
        # up to a quarter more: those who failed together must not come back together
        awaited = self.patience * (1 + random() / 4) - elapsed
        # at least as much time as the pause takes stays for the attempt itself
        return max(pause, min(awaited, remaining / 2, self.cap))

    @property
    def for_bulk(self) -> Self:
        """Return the policy of writes of many: what stops half-way costs more than a wait."""
        attempts = self.attempts if self.attempts == 1 else 2 * self.attempts
        return replace(self, attempts=attempts, patience=5 * self.patience)


def is_finite_number(value: object) -> bool:
    """Tell whether a setting is a number that a float can hold; True and False are none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def judge(error: OSSVectorError, *, idempotent: bool) -> RetryDecision:
    """Say whether trying again could help.

    A call that is not idempotent is not repeated where the service may have acted on it.
    """
    if isinstance(error, ServiceError):
        if error.code in _THROTTLE_CODES or error.status == HTTPStatus.TOO_MANY_REQUESTS:
            return RetryDecision.THROTTLED
        passing = error.status in _PASSING_STATUSES
        return RetryDecision.TRANSIENT if passing and idempotent else RetryDecision.FINAL
    if isinstance(error, TransportError):
        passing = error.kind in _PASSING_FAULTS
        # where no connection was made the service cannot have acted
        safe = idempotent or error.kind == FaultKind.CONNECT
        return RetryDecision.TRANSIENT if passing and safe else RetryDecision.FINAL
    # half a reply is a matter of the way; a whole one that breaks its promise will do so again
    if isinstance(error, ResponseError) and error.unreadable and idempotent:
        return RetryDecision.TRANSIENT
    return RetryDecision.FINAL


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None where it makes no sense."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:  # the other form: a date
        moment = http_date(value)
        seconds = math.nan if moment is None else (moment - now).total_seconds()
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def http_date(value: str) -> datetime | None:
    """Return the moment that a header such as Date names, or None where it names none."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow, and seldom needed

    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # "-0000" and a missing zone are read as naive; HTTP knows only GMT
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class RetryBudget:
    """A budget that retries are paid from, so that an outage is not answered with a storm."""

    # botocore's figures: a retry that leads to success is paid back, and each success without one
    # adds 1; throttling costs nothing, for the whole client sends less
    _FULL = 500
    _COST = 14

    def __init__(self) -> None:
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Begin with a full budget."""
        self._balance = self._FULL
        self._lock = threading.Lock()

    @property
    def balance(self) -> int:
        """Return what is left."""
        return self._balance

    def take(self) -> int | None:
        """Pay for one retry and return its cost, or None where too little is left."""
        with self._lock:
            if self._balance < self._COST:
                return None
            self._balance -= self._COST
            return self._COST

    def give_back(self, cost: int) -> None:
        """Return what a successful call paid last, or 1 where it paid nothing."""
        with self._lock:
            self._balance = min(self._FULL, self._balance + (cost or 1))
