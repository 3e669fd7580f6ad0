"""`Matrices`: indexes kept in memory for search, up to a budget, and brought up to date."""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oss_vector_retriever.emulator.changes import Changes
from oss_vector_retriever.emulator.matrix import Matrix, load, load_some, stream
from oss_vector_retriever.emulator.storage import vectors as table
from oss_vector_retriever.emulator.storage.indexes import Index

_STREAMED_ROWS = 2048
_PLACE_BYTES = 104  # of an entry in a dict of keys
_FEW = 1000
_SHARE = 20


class Part(NamedTuple):
    """Hold a matrix and which of its rows still hold, shape (n,); None for all."""

    matrix: Matrix
    alive: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    """Hold an index after `writes` changes: a matrix, and one of what was changed since then."""

    base: Matrix
    parts: tuple[Part, ...]
    writes: int

    @property
    def size(self) -> int:
        """Return about how many bytes of memory this takes."""
        places = len(self.base.keys) * _PLACE_BYTES if len(self.parts) > 1 else 0
        return places + sum(part.matrix.size for part in self.parts)


class Matrices:
    """Give out indexes as matrices, and keep them in memory up to a budget in bytes."""

    def __init__(self, memory: int, changes: Changes) -> None:
        self._memory = memory
        self._changes = changes
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._turn = threading.Lock()
        self._loading = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        """Return how much memory the kept matrices take."""
        with self._turn:
            return self._used()

    def parts(self, db: sqlite3.Connection, index: Index) -> Iterator[Part]:
        """Return an index in few parts, or as a stream of blocks where it is too large.

        Args:
            db: a snapshot that `index` was read in.
            index: which.
        """
        # One at a time: whoever waits here mostly finds the matrix loaded.
        with self._loading:
            kept = self._find(index) or self._brought_up_to_date(db, index)
            if kept is None:
                count = table.count(db, index.id)
                if count * index.dimension * np.dtype(np.float32).itemsize > self._memory:
                    return (Part(block) for block in stream(db, index, _STREAMED_ROWS))
                whole = load(db, index, count)
                kept = _Kept(whole, (Part(whole),), index.writes)
            self._keep(index, kept)
            return iter(kept.parts)

    def _find(self, index: Index) -> _Kept | None:
        with self._turn:
            kept = self._kept.get(index.id)
            return kept if kept and kept.writes == index.writes else None

    def _brought_up_to_date(self, db: sqlite3.Connection, index: Index) -> _Kept | None:
        """Return what is kept with the few vectors that were changed since, or None."""
        with self._turn:
            kept = self._kept.get(index.id)
        if kept is None or kept.base.writes > index.writes:
            return None
        base = kept.base
        keys = self._changes.since(index.id, base.writes, index.writes)
        if keys is None or len(keys) > max(_FEW, len(base.keys) // _SHARE):
            return None
        alive = np.ones(len(base.keys), dtype=bool)
        alive[[base.places[key] for key in keys if key in base.places]] = False
        changed = load_some(db, index, sorted(keys))
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
            while self._used() > self._memory:
                least_used, _ = self._kept.popitem(last=False)
                self._changes.forget(least_used)

    def _used(self) -> int:
        return sum(kept.size for kept in self._kept.values())
