"""`Matrix`: an index, or a block of one, as arrays that search works on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.filters import Filter
from oss_vector_retriever.emulator.storage import vectors as table
from oss_vector_retriever.emulator.storage.indexes import Index
from oss_vector_retriever.emulator.storage.vectors import Block

_LOADED_ROWS = 1024
_OBJECT_BYTES = 64  # of a Python string, beside its text


@dataclass(frozen=True, eq=False)
class Matrix:
    """Hold n vectors as they were after `writes` changes of their index.

    Attributes:
        values: float32, shape (n, dimension).
        norms: float64, shape (n,): the length of each vector.
        ids: int64, shape (n,): the vectors' rows in the database.
        written: int64, shape (n,): when they were written, milliseconds since 1970.
        keys: n keys.
        filterable: n JSON texts of filterable metadata, None for none.
        writes: the count of writes of the index.
    """

    values: NDArray[np.float32]
    norms: NDArray[np.float64]
    ids: NDArray[np.int64]
    written: NDArray[np.int64]
    keys: list[str]
    filterable: list[str | None]
    writes: int

    @cached_property
    def size(self) -> int:
        """Return about how many bytes of memory this takes."""
        arrays = self.values.nbytes + self.norms.nbytes + self.ids.nbytes + self.written.nbytes
        texts = sum(len(text) + _OBJECT_BYTES for text in self.filterable if text)
        return arrays + texts + sum(len(key) + _OBJECT_BYTES for key in self.keys)

    @cached_property
    def places(self) -> dict[str, int]:
        """Return the row of each key."""
        return {key: row for row, key in enumerate(self.keys)}

    def passing(self, chosen: Filter) -> NDArray[np.bool_]:
        """Return which rows' metadata passes a filter, shape (n,)."""
        outcomes = (passes(chosen, text) for text in self.filterable)
        return np.fromiter(outcomes, dtype=bool, count=len(self.filterable))


def passes(chosen: Filter | None, filterable: str | None) -> bool:
    """Tell whether filterable metadata, as JSON text or None for none, passes a filter."""
    return chosen is None or chosen.matches(json_text.loads(filterable) if filterable else {})


def load(db: sqlite3.Connection, index: Index, count: int) -> Matrix:
    """Read a whole index of `count` vectors, its values straight into one array."""
    whole = _empty(index, count)
    start = 0
    for rows in table.blocks(db, index.id, _LOADED_ROWS):
        _fill(whole, rows, start)
        start += len(rows)
    return whole


def load_some(db: sqlite3.Connection, index: Index, keys: list[str]) -> Matrix:
    """Read those vectors of an index that exist among some keys."""
    rows = [row for part in table.blocks_of(db, index.id, keys) for row in part]
    some = _empty(index, len(rows))
    if rows:
        _fill(some, rows, 0)
    return some


def stream(db: sqlite3.Connection, index: Index, size: int) -> Iterator[Matrix]:
    """Iterate over an index in blocks of at most `size` vectors."""
    for rows in table.blocks(db, index.id, size):
        block = _empty(index, len(rows))
        _fill(block, rows, 0)
        yield block


def _empty(index: Index, count: int) -> Matrix:
    return Matrix(
        values=np.empty((count, index.dimension), np.float32),
        norms=np.empty(count, np.float64),
        ids=np.empty(count, np.int64),
        written=np.empty(count, np.int64),
        keys=[],
        filterable=[],
        writes=index.writes,
    )


def _fill(matrix: Matrix, rows: Block, start: int) -> None:
    ids, keys, written, filterable, data = zip(*rows, strict=True)
    part = slice(start, start + len(rows))
    values = np.frombuffer(b"".join(data), dtype="<f4").reshape(len(rows), -1)
    matrix.values[part] = values
    matrix.norms[part] = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
    matrix.ids[part] = ids
    matrix.written[part] = written
    matrix.keys.extend(keys)
    matrix.filterable.extend(filterable)
