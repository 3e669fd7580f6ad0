"""What the calls of one client share: settings, clock, limits on sending, and credentials."""

import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary

from . import fork
from .config import ClientConfig, replace_options
from .credentials import CredentialsKeeper
from .errors import DeadlineExceededError
from .models.results import ClientStats, FinishedCall, OperationStats
from .rate_limiter import RateLimiters
from .retry import RetryBudget
from .steps import FaultKind, Flow

if TYPE_CHECKING:
    from .tracing import CallSpan

# a flow takes the context first: who writes one imports both from here
__all__ = ["Clock", "Context", "Deadline", "Flow", "PerIndex"]

T = TypeVar("T")

# a clock that is further off than that is not what a refused date is about
_LARGEST_CORRECTION = timedelta(days=7)
_A_MINUTE = 60.0
_SLOW = 0.1  # seconds; on an event loop everything stands still for as long
_log = logging.getLogger("oss_vector_retriever")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The start of a call and the seconds that it may take, on a monotonic clock."""

    started: float
    seconds: float
    monotonic: Callable[[], float]

    @property
    def moment(self) -> float:
        """Return the moment at which the call must be over."""
        return self.started + self.seconds

    @property
    def remaining_seconds(self) -> float:
        """Return the seconds that are left; below 0 when the deadline has passed."""
        return self.started + self.seconds - self.monotonic()

    @property
    def elapsed_seconds(self) -> float:
        """Return the seconds since the call began."""
        return self.monotonic() - self.started

    def check(self, name: str) -> None:
        """Raise DeadlineExceededError if the time of the operation `name` is up."""
        if self.remaining_seconds <= 0:
            text = f"{name} did not end within {self.seconds:g} s."
            error = DeadlineExceededError(text, FaultKind.DEADLINE)
            error.elapsed = self.elapsed_seconds
            raise error


class Clock:
    """The service's time: this machine's, corrected when the service has refused it."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the corrected time."""
        return self._now() + self.offset

    def learn(self, theirs: datetime) -> bool:
        """Take the service's time; False where that cannot explain its refusal."""
        # compared with this machine's own time, not with a corrected one: calls that are refused
        # together must not correct it twice
        offset = theirs - self._now()
        if abs(offset) > _LARGEST_CORRECTION:
            return False
        self.offset = offset
        return True


class Notices:
    """The warnings of one client, each at most once a minute: a log is read by people."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Begin as a client that has warned of nothing."""
        self._warned: dict[str, float] = {}
        self._lock = threading.Lock()

    def warn(self, topic: str, text: str, *arguments: object) -> None:
        """Log a warning, unless there was one of its topic within the last minute."""
        now = self._monotonic()
        with self._lock:
            if now - self._warned.get(topic, -_A_MINUTE) < _A_MINUTE:
                return
            # those of long ago go: a topic may name an index, of which there can be many
            self._warned = {t: at for t, at in self._warned.items() if now - at < _A_MINUTE}
            self._warned[topic] = now
        _log.warning(text, *arguments)


class Counters:
    """The counts of what the calls of one client have done, under a lock: no call is lost.

    A child of a fork counts from zero. To count a call takes about a microsecond.
    """

    def __init__(self) -> None:
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Begin as a client that has done nothing."""
        self._shared = 0
        # by operation: the numbers of `OperationStats`, in the order of its fields
        self._rows: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def count(self, operation: str, *numbers: float) -> None:
        """Add a call of an operation: the numbers of `OperationStats` that follow `calls`."""
        with self._lock:
            row = self._rows.get(operation)
            if row is None:
                row = self._rows[operation] = [0] * len(_COUNTS)
            row[0] += 1
            for place, number in enumerate(numbers, 1):
                if number:
                    row[place] += number

    def count_shared(self) -> None:
        """Add a fetch that another's call has served."""
        with self._lock:
            self._shared += 1

    def stats(self) -> ClientStats:
        """Return the counts as they are now."""
        with self._lock:
            shared, rows = self._shared, {name: tuple(row) for name, row in self._rows.items()}
        total = [sum(column) for column in zip(*rows.values(), strict=True)]
        operations = {name: OperationStats(**_by_name(row)) for name, row in rows.items()}
        return ClientStats(**_by_name(total), shared=shared, operations=operations)


_COUNTS = [count.name for count in fields(OperationStats)]


def _by_name(numbers: Iterable[float]) -> dict[str, Any]:
    return dict(zip(_COUNTS, numbers, strict=False))


@dataclass(frozen=True)
class Context:
    """The state that the calls of one client share; tests can give the clocks and the dice."""

    config: ClientConfig
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    clock: Clock = field(default_factory=Clock)
    retry_budget: RetryBudget = field(default_factory=RetryBudget)
    counters: Counters = field(default_factory=Counters)
    # by bucket and index: the operation that made, or deleted, one of them, and broke (`flow`)
    unsettled: dict[tuple[str | None, str | None], str] = field(default_factory=dict, repr=False)
    # the embedded service, where there is one: many have the same names, and nothing else in common
    embedded: object = field(default=None, repr=False, compare=False)
    rate_limiters: RateLimiters = field(init=False)
    notices: Notices = field(init=False, repr=False)
    credentials: CredentialsKeeper = field(init=False, repr=False)

    def __post_init__(self) -> None:
        limit, connections = self.config.rate_limit, self.config.max_concurrency
        limiters = RateLimiters(limit, self.monotonic, connections)
        notices, source = Notices(self.monotonic), self.config.credentials
        keeper = CredentialsKeeper(source, self.clock.now, self.monotonic, notices.warn)
        object.__setattr__(self, "rate_limiters", limiters)
        object.__setattr__(self, "notices", notices)
        object.__setattr__(self, "credentials", keeper)

    def with_options(self, **options: Any) -> Self:
        """Return a context with other settings; it shares all that changes in use."""
        other = replace(self, config=replace_options(self.config, **options))
        object.__setattr__(other, "rate_limiters", self.rate_limiters)
        object.__setattr__(other, "notices", self.notices)
        # credentials that were just resolved serve here too, unless others were given
        if "credentials" not in options:
            object.__setattr__(other, "credentials", self.credentials)
        return other

    def warn_once_a_minute(self, topic: str, text: str, *arguments: object) -> None:
        """Log a warning, `text % arguments`, at most once a client and minute for each topic."""
        self.notices.warn(topic, text, *arguments)

    def tell(self, on_call: Callable[[FinishedCall], object], call: FinishedCall) -> None:
        """Tell the user's function of a call that has ended; what it raises harms no call."""
        began = self.monotonic()
        try:
            on_call(call)
        except Exception as error:  # noqa: BLE001 - a call is not to fail for who watches it
            # not its text, which is not ours to log
            text = "on_call= raised %s, and is told of the next calls all the same"
            self.warn_once_a_minute("on_call failed", text, type(error).__name__)
        seconds = self.monotonic() - began
        if seconds > _SLOW:
            text = "on_call= took %.2f s, and calls wait for it: have a thread do what takes long"
            self.warn_once_a_minute("on_call is slow", text, seconds)

    def begin_span(
        self, operation: str, index: str | None, key_count: int, parents: Sequence["CallSpan"] = ()
    ) -> "CallSpan | None":
        """Begin a span of OpenTelemetry, or return None where the process collects none."""
        # who collects spans has imported the API and given it a provider; nobody else pays for it
        api: Any = sys.modules.get("opentelemetry.trace")
        # absent also while another thread is in the midst of that import
        find_provider = getattr(api, "get_tracer_provider", None)
        if find_provider is None or isinstance(find_provider(), api.ProxyTracerProvider):
            return None
        from .tracing import CallSpan  # noqa: PLC0415 - needs the API

        try:
            return CallSpan(self, operation, index, key_count, parents)
        except Exception as error:  # noqa: BLE001 - of the user's collector, which harms no call
            self.warn_of_collector(error)
            return None

    def warn_of_collector(self, error: Exception) -> None:
        """Warn, once a minute, that what collects spans has failed."""
        text = "what collects spans raised %s; the call goes on without"
        self.warn_once_a_minute("spans failed", text, type(error).__name__)

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return a deadline that starts now; by default the client's `timeout`."""
        seconds = self.config.timeout if seconds is None else seconds
        return Deadline(self.monotonic(), seconds, self.monotonic)

    def place_of(self, index: str | None) -> tuple[str | None, ...]:
        """Return where an index stands, as a key that other clients of it have too."""
        config = self.config
        where = (str(config.endpoint), config.account_id, config.region, config.bucket)
        return (*where, config.index_or(index))


class PerIndex(Generic[T]):
    """What a process keeps of each index that it reaches, by whatever client."""

    def __init__(self) -> None:
        self._of_services: dict[tuple[str | None, ...], T] = {}
        # services in this process have the same names, and nothing else in common
        self._of_embedded: WeakKeyDictionary[Any, dict[tuple[str | None, ...], T]] = (
            WeakKeyDictionary()
        )

    def find(self, context: Context, index: str | None, make: Callable[[], T]) -> T:
        """Return what is kept of an index, made at the first time."""
        embedded, name = context.embedded, context.place_of(index)
        kept = self._of_services if embedded is None else self._of_embedded.setdefault(embedded, {})
        found = kept.get(name)
        return kept.setdefault(name, make()) if found is None else found
