"""What stands for a document that is elsewhere: an id, a Document, a hit, any of them scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.results import FusedVector, ScoredVector

_PAIR = 2


@dataclass(frozen=True, slots=True)
class Hit:
    """Hold what is known of a document before it is fetched.

    Attributes:
        id: the key, or None where it has none.
        score: the score that came with it, unchanged, or None.
        document: the Document that came, if it was one.
    """

    id: str | None
    score: float | None = None
    document: Document | None = None


def hits_of(items: Any) -> list[Hit]:
    """Return what each of many items says.

    Raises:
        InvalidRequestError: one says nothing, or there is no list.
    """
    if isinstance(items, str | bytes | Mapping | Document) or not hasattr(items, "__iter__"):
        raise InvalidRequestError(
            f"hits must be a list, not a {type(items).__name__}; put a single one into a list."
        )
    return [hit_of(item, position) for position, item in enumerate(items)]


def hit_of(item: Any, position: int) -> Hit:
    """Return what an item says: an id, a Document, `(either, score)`, a hit of a query, a dict.

    A dict has `id` or `key`, and may have `score` or `distance`.

    Raises:
        InvalidRequestError: it is none of these.
    """
    if isinstance(item, tuple | list) and len(item) == _PAIR:
        inner = hit_of(item[0], position)
        return Hit(inner.id, _score(item[1], position), inner.document)
    if isinstance(item, Document):
        return Hit(item.id, None, item)
    if isinstance(item, str):
        return Hit(item)
    if isinstance(item, ScoredVector):
        return Hit(item.key, item.distance)
    if isinstance(item, FusedVector):
        return Hit(item.key, item.score)
    if isinstance(item, Mapping) and isinstance(key := item.get("id", item.get("key")), str):
        return Hit(key, _score(item.get("score", item.get("distance")), position))
    raise InvalidRequestError(
        f"the hit at position {position} (counted from 0) is of type {type(item).__name__}; a hit "
        "is an id, a Document, a pair of either and a score, a hit of query_vectors, or a dict "
        "with id and score."
    )


def _score(value: Any, position: int) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"the score of the hit at position {position} (counted from 0) is of type "
            f"{type(value).__name__}, not a number."
        ) from error
