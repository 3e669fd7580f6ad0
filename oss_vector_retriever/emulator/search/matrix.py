"""Indexes as arrays that search works on: `Matrices` keeps them, and what was changed since."""

import mmap
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..storage import vectors as table
from ..storage.indexes import Index
from .changes import Changes
from .columns import Columns

# Of vectors that are loaded at once: so many stay in the processor's cache from the record to the
# matrix, and 4 MB, which do not, took twice the time.
_LOADED_BYTES = 512 * 1024
_LOADED_ROWS = 1024  # the most of them
_HUGE_PAGES_FROM = 4 * 1024 * 1024  # bytes
_OBJECT_BYTES = 64  # of a Python string, without its text
_STREAMED_ROWS = 2048
_ROW_BYTES = 104  # of an entry in a dict of keys
# So many changed vectors, or this part of an index, are read next to the matrix that is kept;
# where more were changed, the whole index is read again.
_FEW = 1000
_SHARE = 20


@dataclass(frozen=True, eq=False)
class Matrix:
    """n vectors as they were after `writes` changes of their index.

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
    def squares(self) -> NDArray[np.float64]:
        """Return the square of each vector's length, shape (n,)."""
        return self.norms**2

    @cached_property
    def shortest(self) -> float:
        """Return the length of the shortest vector."""
        return float(self.norms.min())

    @cached_property
    def longest(self) -> float:
        """Return the length of the longest vector."""
        return float(self.norms.max())

    @cached_property
    def columns(self) -> Columns:
        """Return the filterable metadata by field, which keeps nothing unless it is given room."""
        return Columns(self.filterable)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Return the row of each key."""
        return {key: row for row, key in enumerate(self.keys)}


class Part(NamedTuple):
    """A matrix, and which of its rows are still current, shape (n,); None for all."""

    matrix: Matrix
    alive: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """An index after `writes` changes: a matrix, and one of what was changed since then."""

    base: Matrix
    parts: tuple[Part, ...]
    writes: int

    @property
    def size(self) -> int:
        """Return about how many bytes of memory this takes."""
        rows = len(self.base.keys) * _ROW_BYTES if len(self.parts) > 1 else 0
        return rows + sum(part.matrix.size + part.matrix.columns.size for part in self.parts)


class Matrices:
    """Indexes as matrices, kept in memory up to a budget in bytes."""

    def __init__(self, memory: int, changes: Changes) -> None:
        self._memory = memory
        self._changes = changes
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._turn = threading.Lock()
        self._loading = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        """Return how much memory the kept matrices take."""
        # A list, so that another thread may keep or drop one meanwhile.
        return sum(kept.size for kept in list(self._kept.values()))

    def parts(self, db: sqlite3.Connection, index: Index, at: int | None = None) -> Iterator[Part]:
        """Return an index, read in the snapshot `db`, in few parts; a large one as many blocks.

        With `at`, milliseconds since 1970, what was there then and is no more is a part too; what
        was written since is left to whoever looks at `written`.
        """
        parts = self._current_parts(db, index)
        former = [] if at is None else table.former_block(db, index.id, at)
        return chain(parts, [Part(_matrix(index, [former], len(former)))]) if former else parts

    def _current_parts(self, db: sqlite3.Connection, index: Index) -> Iterator[Part]:
        # One at a time: whoever waits here mostly finds the matrix loaded, and two that load at
        # once would take twice the memory.
        with self._loading:
            kept = self._find(db, index)
            if kept is None:
                count = table.count(db, index.id)
                if count * index.dimension * np.dtype(np.float32).itemsize > self._memory:
                    blocks = table.blocks(db, index.id, _STREAMED_ROWS)
                    return (Part(_matrix(index, [rows], len(rows))) for rows in blocks)
                size = _LOADED_BYTES // (index.dimension * np.dtype(np.float32).itemsize)
                blocks = table.blocks(db, index.id, min(max(size, 1), _LOADED_ROWS))
                whole = _matrix(index, blocks, count)
                kept = _Kept(whole, (Part(whole),), index.writes)
            self._keep(index, kept)
            return iter(kept.parts)

    def _find(self, db: sqlite3.Connection, index: Index) -> _Kept | None:
        """Return what is kept, with the few vectors that were changed since, or None."""
        with self._turn:
            kept = self._kept.get(index.id)
        if kept is None or kept.base.writes > index.writes:
            return None
        if kept.writes == index.writes:
            return kept
        base = kept.base
        keys = self._changes.keys_between(index.id, base.writes, index.writes)
        if keys is None or len(keys) > max(_FEW, len(base.keys) // _SHARE):
            return None
        # The matrix stays as it is, for searches that have it; rows that no longer hold are marked.
        alive = np.ones(len(base.keys), dtype=bool)
        alive[[base.rows[key] for key in keys if key in base.rows]] = False
        blocks = list(table.blocks_of(db, index.id, sorted(keys)))
        changed = _matrix(index, blocks, sum(map(len, blocks)))
        current = _Kept(base, (Part(base, alive), Part(changed)), index.writes)
        return current if current.size <= self._memory else None

    def _keep(self, index: Index, kept: _Kept) -> None:
        with self._turn:
            former = self._kept.get(index.id)
            # The reader of an older snapshot must not replace what a later one kept.
            if kept.size > self._memory or (former and former.writes > kept.writes):
                return
            self._kept[index.id] = kept
            self._kept.move_to_end(index.id)
            self._changes.watch(index.id, kept.base.writes)
            while self.kept_bytes > self._memory:
                least_used, _ = self._kept.popitem(last=False)
                self._changes.forget(least_used)
            # What filters ask for may take what is left.
            left = self._memory - self.kept_bytes
            for part in kept.parts:
                columns = part.matrix.columns
                columns.memory = columns.size + left // len(kept.parts)


def _matrix(index: Index, blocks: Iterable[table.Block], count: int) -> Matrix:
    """Return `count` vectors as a matrix; each block's values go straight into one array."""
    matrix = Matrix(
        values=_make_room(count, index.dimension),
        norms=np.empty(count, np.float64),
        ids=np.empty(count, np.int64),
        written=np.empty(count, np.int64),
        keys=[],
        filterable=[],
        writes=index.writes,
    )
    for rows in blocks:
        _append(matrix, rows)
    return matrix


def _make_room(count: int, dimension: int) -> NDArray[np.float32]:
    """Return an array for so many vectors, shape (count, dimension), with anything in it."""
    # For an array of 4 MB and more numpy asks for huge pages, for which a system whose memory is
    # full of files tidies up first: 410 MB took 0.7 s so, and 0.14 s in usual pages, which add up
    # to a quarter to a search.
    size = count * dimension * np.dtype(np.float32).itemsize
    if size < _HUGE_PAGES_FROM or not hasattr(mmap, "MAP_PRIVATE"):  # Windows has none
        return np.empty((count, dimension), np.float32)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(memory, np.float32).reshape(count, dimension)


def _append(matrix: Matrix, rows: table.Block) -> None:
    # A function of its own: its copies are freed, and their memory used again, before the next
    # block is read, which saves a tenth of the time.
    ids, keys, written, filterable, data = zip(*rows, strict=True)
    part = slice(len(matrix.keys), len(matrix.keys) + len(rows))
    values = np.frombuffer(b"".join(data), dtype="<f4").reshape(len(rows), -1)
    matrix.values[part] = values
    # Summed in float64: the square of a large float32 overflows.
    matrix.norms[part] = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
    matrix.ids[part] = ids
    matrix.written[part] = written
    matrix.keys.extend(keys)
    matrix.filterable.extend(filterable)
