"""Flags of the commands, and how their values become the client's arguments.

An option is named as the client's argument that it fills, so that errors can be worded in flags.
"""

from collections.abc import Callable
from typing import Any

import click

from .values import Json, Names, Number, Tags, join, read_query

Values = dict[str, Any]


class Command(click.Command):
    """A command whose help says last how it prints and where the service is."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options first: those that all commands share are read once."""
        shared = {"Output": OUTPUT, "Connection": CONNECTION}
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], **{t: [] for t in shared}}
        for parameter in self.get_params(ctx):
            title = next((title for title in shared if parameter in shared[title]), "Options")
            if line := parameter.get_help_record(ctx):
                sections[title].append(line)
        for title, lines in sections.items():
            if lines:
                with formatter.section(title):
                    formatter.write_dl(lines)


def _flag(flag: str, text: str, *, name: str | None = None, **settings: Any) -> click.Option:
    """Return an option; `--flag|-f` has two spellings, the first of which errors use."""
    return click.Option([*flag.split("|"), *([name] if name else [])], help=text, **settings)


def _list_flag(flag: str, text: str, **settings: Any) -> click.Option:
    """Return a flag that takes several values, and accumulates those of all its occurrences.

    ossutil's are such; of any other flag the last occurrence counts, there as here.
    """
    return _flag(flag, text, multiple=True, callback=join, **settings)


def _switch(flag: str, text: str) -> click.Option:
    """Return a switch that ossutil's `--name=true` turns on, too."""
    # an optional value: click takes the bare flag for `flag_value`
    return _flag(
        flag, text, type=bool, metavar="[true|false]", is_flag=False, flag_value=True, default=False
    )


def _refuse_secret(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> None:
    if given:
        raise click.UsageError(
            "keys are not given on the command line, which other users of this machine see; set "
            "OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN, or give --credentials "
            "chain."
        )


def _refuse_configuration(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> None:
    if given:
        raise click.UsageError(
            "ossutil's configuration file is not read; set OSS_ACCESS_KEY_ID, "
            "OSS_ACCESS_KEY_SECRET, OSS_REGION and OSS_ACCOUNT_ID, or give --credentials chain, "
            "which knows profiles of its own."
        )


def _trap(flags: str, refuse: Callable[..., None]) -> click.Option:
    # known so that what stands behind it is taken for its value, and shown in no message
    settings: dict[str, Any] = {"multiple": True, "is_eager": True, "expose_value": False}
    return _flag(flags, "", name=refuse.__name__, hidden=True, callback=refuse, **settings)


def _constant(flag: str, value: str) -> click.Option:
    # scripts for ossutil give it; the client has no argument for it
    choice = click.Choice([value])
    return _flag(flag, f"Always {value}.", type=choice, default=value, expose_value=False)


# ranges and forms are not stated here: the client checks them against the service's limits
INDEX = _flag("--index-name", "Index (OSS_VECTORS_INDEX).", name="index")
INDEX_TO_DELETE = _flag("--index-name", "Index; there is no way back.", name="index", required=True)
FILTER = _flag("--filter", 'Condition on metadata, as {"year": {"$eq": "2024"}}.', type=Json(dict))
_RETURN_DATA = _switch("--return-data", "Return the float32 data.")
_RETURN_METADATA = _switch("--return-metadata", "Return the metadata.")
_NEXT_TOKEN = _flag("--next-token", "Token of the page, as the page before gave it.")
_ALL = _flag("--all", "All pages, not one.", name="every", is_flag=True)
_PREFIX = _flag("--prefix", "Only names that begin with this.")
_MAX_RESULTS = _flag("--max-results", "Entries of a page, at most.", type=int)
_PAGE = (_MAX_RESULTS, _NEXT_TOKEN, _ALL)

KEYS = (
    INDEX,
    _list_flag(
        "--keys",
        "Keys: separated by commas, a JSON array, or file://PATH or - with one key a line; may be "
        "given again.",
        type=Names(),
        metavar="KEYS",
    ),
    # `--keys` splits at commas, as ossutil does, and a key may hold one
    _flag("--key", "One key, which may hold a comma.", name="single_keys", multiple=True),
)
AS_DOCUMENT = _flag(
    "--as-document",
    "Text and metadata as a retriever would return them, whoever wrote the records.",
    is_flag=True,
)
FETCH = (*KEYS, _RETURN_DATA, _RETURN_METADATA, AS_DOCUMENT)
PUT = (
    INDEX,
    _list_flag(
        "--vectors",
        'Vectors: [{"key": "a", "data": {"float32": [...]}, "metadata": {...}}, ...]; may be given '
        "again.",
        type=Json(list),
        required=True,
    ),
)
LIST = (
    INDEX,
    *_PAGE,
    _RETURN_DATA,
    _RETURN_METADATA,
    AS_DOCUMENT,
    _flag("--segment-count", "Parts that an index is read in.", type=int),
    _flag("--segment-index", "Which part, from 0.", type=int),
    FILTER,
)
QUERY = (
    INDEX,
    _flag("--query-vector", 'Vector: {"float32": [...]}, or [...].', type=Json(dict, list)),
    _flag("--key", "In place of a vector: a stored one; what is closest to it.", name="near"),
    _flag("--top-k", "How many to find.", type=int, default=10, show_default=True),
    FILTER,
    _switch("--return-distance", "Return the distance, smaller is closer."),
    _RETURN_METADATA,
    AS_DOCUMENT,
)
FUSION_QUERY = (
    INDEX,
    _list_flag(
        "--knn",
        "Search by vector: a clause, or an array of them; may be given again.",
        type=Json(dict, list),
    ),
    _flag("--query", "Condition on text and fields.", type=Json(dict)),
    _flag("--retriever", "Tree of retrievers.", type=Json(dict)),
    _flag("--limit", "How many to find.", type=int),
    _NEXT_TOKEN,
    _list_flag("--partition-keys", "Partitions, as --keys.", type=Names(), metavar="NAMES"),
    _RETURN_METADATA,
    AS_DOCUMENT,
    _list_flag(
        "--return-metadata-fields", "Fields to return, as --keys.", type=Names(), metavar="NAMES"
    ),
    _list_flag("--sort", "Order of the results; may be given again.", type=Json(list)),
)

# what a non-filterable field is called holds no comma
NON_FILTERABLE = _list_flag(
    "--non-filterable-key",
    "Metadata fields that may be large and cannot be searched by, as --keys.",
    name="non_filterable_metadata_keys",
    type=Names(),
    metavar="NAMES",
)


def _new_index(**defaults: Any) -> tuple[click.Option, ...]:
    """Return the flags of a new index, with a default for what cannot be changed later, or none."""
    asked = "" if defaults else " There is no default."
    return (
        INDEX,
        _constant("--data-type", "float32"),
        _flag(
            "--dimension",
            f"Values of each vector; cannot be changed later.{asked}",
            type=int,
            default=defaults.get("dimension"),
            show_default=True,
        ),
        _flag(
            "--distance-metric",
            f"What distance means; cannot be changed later.{asked}",
            type=click.Choice(["cosine", "euclidean"]),
            default=defaults.get("distance_metric"),
            show_default=True,
        ),
        _flag(
            "--metadata",
            'Settings of metadata: {"nonFilterableMetadataKeys": ["text"]}.',
            type=Json(dict),
        ),
        NON_FILTERABLE,
        _flag(
            "--for-documents",
            "For the stores of this package: what they write may be large, and is not filterable.",
            is_flag=True,
        ),
        _flag("--wait", "Wait until it is no longer being made, --timeout at most.", is_flag=True),
    )


NEW_INDEX = _new_index()
OSSUTIL_NEW_INDEX = _new_index(dimension=512, distance_metric="euclidean")
NEW_FUSION_INDEX = (
    INDEX,
    _constant("--mode", "fusion"),
    _flag("--schema-configuration", 'Fields: {"fields": [...]}.', type=Json(dict), required=True),
)
LIST_INDEXES = (_PREFIX, *_PAGE)

PUT_BUCKET = (
    _flag("--resource-group-id", "The resource group of the bucket."),
    _flag(
        "--bucket-tagging",
        "Tags of the bucket, as in Team=search&Stage=test; %26 is an & in one.",
        name="tagging",
        type=Tags(),
    ),
)
LIST_BUCKETS = (
    _PREFIX,
    _flag("--marker", "List the names after this one."),
    _flag("--max-keys", "Entries of a page, at most.", type=int),
    _flag("--resource-group-id", "List the buckets of this resource group."),
    _ALL,
)
POLICY = _flag("--body", "The policy.", name="policy", type=Json(dict), required=True)
LOGGING_STATUS = _flag(
    "--bucket-logging-status",
    '{"LoggingEnabled": {"TargetBucket": "...", "TargetPrefix": "..."}}.',
    type=Json(dict),
    required=True,
)

OUTPUT_FORMAT = _flag(
    "--output-format",
    "How to print: the API's JSON, the same as YAML or XML, one entry a line, or a table to read.",
    type=click.Choice(["json", "yaml", "xml", "jsonl", "table"]),
    show_default="json",
)
OUTPUT_QUERY = _flag(
    "--output-query", "Part of the JSON to print (JMESPath).", type=read_query, metavar="JMESPATH"
)

WIDE = _flag("--wide", "In tables every member, as the API has it.", is_flag=True)
OUTPUT = (OUTPUT_FORMAT, OUTPUT_QUERY, WIDE)

CONNECTION = (
    _flag("--bucket", "Vector bucket, or its ARN (OSS_VECTORS_BUCKET)."),
    _flag("--account-id", "Account that owns the bucket (OSS_ACCOUNT_ID)."),
    _flag("--region", "Region, such as cn-hangzhou (OSS_REGION)."),
    _flag(
        "--endpoint|-e",
        "Address of the service, if not the region's; or of the bucket, which says all of the "
        "above (OSS_ENDPOINT).",
    ),
    _flag("--internal", "Use the region's internal network.", is_flag=True),
    _flag("--allow-http", "Allow plain http beyond this machine.", is_flag=True),
    _flag(
        "--credentials",
        "OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN, or the chain of "
        "profile file, RAM role and OIDC (extra `credentials`).",
        type=click.Choice(["environment", "chain"]),
        default="environment",
        show_default=True,
    ),
    _flag("--timeout", "Seconds for each call.", type=Number(), default=30.0, show_default=True),
    _flag("--rate-limit", "Requests a second, at most.", type=Number()),
    _flag("--max-concurrency", "Calls at once, at most.", type=int, default=8, show_default=True),
    _flag(
        "--local",
        "Use the embedded service with this file, instead of the network.",
        type=click.Path(dir_okay=False),
    ),
    _trap("--access-key-id|-i|--access-key-secret|-k|--sts-token|-t", _refuse_secret),
    _trap("--profile|--config-file|-c", _refuse_configuration),
)


def merge_keys(values: Values) -> Values:
    """Merge `--keys` and `--key`."""
    rest = dict(values)
    keys = [*rest.pop("keys", ()), *rest.pop("single_keys", ())]
    if not keys:
        raise click.UsageError("name the keys: --keys doc-001,doc-002, or --key 'one, with comma'.")
    return {**rest, "keys": keys}


def prepare_deletion(values: Values) -> Values:
    """Merge the keys, and have all batches tried."""
    return prepare_write(merge_keys(values))


def prepare_write(values: Values) -> Values:
    """Have all batches tried, and a report of those that failed."""
    # an exception would tell of the first failure and not of the keys that are written
    return {**values, "on_error": "report"}


def prepare_query(values: Values) -> Values:
    """Ask for a vector or a key, and take the numbers out of `{"float32": numbers}`."""
    if ("query_vector" in values) == ("near" in values):
        raise click.UsageError("give --query-vector, or --key for what is close to a stored one.")
    given = values.get("query_vector")  # the API's form, or just the numbers
    if not isinstance(given, dict):
        return values
    if not isinstance(given.get("float32"), list):
        raise click.BadParameter('it has no array "float32".', param_hint="--query-vector")
    return {**values, "query_vector": given["float32"]}


def prepare_index(values: Values) -> Values:
    """Merge `--metadata` and `--non-filterable-key`; ask for what cannot be changed later."""
    missing = [flag for name, flag in _UNCHANGEABLE.items() if name not in values]
    if missing:
        raise click.UsageError(
            f"{' and '.join(missing)} must be given. An index's --dimension N and "
            "--distance-metric cosine|euclidean cannot be changed later, so neither is guessed; "
            "`oss-vectors vectors-api put-vector-index` has ossutil's defaults, 512 and euclidean."
        )
    rest = dict(values)
    settings = rest.pop("metadata", {})
    unknown = settings.keys() - {"nonFilterableMetadataKeys"}
    listed = settings.get("nonFilterableMetadataKeys", [])
    named = isinstance(listed, list) and all(isinstance(name, str) for name in listed)
    if unknown or not named:
        raise click.BadParameter(
            'it must be {"nonFilterableMetadataKeys": [names]}.', param_hint="--metadata"
        )
    names = [*listed, *rest.pop("non_filterable_metadata_keys", ())]
    if rest.pop("for_documents", False):
        from ..records.decode import ENVELOPE_KEYS  # noqa: PLC0415 - not for `--help`

        names += ENVELOPE_KEYS
    return {**rest, "non_filterable_metadata_keys": list(dict.fromkeys(names))}


_UNCHANGEABLE = {"dimension": "--dimension", "distance_metric": "--distance-metric"}


def prepare_page(values: Values) -> Values:
    """Leave out a page of 0, which ossutil's pages have for the service's own size."""
    return {name: value for name, value in values.items() if (name, value) != ("max_results", 0)}


def unwrap_logging(values: Values) -> Values:
    """Take the settings out of `{"LoggingEnabled": {...}}`, with or without BucketLoggingStatus."""
    rest = dict(values)
    status = rest.pop("bucket_logging_status")
    inner = status.get("BucketLoggingStatus", status)
    enabled = inner.get("LoggingEnabled") if isinstance(inner, dict) else None
    if not isinstance(enabled, dict) or not isinstance(enabled.get("TargetBucket"), str):
        raise click.BadParameter(
            'it must be {"LoggingEnabled": {"TargetBucket": "...", ...}}.',
            param_hint="--bucket-logging-status",
        )
    members = {
        "target_bucket": "TargetBucket",
        "target_prefix": "TargetPrefix",
        "logging_role": "LoggingRole",
    }
    settings = {name: enabled[member] for name, member in members.items() if member in enabled}
    return {**rest, **settings}
