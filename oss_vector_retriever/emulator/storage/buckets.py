"""Buckets in the database: each function works inside the transaction it is given."""

import contextlib
import sqlite3
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .database import Database

Setting = Literal["policy", "logging"]
_COLUMNS = "id, account, region, name, created, resource_group, policy, logging"


class Namespace(NamedTuple):
    """An account and a region, in which a bucket's name is unique (section 8)."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """One stored bucket; `created` is in milliseconds since 1970."""

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


def find(db: sqlite3.Connection, namespace: Namespace, name: str) -> Bucket | None:
    """Return a bucket, or None."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM buckets WHERE account = ? AND region = ? AND name = ?",  # noqa: S608 - columns are constants
        (*namespace, name),
    ).fetchone()
    return Bucket(*row) if row else None


def page(
    db: sqlite3.Connection,
    namespace: Namespace,
    prefix: str,
    after: str,
    *,
    limit: int,
    until: int | None = None,
    group: str | None = None,
) -> list[Bucket]:
    """Return buckets in alphabetical order, at most `limit`, those after the name `after`.

    `until` is in milliseconds since 1970: younger buckets are left out. So are, where a resource
    `group` is given, those of others.
    """
    last = sys.maxsize if until is None else until
    # substr, for LIKE would ignore case and know wildcards.
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM buckets WHERE account = ? AND region = ? AND name > ?"  # noqa: S608 - columns are constants
        " AND substr(name, 1, ?) = ? AND created <= ? AND (? IS NULL OR resource_group = ?)"
        " ORDER BY name LIMIT ?",
        (*namespace, after, len(prefix), prefix, last, group, group, limit),
    )
    return [Bucket(*row) for row in rows]


def count(db: sqlite3.Connection, namespace: Namespace) -> int:
    """Count the buckets of an account in a region."""
    statement = "SELECT count(*) FROM buckets WHERE account = ? AND region = ?"
    return int(db.execute(statement, namespace).fetchone()[0])


def create(
    db: sqlite3.Connection, namespace: Namespace, name: str, created: int, group: str | None = None
) -> bool:
    """Make a bucket; tell whether it was new."""
    statement = (
        "INSERT INTO buckets (account, region, name, created, resource_group)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
    )
    return db.execute(statement, (*namespace, name, created, group)).rowcount == 1


def set_text(db: sqlite3.Connection, bucket_id: int, setting: Setting, text: str | None) -> None:
    """Keep the JSON text of a setting, or remove it."""
    db.execute(f"UPDATE buckets SET {setting} = ? WHERE id = ?", (text, bucket_id))  # noqa: S608 - a literal


def delete(db: sqlite3.Connection, bucket: Bucket, now: int) -> bool:
    """Remove a bucket and note when; tell whether it was empty, and so is gone."""
    statement = (
        "DELETE FROM buckets WHERE id = ?"
        " AND NOT EXISTS (SELECT 1 FROM indexes WHERE bucket_id = ?)"
    )
    gone = db.execute(statement, (bucket.id, bucket.id)).rowcount == 1
    if gone:
        db.execute(
            "INSERT OR REPLACE INTO deleted_buckets (account, region, name, deleted)"
            " VALUES (?, ?, ?, ?)",
            (bucket.account, bucket.region, bucket.name, now),
        )
    return gone


def deletion_of(db: sqlite3.Connection, namespace: Namespace, name: str) -> int | None:
    """Return when the last bucket of a name was deleted, in milliseconds since 1970, or None."""
    row = db.execute(
        "SELECT deleted FROM deleted_buckets WHERE account = ? AND region = ? AND name = ?",
        (*namespace, name),
    ).fetchone()
    return int(row[0]) if row else None


class KnownBuckets:
    """The only way to look buckets up and to change them: what was read once is remembered.

    No other process has the database open. In memory, where a connection serves one user at a time,
    a read that first looked for its bucket there would wait for two writes instead of one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._changes = 0
        self._known: dict[tuple[Namespace, str], Bucket] = {}

    def find(self, namespace: Namespace, name: str) -> Bucket | None:
        """Return a bucket, or None."""
        known = self._known.get((namespace, name))
        if known is not None:
            return known
        changes = self._changes
        with self._database.read() as db:
            bucket = find(db, namespace, name)
        with self._lock:
            # A write since the snapshot may have changed the bucket, or removed it.
            if bucket is not None and changes == self._changes:
                self._known[namespace, name] = bucket
        return bucket

    @contextlib.contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that may change buckets."""
        try:
            with self._database.write() as db:
                yield db
        finally:
            # Buckets change rarely: forgetting all of them costs one read each.
            with self._lock:
                self._changes += 1
                self._known.clear()
