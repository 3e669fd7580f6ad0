"""From words on the command line to the client's arguments: flags, and their values."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Values = dict[str, Any]
_FILE = "file://"
_STDIN = "-"
_ELSEWHERE = "a file is named by file://PATH, standard input by -"


def json_of(*kinds: type, said: str) -> Callable[[Any], Any]:
    """Return a flag's type: JSON of some Python types, which a message names as `said`."""

    def read(value: Any) -> Any:
        return _checked(_parsed(_text(value)), kinds, said) if isinstance(value, str) else value

    return read


def _parsed(text: str) -> Any:
    from oss_vector_retriever.client.wire import parse_json  # noqa: PLC0415 - not for `--help`

    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise click.BadParameter(f"it is not JSON: {error} ({_ELSEWHERE}).") from None


def _checked(value: Any, kinds: tuple[type, ...], said: str) -> Any:
    if not isinstance(value, kinds):
        names: dict[type, str] = {dict: "an object", list: "an array", str: "a string"}
        found = names.get(type(value), "a lone value")
        raise click.BadParameter(f"it must be {said}, not {found}.")
    return value


def read_keys(value: Any) -> Any:
    """Read keys: separated by commas, a JSON array, or from elsewhere one a line."""
    from oss_vector_retriever.client.errors import InvalidRequestError  # noqa: PLC0415 - the same
    from oss_vector_retriever.records.keys import parse_keys  # noqa: PLC0415 - the same

    if not isinstance(value, str):
        return value
    if not _is_elsewhere(value) and not value.lstrip().startswith("["):
        return [key for key in value.split(",") if key]
    try:
        return parse_keys(_text(value))
    except InvalidRequestError as error:
        raise click.BadParameter(str(error)) from None


def read_names(value: Any) -> Any:
    """Read names separated by commas."""
    return [name for name in value.split(",") if name] if isinstance(value, str) else value


def read_query(value: Any) -> Any:
    """Compile a JMESPath expression, so that a wrong one is refused before any call."""
    if not isinstance(value, str):
        return value
    jmespath = importlib.import_module("jmespath")
    try:
        return jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as error:
        said = " ".join(str(error).split())
        raise click.BadParameter(f"it is no JMESPath expression: {said}") from None


def _is_elsewhere(value: str) -> bool:
    return value == _STDIN or value.startswith(_FILE)


def _text(value: str) -> str:
    """Return the text that a value is, or says where to find."""
    try:
        if value == _STDIN:
            return sys.stdin.read()
        if value.startswith(_FILE):
            return Path(value.removeprefix(_FILE)).expanduser().read_text("utf-8-sig")
    except OSError as error:
        raise click.BadParameter(f"{value} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value} is not UTF-8.") from None
    return value


_OBJECT = {"type": json_of(dict, said="an object"), "metavar": "JSON"}
_LIST = {"type": json_of(list, said="an array"), "metavar": "JSON"}
_EITHER = {"type": json_of(dict, list, said="an object or an array"), "metavar": "JSON"}
_NAMES = {"type": read_names, "metavar": "NAMES"}


def _flag(*names: str, **settings: Any) -> click.Option:
    return click.Option(names, **settings)


def _switch(name: str, help_text: str) -> click.Option:
    """Return a switch that ossutil's `--name=true` turns on, too."""
    return _flag(
        name,
        type=bool,
        is_flag=False,
        flag_value=True,
        default=False,
        metavar="[true|false]",
        help=help_text,
    )


INDEX = _flag("--index-name", "index", help="Index (OSS_VECTORS_INDEX).")
INDEX_TO_DELETE = _flag("--index-name", "index", required=True, help="Index; there is no way back.")

KEYS = _flag(
    "--keys",
    type=read_keys,
    metavar="KEYS",
    help="Keys: separated by commas, a JSON array, or file://PATH or - with one key a line.",
)
KEY = _flag("--key", "single_keys", multiple=True, help="One key, which may hold a comma.")
VECTORS = _flag(
    "--vectors",
    **_LIST,
    required=True,
    help='Vectors: [{"key": "a", "data": {"float32": [...]}, "metadata": {...}}, ...].',
)
RETURN_DATA = _switch("--return-data", "Return the float32 data.")
RETURN_METADATA = _switch("--return-metadata", "Return the metadata.")
RETURN_DISTANCE = _switch("--return-distance", "Return the distance, smaller is closer.")
FILTER = _flag("--filter", **_OBJECT, help='Condition on metadata, as {"year": {"$eq": "2024"}}.')

QUERY_VECTOR = _flag(
    "--query-vector", **_EITHER, required=True, help='Vector: {"float32": [...]}, or [...].'
)
TOP_K = _flag("--top-k", type=int, default=10, show_default=True, help="How many to find.")

MAX_RESULTS = _flag("--max-results", type=int, help="Entries of a page, at most.")
NEXT_TOKEN = _flag("--next-token", help="Token of the page, as the page before gave it.")
SEGMENT_COUNT = _flag("--segment-count", type=int, help="Parts that an index is read in.")
SEGMENT_INDEX = _flag("--segment-index", type=int, help="Which part, from 0.")
ALL = _flag("--all", "every", is_flag=True, help="All pages, not one.")
PREFIX = _flag("--prefix", help="Only names that begin with this.")
MARKER = _flag("--marker", help="List the names after this one.")
MAX_KEYS = _flag("--max-keys", type=int, help="Entries of a page, at most.")

DATA_TYPE = _flag(
    "--data-type", type=click.Choice(["float32"]), default="float32", help="Always float32."
)
DIMENSION = _flag("--dimension", type=int, required=True, help="Values of each vector.")
METRIC = _flag(
    "--distance-metric",
    type=click.Choice(["cosine", "euclidean"]),
    default="cosine",
    show_default=True,
    help="What distance means.",
)
METADATA = _flag(
    "--metadata",
    **_OBJECT,
    help='Settings of metadata: {"nonFilterableMetadataKeys": ["text"]}.',
)
NON_FILTERABLE = _flag(
    "--non-filterable-key",
    "non_filterable_keys",
    multiple=True,
    help="A metadata field that may be large and cannot be searched by.",
)

POLICY = _flag("--body", "policy", **_OBJECT, required=True, help="The policy.")
LOGGING_STATUS = _flag(
    "--bucket-logging-status",
    **_OBJECT,
    required=True,
    help='{"LoggingEnabled": {"TargetBucket": "...", "TargetPrefix": "..."}}.',
)

SCHEMA = _flag(
    "--schema-configuration", **_OBJECT, required=True, help='Fields: {"fields": [...]}.'
)
MODE = _flag("--mode", type=click.Choice(["fusion"]), default="fusion", help="Always fusion.")
KNN = _flag("--knn", **_EITHER, help="Search by vector: a clause, or an array of them.")
QUERY = _flag("--query", **_OBJECT, help="Condition on text and fields.")
RETRIEVER = _flag("--retriever", **_OBJECT, help="Tree of retrievers.")
LIMIT = _flag("--limit", type=int, help="How many to find.")
PARTITION_KEYS = _flag("--partition-keys", **_NAMES, help="Partitions, separated by commas.")
METADATA_FIELDS = _flag(
    "--return-metadata-fields", **_NAMES, help="Fields to return, separated by commas."
)
SORT = _flag("--sort", **_LIST, help="Order of the results.")

OUTPUT_FORMAT = _flag(
    "--output-format",
    type=click.Choice(["json", "jsonl", "table"]),
    default="json",
    show_default=True,
    help="How to print: the API's JSON, one entry a line, or a table to read.",
)
OUTPUT_QUERY = _flag(
    "--output-query",
    type=read_query,
    metavar="JMESPATH",
    help="Part of the JSON to print (JMESPath).",
)


def merge_keys(values: Values) -> Values:
    """Join `--keys` and `--key`."""
    rest = dict(values)
    asked = [*rest.pop("keys", ()), *rest.pop("single_keys", ())]
    if not asked:
        raise click.UsageError("name the keys: --keys doc-001,doc-002, or --key 'one, with comma'.")
    return {**rest, "keys": asked}


def deleting(values: Values) -> Values:
    """Join the keys, and have all batches tried."""
    return writing(merge_keys(values))


def writing(values: Values) -> Values:
    """Have all batches tried, and a report of those that failed."""
    return {**values, "on_error": "report"}


def query_vector(values: Values) -> Values:
    """Take the numbers out of `{"float32": numbers}`."""
    given = values["query_vector"]
    if isinstance(given, dict):
        if not isinstance(given.get("float32"), list):
            raise click.BadParameter('it has no array "float32".', param_hint="--query-vector")
        given = given["float32"]
    return {**values, "query_vector": given}


def new_index(values: Values) -> Values:
    """Join `--metadata` and `--non-filterable-key`; `--data-type` has one value."""
    rest = {name: value for name, value in values.items() if name != "data_type"}
    settings = rest.pop("metadata", {})
    unknown = settings.keys() - {"nonFilterableMetadataKeys"}
    listed = settings.get("nonFilterableMetadataKeys", [])
    if unknown or not isinstance(listed, list):
        raise click.BadParameter(
            'it must be {"nonFilterableMetadataKeys": [names]}.', param_hint="--metadata"
        )
    names = [*listed, *rest.pop("non_filterable_keys", ())]
    return {**rest, "non_filterable_metadata_keys": names}


def new_fusion_index(values: Values) -> Values:
    """Leave out `--mode`, which has one value."""
    return {name: value for name, value in values.items() if name != "mode"}


def logging(values: Values) -> Values:
    """Take the settings out of `{"LoggingEnabled": {...}}`, with or without BucketLoggingStatus."""
    rest = dict(values)
    status = rest.pop("bucket_logging_status")
    enabled = status.get("BucketLoggingStatus", status).get("LoggingEnabled")
    if not isinstance(enabled, dict) or not isinstance(enabled.get("TargetBucket"), str):
        raise click.BadParameter(
            'it must be {"LoggingEnabled": {"TargetBucket": "...", ...}}.',
            param_hint="--bucket-logging-status",
        )
    named = {
        "target_bucket": "TargetBucket",
        "target_prefix": "TargetPrefix",
        "logging_role": "LoggingRole",
    }
    return {
        **rest,
        **{name: enabled[member] for name, member in named.items() if member in enabled},
    }
