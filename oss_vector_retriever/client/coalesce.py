"""Merging of concurrent fetches: the part without I/O and without waiting.

Each caller's keys become a `Want`. Wants that agree on everything but their keys form calls of at
most 100 distinct keys; a reply is dealt out to the wants it belongs to. The drivers say when:
`drive.gather`. There is no cache.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from oss_vector_retriever.client.context import Context, Deadline
from oss_vector_retriever.client.errors import (
    DeadlineExceededError,
    OSSVectorError,
    ServiceError,
)
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models.results import GetVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.vectors import get_operation
from oss_vector_retriever.client.steps import FaultKind, Flow

_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class FetchedVectors:
    """Hold what came back for the distinct keys of one fetch."""

    found: dict[str, Vector]
    request_ids: tuple[str, ...]
    calls: int


@dataclass(eq=False, slots=True)
class PendingFetch:
    """Hold what one fetch wants, and what has arrived of it.

    `window` is how long to wait for others, in seconds; None leaves that to the driver.
    """

    context: Context
    index: str
    keys: list[str]
    return_data: bool
    return_metadata: bool
    deadline: Deadline
    window: float | None = None
    found: dict[str, Vector] = field(default_factory=dict)
    request_ids: list[str] = field(default_factory=list)
    calls: int = 0
    outstanding: int = 0
    error: BaseException | None = None
    abandoned: bool = False

    def left(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline.moment - self.context.monotonic()

    @property
    def group(self) -> tuple[object, ...]:
        """Return what wants must agree on to share a call."""
        return id(self.context), self.index, self.return_data, self.return_metadata

    @property
    def over(self) -> bool:
        """Tell whether nothing more will arrive."""
        return self.error is not None or self.outstanding == 0

    def result(self) -> FetchedVectors:
        """Return what arrived, or raise what went wrong, or that it did not arrive in time."""
        if self.error is not None:
            raise self.error
        if self.outstanding or not self.calls:
            raise self._late()
        return FetchedVectors(self.found, tuple(self.request_ids), self.calls)

    def _late(self) -> DeadlineExceededError:
        error = DeadlineExceededError(
            f"GetVectors did not end within {self.deadline.seconds:g} s.", FaultKind.DEADLINE
        )
        error.elapsed = self.context.monotonic() - self.deadline.started
        return error


class SharedCall:
    """Be one call for the keys of several wants."""

    def __init__(self, keys: list[str], waiters: list[PendingFetch]) -> None:
        self.keys = keys
        self.waiters = waiters
        for pending in waiters:
            pending.outstanding += 1

    def flow(self) -> Flow[GetVectorsResult]:
        """Return the flow that makes the call; it may take as long as the most patient wants."""
        first = self.waiters[0]
        operation = get_operation(
            first.index,
            self.keys,
            return_data=first.return_data,
            return_metadata=first.return_metadata,
        )
        deadline = max((pending.deadline for pending in self.waiters), key=lambda d: d.moment)
        return call(first.context, operation, deadline)

    def made(self) -> Flow[list[PendingFetch]]:
        """Make the call and deal out what it brings, or its error; return the wants then over."""
        try:
            return list(self.deal((yield from self.flow())))
        except Exception as error:  # noqa: BLE001 - it is raised in those who wait
            apart = self.apart(error)
            over = [] if apart else list(self.fail(error))
            for call in apart:
                over += yield from call.made()
            return over

    def deal(self, reply: GetVectorsResult) -> Iterator[PendingFetch]:
        """Give each want its own vectors, no metadata shared; yield the wants that are over."""
        vectors = {vector.key: vector for vector in reply.vectors}
        for number, pending in enumerate(self.waiters):
            mine = vectors if len(self.waiters) == 1 else _among(vectors, pending.keys)
            pending.found |= mine if number == 0 else {k: _own(v) for k, v in mine.items()}
            pending.calls += 1
            if reply.request_id:
                pending.request_ids.append(reply.request_id)
            yield from self._ended(pending)

    def fail(self, error: BaseException) -> Iterator[PendingFetch]:
        """Give each want an error of its own; yield the wants that are over."""
        for pending in self.waiters:
            pending.calls += 1
            own = copy.copy(error) if isinstance(error, OSSVectorError) else error
            pending.error = pending.error or own
            yield from self._ended(pending)

    def apart(self, error: BaseException) -> list[SharedCall]:
        """Return a call for each want, where one want's keys may have spoilt the others' call."""
        shared = len(self.waiters) > 1
        refused = isinstance(error, ServiceError) and error.status == _BAD_REQUEST
        if not (shared and refused):
            return []
        keys = set(self.keys)
        calls = [SharedCall([k for k in w.keys if k in keys], [w]) for w in self.waiters]
        for pending in self.waiters:
            pending.outstanding -= 1
        return calls

    @staticmethod
    def _ended(pending: PendingFetch) -> Iterator[PendingFetch]:
        pending.outstanding -= 1
        if pending.over:
            yield pending

    @property
    def wanted(self) -> bool:
        """Tell whether anybody still waits for the call."""
        return not all(pending.abandoned for pending in self.waiters)


def shared_calls(waiters: Iterable[PendingFetch]) -> list[SharedCall]:
    """Return the calls that bring what wants have in common, each key once in each group."""
    groups: dict[tuple[object, ...], list[PendingFetch]] = {}
    for pending in waiters:
        groups.setdefault(pending.group, []).append(pending)
    return [made for group in groups.values() for made in _calls_of(group)]


def _calls_of(group: list[PendingFetch]) -> Iterator[SharedCall]:
    size = group[0].context.config.limits.keys_per_get
    if len(group) == 1:
        yield from (SharedCall(batch, group) for batch in _batches(group[0].keys, size))
        return
    askers: dict[str, list[PendingFetch]] = {}
    for pending in group:
        for key in pending.keys:
            askers.setdefault(key, []).append(pending)
    for batch in _batches(list(askers), size):
        waiters = {id(pending): pending for key in batch for pending in askers[key]}
        yield SharedCall(batch, list(waiters.values()))


def _batches(keys: list[str], size: int) -> Iterator[list[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _among(vectors: dict[str, Vector], keys: list[str]) -> dict[str, Vector]:
    return {key: vectors[key] for key in keys if key in vectors}


def _own(vector: Vector) -> Vector:
    return Vector(vector.key, vector.data, copy.deepcopy(vector.metadata))
