"""`KnownBuckets`: buckets kept in memory, so that a request begins without the database."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator

from oss_vector_retriever.emulator.storage import buckets
from oss_vector_retriever.emulator.storage.buckets import Bucket, Place
from oss_vector_retriever.emulator.storage.database import Database


class KnownBuckets:
    """Look buckets up, and change them; nobody else may, for what is known is not read again.

    No other process has the database open. In memory, where a connection serves one user at a time,
    a read that first looked for its bucket there would wait for two writes instead of one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changes = 0
        self._known: dict[tuple[Place, str], Bucket] = {}

    def find(self, place: Place, name: str) -> Bucket | None:
        """Return a bucket, or None."""
        known = self._known.get((place, name))
        if known is not None:
            return known
        changes = self._changes
        with self._database.read() as db:
            found = buckets.find(db, place, name)
        with self._lock:
            if found is not None and changes == self._changes:
                self._known[place, name] = found
        return found

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that may change buckets."""
        try:
            with self._database.write() as db:
                yield db
        finally:
            with self._lock:
                self._changes += 1
                self._known.clear()
