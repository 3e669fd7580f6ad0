"""The tables, their version, and the settings of every connection."""

from __future__ import annotations

import sqlite3

from oss_vector_retriever.client.errors import ConfigurationError

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


def configure(connection: sqlite3.Connection) -> None:
    """Set what SQLite does not remember from one connection to the next.

    In WAL, NORMAL keeps every committed write through a crash of the process; only a crash of the
    machine can lose the last ones, and corrupts nothing.
    """
    connection.execute("PRAGMA busy_timeout = 10000")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA wal_autocheckpoint = 16000")


def prepare(connection: sqlite3.Connection, name: str) -> None:
    """Make the tables in a new database, or check that an existing one is ours.

    Raises:
        ConfigurationError: the file is another program's, or of another version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables == 0 and version == 0:
        _create(connection)
    elif application != APPLICATION_ID:
        raise ConfigurationError(f"{name} is not a database of this emulator")
    elif version != VERSION:
        raise ConfigurationError(
            f"{name} has version {version} of the emulator's tables; this release reads {VERSION}"
        )


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(
        f"BEGIN; {_TABLES} PRAGMA application_id = {APPLICATION_ID};"
        f" PRAGMA user_version = {VERSION}; COMMIT;"
    )
