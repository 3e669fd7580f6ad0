"""Hits and the records that belong to them: children under parents, stored records in hits."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
Stored = TypeVar("Stored")

HydrationPolicy = Literal["omit", "keep", "raise"]


@dataclass(slots=True)
class Group(Generic[T]):
    """The children found of one parent, in the order found, with the score of each, or None."""

    parent: str | None  # its key; None for a child that names none, which is a group of its own
    rank: int  # where the first child stood, from 0
    children: list[T] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)

    @property
    def mean_score(self) -> float | None:
        """Return the mean of the scores there are; None where there are none."""
        scores = self._known_scores()
        # fsum: the mean of equal scores is that score, whatever their number
        return math.fsum(scores) / len(scores) if scores else None

    def best_score(self, *, higher_is_better: bool = True) -> float | None:
        """Return the best of the scores there are; None where there are none."""
        scores = self._known_scores()
        return (max(scores) if higher_is_better else min(scores)) if scores else None

    def best_child(self, *, higher_is_better: bool = True) -> T:
        """Return the child with the best score, the first where none has one."""
        best = self.best_score(higher_is_better=higher_is_better)
        return self.children[0 if best is None else self.scores.index(best)]

    def _known_scores(self) -> list[float]:
        return [score for score in self.scores if score is not None]


def group_by_parent(children: Iterable[tuple[T, str | None, float | None]]) -> list[Group[T]]:
    """Return children, each given with its parent's key and its score, under their parents.

    Groups come in the order of the first child of each.
    """
    groups: dict[object, Group[T]] = {}
    for rank, (child, parent, score) in enumerate(children):
        # no key: each child without a parent is a group of its own, not all of them together
        name = ("alone", rank) if parent is None else parent
        group = groups.setdefault(name, Group(parent, rank))
        group.children.append(child)
        group.scores.append(score)
    return list(groups.values())


def pair_with_stored(
    hits: Sequence[T],
    keys: Sequence[str | None],
    stored: Mapping[str, Stored],
    missing: Collection[str],
    on_missing: HydrationPolicy,
) -> Iterator[tuple[T, Stored | None]]:
    """Yield each hit that stays, with the stored record to put into it, or None to leave it.

    Args:
        hits: what was found.
        keys: for each hit the key of its record; None where it lacks nothing.
        stored: the records found, by key. A key that is neither here nor missing has a record that
            could not be read and was skipped: its hit is left out.
        missing: the keys that do not exist.
        on_missing: "omit" leaves out a hit whose record does not exist; the others keep it.
    """
    for hit, key in zip(hits, keys, strict=True):
        if key is None:
            yield hit, None
        elif key in stored:
            yield hit, stored[key]
        # Of a record that was skipped the hit has no more than an id, which is nothing to read.
        elif key in missing and on_missing != "omit":
            yield hit, None
