"""Cosine similarity of one vector with many, and ranking by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.embeddings.arrays import (
    Float32,
    Float64,
    Matrix,
    Numbers,
    as_vector,
    check_count,
    check_share,
    pair,
    unit_rows,
)


def similarities(query: Numbers, candidates: Matrix) -> Float32:
    """Return the cosine similarity of the query with each candidate, from -1 to 1.

    Args:
        query: shape (dimension,), numbers or packed float32.
        candidates: shape (n, dimension); none give an empty result.

    Returns:
        Shape (n,), dtype float32. A vector of zeros is similar to nothing: 0.

    Raises:
        InvalidRequestError: dimensions differ, or a number is not finite.
    """
    return cosines(*pair(query, candidates)).astype(np.float32)


def rescore(
    query: Numbers,
    candidates: Matrix,
    *,
    k: int | None = None,
    scores: Sequence[float] | None = None,
    weight: float = 1.0,
) -> list[tuple[int, float]]:
    """Rank candidates by their exact similarity to the query, blended with earlier scores if any.

    Args:
        query: shape (dimension,).
        candidates: shape (n, dimension).
        k: return at most so many.
        scores: an earlier score of each candidate, shape (n,), on a scale like the similarity's.
        weight: the share of the similarity, from 0 to 1; the rest is that of `scores`.

    Returns:
        Positions with their scores, best first; of equal ones the first stays first.

    Raises:
        InvalidRequestError: dimensions or counts differ, or an argument is out of its range.
    """
    weight = check_share("weight", weight, 0, 1)
    blended = cosines(*pair(query, candidates))
    if scores is not None:
        blended = weight * blended + (1 - weight) * _earlier(scores, len(blended))
    best = np.argsort(-blended, kind="stable")[: None if k is None else check_count("k", k)]
    return [(int(position), float(blended[position])) for position in best]


def cosines(query: Float64, candidates: Float64) -> Float64:
    """Return the cosine similarities of arrays that are checked already, dtype float64."""
    if not len(candidates):
        return np.empty(0)
    similar = unit_rows(candidates) @ unit_rows(query[None, :])[0]
    return cast("Float64", np.clip(similar, -1.0, 1.0))


def _earlier(scores: Sequence[float], count: int) -> Float64:
    if len(scores) != count:
        raise InvalidRequestError(f"there are {count} candidates and {len(scores)} scores.")
    return as_vector("scores", scores) if count else np.empty(0)
