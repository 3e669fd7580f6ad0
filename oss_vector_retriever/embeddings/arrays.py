"""What counts as a vector and as a matrix of vectors, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.vector import Float32Array

Numbers = Sequence[float] | Float32Array | NDArray[np.floating]
Matrix = Sequence[Numbers] | NDArray[np.floating]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_ROWS = 2


def as_vector(name: str, numbers: Numbers) -> Float64:
    """Return numbers as one vector, shape (dimension,), dtype float64.

    Raises:
        InvalidRequestError: there are none, one is not finite, or the shape is another.
    """
    vector = _array(name, numbers)
    if vector.ndim != 1 or not vector.size:
        raise InvalidRequestError(
            f"{name} must be a list of numbers, at least one, not of shape {vector.shape}."
        )
    return _finite(name, vector)


def as_matrix(name: str, vectors: Matrix) -> Float64:
    """Return vectors as rows, shape (n, dimension), dtype float64; none give shape (0, 0).

    Raises:
        InvalidRequestError: their lengths differ, one is empty, or a number is not finite.
    """
    if len(vectors) == 0:
        return np.empty((0, 0))
    if not isinstance(vectors, np.ndarray):
        _check_lengths(name, vectors)
    matrix = _array(name, vectors)
    if matrix.ndim != _ROWS or not matrix.size:
        raise InvalidRequestError(
            f"{name} must be a list of vectors of one length, not of shape {matrix.shape}."
        )
    return _finite(name, matrix)


def pair(query: Numbers, candidates: Matrix) -> tuple[Float64, Float64]:
    """Return a query, shape (dimension,), and its candidates, shape (n, dimension), of one length.

    Raises:
        InvalidRequestError: their dimensions differ, or one of them is no such array.
    """
    vector, matrix = as_vector("query", query), as_matrix("candidates", candidates)
    if len(matrix) and matrix.shape[1] != len(vector):
        raise InvalidRequestError(
            f"the query has {len(vector)} dimensions and the candidates have {matrix.shape[1]}: "
            "they come from different models, or from indexes of different dimensions."
        )
    return vector, matrix


def unit_rows(matrix: Float64) -> Float64:
    """Return rows of length 1, shape and dtype kept; a row of zeros stays zero."""
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))
    norms[norms == 0.0] = 1.0
    units: Float64 = matrix / norms[:, None]
    return units


def check_share(name: str, value: object, least: float, most: float) -> float:
    """Return a number in a range, both ends included.

    Raises:
        InvalidRequestError: it is none, or outside.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not least <= float(value) <= most:  # type: ignore[arg-type]
        raise InvalidRequestError(
            f"{name} must be a number from {least:g} to {most:g}, not {shown(value)}."
        )
    return float(value)  # type: ignore[arg-type]


def check_count(name: str, value: object) -> int:
    """Return a whole number above 0.

    Raises:
        InvalidRequestError: it is none.
    """
    if type(value) is not int or value < 1:
        raise InvalidRequestError(f"{name} must be a whole number above 0, not {shown(value)}.")
    return value


def _check_lengths(name: str, vectors: Sequence[Numbers]) -> None:
    lengths = {len(vector) for vector in vectors if hasattr(vector, "__len__")}
    if len(lengths) > 1:
        raise InvalidRequestError(
            f"{name} have different lengths, {sorted(lengths)}; an index has one dimension."
        )


def _array(name: str, numbers: object) -> Float64:
    try:
        return np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequestError(f"{name} must be numbers, all of them.") from error


def _finite(name: str, array: Float64) -> Float64:
    # one sum instead of a look at each value; finite values of float32 cannot overflow it
    if not math.isfinite(float(array.sum())) and not np.isfinite(array).all():
        raise InvalidRequestError(f"{name} hold NaN or an infinite number.")
    return array
