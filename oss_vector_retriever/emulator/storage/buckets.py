"""Buckets in the database: each function works inside the transaction it is given."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from oss_vector_retriever.emulator.storage.database import Database

Setting = Literal["policy", "logging"]
_COLUMNS = "id, account, region, name, created, resource_group, policy, logging"


class Place(NamedTuple):
    """Say whose buckets, and where; a name is unique there (section 8)."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """Hold one stored bucket; `created` is in milliseconds since 1970."""

    id: int
    account: str
    region: str
    name: str
    created: int
    resource_group: str | None
    policy: str | None
    logging: str | None

    @property
    def arn(self) -> str:
        """Return the resource name, which the API gives as the bucket's Name (section 8)."""
        return f"acs:ossvector:{self.region}:{self.account}:{self.name}"


def find(db: sqlite3.Connection, place: Place, name: str) -> Bucket | None:
    """Return a bucket, or None."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM buckets WHERE account = ? AND region = ? AND name = ?",  # noqa: S608 - columns are constants
        (*place, name),
    ).fetchone()
    return Bucket(*row) if row else None


def page(
    db: sqlite3.Connection, place: Place, *, prefix: str, after: str, most: int, created_by: int
) -> list[Bucket]:
    """Return buckets in alphabetical order, at most `most`, those after the name `after`.

    `created_by` is in milliseconds since 1970: younger buckets are left out.
    """
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM buckets WHERE account = ? AND region = ? AND name > ?"  # noqa: S608 - columns are constants
        " AND substr(name, 1, ?) = ? AND created <= ? ORDER BY name LIMIT ?",
        (*place, after, len(prefix), prefix, created_by, most),
    )
    return [Bucket(*row) for row in rows]


def count(db: sqlite3.Connection, place: Place) -> int:
    """Count the buckets of an account in a region."""
    statement = "SELECT count(*) FROM buckets WHERE account = ? AND region = ?"
    (number,) = db.execute(statement, place).fetchone()
    return int(number)


def create(
    db: sqlite3.Connection,
    place: Place,
    name: str,
    created: int,
    resource_group: str | None = None,
) -> bool:
    """Make a bucket; tell whether it was new."""
    statement = (
        "INSERT INTO buckets (account, region, name, created, resource_group)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
    )
    row = (*place, name, created, resource_group)
    return db.execute(statement, row).rowcount == 1


def set_text(db: sqlite3.Connection, bucket_id: int, setting: Setting, text: str | None) -> None:
    """Keep the JSON text of a setting, or remove it."""
    db.execute(f"UPDATE buckets SET {setting} = ? WHERE id = ?", (text, bucket_id))  # noqa: S608 - a literal


def delete(db: sqlite3.Connection, bucket_id: int) -> bool:
    """Remove a bucket; tell whether it was empty, and so is gone."""
    statement = (
        "DELETE FROM buckets WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM indexes WHERE bucket_id = ?)"
    )
    return db.execute(statement, (bucket_id, bucket_id)).rowcount == 1


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
            found = find(db, place, name)
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
