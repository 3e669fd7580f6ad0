"""What the calls of one client share: settings, clock, quota, pace and credentials in use."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from oss_vector_retriever.client.config import ClientConfig
from oss_vector_retriever.client.credentials import (
    Credentials,
    CredentialsSource,
    as_credentials,
    usable,
)
from oss_vector_retriever.client.retry import RateLimiter, RetryBudget
from oss_vector_retriever.client.steps import Call, Flow

_LARGEST_CORRECTION = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Deadline:
    """Hold when a call began and how many seconds it may take, on the monotonic clock."""

    started: float
    seconds: float

    @property
    def moment(self) -> float:
        """Return the moment at which the call must be over."""
        return self.started + self.seconds


class Clock:
    """Tell the service's time: this machine's, corrected when the service has refused it."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self.offset = timedelta(0)

    def now(self) -> datetime:
        """Return the corrected time."""
        return self._now() + self.offset

    def learn(self, theirs: datetime) -> bool:
        """Take the service's time; False where that cannot explain its refusal.

        It is compared with this machine's own time, not with a corrected one: calls that are
        refused together must not correct it twice.
        """
        offset = theirs - self._now()
        if abs(offset) > _LARGEST_CORRECTION:
            return False
        self.offset = offset
        return True


class CredentialsKeeper:
    """Keep the credentials in use until shortly before they expire."""

    def __init__(self, source: CredentialsSource, now: Callable[[], datetime]) -> None:
        self._source = source
        self._now = now
        self._kept: Credentials | None = None
        self._lock = threading.Lock()

    def current(self) -> Flow[Credentials]:
        """Return credentials that are good now."""
        if not self._source.blocking:
            return as_credentials(self._source.resolve())
        kept = self._kept
        if usable(kept, self._now()):
            return kept
        found = as_credentials((yield Call(self._resolve)))
        self._kept = found
        return found

    def renewed(self) -> Flow[Credentials]:
        """Return credentials asked for anew, because the service says that they have expired."""
        self._kept = None
        self._source.forget()
        return (yield from self.current())

    def _resolve(self) -> object:
        with self._lock:
            kept = self._kept
            if usable(kept, self._now()):
                return kept
            found = self._source.resolve()
            if isinstance(found, Credentials):
                self._kept = found
            return found


@dataclass(frozen=True)
class Context:
    """Hold what the calls of one client share; the clocks and the dice can be given by tests."""

    config: ClientConfig
    monotonic: Callable[[], float] = time.monotonic
    random: Callable[[], float] = random.random
    clock: Clock = field(default_factory=Clock)
    retry_budget: RetryBudget = field(default_factory=RetryBudget)
    rate_limiter: RateLimiter = field(init=False)
    credentials: CredentialsKeeper = field(init=False, repr=False)

    def __post_init__(self) -> None:
        limiter = RateLimiter(self.config.rate_limit, self.monotonic)
        object.__setattr__(self, "rate_limiter", limiter)
        keeper = CredentialsKeeper(self.config.credentials, self.clock.now)
        object.__setattr__(self, "credentials", keeper)

    def changed(self, **options: Any) -> Self:
        """Return a context with other settings that shares clock, quota, pace and credentials."""
        other = replace(self, config=self.config.changed(**options))
        object.__setattr__(other, "rate_limiter", self.rate_limiter)
        if "credentials" not in options:
            object.__setattr__(other, "credentials", self.credentials)
        return other

    def deadline(self, seconds: float | None = None) -> Deadline:
        """Return a deadline that starts now; by default the client's `timeout`."""
        return Deadline(self.monotonic(), self.config.timeout if seconds is None else seconds)
