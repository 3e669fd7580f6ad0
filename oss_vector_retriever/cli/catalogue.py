"""Every command, once: the service's operations under ossutil's names, and what is our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from oss_vector_retriever.cli import documents, flags, prepare

Values = dict[str, Any]


class Operation(NamedTuple):
    """Say how a command asks the service, and what it prints of the answer.

    Attributes:
        method: the client's method.
        flags: the command's own; the connection's come on top.
        show: what is printed of the result; without it, or where it gives None, nothing.
        prepare: from the flags' values to the method's arguments.
        pager: the client's method behind `--all`.
        on_bucket: whether a bucket must be named.
    """

    method: str
    flags: tuple[click.Option, ...] = ()
    show: Callable[[Any], documents.Document | None] | None = None
    prepare: Callable[[Values], Values] = dict
    pager: str | None = None
    on_bucket: bool = True

    @property
    def prints(self) -> bool:
        """Tell whether the command prints anything of an answer."""
        return self.show not in (None, documents.written)


class Entry(NamedTuple):
    """Name one command; it is an operation, or the module in `commands` that holds it."""

    name: str
    summary: str
    operation: Operation | None = None
    module: str = ""


def _operation(name: str, summary: str, *own: click.Option, **more: Any) -> Entry:
    more.setdefault("method", name.replace("-", "_"))
    return Entry(name, summary, Operation(flags=own, **more))


_KEYED = (flags.INDEX, flags.KEYS, flags.KEY)
_RETURNED = (flags.RETURN_DATA, flags.RETURN_METADATA)
_PAGED = (flags.MAX_RESULTS, flags.NEXT_TOKEN, flags.ALL)

_VECTORS = (
    _operation(
        "get-vectors",
        "Fetch vectors by key, any number, in the order asked.",
        *_KEYED,
        *_RETURNED,
        method="fetch",
        prepare=prepare.keys,
        show=documents.fetched,
    ),
    _operation(
        "put-vectors",
        "Write vectors, any number; one with the same key is replaced.",
        flags.INDEX,
        flags.VECTORS,
        method="upsert",
        prepare=prepare.writing,
        show=documents.written,
    ),
    _operation(
        "list-vectors",
        "List vectors, a page or all.",
        flags.INDEX,
        *_PAGED,
        *_RETURNED,
        flags.SEGMENT_COUNT,
        flags.SEGMENT_INDEX,
        flags.FILTER,
        show=documents.VECTORS,
        pager="iter_vectors",
    ),
    _operation(
        "query-vectors",
        "Find the vectors closest to one.",
        flags.INDEX,
        flags.QUERY_VECTOR,
        flags.TOP_K,
        flags.FILTER,
        flags.RETURN_DISTANCE,
        flags.RETURN_METADATA,
        prepare=prepare.query_vector,
        show=documents.VECTORS,
    ),
    _operation(
        "query-vectors-fusion",
        "Search an index in fusion mode by vectors, text and fields.",
        flags.INDEX,
        flags.KNN,
        flags.QUERY,
        flags.RETRIEVER,
        flags.LIMIT,
        flags.NEXT_TOKEN,
        flags.PARTITION_KEYS,
        flags.RETURN_METADATA,
        flags.METADATA_FIELDS,
        flags.SORT,
        show=documents.HITS,
    ),
    _operation(
        "delete-vectors",
        "Delete vectors by key, any number.",
        *_KEYED,
        method="delete",
        prepare=prepare.deleting,
        show=documents.written,
    ),
)

_INDEXES = (
    _operation(
        "put-vector-index",
        "Make an index.",
        flags.INDEX,
        flags.DATA_TYPE,
        flags.DIMENSION,
        flags.METRIC,
        flags.METADATA,
        flags.NON_FILTERABLE,
        prepare=prepare.new_index,
    ),
    _operation(
        "put-vector-index-fusion",
        "Make an index in fusion mode.",
        flags.INDEX,
        flags.MODE,
        flags.SCHEMA,
        prepare=prepare.new_fusion_index,
    ),
    _operation("get-vector-index", "Describe an index.", flags.INDEX, show=documents.one_index),
    _operation(
        "list-vector-indexes",
        "List a bucket's indexes, a page or all.",
        flags.PREFIX,
        *_PAGED,
        show=documents.INDEXES,
        pager="iter_vector_indexes",
    ),
    _operation(
        "delete-vector-index", "Delete an index with all its vectors.", flags.INDEX_TO_DELETE
    ),
)

_BUCKETS = (
    _operation("put-vector-bucket", "Make the bucket."),
    _operation("get-vector-bucket", "Describe the bucket.", show=documents.one_bucket),
    _operation(
        "list-vector-buckets",
        "List the account's buckets in the region, a page or all.",
        flags.PREFIX,
        flags.MARKER,
        flags.MAX_KEYS,
        flags.ALL,
        show=documents.BUCKETS,
        pager="iter_vector_buckets",
        on_bucket=False,
    ),
    _operation("delete-vector-bucket", "Delete the bucket, which must hold no index."),
    _operation("put-bucket-policy", "Set the bucket's policy.", flags.POLICY),
    _operation("get-bucket-policy", "Show the bucket's policy.", show=documents.as_it_is),
    _operation("delete-bucket-policy", "Remove the bucket's policy."),
    _operation(
        "put-bucket-logging",
        "Have accesses to the bucket logged.",
        flags.LOGGING_STATUS,
        prepare=prepare.logging,
    ),
    _operation(
        "get-bucket-logging",
        "Show where accesses to the bucket are logged.",
        show=documents.logging,
    ),
    _operation("delete-bucket-logging", "Stop logging accesses to the bucket."),
)

SECTIONS = {
    "Vectors": _VECTORS,
    "Indexes": _INDEXES,
    "Buckets": _BUCKETS,
    "Files": (
        Entry("import", "Write a file's vectors: JSON lines, .npy, Parquet.", module="importing"),
        Entry("export", "Read all vectors into such a file.", module="exporting"),
    ),
    "Tools": (
        Entry("doctor", "Check settings, network, clock, permissions and index.", module="doctor"),
        Entry("serve", "Run the embedded service on this machine.", module="serve"),
        Entry("demo", "Show the main job on real data, with no account.", module="demo"),
    ),
}
