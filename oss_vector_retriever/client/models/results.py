"""What the operations return: sequences of vectors that carry what else the reply said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from oss_vector_retriever.client.models.vector import Vector

Item = TypeVar("Item")


class Items(Sequence[Item], Generic[Item]):
    """Be a sequence over a tuple that a subclass names in `_items`."""

    __slots__ = ()

    @property
    def _items(self) -> tuple[Item, ...]:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @overload
    def __getitem__(self, position: int) -> Item: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, position: int | slice) -> Item | tuple[Item, ...]:
        """Return the item at a position, or a tuple of those in a slice."""
        return self._items[position]


@dataclass(frozen=True, slots=True)
class GetVectorsResult(Items[Vector]):
    """Hold the vectors of one GetVectors call, in the order of the reply, which is unspecified."""

    vectors: tuple[Vector, ...]
    request_id: str | None = None

    @property
    def _items(self) -> tuple[Vector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class ListVectorsResult(Items[Vector]):
    """Hold one page of an index; `next_token` is None on the last page."""

    vectors: tuple[Vector, ...]
    next_token: str | None = None
    request_id: str | None = None

    @property
    def _items(self) -> tuple[Vector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class ScoredVector:
    """Hold one hit of a query.

    Attributes:
        key: the primary key.
        distance: smaller is closer; None where it was not asked for. For the metric `cosine` it is
            taken to be 1 - cosine similarity (unverified; README, known unknowns).
        metadata: a dict, or None where it was not asked for.
    """

    key: str
    distance: float | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class QueryVectorsResult(Items[ScoredVector]):
    """Hold the hits of one query, closest first."""

    vectors: tuple[ScoredVector, ...]
    request_id: str | None = None

    @property
    def _items(self) -> tuple[ScoredVector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class FusedVector:
    """Hold one hit of a query in fusion mode; the higher the score, the better it fits."""

    key: str
    score: float | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class QueryVectorsFusionResult(Items[FusedVector]):
    """Hold the hits of one query in fusion mode, best first."""

    vectors: tuple[FusedVector, ...]
    next_token: str | None = None
    request_id: str | None = None

    @property
    def _items(self) -> tuple[FusedVector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Say that the service has done what was asked and had nothing to tell."""

    request_id: str | None = None
