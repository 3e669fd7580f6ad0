"""Every command, once: the service's operations under ossutil's names, and what is our own."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import click

from . import arguments, reading, rendering
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
        call: what is called with the client, where that is not its method.
        begins_file: whether it makes sense in an embedded service that has nothing yet.
    """

    method: str
    flags: tuple[click.Option, ...] = ()
    show: Callable[[Any], rendering.Document | None] | None = None
    prepare: Callable[[Values], Values] = dict
    pager: str | None = None
    on_bucket: bool = True
    call: Callable[..., Any] | None = None
    begins_file: bool = False


class Entry(NamedTuple):
    """One command: an operation, the module in `commands` that holds it, or a group of commands.

    That of none of these stands in `application`.
    """

    name: str
    summary: str
    operation: Operation | None = None
    module: str = ""
    sections: "Mapping[str, tuple[Entry, ...]] | None" = None


def _operation(name: str, summary: str, flags: tuple[click.Option, ...] = (), **more: Any) -> Entry:
    # most commands have the API's name for the operation, as have the client's methods
    more.setdefault("method", name.replace("-", "_"))
    return Entry(name, summary, Operation(flags=flags, **more))


# in the order in which `--help` lists them
_VECTORS = (
    _operation(
        "get-vectors",
        "Fetch vectors by key, any number, in the order asked.",
        arguments.FETCH,
        method="fetch",  # and not get_vectors, which takes no more keys than one call does
        prepare=arguments.merge_keys,
        show=rendering.show_fetched,
    ),
    _operation(
        "put-vectors",
        "Write vectors, any number; one with the same key is replaced.",
        arguments.PUT,
        method="upsert",
        prepare=arguments.prepare_write,
        show=rendering.raise_failures,
    ),
    _operation(
        "list-vectors",
        "List vectors, a page or all.",
        arguments.LIST,
        show=rendering.VECTORS,
        pager="iter_vectors",
    ),
    _operation(
        "query-vectors",
        "Find the vectors closest to one, or to a stored key's.",
        arguments.QUERY,
        prepare=arguments.prepare_query,
        call=reading.find_near,
        show=rendering.VECTORS,
    ),
    _operation(
        "query-vectors-fusion",
        "Search an index in fusion mode by vectors, text and fields.",
        arguments.FUSION_QUERY,
        show=rendering.HITS,  # with a token of the next page, which QueryVectors does not have
    ),
    _operation(
        "delete-vectors",
        "Delete vectors by key, any number.",
        arguments.KEYS,
        method="delete",
        prepare=arguments.prepare_deletion,
        show=rendering.raise_failures,
    ),
)

_INDEXES = (
    _operation(
        "put-vector-index",
        "Make an index; dimension and metric must be given, for they cannot be changed later.",
        arguments.NEW_INDEX,
        prepare=arguments.prepare_index,
        begins_file=True,
    ),
    _operation(
        "put-vector-index-fusion",
        "Make an index in fusion mode.",
        arguments.NEW_FUSION_INDEX,
        begins_file=True,
    ),
    _operation(
        "get-vector-index", "Describe an index.", (arguments.INDEX,), show=rendering.show_index
    ),
    _operation(
        "list-vector-indexes",
        "List a bucket's indexes, a page or all.",
        arguments.LIST_INDEXES,
        prepare=arguments.prepare_page,
        show=rendering.INDEXES,
        pager="iter_vector_indexes",
    ),
    _operation(
        "delete-vector-index", "Delete an index with all its vectors.", (arguments.INDEX_TO_DELETE,)
    ),
)

_BUCKETS = (
    _operation("put-vector-bucket", "Make the bucket.", arguments.PUT_BUCKET, begins_file=True),
    _operation("get-vector-bucket", "Describe the bucket.", show=rendering.show_bucket),
    _operation(
        "list-vector-buckets",
        "List the account's buckets in the region, a page or all.",
        arguments.LIST_BUCKETS,
        show=rendering.BUCKETS,
        pager="iter_vector_buckets",
        on_bucket=False,  # the region is asked, not a bucket
    ),
    _operation("delete-vector-bucket", "Delete the bucket, which must hold no index."),
    _operation("put-bucket-policy", "Set the bucket's policy.", (arguments.POLICY,)),
    _operation("get-bucket-policy", "Show the bucket's policy.", show=rendering.show_object),
    _operation("delete-bucket-policy", "Remove the bucket's policy."),
    _operation(
        "put-bucket-logging",
        "Have accesses to the bucket logged.",
        (arguments.LOGGING_STATUS,),
        prepare=arguments.unwrap_logging,
    ),
    _operation(
        "get-bucket-logging",
        "Show where accesses to the bucket are logged.",
        show=rendering.show_logging,
    ),
    _operation("delete-bucket-logging", "Stop logging accesses to the bucket."),
)

_ANY = (
    Entry(
        "invoke-operation",
        "Make any call, signed: of an operation that has no command here yet.",
        module="invoking",
    ),
)
_AS_OSSUTIL = {
    entry.name: entry
    for entry in (
        _operation(
            "put-vector-index",
            "Make an index, with ossutil's defaults: dimension 512, metric euclidean.",
            arguments.OSSUTIL_NEW_INDEX,
            prepare=arguments.prepare_index,
            begins_file=True,
        ),
    )
}
_OSSUTIL_SECTIONS = {
    title: tuple(_AS_OSSUTIL.get(entry.name) or entry for entry in entries)
    for title, entries in {
        "Vectors": _VECTORS,
        "Indexes": _INDEXES,
        "Buckets": _BUCKETS,
        "Any operation": _ANY,
    }.items()
}

SECTIONS = {
    "Vectors": _VECTORS,
    "Indexes": _INDEXES,
    "Buckets": _BUCKETS,
    "Any operation": _ANY,
    "As in ossutil": (
        Entry(
            "vectors-api",
            "The service's commands with ossutil's defaults, so that its lines run as they stand.",
            sections=_OSSUTIL_SECTIONS,
        ),
    ),
    "Files": (
        Entry("import", "Write a file's vectors: JSON lines, .npy, Parquet.", module="importing"),
        Entry("export", "Read all vectors into such a file.", module="exporting"),
    ),
    "Tools": (
        Entry(
            "explain",
            "Show what stands under a key, how it is read, and its sizes.",
            module="explaining",
        ),
        Entry("policy", "Print the least rights that commands or classes need.", module="policy"),
        Entry("doctor", "Check settings, network, clock, permissions and index.", module="doctor"),
        Entry("mcp", "Serve search and fetch to agents, by MCP.", module="mcp"),
        Entry("serve", "Run the embedded service on this machine.", module="serve"),
        Entry("studio", "Look at records in a browser; nothing is written.", module="studio"),
        Entry("demo", "Show the main job on real data, with no account.", module="demo"),
        Entry("completion", "Print what completes commands in bash, zsh or fish."),
    ),
}

Level = Literal["region", "bucket", "index", "vectors"]


def _level_of(title: str, operation: Operation) -> Level:
    if {arguments.INDEX, arguments.INDEX_TO_DELETE} & {*operation.flags}:
        return "vectors" if title == "Vectors" else "index"
    return "bucket" if operation.on_bucket else "region"


LEVELS: dict[str, Level] = {
    "".join(word.capitalize() for word in entry.name.split("-")): _level_of(title, entry.operation)
    for title, entries in SECTIONS.items()
    for entry in entries
    if entry.operation is not None
}
"""What each of the service's operations is about, by the name that the API has for it."""

# a flag is spelled in one way in all commands, so that a remedy may name one of another command
FLAGS: dict[str, str] = {
    str(flag.name): flag.opts[0]
    for entry in (*_VECTORS, *_INDEXES, *_BUCKETS)
    if entry.operation is not None
    for flag in (*entry.operation.flags, *arguments.CONNECTION)
}
"""The flag for each of the client's arguments."""
