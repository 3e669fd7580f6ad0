"""Maximal marginal relevance: near the query, and unlike what is picked already."""

from __future__ import annotations

import numpy as np

from oss_vector_retriever.embeddings.arrays import (
    Float64,
    Matrix,
    Numbers,
    check_count,
    check_share,
    pair,
    unit_rows,
)

_TIE = 1e-12  # the sums' rounding, so that of equal candidates the first is picked


def maximal_marginal_relevance(
    query: Numbers, candidates: Matrix, k: int, lambda_mult: float = 0.5
) -> list[int]:
    """Pick `k` candidates, each by its similarity to the query less that to the nearest pick.

    The first pick is the most similar. Each further one has the highest `lambda_mult * similarity
    to the query - (1 - lambda_mult) * highest similarity to any pick so far`, cosine both. Of equal
    candidates the first is picked. (Carbonell and Goldstein, 1998.)

    Args:
        query: shape (dimension,), numbers or packed float32.
        candidates: shape (n, dimension).
        k: how many to pick; fewer where there are fewer.
        lambda_mult: from 0, all diversity, to 1, all similarity.

    Returns:
        Positions among the candidates, in the order picked.

    Raises:
        InvalidRequestError: dimensions differ, a number is not finite, or an argument is out of
            its range.
    """
    check_count("k", k)
    share = check_share("lambda_mult", lambda_mult, 0, 1)
    vector, matrix = pair(query, candidates)
    if not len(matrix):
        return []
    units = unit_rows(matrix)
    return _picked(units @ unit_rows(vector[None, :])[0], units, min(k, len(units)), share)


def _picked(relevance: Float64, units: Float64, count: int, share: float) -> list[int]:
    picks = [_first_best(relevance)]
    nearest = np.full(len(units), -np.inf)
    left = np.ones(len(units), dtype=bool)
    while len(picks) < count:
        left[picks[-1]] = False
        np.maximum(nearest, units @ units[picks[-1]], out=nearest)
        worth = share * relevance - (1 - share) * nearest
        picks.append(_first_best(np.where(left, worth, -np.inf)))
    return picks


def _first_best(worth: Float64) -> int:
    return int(np.argmax(worth >= worth.max() - _TIE))
