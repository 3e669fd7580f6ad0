"""What a `Service` can be told: its options, their defaults and their types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.emulator.accounts import DEVELOPMENT_KEY, DEVELOPMENT_REGION, AccessKey
from oss_vector_retriever.emulator.behaviour import DEFAULT_BEHAVIOUR, Behaviour


def utc_now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


class Options(TypedDict, total=False):
    """Name the keyword arguments of `Service`; `Settings` says what they mean."""

    access_keys: Iterable[AccessKey]
    region: str
    limits: Limits
    behaviour: Behaviour
    clock: Callable[[], datetime]
    max_body_bytes: int
    search_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold the options of a service.

    Attributes:
        access_keys: the keys that are known; the published development key by default.
        region: of requests whose host name does not say.
        limits: what is accepted.
        behaviour: switches for what is not documented.
        clock: returns the service's time, with a time zone.
        max_body_bytes: longest request body that is read.
        search_bytes: memory for the matrices that QueryVectors keeps; a larger index is read from
            the database each time.
    """

    access_keys: Iterable[AccessKey] = field(default=(DEVELOPMENT_KEY,), repr=False)
    region: str = DEVELOPMENT_REGION
    limits: Limits = DEFAULT_LIMITS
    behaviour: Behaviour = DEFAULT_BEHAVIOUR
    clock: Callable[[], datetime] = utc_now
    max_body_bytes: int = 64 * 1024 * 1024
    search_bytes: int = 1024 * 1024 * 1024
