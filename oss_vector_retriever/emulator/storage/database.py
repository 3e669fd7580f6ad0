"""`Database`: SQLite connections under threads, one that writes and others that read."""

import contextlib
import os
import sqlite3
import stat
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...client.errors import ConfigurationError

APPLICATION_ID = 0x4F53_5356  # "OSSV": SQLite tools show whose file this is
VERSION = 1

# data comes last, so that reading the columns before it touches no overflow page.
# filterable repeats the filterable part of metadata, and is NULL where that is the whole.
_TABLES = """
CREATE TABLE buckets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    resource_group TEXT,
    policy TEXT,
    logging TEXT,
    UNIQUE (account, region, name)
);
CREATE TABLE indexes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    metric TEXT NOT NULL,
    non_filterable TEXT NOT NULL,
    created INTEGER NOT NULL,
    writes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (bucket_id, name)
);
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,
    index_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    written INTEGER NOT NULL,
    filterable TEXT,
    metadata TEXT,
    data BLOB NOT NULL,
    UNIQUE (index_id, key)
);
CREATE INDEX vectors_in_order ON vectors (index_id, id);
"""
# By themselves, for files that are older than they.
_LATER_TABLES = (
    """
CREATE TABLE IF NOT EXISTS deleted_buckets (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
);
""",
    # What vectors were before `ended`, for readers to whom a write or deletion is yet to come.
    """
CREATE TABLE IF NOT EXISTS former_vectors (
    id INTEGER NOT NULL,
    index_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    written INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    filterable TEXT,
    metadata TEXT,
    data BLOB NOT NULL,
    PRIMARY KEY (index_id, key, ended)
);
""",
)


class Database:
    """Transactions on one database file, or on memory.

    A file has one connection that writes and a pool that reads, each read a snapshot that no
    write disturbs. In memory there is one connection, and its users take turns (`FairLock`).

    Raises:
        ConfigurationError: the file is in use, or is not a database of this emulator.
    """

    def __init__(self, path: Path | None = None) -> None:
        # By the file's own name, whatever it was called, all who open it meet at one lock.
        self._path = path = None if path is None else _real_path(path)
        self._turns = FairLock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        self._lock_file = _lock_database(path) if path else None
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
            # Deferred: the snapshot is that of the first read after it.
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
        finally:
            self._idle.append(connection)
            # Closed while this one was lent: a second round closes it too.
            if self._closed:
                self.close()

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that is committed whole, or on any exception not at all."""
        with self._turns.write():
            # A writer at once: a transaction that reads first can fail when it comes to write.
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
        with contextlib.suppress(IndexError):  # pop is atomic, where a look before it would not be
            return self._idle.pop()
        if self._closed:
            raise sqlite3.ProgrammingError("the database is closed")
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        name = str(self._path) if self._path else ":memory:"
        try:
            # Transactions are begun by hand, and a connection goes from thread to thread, one at a
            # time; by default sqlite3 begins them itself, and forbids a second thread.
            connection = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(connection.close)
                _prepare(connection, name)
                on_failure.pop_all()
        except sqlite3.Error as error:
            raise ConfigurationError(f"{name} cannot be opened: {error}") from None
        return connection

    def _unlock(self) -> None:
        if self._lock_file:
            self._lock_file.close()


def _prepare(connection: sqlite3.Connection, name: str) -> None:
    """Configure a connection, and make the tables in a new database or check that it is ours."""
    connection.create_function("key_hash", 1, _hash_key, deterministic=True)
    # SQLite does not remember the first four from one connection to the next.
    connection.execute("PRAGMA busy_timeout = 10000")
    # In WAL, NORMAL keeps every committed write through a crash of the process; only a crash of the
    # machine can lose the last ones, and corrupts nothing.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16384")  # KiB; a positive number would mean pages
    # Pages, some 64 MB: after 1,000, as by default, a bulk load copies the log back all the time.
    connection.execute("PRAGMA wal_autocheckpoint = 16000")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0 and version == 0:
        connection.execute("PRAGMA journal_mode = WAL")  # the file remembers it; memory ignores it
        connection.executescript(
            f"BEGIN; {_TABLES} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise ConfigurationError(f"{name} is not a database of this emulator")
    elif version != VERSION:
        raise ConfigurationError(
            f"{name} has version {version} of the emulator's tables; this release reads {VERSION}"
        )
    for statement in _LATER_TABLES:
        connection.execute(statement)


def _hash_key(key: str) -> int:
    return zlib.crc32(key.encode())


class FairLock:
    """A connection handed from user to user, so that no reader waits for more than one write.

    When a write ends, every reader that waits by then goes before the next write; who comes later
    goes after it, so that readers cannot hold writes back for ever. A thread that has its turn may
    take it again: a forgotten client closes its service from wherever it is collected.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._holder: int | None = None
        self._again = 0
        self._readers: deque[threading.Lock] = deque()
        self._writers: deque[threading.Lock] = deque()
        self._ahead = 0  # readers that go before the next write

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """Hold the connection for reading."""
        self._take(self._readers)
        try:
            yield
        finally:
            self._pass_on()

    @contextlib.contextmanager
    def write(self) -> Iterator[None]:
        """Hold the connection for writing."""
        self._take(self._writers)
        try:
            yield
        finally:
            self._pass_on(wrote=True)

    def _take(self, line: deque[threading.Lock]) -> None:
        me = threading.get_ident()
        if self._holder == me:
            self._again += 1
            return
        gate = self._stand_in(line)
        if gate is not None:
            try:
                gate.acquire()
            except BaseException:  # Ctrl-C, in the main thread
                self._leave(line, gate)
                raise
        self._holder = me

    def _stand_in(self, line: deque[threading.Lock]) -> "threading.Lock | None":
        """Take the turn, or a place in the line: the gate returned opens when it is reached."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return None
            gate = threading.Lock()
            gate.acquire()
            line.append(gate)
            return gate

    def _leave(self, line: deque[threading.Lock], gate: threading.Lock) -> None:
        with self._lock:
            if gate in line:
                line.remove(gate)
                return
        self._pass_on()  # it was reached meanwhile

    def _pass_on(self, *, wrote: bool = False) -> None:
        if self._again:  # its holder took it a second time, and has it still
            self._again -= 1
            return
        # Before it is handed on: the next holder writes its own name here.
        self._holder = None
        with self._lock:
            if wrote:
                self._ahead = len(self._readers)
            if self._readers and (self._ahead > 0 or not self._writers):
                self._ahead -= 1
                self._readers.popleft().release()
            elif self._writers:
                self._writers.popleft().release()
            else:
                self._taken = False


def _real_path(path: Path) -> Path:
    try:
        real = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError on Python 3.11 and 3.12
        real = path
    if real.is_symlink():  # links that lead to one another; from 3.13 on no error says so
        raise ConfigurationError(f"{path} cannot be opened: its links lead nowhere")
    return real


def _lock_database(database: Path) -> IO[bytes]:
    """Lock the file `<database>.lock` until it is closed, by the system when the process ends.

    `database` is the file's own name. The database itself cannot be locked: SQLite locks it, and a
    process that closes any descriptor of it loses those locks
    (https://www.sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        ConfigurationError: another process, or this one, has the database open, it has a second
            name, or there can be no file there.
    """
    try:
        # Here: in memory the service runs without the extra.
        from filelock import lock_descriptor  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "a database file needs an extra:", remedy='pip install "oss-vector-retriever[emulator]"'
        ) from None
    # The file stays: removing it would let two processes lock two files of that name.
    try:
        file = _open_private(Path(f"{database}.lock"))
    except OSError as error:
        raise ConfigurationError(f"{database} cannot be opened: {error.strerror}") from None
    with contextlib.ExitStack() as on_failure:
        on_failure.callback(file.close)
        try:
            is_ours = lock_descriptor(file.fileno(), blocking=False)
        except OSError as error:  # a file system that knows no locks
            raise ConfigurationError(f"{database} cannot be locked: {error.strerror}") from None
        if not is_ours:
            raise ConfigurationError(
                f"{database} is open in another process{_holder(file)}; use its endpoint, "
                "or close it"
            )
        _check_names(database)
        _write_holder(file)
        on_failure.pop_all()
    return file


def _open_private(path: Path) -> IO[bytes]:
    """Open a file for reading and writing, made for this user alone where there is none."""
    # A link that somebody planted would have its target written over.
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "r+b")


def _check_names(database: Path) -> None:
    """Refuse a file that has two names of its own, and make one where there is none."""
    try:
        found = database.stat()
    except FileNotFoundError:
        _open_private(database).close()  # SQLite would make it for everybody to read
        return
    # SQLite keeps its log beside the name that it was opened by: what is in the log beside one name
    # is lost to whoever opens the other (section 2.5 of the page above), now or after a crash.
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise ConfigurationError(
            f"{database} is one of {found.st_nlink} names of one file (hard links), and what is "
            "written by one name could be lost to the others; make each link a copy"
        )


def _write_holder(file: IO[bytes]) -> None:
    # Behind the first byte: that one is locked, and Windows refuses others even to read it.
    file.truncate(0)
    file.write(f" {os.getpid()}".encode())
    file.flush()


def _holder(file: IO[bytes]) -> str:
    try:
        file.seek(1)
        process = file.read(20).decode()
    except (OSError, UnicodeDecodeError):
        return ""
    if process == str(os.getpid()):
        return f", or in another client or service of this one (process {process})"
    return f" (process {process})" if process.isdigit() else ""
