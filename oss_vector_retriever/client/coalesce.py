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
class Gathered:
    """Hold what came back for the distinct keys of one fetch."""

    found: dict[str, Vector]
    request_ids: tuple[str, ...]
    calls: int


@dataclass(eq=False, slots=True)
class Want:
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

    def result(self) -> Gathered:
        """Return what arrived, or raise what went wrong, or that it did not arrive in time."""
        if self.error is not None:
            raise self.error
        if self.outstanding or not self.calls:
            raise self._late()
        return Gathered(self.found, tuple(self.request_ids), self.calls)

    def _late(self) -> DeadlineExceededError:
        error = DeadlineExceededError(
            f"GetVectors did not end within {self.deadline.seconds:g} s.", FaultKind.DEADLINE
        )
        error.elapsed = self.context.monotonic() - self.deadline.started
        return error


class SharedCall:
    """Be one call for the keys of several wants."""

    def __init__(self, keys: list[str], wants: list[Want]) -> None:
        self.keys = keys
        self.wants = wants
        for want in wants:
            want.outstanding += 1

    def flow(self) -> Flow[GetVectorsResult]:
        """Return the flow that makes the call; it may take as long as the most patient wants."""
        first = self.wants[0]
        operation = get_operation(
            first.index,
            self.keys,
            return_data=first.return_data,
            return_metadata=first.return_metadata,
        )
        deadline = max((want.deadline for want in self.wants), key=lambda d: d.moment)
        return call(first.context, operation, deadline)

    def made(self) -> Flow[list[Want]]:
        """Make the call and deal out what it brings, or its error; return the wants then over."""
        try:
            return list(self.deal((yield from self.flow())))
        except Exception as error:  # noqa: BLE001 - it is raised in those who wait
            apart = self.apart(error)
            over = [] if apart else list(self.fail(error))
            for call in apart:
                over += yield from call.made()
            return over

    def deal(self, reply: GetVectorsResult) -> Iterator[Want]:
        """Give each want its own vectors, no metadata shared; yield the wants that are over."""
        vectors = {vector.key: vector for vector in reply.vectors}
        for number, want in enumerate(self.wants):
            mine = vectors if len(self.wants) == 1 else _among(vectors, want.keys)
            want.found |= mine if number == 0 else {k: _own(v) for k, v in mine.items()}
            want.calls += 1
            if reply.request_id:
                want.request_ids.append(reply.request_id)
            yield from self._ended(want)

    def fail(self, error: BaseException) -> Iterator[Want]:
        """Give each want an error of its own; yield the wants that are over."""
        for want in self.wants:
            want.calls += 1
            own = copy.copy(error) if isinstance(error, OSSVectorError) else error
            want.error = want.error or own
            yield from self._ended(want)

    def apart(self, error: BaseException) -> list[SharedCall]:
        """Return a call for each want, where one want's keys may have spoilt the others' call."""
        shared = len(self.wants) > 1
        refused = isinstance(error, ServiceError) and error.status == _BAD_REQUEST
        if not (shared and refused):
            return []
        keys = set(self.keys)
        calls = [SharedCall([k for k in w.keys if k in keys], [w]) for w in self.wants]
        for want in self.wants:
            want.outstanding -= 1
        return calls

    @staticmethod
    def _ended(want: Want) -> Iterator[Want]:
        want.outstanding -= 1
        if want.over:
            yield want

    @property
    def wanted(self) -> bool:
        """Tell whether anybody still waits for the call."""
        return not all(want.abandoned for want in self.wants)


def shared_calls(wants: Iterable[Want]) -> list[SharedCall]:
    """Return the calls that bring what wants have in common, each key once in each group."""
    groups: dict[tuple[object, ...], list[Want]] = {}
    for want in wants:
        groups.setdefault(want.group, []).append(want)
    return [made for group in groups.values() for made in _calls_of(group)]


def _calls_of(group: list[Want]) -> Iterator[SharedCall]:
    size = group[0].context.config.limits.keys_per_get
    if len(group) == 1:
        yield from (SharedCall(batch, group) for batch in _batches(group[0].keys, size))
        return
    askers: dict[str, list[Want]] = {}
    for want in group:
        for key in want.keys:
            askers.setdefault(key, []).append(want)
    for batch in _batches(list(askers), size):
        wants = {id(want): want for key in batch for want in askers[key]}
        yield SharedCall(batch, list(wants.values()))


def _batches(keys: list[str], size: int) -> Iterator[list[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _among(vectors: dict[str, Vector], keys: list[str]) -> dict[str, Vector]:
    return {key: vectors[key] for key in keys if key in vectors}


def _own(vector: Vector) -> Vector:
    return Vector(vector.key, vector.data, copy.deepcopy(vector.metadata))
