"""Children grouped by their parents, with what their scores say of the parents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.langchain.hits import hits_of


@dataclass(slots=True)
class Family:
    """Hold the children found of one parent, in the order found.

    Attributes:
        parent: the parent's key; None for a child that names none, which is a family of its own.
        rank: where the first child stood, from 0.
        children: the Documents found.
        scores: the score of each child, or None.
    """

    parent: str | None
    rank: int
    children: list[Document] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)

    def matches(self, *, higher: bool) -> dict[str, Any]:
        """Return what is known of the children, as plain values for a parent's metadata."""
        scores = [score for score in self.scores if score is not None]
        return {
            "children": [child.id for child in self.children],
            "rank": self.rank,
            "best_score": (max(scores) if higher else min(scores)) if scores else None,
            "mean_score": math.fsum(scores) / len(scores) if scores else None,
        }

    def best_child(self, *, higher: bool) -> Document:
        """Return the child with the best score, the first where none has one."""
        best = self.matches(higher=higher)["best_score"]
        return self.children[0 if best is None else self.scores.index(best)]


def families_of(children: Any, parent_key: str, score_key: str) -> list[Family]:
    """Group children by their parents, in the order of the first child of each.

    A parent's key that is a number is taken as its text; anything else but text is none.

    Args:
        children: Documents, or pairs of a Document and its score.
        parent_key: the metadata field of a child that holds its parent's key.
        score_key: the metadata field of a child that holds its score, where no pair does.

    Raises:
        InvalidRequestError: something else came than Documents and pairs.
    """
    families: dict[object, Family] = {}
    for rank, (child, scored) in enumerate(_documents(children)):
        parent = _key(child.metadata.get(parent_key))
        name = ("orphan", rank) if parent is None else parent
        family = families.setdefault(name, Family(parent, rank))
        family.children.append(child)
        family.scores.append(_score(child.metadata.get(score_key) if scored is None else scored))
    return list(families.values())


def _documents(children: Any) -> Iterator[tuple[Document, float | None]]:
    for rank, hit in enumerate(hits_of(children)):
        if hit.document is None:
            raise InvalidRequestError(
                f"the wrapped retriever must return Documents, and the one at position {rank} "
                "(counted from 0) is none; an id alone does not say which parent it has."
            )
        yield hit.document, hit.score


def _key(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _score(value: object) -> float | None:
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return score if math.isfinite(score) else None
