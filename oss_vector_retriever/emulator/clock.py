"""The service's time: `ManualClock`, which tests move, and `RequestRate`, which counts by it."""

import threading
from datetime import UTC, datetime, timedelta

from ..client.errors import ConfigurationError

_A_CENTURY = 100 * 366 * 24 * 3600


def utc_now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


def is_number(value: object, low: float, high: float) -> bool:
    """Tell whether a value is a number from `low` to `high`; True, False and NaN are none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and low <= value <= high  # type: ignore[operator]


class ManualClock:
    """A clock that tests move: a `Service` that has it as `clock` lets nothing lapse by itself.

    By it everything is dated, every delay of `Behaviour` runs and keys expire. Only what requests
    say, when they were signed and how long they hold, goes by the machine's clock, as the clients
    that sign them do: they are accepted however far this one was moved.

    Args:
        start: the first time, with a time zone; the machine's by default.
        runs: go on with the machine's clock, besides being moved; otherwise it stands still.

    Raises:
        ConfigurationError: the start has no time zone.

    Examples:
        >>> clock = ManualClock()
        >>> client = OSSVectorClient.local(behaviour=Behaviour.documented(), clock=clock)
        >>> _ = client.put_vector_index(dimension=2)
        >>> clock.advance(60)
        >>> client.get_vector_index().status
        'enable'
    """

    def __init__(self, start: datetime | None = None, *, runs: bool = False) -> None:
        if start is not None and start.utcoffset() is None:
            raise ConfigurationError(
                "{argument} must have a time zone, such as datetime.UTC.", argument="start"
            )
        self._made = utc_now()
        self._time = self._made if start is None else start.astimezone(UTC)
        self._runs = runs
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Return the time."""
        return self._time + (utc_now() - self._made) if self._runs else self._time

    def advance(self, seconds: float) -> None:
        """Move the clock on by so many seconds.

        Raises:
            ConfigurationError: it is no number, or less than 0: what has lapsed has lapsed.
        """
        if not is_number(seconds, 0, _A_CENTURY):
            message = f"{{argument}} must be a number from 0 to {_A_CENTURY}, not {{value}}."
            raise ConfigurationError(message, argument="seconds", value=seconds)
        with self._lock:
            self._time += timedelta(seconds=seconds)


class RequestRate:
    """How many requests a service takes: so many a second, and so many at once.

    Safe for threads. A service that takes less than one a second takes one at once.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(per_second, 1.0)
        self._left = self._most
        self._counted: datetime | None = None
        self._lock = threading.Lock()

    def take(self, now: datetime) -> bool:
        """Count one more request; tell whether it is not too many."""
        with self._lock:
            if self._counted is not None:
                # A clock that was set back gives nothing, and takes nothing away.
                seconds = max((now - self._counted).total_seconds(), 0.0)
                self._left = min(self._left + seconds * self._per_second, self._most)
            self._counted = now
            # A hair less: the sum of ten tenths is not quite one.
            if self._left < 1.0 - 1e-6:
                return False
            self._left -= 1.0
            return True
