"""Indexes in the database: each function works inside the transaction it is given."""

import json
import sqlite3
from dataclasses import dataclass

_COLUMNS = "id, name, dimension, metric, non_filterable, created, writes"


@dataclass(frozen=True, slots=True)
class Index:
    """One stored index.

    `created` is in milliseconds since 1970; `writes` grows with every change of its vectors.
    """

    id: int
    name: str
    dimension: int
    metric: str
    non_filterable: tuple[str, ...]
    created: int
    writes: int


def find(db: sqlite3.Connection, bucket_id: int, name: str) -> Index | None:
    """Return an index, or None."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM indexes WHERE bucket_id = ? AND name = ?",  # noqa: S608 - columns are constants
        (bucket_id, name),
    ).fetchone()
    return _index(row) if row else None


def page(
    db: sqlite3.Connection, bucket_id: int, prefix: str, after: str, limit: int
) -> list[Index]:
    """Return indexes in alphabetical order, at most `limit`, those after the name `after`."""
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM indexes WHERE bucket_id = ? AND name > ?"  # noqa: S608 - columns are constants
        " AND substr(name, 1, ?) = ? ORDER BY name LIMIT ?",
        (bucket_id, after, len(prefix), prefix, limit),
    )
    return [_index(row) for row in rows]


def count(db: sqlite3.Connection, bucket_id: int) -> int:
    """Count the indexes of a bucket."""
    statement = "SELECT count(*) FROM indexes WHERE bucket_id = ?"
    return int(db.execute(statement, (bucket_id,)).fetchone()[0])


def create(
    db: sqlite3.Connection,
    bucket_id: int,
    name: str,
    *,
    dimension: int,
    metric: str,
    non_filterable: tuple[str, ...] = (),
    created: int,
) -> bool:
    """Make an index; tell whether it was new and its bucket still there."""
    # Selected from the bucket's row: it may have been deleted since the request was admitted.
    statement = (
        "INSERT INTO indexes (bucket_id, name, dimension, metric, non_filterable, created)"
        " SELECT id, ?, ?, ?, ?, ? FROM buckets WHERE id = ? ON CONFLICT DO NOTHING"
    )
    row = (name, dimension, metric, json.dumps(non_filterable), created, bucket_id)
    return db.execute(statement, row).rowcount == 1


def note_write(db: sqlite3.Connection, index_id: int) -> int | None:
    """Count a change of the index's vectors; return its number, or None if the index is gone."""
    # No RETURNING: SQLite knows it only since 3.35.
    db.execute("UPDATE indexes SET writes = writes + 1 WHERE id = ?", (index_id,))
    row = db.execute("SELECT writes FROM indexes WHERE id = ?", (index_id,)).fetchone()
    return int(row[0]) if row else None


def delete(db: sqlite3.Connection, index_id: int) -> bool:
    """Remove an index with all its vectors; tell whether it was there."""
    db.execute("DELETE FROM vectors WHERE index_id = ?", (index_id,))
    db.execute("DELETE FROM former_vectors WHERE index_id = ?", (index_id,))
    return db.execute("DELETE FROM indexes WHERE id = ?", (index_id,)).rowcount == 1


def _index(row: tuple[int, str, int, str, str, int, int]) -> Index:
    number, name, dimension, metric, non_filterable, created, writes = row
    keys = tuple(json.loads(non_filterable))
    return Index(number, name, dimension, metric, keys, created, writes)
