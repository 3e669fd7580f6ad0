"""Exact nearest neighbours in numpy.

Rows are first ranked by a float32 product, then those that its error bound cannot rule out are
measured again in float64, so the result is exact and the distances have float64 quality. Equal
distances are ordered by key. Distances (reference section 4.4): cosine is 1 - cosine similarity;
euclidean is the plain L2 distance, where the documentation leaves open whether it is squared.
"""

import heapq
import sqlite3
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..rules.filters import Filter
from ..storage.indexes import Index
from .changes import Changes
from .matrix import Matrices, Matrix, Part

Float64 = NDArray[np.float64]
Rows = NDArray[np.intp]

# A float32 sum of n products is off by at most about n/2 ulps of the product of the norms; the
# bound takes n + 8 ulps, which also covers the rounding of the query to unit length.
_ULP = float(np.finfo(np.float32).eps)
_SMALLEST = float(np.finfo(np.float32).tiny)
_MEASURED_AT_ONCE = 1024  # rows, whose float64 copies stay within a few megabytes


class Hit(NamedTuple):
    """One neighbour; the order of its fields is the order of the result.

    `filterable` is the JSON text of its filterable metadata, or None for none.
    """

    distance: float
    key: str
    id: int
    filterable: str | None


class Search:
    """A search that keeps matrices up to a budget in bytes; `changes` tell what of them is old."""

    def __init__(self, memory: int, changes: Changes) -> None:
        self.matrices = Matrices(memory, changes)

    def nearest(
        self,
        db: sqlite3.Connection,
        index: Index,
        query: bytes,
        top_k: int,
        *,
        metadata_filter: Filter | None = None,
        at: int | None = None,
        rank_first: bool = False,
    ) -> list[Hit]:
        """Return the `top_k` nearest vectors, the closest first.

        Args:
            db: a snapshot that `index` was read in.
            index: where to search.
            query: little-endian float32 of the index's dimension; not zero under cosine.
            top_k: how many at most.
            metadata_filter: what their metadata must pass.
            at: search the index as it was then, milliseconds since 1970; by default as it is.
            rank_first: let the filter choose among the `top_k` nearest.
        """
        target = np.frombuffer(query, dtype="<f4").astype(np.float64)
        hits: list[Hit] = []
        for part in self.matrices.parts(db, index, at):
            rows = _candidates(part, None if rank_first else metadata_filter, at)
            hits += _nearest(part.matrix, rows, target, top_k, cosine=index.metric == "cosine")
        best = heapq.nsmallest(top_k, hits)
        if not rank_first or metadata_filter is None:
            return best
        return [hit for hit in best if metadata_filter.matches_text(hit.filterable)]


def _candidates(part: Part, metadata_filter: Filter | None, at: int | None) -> Rows | None:
    """Return the rows that may be results, or None for all of them."""
    matrix, alive = part
    if metadata_filter is None and at is None:
        return None if alive is None else np.flatnonzero(alive)
    mask = np.ones(len(matrix.keys), dtype=bool) if alive is None else alive.copy()
    if at is not None:
        mask &= matrix.written <= at
    if metadata_filter is not None:
        mask &= metadata_filter.mask(matrix.columns.of(metadata_filter.fields))
    return np.flatnonzero(mask)


def _nearest(
    matrix: Matrix, rows: Rows | None, target: Float64, top_k: int, *, cosine: bool
) -> list[Hit]:
    """Return the nearest of the admitted rows of one matrix."""
    count = len(matrix.keys) if rows is None else len(rows)
    if count == 0:
        return []
    if count > max(top_k, _MEASURED_AT_ONCE):
        near = _contenders(matrix, rows, target, top_k, cosine=cosine)
        rows = near if rows is None else rows[near]
    elif rows is None:
        rows = np.arange(count)
    distances = _measure(matrix, rows, target, cosine=cosine)
    measured = zip(distances.tolist(), rows.tolist(), strict=True)
    hits = (
        Hit(distance, matrix.keys[row], int(matrix.ids[row]), matrix.filterable[row])
        for distance, row in measured
    )
    return heapq.nsmallest(top_k, hits)


def _contenders(
    matrix: Matrix, rows: Rows | None, target: Float64, top_k: int, *, cosine: bool
) -> Rows:
    """Return which of the rows, by their position, may be among the nearest.

    Under euclidean squared distances are ranked. Where float32 overflows, nothing is ruled out.
    """
    length = float(np.linalg.norm(target))
    unit = (target / (length or 1.0)).astype(np.float32)
    relative, least = (len(target) + 8) * _ULP, len(target) * _SMALLEST
    # Overflow and division by a zero norm are dealt with below, by what is not finite.
    with np.errstate(all="ignore"):
        product = matrix.values @ unit
        if cosine:
            middle = 1.0 - product / matrix.norms
            margin = relative + float(least / np.float64(matrix.shortest))
        else:
            middle = matrix.squares - (2.0 * length) * product.astype(np.float64)
            middle += length**2
            margin = 2.0 * length * (relative * matrix.longest + least)
            margin += 1e-12 * (matrix.longest**2 + length**2)
        if rows is not None:
            middle = middle[rows]
        # By one bound for all, which takes a fraction of the time: mostly it leaves few.
        if np.isfinite(middle.sum() + margin):
            worst = np.partition(middle, top_k - 1)[top_k - 1]
            near = np.flatnonzero(middle <= worst + 2.0 * margin)
            if len(near) <= top_k + _MEASURED_AT_ONCE:
                return near
        norms = matrix.norms if rows is None else matrix.norms[rows]
        slack = relative * norms + least
        if cosine:
            slack = slack / norms
        else:
            slack = 2.0 * length * slack + 1e-12 * (norms**2 + length**2)
        lower, upper = middle - slack, middle + slack
    lost = ~np.isfinite(middle)
    lower[lost], upper[lost] = -np.inf, np.inf
    # The bound of the last of the best: whatever cannot be nearer than that is out.
    worst = np.partition(upper, top_k - 1)[top_k - 1]
    return np.flatnonzero(lower <= worst)


def _measure(matrix: Matrix, rows: Rows, target: Float64, *, cosine: bool) -> Float64:
    """Return distances in float64; each row is summed alike, so equal vectors get equal ones."""
    distances = np.empty(len(rows))
    length = np.sqrt((target * target).sum())
    for start in range(0, len(rows), _MEASURED_AT_ONCE):
        part = slice(start, start + _MEASURED_AT_ONCE)
        values = matrix.values[rows[part]].astype(np.float64)
        if cosine:
            norms = np.sqrt((values * values).sum(axis=1))
            cosines = (values * target).sum(axis=1) / (norms * length)
            distances[part] = 1.0 - np.clip(cosines, -1.0, 1.0)
        else:
            values -= target
            distances[part] = np.sqrt((values * values).sum(axis=1))
    return distances
