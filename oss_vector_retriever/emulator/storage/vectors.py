"""Vectors in the database: each function works inside the transaction it is given.

Those that read take `at`, milliseconds since 1970, and then see the index as it was at that moment,
as far as `keep_former` has kept it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

_AT_ONCE = 500  # SQLite before 3.32 takes no more than 999 parameters


class NewVector(NamedTuple):
    """One vector to write.

    `data` is little-endian float32; `metadata` is JSON text, or None for none; `filterable` is
    the JSON text of its filterable part, or None where that is the whole.
    """

    key: str
    written: int
    filterable: str | None
    metadata: str | None
    data: bytes


class StoredVector(NamedTuple):
    """One vector read; what was not asked for is None."""

    id: int
    key: str
    metadata: str | None
    data: bytes | None


# What search needs of vectors: id, key, written, filterable JSON text or None, data.
_SEARCHED = "id, key, written, coalesce(filterable, metadata), data"
# By the key alone, so that a vector that is put again stays in its segment. The hash is a function
# in Python, which a listing in one segment never calls.
_IN_SEGMENT = "(? = 1 OR key_hash(key) % ? = ?)"
_STORED = "id, index_id, key, written, filterable, metadata, data"
Block = list[tuple[int, str, int, str | None, bytes]]


def put(db: sqlite3.Connection, index_id: int, vectors: Iterable[NewVector]) -> None:
    """Write vectors; one with a known key replaces what was there and keeps its place."""
    # DO UPDATE keeps the row's id, and with it its place in ListVectors; REPLACE would not.
    db.executemany(
        "INSERT INTO vectors (index_id, key, written, filterable, metadata, data)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (index_id, key) DO UPDATE SET"
        " written = excluded.written, filterable = excluded.filterable,"
        " metadata = excluded.metadata, data = excluded.data",
        ((index_id, *vector) for vector in vectors),
    )


def keep_former(
    db: sqlite3.Connection, index_id: int, keys: Sequence[str], *, now: int, since: int
) -> None:
    """Keep what the vectors among `keys` were until `now`; what had ended by `since` is dropped."""
    db.execute("DELETE FROM former_vectors WHERE ended <= ?", (since,))
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        # What was written and replaced in one millisecond nobody sees.
        db.execute(
            "INSERT OR REPLACE INTO former_vectors"  # noqa: S608 - columns and marks only
            " (id, index_id, key, written, ended, filterable, metadata, data)"
            " SELECT id, index_id, key, written, ?, filterable, metadata, data FROM vectors"
            f" WHERE index_id = ? AND written < ? AND key IN ({_marks(part)})",
            (now, index_id, now, *part),
        )


def get(
    db: sqlite3.Connection,
    index_id: int,
    keys: Sequence[str],
    *,
    data: bool,
    metadata: bool,
    at: int | None = None,
) -> list[StoredVector]:
    """Return the vectors that exist among `keys`, in no order."""
    where = "index_id = ? AND key"
    parts = _rows_among(db, _columns(data, metadata), _source(at), where, keys, index_id)
    return [vector for rows in parts for vector in map(StoredVector._make, rows)]


def page(
    db: sqlite3.Connection,
    index_id: int,
    after: int,
    limit: int,
    segment: tuple[int, int],
    *,
    data: bool,
    metadata: bool,
    at: int | None = None,
) -> list[StoredVector]:
    """Return vectors in the order they were first written, those after the row `after`.

    `segment` is (count, number): rows are dealt out by a hash of their keys.
    """
    # By the index vectors_in_order, so that a page costs the same however far on it is.
    rows = db.execute(
        f"SELECT {_columns(data, metadata)} FROM {_source(at)}"  # noqa: S608 - constants
        f" WHERE index_id = ? AND id > ? AND {_IN_SEGMENT} ORDER BY id LIMIT ?",
        (index_id, after, *_bind_segment(segment), limit),
    )
    return [StoredVector(*row) for row in rows]


def filterables(
    db: sqlite3.Connection,
    index_id: int,
    after: int,
    segment: tuple[int, int],
    *,
    at: int | None = None,
) -> sqlite3.Cursor:
    """Return a cursor of (id, filterable metadata) in the order the vectors were first written."""
    return db.execute(
        f"SELECT id, coalesce(filterable, metadata) FROM {_source(at)}"  # noqa: S608 - constants
        f" WHERE index_id = ? AND id > ? AND {_IN_SEGMENT} ORDER BY id",
        (index_id, after, *_bind_segment(segment)),
    )


def by_id(
    db: sqlite3.Connection, ids: Sequence[int], *, data: bool, metadata: bool, at: int | None = None
) -> dict[int, StoredVector]:
    """Return vectors by their row ids."""
    parts = _rows_among(db, _columns(data, metadata), _source(at), "id", ids)
    return {row[0]: StoredVector(*row) for rows in parts for row in rows}


def delete(db: sqlite3.Connection, index_id: int, keys: Iterable[str]) -> None:
    """Remove the vectors that exist among `keys`."""
    statement = "DELETE FROM vectors WHERE index_id = ? AND key = ?"
    db.executemany(statement, ((index_id, key) for key in keys))


def count(db: sqlite3.Connection, index_id: int) -> int:
    """Count the vectors of an index."""
    statement = "SELECT count(*) FROM vectors WHERE index_id = ?"
    return int(db.execute(statement, (index_id,)).fetchone()[0])


def blocks(db: sqlite3.Connection, index_id: int, size: int) -> Iterator[Block]:
    """Iterate over an index in blocks of at most `size` rows, in the order first written."""
    statement = f"SELECT {_SEARCHED} FROM vectors WHERE index_id = ? ORDER BY id"  # noqa: S608 - columns are constants
    cursor = db.execute(statement, (index_id,))
    while rows := cursor.fetchmany(size):
        yield rows


def blocks_of(db: sqlite3.Connection, index_id: int, keys: Sequence[str]) -> Iterator[Block]:
    """Iterate over those vectors of an index that exist among `keys`, in blocks with rows."""
    return _rows_among(db, _SEARCHED, "vectors", "index_id = ? AND key", keys, index_id)


def former_block(db: sqlite3.Connection, index_id: int, at: int) -> Block:
    """Return the vectors of an index that were there at a moment, and are no more as they were."""
    statement = (
        f"SELECT {_SEARCHED} FROM former_vectors"  # noqa: S608 - columns are constants
        " WHERE index_id = ? AND written <= ? AND ended > ?"
    )
    return db.execute(statement, (index_id, at, at)).fetchall()


def _source(at: int | None) -> str:
    """Return the table to read: the vectors as they are, or were at a moment."""
    if at is None:
        return "vectors"
    # Of every key at most one row, for one ends when the next is written.
    return (
        f"(SELECT {_STORED} FROM vectors WHERE written <= {at:d}"  # noqa: S608 - columns and numbers
        f" UNION ALL SELECT {_STORED} FROM former_vectors WHERE written <= {at:d}"
        f" AND ended > {at:d})"
    )


def _rows_among(
    db: sqlite3.Connection,
    columns: str,
    source: str,
    where: str,
    values: Sequence[int | str],
    *before: int,
) -> Iterator[list[Any]]:
    """Iterate over the rows `where` is among `values`, in blocks with rows."""
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        statement = f"SELECT {columns} FROM {source} WHERE {where} IN ({_marks(part)})"  # noqa: S608 - columns and marks only
        if rows := db.execute(statement, (*before, *part)).fetchall():
            yield rows


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _bind_segment(segment: tuple[int, int]) -> tuple[int, int, int]:
    count, number = segment
    return count, count, number


def _columns(data: bool, metadata: bool) -> str:
    # NULL in place of a column that is not asked for: its overflow pages are not even read.
    return f"id, key, {'metadata' if metadata else 'NULL'}, {'data' if data else 'NULL'}"
