"""The flags of the service's operations, each once, named as ossutil names them."""

from __future__ import annotations

from typing import Any

import click

from oss_vector_retriever.cli import values

_OBJECT = {"type": values.json_of(dict, said="an object"), "metavar": "JSON"}
_LIST = {"type": values.json_of(list, said="an array"), "metavar": "JSON"}
_EITHER = {"type": values.json_of(dict, list, said="an object or an array"), "metavar": "JSON"}
_NAMES = {"type": values.names, "metavar": "NAMES"}


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
    type=values.keys,
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
    type=values.query,
    metavar="JMESPATH",
    help="Part of the JSON to print (JMESPath).",
)
