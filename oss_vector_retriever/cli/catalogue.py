"""Every command, once: the service's operations under ossutil's names, and what is our own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from . import arguments, rendering
from .arguments import Values


class Operation(NamedTuple):
    """One operation of the service as a command.

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
    show: Callable[[Any], rendering.Document | None] | None = None
    prepare: Callable[[Values], Values] = dict
    pager: str | None = None
    on_bucket: bool = True

    @property
    def prints(self) -> bool:
        """Tell whether the command prints anything of an answer."""
        return self.show not in (None, rendering.raise_failures)


class Entry(NamedTuple):
    """One command: an operation, or the module in `commands` that holds it."""

    name: str
    summary: str
    operation: Operation | None = None
    module: str = ""


def _operation(name: str, summary: str, *own: click.Option, **more: Any) -> Entry:
    # most commands have the API's name for the operation, as have the client's methods
    more.setdefault("method", name.replace("-", "_"))
    return Entry(name, summary, Operation(flags=own, **more))


_KEYED = (arguments.INDEX, arguments.KEYS, arguments.KEY)
_RETURNED = (arguments.RETURN_DATA, arguments.RETURN_METADATA)
_PAGED = (arguments.MAX_RESULTS, arguments.NEXT_TOKEN, arguments.ALL)

# in the order in which `--help` lists them
_VECTORS = (
    _operation(
        "get-vectors",
        "Fetch vectors by key, any number, in the order asked.",
        *_KEYED,
        *_RETURNED,
        method="fetch",  # and not get_vectors, which takes no more keys than one call does
        prepare=arguments.merge_keys,
        show=rendering.show_fetched,
    ),
    _operation(
        "put-vectors",
        "Write vectors, any number; one with the same key is replaced.",
        arguments.INDEX,
        arguments.VECTORS,
        method="upsert",
        prepare=arguments.prepare_write,
        show=rendering.raise_failures,
    ),
    _operation(
        "list-vectors",
        "List vectors, a page or all.",
        arguments.INDEX,
        *_PAGED,
        *_RETURNED,
        arguments.SEGMENT_COUNT,
        arguments.SEGMENT_INDEX,
        arguments.FILTER,
        show=rendering.VECTORS,
        pager="iter_vectors",
    ),
    _operation(
        "query-vectors",
        "Find the vectors closest to one.",
        arguments.INDEX,
        arguments.QUERY_VECTOR,
        arguments.TOP_K,
        arguments.FILTER,
        arguments.RETURN_DISTANCE,
        arguments.RETURN_METADATA,
        prepare=arguments.unwrap_query_vector,
        show=rendering.VECTORS,
    ),
    _operation(
        "query-vectors-fusion",
        "Search an index in fusion mode by vectors, text and fields.",
        arguments.INDEX,
        arguments.KNN,
        arguments.QUERY,
        arguments.RETRIEVER,
        arguments.LIMIT,
        arguments.NEXT_TOKEN,
        arguments.PARTITION_KEYS,
        arguments.RETURN_METADATA,
        arguments.METADATA_FIELDS,
        arguments.SORT,
        show=rendering.HITS,  # with a token of the next page, which QueryVectors does not have
    ),
    _operation(
        "delete-vectors",
        "Delete vectors by key, any number.",
        *_KEYED,
        method="delete",
        prepare=arguments.prepare_deletion,
        show=rendering.raise_failures,
    ),
)

_INDEXES = (
    _operation(
        "put-vector-index",
        "Make an index.",
        arguments.INDEX,
        arguments.DATA_TYPE,
        arguments.DIMENSION,
        arguments.METRIC,
        arguments.METADATA,
        arguments.NON_FILTERABLE,
        prepare=arguments.prepare_index,
    ),
    _operation(
        "put-vector-index-fusion",
        "Make an index in fusion mode.",
        arguments.INDEX,
        arguments.MODE,
        arguments.SCHEMA,
        prepare=arguments.prepare_fusion_index,
    ),
    _operation(
        "get-vector-index", "Describe an index.", arguments.INDEX, show=rendering.show_index
    ),
    _operation(
        "list-vector-indexes",
        "List a bucket's indexes, a page or all.",
        arguments.PREFIX,
        *_PAGED,
        show=rendering.INDEXES,
        pager="iter_vector_indexes",
    ),
    _operation(
        "delete-vector-index", "Delete an index with all its vectors.", arguments.INDEX_TO_DELETE
    ),
)

_BUCKETS = (
    _operation("put-vector-bucket", "Make the bucket."),
    _operation("get-vector-bucket", "Describe the bucket.", show=rendering.show_bucket),
    _operation(
        "list-vector-buckets",
        "List the account's buckets in the region, a page or all.",
        arguments.PREFIX,
        arguments.MARKER,
        arguments.MAX_KEYS,
        arguments.ALL,
        show=rendering.BUCKETS,
        pager="iter_vector_buckets",
        on_bucket=False,  # the region is asked, not a bucket
    ),
    _operation("delete-vector-bucket", "Delete the bucket, which must hold no index."),
    _operation("put-bucket-policy", "Set the bucket's policy.", arguments.POLICY),
    _operation("get-bucket-policy", "Show the bucket's policy.", show=rendering.show_object),
    _operation("delete-bucket-policy", "Remove the bucket's policy."),
    _operation(
        "put-bucket-logging",
        "Have accesses to the bucket logged.",
        arguments.LOGGING_STATUS,
        prepare=arguments.unwrap_logging,
    ),
    _operation(
        "get-bucket-logging",
        "Show where accesses to the bucket are logged.",
        show=rendering.show_logging,
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

# a flag is spelled in one way in all commands, so that a remedy may name one of another command
FLAGS: dict[str, str] = {
    str(flag.name): flag.opts[0]
    for flag in (
        *arguments.CONNECTION,
        *(
            flag
            for entries in SECTIONS.values()
            for entry in entries
            if entry.operation is not None
            for flag in entry.operation.flags
        ),
    )
}
"""The flag for each of the client's arguments."""
