"""`oss-vectors policy`: the least rights that commands, or classes of the adapters, need.

Resources have the forms of reference section 10. What each class needs is what it was seen to call,
one action less of which fails (tests/adapters/contract/test_policies.py).
"""

import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, get_args

import click

from ...client.config import ClientConfig, resolve_config
from ...records.settings import StoreSettings, side_name
from ..arguments import CONNECTION, INDEX, Command
from ..catalogue import LEVELS, SECTIONS, Level
from ..errors import USAGE, Failure, hide_secrets
from ..rendering import echo
from ..values import Names, join

Access = Literal["read", "write", "create"]
# the flags that say what the resources are called
_PLACE = ("bucket", "account_id", "region", "endpoint", "internal")


class Needs(NamedTuple):
    """The operations that a class calls, separated by blanks.

    Attributes:
        read: what its reading methods call.
        write: what those that write and delete call besides.
        create: what the first write calls besides, where the index is not there.
    """

    read: str
    write: str = ""
    create: str = ""


_GET = Needs("GetVectors")
# they ask for the index's dimension, which what they write must have
_KEY_VALUE = Needs("GetVectors ListVectors", "PutVectors DeleteVectors GetVectorIndex",
                   "PutVectorIndex")  # fmt: skip
# a chat is a listing
_ROWS = Needs("ListVectors", "PutVectors DeleteVectors GetVectorIndex GetVectors", "PutVectorIndex")
CLASSES = {
    "langchain.OSSVectorByteStore": _KEY_VALUE,
    "langchain.OSSVectorDocStore": _KEY_VALUE,
    "langchain.OSSVectorDocumentIndex": Needs(
        "GetVectors QueryVectors", "PutVectors DeleteVectors GetVectorIndex", "PutVectorIndex"
    ),
    "langchain.OSSVectorEmbeddingStore": _KEY_VALUE,
    "langchain.OSSVectorFetcher": _GET,
    "langchain.OSSVectorFetchTool": Needs("GetVectors ListVectors"),
    "langchain.OSSVectorRehydrator": _GET,
    "langchain.OSSVectorRetriever": _GET,
    "langchain.OSSVectorSearchTool": Needs("GetVectors ListVectors QueryVectors"),
    # the vector stores ask for the metric too, on which similarities depend
    "langchain.OSSVectorStore": Needs(
        "GetVectors ListVectors QueryVectors GetVectorIndex",
        "PutVectors DeleteVectors",
        "PutVectorIndex",
    ),
    "langchain.OSSVectorToolkit": Needs("GetVectors ListVectors QueryVectors"),
    "langchain.ParentHydratingRetriever": _GET,
    "langchain.StoredEmbeddingsFilter": _GET,
    "langchain.StoredEmbeddingsMMR": _GET,
    "langchain.StoredEmbeddingsRedundantFilter": _GET,
    "langchain.VerifyingRecordManager": _GET,
    "langgraph.HydrateDocumentsMiddleware": _GET,
    "langgraph.OSSVectorGraphStore": Needs(
        "GetVectors ListVectors QueryVectors",
        "PutVectors DeleteVectors GetVectorIndex",
        "PutVectorIndex",
    ),
    "llama_index.OSSVectorAutoMergingRetriever": _GET,
    "llama_index.OSSVectorChatStore": _ROWS,
    "llama_index.OSSVectorDocumentStore": _KEY_VALUE,
    "llama_index.OSSVectorIndexStore": _KEY_VALUE,
    "llama_index.OSSVectorKVStore": _KEY_VALUE,
    "llama_index.OSSVectorNodeMapping": _GET,
    "llama_index.OSSVectorPrefetchingRetriever": _GET,
    "llama_index.OSSVectorPrevNextPostprocessor": _GET,
    "llama_index.OSSVectorReader": Needs("GetVectors ListVectors"),
    "llama_index.OSSVectorRehydrationPostprocessor": _GET,
    "llama_index.OSSVectorRetriever": _GET,
    "llama_index.OSSVectorStore": Needs(
        "GetVectors ListVectors QueryVectors GetVectorIndex",
        "PutVectors DeleteVectors",
        "PutVectorIndex",
    ),
    "llama_index.OSSVectorToolSpec": Needs("GetVectors ListVectors QueryVectors"),
    "llama_index.ReuseStoredEmbeddings": _GET,
    "llama_index.StoredEmbeddingDedupPostprocessor": _GET,
    "llama_index.StoredEmbeddingMMRPostprocessor": _GET,
    "llama_index.StoredEmbeddingRescorer": _GET,
    "mcp.OSSVectorMCPServer": Needs("GetVectors ListVectors QueryVectors"),
}


# The pages disagree about Fusion: what any of them asks for is granted (reference 9 and 16).
_FUSION = {
    "PutVectorIndexFusion": ("PutVectorIndexFusion", "PutVectorIndex"),
    "QueryVectorsFusion": ("QueryVectorsFusion", "QueryVectors", "GetVectors"),
}


@click.command("policy", cls=Command)
@click.option(
    "--for",
    "wanted",
    type=Names(),
    multiple=True,
    callback=join,
    required=True,
    metavar="NAMES",
    help="Commands such as get-vectors, or classes such as langchain.OSSVectorStore, separated by "
    "commas; may be given again.",
)
@click.option(
    "--access",
    type=click.Choice(["read", "write", "create"]),
    default="create",
    show_default=True,
    help="What a class may do: read; write and delete too; and create the index where there is "
    "none.",
)
@click.option("--ram", is_flag=True, help="A RAM policy, to attach to whoever is to have it.")
@click.option(
    "--principal",
    "principals",
    type=Names(),
    multiple=True,
    callback=join,
    metavar="IDS",
    help="Whom a bucket policy admits: ids of RAM users or accounts; may be given again.",
)
@click.option(
    "--any-region",
    is_flag=True,
    help="Write * for the region: one page says that the service takes no other there.",
)
def command(
    *,
    wanted: list[str],
    access: Access,
    ram: bool,
    principals: list[str] | None,
    any_region: bool,
    index: str | None,
    **place: Any,
) -> None:
    """Print the least rights that commands or classes need, as a bucket policy in JSON.

    Nothing is asked of the service. Set it by `put-bucket-policy --body file://...`, which replaces
    the policy that is there; with --ram attach it to the RAM user or role instead.
    """
    actions = list(dict.fromkeys(action for name in wanted for action in _actions(name, access)))
    if not actions:
        raise click.BadParameter("it names nothing.", param_hint="--for")
    if not ram and (others := [one for one in actions if one in _NO_BUCKETS]):
        raise click.UsageError(
            f"{others[0]} is asked before there is a bucket, or of none: a bucket's policy cannot "
            "grant it; give --ram."
        )
    levels = {LEVELS[action] for action in actions}
    config = resolve_config(
        index=index, bucket_required=levels != {"region"}, allow_http=True, **place
    )
    if not ram and not principals:
        echo(f"note: put the id of the RAM user in place of {_WHO}, or give --principal", err=True)
    # values over 36 KB stand in a second index; the commands know of one
    indexes = [config.index_or(None)] if levels & {"index", "vectors"} else []
    if indexes and any(_needs_of(name) for name in wanted):
        indexes.append(side_name(StoreSettings(), indexes[0]))
    statements = []
    for level in (one for one in get_args(Level) if one in levels):
        members: dict[str, Any] = {
            "Effect": "Allow",
            "Action": [f"oss:{action}" for action in actions if LEVELS[action] == level],
        }
        if not ram:
            members["Principal"] = principals or [_WHO]
        members["Resource"] = _resources(config, level, indexes, any_region=any_region)
        statements.append(members)
    text = json.dumps({"Version": "1", "Statement": statements}, indent=2)
    if (hidden := hide_secrets(text)) != text:
        # in the environment, and printed, it would come into logs
        raise Failure(f"a name in the policy looks like a secret: {hidden}", USAGE)
    echo(text)


command.params.extend([INDEX, *(flag for flag in CONNECTION if flag.hidden or flag.name in _PLACE)])

_WHO = "RAM-USER-ID"
_NO_BUCKETS = ("ListVectorBuckets", "PutVectorBucket")


def _needs_of(name: str) -> Needs | None:
    return CLASSES.get(name.removeprefix("oss_vector_retriever."))


def _actions(name: str, access: Access) -> Iterable[str]:
    """Return the actions for what a user names: a command, an operation, an action or a class."""
    needs = _needs_of(name)
    if needs is not None:
        parts = needs[: {"read": 1, "write": 2, "create": 3}[access]]
        return " ".join(parts).split()
    plain = name.removeprefix("oss:").replace("-", "").casefold()
    for operation in LEVELS:
        if operation.casefold() == plain:
            return _FUSION.get(operation, (operation,))
    commands = ", ".join(entry.name for entries in SECTIONS.values() for entry in entries
                         if entry.operation)  # fmt: skip
    raise click.BadParameter(
        f"{name!r} is neither a command of the service ({commands}) nor a class "
        f"({', '.join(CLASSES)}).",
        param_hint="--for",
    )


def _resources(
    config: ClientConfig, level: Level, indexes: Iterable[str], *, any_region: bool
) -> list[str]:
    region = "*" if any_region else config.region
    owner = f"acs:ossvector:{region}:{config.account_id}"
    if level == "region":
        return [f"{owner}:*"]
    bucket = f"{owner}:{config.bucket_or_raise()}"
    if level == "bucket":
        return [bucket]
    return [f"{bucket}/{index}{'/*' if level == 'vectors' else ''}" for index in indexes]
