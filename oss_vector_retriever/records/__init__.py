"""Records: one mapping between stored vectors and text, metadata, embedding, for every framework.

`decode` reads a record whoever wrote it (this package, LlamaIndex, LangChain, Alibaba's
`oss-vectors-embed`, anyone); `encode` writes one that comes back exactly. `parse_keys` reads the
keys in a retriever's query string.

Nothing here knows a framework: its adapters turn a `Record` into its own classes.
"""

from ..client.models.limits import metadata_bytes
from .bad_records import (
    BadRecord,
    BadRecordPolicy,
    BadRecordsError,
    BadRecordsReport,
    InvalidRecordError,
    WrittenIds,
)
from .copies import filterable_value
from .decode import ENVELOPE_KEYS, DecodeError, DecodePolicy, decode, decode_all
from .encode import encode
from .keys import parse_keys, query_of
from .record import Media, Record, Source
from .settings import Completion, DistanceMetric, StoreSettings

__all__ = [
    "ENVELOPE_KEYS",
    "BadRecord",
    "BadRecordPolicy",
    "BadRecordsError",
    "BadRecordsReport",
    "Completion",
    "DecodeError",
    "DecodePolicy",
    "DistanceMetric",
    "InvalidRecordError",
    "Media",
    "Record",
    "Source",
    "StoreSettings",
    "WrittenIds",
    "decode",
    "decode_all",
    "encode",
    "filterable_value",
    "metadata_bytes",
    "parse_keys",
    "query_of",
]
