"""`Database`: SQLite connections under threads, one writer at a time and readers beside it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator.storage import schema
from oss_vector_retriever.emulator.storage.lock import FileLock
from oss_vector_retriever.emulator.storage.turns import Turns


class Database:
    """Give out transactions on one database file, or on memory.

    A file has one connection that writes and a pool that reads, each read a snapshot that no
    write disturbs. In memory there is one connection, and its users take turns (`Turns`).

    Raises:
        ConfigurationError: the file is in use, or is not a database of this emulator.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._turns = Turns()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._lock = FileLock(path) if path else None
        try:
            self._writer = self._connect()
        except BaseException:
            self._unlock()
            raise

    @contextlib.contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open a snapshot: what is read inside belongs together."""
        if self._path is None:
            with self._turns.read():
                yield self._writer
            return
        connection = self._borrow()
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
        finally:
            self._give_back(connection)

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that is committed whole, or on any exception not at all."""
        with self._turns.write():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk, for one, ends the transaction by itself.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every connection and let go of the file; closing twice does nothing."""
        with self._turns.write():
            self._closed = True
            while self._idle:
                self._idle.pop().close()
            self._writer.close()
            self._unlock()

    def _borrow(self) -> sqlite3.Connection:
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        if self._closed:
            raise sqlite3.ProgrammingError("the database is closed")
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        self._idle.append(connection)
        if self._closed:
            self.close()

    def _connect(self) -> sqlite3.Connection:
        name = str(self._path) if self._path else ":memory:"
        try:
            connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{name} cannot be opened: {error}") from None
        try:
            schema.configure(connection)
            schema.prepare(connection, name)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise ConfigurationError(f"{name} cannot be opened: {error}") from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _unlock(self) -> None:
        if self._lock:
            self._lock.close()
