"""From the client's results to what is printed: the API's own JSON, its entries, and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from oss_vector_retriever.cli.errors import PARTIAL, Failure, in_flags

if TYPE_CHECKING:
    from oss_vector_retriever.client.errors import WriteReport
    from oss_vector_retriever.client.models.results import (
        BucketLogging,
        FetchResult,
        VectorBucket,
        VectorIndex,
    )

Entry = dict[str, Any]


class Document(NamedTuple):
    """Hold what a command prints.

    Attributes:
        members: the whole, for JSON.
        entries: what stands on the lines of JSON lines, and in the rows of a table.
        notes: what a reader of the entries should know besides.
        single: whether it is one object, and no list.
    """

    members: Any
    entries: list[Any]
    notes: Mapping[str, str] = {}
    single: bool = False


class Listing(NamedTuple):
    """Say how a list is printed, a page of it or all.

    Attributes:
        member: the member that holds the entries.
        entry: from one of the client's items to JSON.
        outside: the member around all of it, if there is one.
        token: the member that holds the token of the next page.
        attribute: the attribute of a page that holds it.
        more: what brings the next page.
    """

    member: str
    entry: Callable[[Any], Entry]
    outside: str | None = None
    token: str = "nextToken"  # noqa: S105 - a member's name
    attribute: str = "next_token"
    more: str = "--next-token {}, or --all"

    def __call__(self, page: Iterable[Any]) -> Document:
        """Return what is printed of a page, or of all items."""
        token = getattr(page, self.attribute, None)
        entries = [self.entry(item) for item in page]
        members: Entry = {self.member: entries, **({self.token: token} if token else {})}
        notes = {"more": self.more.format(token)} if token else {}
        return Document({self.outside: members} if self.outside else members, entries, notes)


def vector(item: Any) -> Entry:
    """Return a vector, or a hit, in the API's own form."""
    entry: Entry = {"key": item.key}
    data = getattr(item, "data", None)
    if data is not None:
        entry["data"] = {"float32": data}
    for name in ("distance", "score", "metadata"):
        value = getattr(item, name, None)
        if value is not None:
            entry[name] = value
    return entry


def index(item: VectorIndex) -> Entry:
    """Return an index's description in the API's own form."""
    entry = item.model_dump(mode="json", by_alias=True, exclude_none=True)
    names = entry.pop("nonFilterableMetadataKeys", None)
    return {**entry, "metadata": {"nonFilterableMetadataKeys": names}} if names else entry


def bucket(item: VectorBucket) -> Entry:
    """Return a bucket's description in the API's own form."""
    entry = item.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"Name": entry.pop("Arn", item.arn), **entry}


VECTORS = Listing("vectors", vector)
INDEXES = Listing("indexes", index)
BUCKETS = Listing(
    "Buckets",
    bucket,
    "ListAllMyBucketsResult",
    "NextMarker",
    "next_marker",
    "--marker {}, or --all",
)
HITS = Listing("vectors", vector, more="--next-token {}")


def fetched(result: FetchResult) -> Document:
    """Return what GetVectors would answer for all keys at once, and what was missing."""
    entries = [vector(item) for item in result]
    notes = {"missing": ", ".join(result.missing)} if result.missing else {}
    return Document({"vectors": entries, "missing": list(result.missing)}, entries, notes)


def one_index(item: VectorIndex) -> Document:
    """Return what GetVectorIndex answers."""
    return Document({"index": index(item)}, [index(item)], single=True)


def one_bucket(item: VectorBucket) -> Document:
    """Return what GetVectorBucket answers."""
    return Document({"BucketInfo": bucket(item)}, [bucket(item)], single=True)


def as_it_is(item: Entry) -> Document:
    """Return JSON that the client hands on."""
    return Document(item, [item], single=True)


def logging(item: BucketLogging | None) -> Document:
    """Return what GetBucketLogging answers."""
    if item is None:
        return Document({"BucketLoggingStatus": {}}, [])
    enabled = item.model_dump(by_alias=True, exclude_none=True)
    members = {"BucketLoggingStatus": {"LoggingEnabled": enabled}}
    return Document(members, [enabled], single=True)


def written(report: WriteReport) -> None:
    """Print nothing of a write that succeeded.

    Raises:
        Failure: some of it failed.
        OSSVectorError: all of it failed.
    """
    errors = [batch.error for batch in report.batches if batch.error is not None]
    if not errors:
        return
    if not report.written:
        raise errors[0]
    failed = len(report.failed)
    raise Failure(
        f"{failed:,} of {failed + len(report.written):,} keys failed, {report.failed[0]!r} first: "
        f"{in_flags(str(errors[0]))}",
        PARTIAL,
    )
