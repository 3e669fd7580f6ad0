"""`Call`: everything an operation may look at, and `Answer`, what it gives back."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from ...client.models import Limits, Request
from .. import json_text
from ..accounts import AccessKey
from ..behaviour import Behaviour
from ..http.addressing import Address
from ..rules.arrays import parse_plain
from ..rules.filters import Filter, parse_filter
from ..rules.parameters import Parameters
from ..rules.refusals import Refusal, invalid
from ..search.changes import Changes
from ..storage import indexes
from ..storage.buckets import Bucket, KnownBuckets, Namespace
from ..storage.database import Database
from ..storage.indexes import Index

if TYPE_CHECKING:
    from ..search.nearest import Search


NEEDS_NUMPY = "needs numpy"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers: JSON text or nothing, and headers of its own."""

    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return the answer whose body is a JSON value."""
        return cls(json_text.dumps(value))


@dataclass(frozen=True)
class Core:
    """What all calls of one service share."""

    database: Database
    buckets: KnownBuckets
    limits: Limits
    behaviour: Behaviour
    region: str
    search_bytes: int
    changes: Changes = field(default_factory=Changes)

    @cached_property
    def search(self) -> "Search":
        """Return what finds nearest neighbours.

        Raises:
            Refusal: NotImplemented without numpy, which only an extra brings.
        """
        try:
            from ..search.nearest import Search  # noqa: PLC0415 - see above
        except ImportError:
            raise Refusal(
                "NotImplemented",
                f"QueryVectors {NEEDS_NUMPY}: pip install 'oss-vector-retriever[emulator]'.",
            ) from None
        return Search(self.search_bytes, self.changes)


@dataclass(frozen=True)
class Call:
    """One request.

    `key` is who sent it, None of an anonymous caller, `now` the service's time, `query` has the
    decoded query parameters. Where `body_may_be_empty`, no body stands for an empty object
    (section 3).
    """

    core: Core
    request: Request
    address: Address
    key: AccessKey | None
    now: datetime
    query: Mapping[str, str]
    body_may_be_empty: bool

    @property
    def milliseconds(self) -> int:
        """Return the time in milliseconds since 1970."""
        return int(self.now.timestamp() * 1000)

    @property
    def account(self) -> str:
        """Return the account that the bucket belongs to, or would; "" where nothing says."""
        if self.address.account is not None:
            return self.address.account
        return self.key.account_id if self.key else ""

    @property
    def region(self) -> str:
        """Return the region that the request is for."""
        return self.address.region or self.core.region

    @property
    def namespace(self) -> Namespace:
        """Return whose buckets the request is about, and where."""
        return Namespace(self.account, self.region)

    @cached_property
    def bucket_or_none(self) -> Bucket | None:
        """Return the bucket, or None where there is none."""
        if self.address.bucket is None:
            return None
        return self.core.buckets.find(self.namespace, self.address.bucket)

    @property
    def bucket(self) -> Bucket:
        """Return the bucket.

        Raises:
            Refusal: NoSuchBucket.
        """
        if self.bucket_or_none is None:
            raise Refusal("NoSuchBucket", members={"BucketName": self.address.bucket or ""})
        return self.bucket_or_none

    @cached_property
    def members(self) -> dict[str, Any]:
        """Return the members of the body's JSON object; `parameters.pack` reads its arrays.

        Raises:
            Refusal: MalformedJson.
        """
        # The SDK for Python sends no body at all where every member has its default (section 3).
        if self.body_may_be_empty and not self.request.body:
            return {}
        # Most bodies to put are plain; all else is read, and what is wrong with it worded, below.
        if "putVectors" in self.query and (plain := parse_plain(self.request.body)) is not None:
            return plain
        lax = self.core.behaviour.unstorable_fails
        return json_text.parse_object(self.request.body, numbers_fail=lax)

    @cached_property
    def parameters(self) -> Parameters:
        """Return typed access to the body's members."""
        return Parameters(self.members, self.core.limits)

    def index(self, db: sqlite3.Connection, name: str) -> Index:
        """Return an index of the bucket.

        Raises:
            Refusal: NoSuchVectorIndex.
        """
        index = indexes.find(db, self.bucket.id, name)
        if index is None:
            raise Refusal("NoSuchVectorIndex")
        return index

    def past(self, seconds: float) -> int | None:
        """Return the moment so many seconds ago, which is what a reader sees; None for the present.

        It is in milliseconds since 1970.
        """
        return self.milliseconds - round(seconds * 1000) if seconds else None

    def is_creating(self, index: Index) -> bool:
        """Tell whether an index is still `creating` (section 7.1)."""
        return self._age(index) < self.core.behaviour.index_creation_seconds

    def refuses_writes(self, index: Index) -> bool:
        """Tell whether an index is so new that PutVectors fails (section 4.2)."""
        behaviour, age = self.core.behaviour, self._age(index)
        if age < behaviour.index_creation_seconds:
            return behaviour.creating_refuses_writes
        return age < behaviour.index_creation_seconds + behaviour.enable_failure_seconds

    def _age(self, index: Index) -> float:
        return (self.milliseconds - index.created) / 1000

    def filter(self) -> Filter | None:
        """Return the request's filter, whose form is right (section 5.2), or None."""
        value = self.members.get("filter")
        if value is None:
            return None
        try:
            return parse_filter(value, self.core.limits, self.core.behaviour)
        except ValueError as error:
            raise invalid(f"filter {error}.") from None

    def check_filterable(self, index: Index, metadata_filter: Filter | None) -> None:
        """Refuse a filter that looks at a non-filterable key (section 5.2)."""
        if metadata_filter is None:
            return
        hidden = sorted(metadata_filter.fields & set(index.non_filterable))
        if hidden and not self.core.behaviour.ignore_non_filterable:
            raise invalid(f"filter must not use the non-filterable key {hidden[0]!r}.")


def iso_time(milliseconds: int) -> str:
    """Return `2025-04-17T10:56:21.000Z`."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"
