"""Near-duplicates: which vectors say the same as an earlier one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oss_vector_retriever.embeddings.arrays import (
    Float64,
    Matrix,
    as_matrix,
    check_share,
    unit_rows,
)

_ROUNDING = 1e-9  # so that a threshold of 1 finds equal vectors
_ROWS = 256  # similarities are made for so many rows at a time, to bound the memory


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Say which vectors stay, and which of those each of the others resembles.

    Attributes:
        stands_for: for each vector the position of the one that stays in its place, its own where
            it stays itself; shape (n,), dtype intp.
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


def near_duplicates(candidates: Matrix, threshold: float = 0.95) -> Duplicates:
    """Find vectors whose cosine similarity to an earlier one that stays reaches the threshold.

    The first of a group stays; a vector is compared only with those that stay, so a chain of small
    steps does not pull in what is far from its start. A vector of zeros resembles nothing.

    Args:
        candidates: shape (n, dimension), numbers or packed float32.
        threshold: from -1 to 1; 1 finds vectors of the same direction.

    Raises:
        InvalidRequestError: lengths differ, a number is not finite, or the threshold is out of its
            range.
    """
    least = check_share("threshold", threshold, -1, 1) - _ROUNDING
    units = unit_rows(as_matrix("candidates", candidates))
    stands_for = np.arange(len(units))
    kept = np.empty(0, dtype=np.intp)
    for start in range(0, len(units), _ROWS):
        block = units[start : start + _ROWS]
        earlier, within = _alike(block, units[kept], least), _alike(block, block, least)
        fresh = _place(start, earlier, within, kept, stands_for)
        kept = np.concatenate([kept, np.asarray(fresh, dtype=np.intp)])
    return Duplicates(stands_for)


def _alike(rows: Float64, others: Float64, least: float) -> NDArray[np.bool_]:
    alike: NDArray[np.bool_] = np.greater_equal(rows @ others.T, least)
    if least <= 0:  # where a similarity of 0 would do, vectors of zeros would resemble all
        alike &= np.outer(np.any(rows, axis=1), np.any(others, axis=1))
    return alike


def _place(
    start: int,
    earlier: NDArray[np.bool_],
    within: NDArray[np.bool_],
    kept: NDArray[np.intp],
    stands_for: NDArray[np.intp],
) -> list[int]:
    """Assign each row of a block to the first that stays, and return those that now do."""
    fresh: list[int] = []
    for row in range(len(within)):
        if earlier[row].any():
            stands_for[start + row] = kept[int(np.argmax(earlier[row]))]
            continue
        like = [position for position in fresh if within[row, position - start]]
        if like:
            stands_for[start + row] = like[0]
        else:
            fresh.append(start + row)
    return fresh
