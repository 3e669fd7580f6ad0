"""Cosine similarity of many vectors with one, and what follows from it: ranks, variety, repeats."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..client.errors import InvalidRequestError
from ..client.models.vector import Float32Array

Numbers = Sequence[float] | Float32Array | NDArray[np.floating]
Matrix = Sequence[Numbers] | NDArray[np.floating]
Float64 = NDArray[np.float64]

_TIE = 1e-12  # the sums' rounding, so that of equal candidates the first is picked
_ROUNDING = 1e-9  # so that a threshold of 1 finds equal vectors
_ROWS_AT_ONCE = 256  # similarities are computed for so many rows at a time, to bound the memory


def similarities(query: Numbers, candidates: Matrix) -> NDArray[np.float32]:
    """Return the cosine similarity of the query with each candidate, from -1 to 1.

    Args:
        query: shape (dimension,), numbers or packed float32.
        candidates: shape (n, dimension); none give an empty result.

    Returns:
        Shape (n,), dtype float32. A vector of zeros is similar to nothing: 0.

    Raises:
        InvalidRequestError: dimensions differ, or a number is not finite.

    Examples:
        >>> similarities([1, 0], [[2, 0], [0, 3], [-1, 0]]).tolist()
        [1.0, 0.0, -1.0]
    """
    return _cosines(*_pair(query, candidates)).astype(np.float32)


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

    Examples:
        >>> rescore([1, 0], [[0, 1], [1, 0]], k=1)
        [(1, 1.0)]
    """
    weight = check_share("weight", weight, 0, 1)
    blended = _cosines(*_pair(query, candidates))
    if scores is not None:
        if len(scores) != len(blended):
            raise InvalidRequestError(
                f"there are {len(blended)} candidates and {len(scores)} scores."
            )
        if len(scores):
            blended = weight * blended + (1 - weight) * as_vector("scores", scores)
    # stable: of equal scores the service's own order decides
    best = np.argsort(-blended, kind="stable")[: None if k is None else check_count("k", k)]
    return [(int(position), float(blended[position])) for position in best]


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

    Examples:
        >>> found = [[1, 0.2], [1, 0.21], [0, 1]]
        >>> maximal_marginal_relevance([1, 0.2], found, k=2, lambda_mult=0.3)
        [0, 2]
    """
    check_count("k", k)
    share = check_share("lambda_mult", lambda_mult, 0, 1)
    vector, matrix = _pair(query, candidates)
    if not len(matrix):
        return []
    units = _unit_rows(matrix)
    relevance = units @ _unit_rows(vector[None, :])[0]
    picks = [_first_best(relevance)]
    nearest = np.full(len(units), -np.inf)
    left = np.ones(len(units), dtype=bool)
    while len(picks) < min(k, len(units)):
        left[picks[-1]] = False
        # only the newest pick can have come nearer: one product a round, not one for each pick
        np.maximum(nearest, units @ units[picks[-1]], out=nearest)
        worth = share * relevance - (1 - share) * nearest
        picks.append(_first_best(np.where(left, worth, -np.inf)))
    return picks


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The vectors of a list that stay, and which of those each of the others resembles.

    `stands_for` holds for each vector the position of the one that stays in its place, its own
    where it stays itself; shape (n,), dtype intp.
    """

    stands_for: NDArray[np.intp]

    @property
    def keep(self) -> NDArray[np.bool_]:
        """Return which vectors stay, shape (n,), dtype bool."""
        return np.asarray(self.stands_for == np.arange(len(self.stands_for)))

    @property
    def kept(self) -> list[int]:
        """Return the positions of those that stay, in order."""
        return [int(position) for position in np.flatnonzero(self.keep)]

    @property
    def groups(self) -> list[list[int]]:
        """Return the positions that belong together, those that stay first in each group."""
        grouped: dict[int, list[int]] = {position: [] for position in self.kept}
        for position, kept in enumerate(self.stands_for):
            grouped[int(kept)].append(position)
        return list(grouped.values())


def near_duplicates(candidates: Matrix, similarity_threshold: float = 0.95) -> Duplicates:
    """Find vectors whose cosine similarity to an earlier one that stays reaches the threshold.

    The first of a group stays; a vector is compared only with those that stay, so a chain of small
    steps does not pull in what is far from its start. A vector of zeros resembles nothing.

    Args:
        candidates: shape (n, dimension), numbers or packed float32.
        similarity_threshold: from -1 to 1; 1 finds vectors of the same direction.

    Raises:
        InvalidRequestError: lengths differ, a number is not finite, or the threshold is out of its
            range.

    Examples:
        >>> near_duplicates([[1, 0], [0, 1], [1, 0.01]]).stands_for.tolist()
        [0, 1, 0]
    """
    least = check_share("similarity_threshold", similarity_threshold, -1, 1) - _ROUNDING
    units = _unit_rows(as_matrix("candidates", candidates))
    stands_for = np.arange(len(units))
    kept = np.empty(0, dtype=np.intp)
    for start in range(0, len(units), _ROWS_AT_ONCE):
        block = units[start : start + _ROWS_AT_ONCE]
        earlier = _resemblances(block, units[kept], least)
        within = _resemblances(block, block, least)
        fresh = _assign(start, earlier, within, kept, stands_for)
        kept = np.concatenate([kept, np.asarray(fresh, dtype=np.intp)])
    return Duplicates(stands_for)


def as_vector(name: str, numbers: Numbers) -> Float64:
    """Return numbers as one vector, shape (dimension,), dtype float64.

    Raises:
        InvalidRequestError: there are none, one is not finite, or the shape is another.

    Examples:
        >>> as_vector("query", [1, 2]).tolist()
        [1.0, 2.0]
    """
    return _array(name, numbers, 1, "a list of numbers, at least one")


def as_matrix(name: str, vectors: Matrix) -> Float64:
    """Return vectors as rows, shape (n, dimension), dtype float64; none give shape (0, 0).

    Raises:
        InvalidRequestError: their lengths differ, one is empty, or a number is not finite.

    Examples:
        >>> as_matrix("vectors", [[1, 2], [3, 4]]).shape
        (2, 2)
    """
    if len(vectors) == 0:
        return np.empty((0, 0))
    # numpy would make an array of objects of uneven rows, or say "inhomogeneous shape"
    if not isinstance(vectors, np.ndarray):
        lengths = {len(vector) for vector in vectors if hasattr(vector, "__len__")}
        if len(lengths) > 1:
            raise InvalidRequestError(
                "{argument} have different lengths, {lengths}; an index has one dimension.",
                argument=name,
                fields={"lengths": str(sorted(lengths))},
            )
    return _array(name, vectors, 2, "a list of vectors of one length")


def check_share(name: str, value: object, least: float, most: float) -> float:
    """Return a number in a range, both ends included; refuse anything else."""
    # bool is an int to Python, and nobody means one here
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not least <= float(value) <= most:  # type: ignore[arg-type]
        raise InvalidRequestError(
            "{argument} must be a number from {least:g} to {most:g}, not {value}.",
            argument=name,
            value=value,
            fields={"least": least, "most": most},
        )
    return float(value)  # type: ignore[arg-type]


def check_count(name: str, value: object) -> int:
    """Return a whole number above 0; refuse anything else."""
    if type(value) is not int or value < 1:
        raise InvalidRequestError(
            "{argument} must be a whole number above 0, not {value}.", argument=name, value=value
        )
    return value


def _pair(query: Numbers, candidates: Matrix) -> tuple[Float64, Float64]:
    """Return a query, shape (dimension,), and its candidates, shape (n, dimension), checked."""
    vector, matrix = as_vector("query", query), as_matrix("candidates", candidates)
    if len(matrix) and matrix.shape[1] != len(vector):
        raise InvalidRequestError(
            f"the query has {len(vector)} dimensions and the candidates have {matrix.shape[1]}: "
            "they come from different models, or from indexes of different dimensions."
        )
    return vector, matrix


def _cosines(query: Float64, candidates: Float64) -> Float64:
    if not len(candidates):
        return np.empty(0)
    # rounding takes products of unit vectors a little past 1, and no cosine is
    similar = _unit_rows(candidates) @ _unit_rows(query[None, :])[0]
    return cast("Float64", np.clip(similar, -1.0, 1.0))


def _unit_rows(matrix: Float64) -> Float64:
    """Return rows of length 1, shape and dtype kept; a row of zeros stays zero."""
    # einsum makes no array of squares, as large as the matrix, on the way
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    norms[norms == 0.0] = 1.0  # no division by zero: zeros are similar to nothing
    return cast("Float64", matrix / norms[:, None])


def _first_best(worth: Float64) -> int:
    return int(np.argmax(worth >= worth.max() - _TIE))


def _resemblances(rows: Float64, others: Float64, least: float) -> NDArray[np.bool_]:
    alike: NDArray[np.bool_] = np.greater_equal(rows @ others.T, least)
    if least <= 0:  # where a similarity of 0 would do, vectors of zeros would resemble all
        alike &= np.outer(np.any(rows, axis=1), np.any(others, axis=1))
    return alike


def _assign(
    start: int,
    earlier: NDArray[np.bool_],
    within: NDArray[np.bool_],
    kept: NDArray[np.intp],
    stands_for: NDArray[np.intp],
) -> list[int]:
    # row by row, since whether a row stays depends on those of its block that stay before it
    fresh: list[int] = []
    for row in range(len(within)):
        if earlier[row].any():
            stands_for[start + row] = kept[int(np.argmax(earlier[row]))]
        elif like := [position for position in fresh if within[row, position - start]]:
            stands_for[start + row] = like[0]
        else:
            fresh.append(start + row)
    return fresh


def _array(name: str, numbers: object, dimensions: int, expected: str) -> Float64:
    try:
        array = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequestError(
            "{argument} must be numbers, all of them.", argument=name
        ) from error
    if array.ndim != dimensions or not array.size:
        raise InvalidRequestError(
            "{argument} must be {expected}, not of shape {shape}.",
            argument=name,
            fields={"expected": expected, "shape": str(array.shape)},
        )
    # one sum instead of a look at each value; finite values of float32 cannot overflow it
    if not math.isfinite(float(array.sum())) and not np.isfinite(array).all():
        raise InvalidRequestError("{argument} hold NaN or an infinite number.", argument=name)
    return array
