"""Records: one mapping between stored vectors and text, metadata, embedding, for every framework.

`decode` reads a record whoever wrote it (this package, LlamaIndex, LangChain, Alibaba's
`oss-vectors-embed`, anyone); `encode` writes one that comes back exactly. `parse_keys` reads the
keys in a retriever's query string.

Nothing here knows a framework: its adapters turn a `Record` into its own classes.
"""

from oss_vector_retriever.client.models.limits import metadata_bytes
from oss_vector_retriever.records.decode import (
    ENVELOPE_KEYS,
    DecodeError,
    DecodePolicy,
    decode,
    decode_all,
)
from oss_vector_retriever.records.encode import encode, filterable_value
from oss_vector_retriever.records.keys import parse_keys, query_of
from oss_vector_retriever.records.record import Media, Record, Source
from oss_vector_retriever.records.settings import DistanceMetric, StoreSettings

__all__ = [
    "ENVELOPE_KEYS",
    "DecodeError",
    "DecodePolicy",
    "DistanceMetric",
    "Media",
    "Record",
    "Source",
    "StoreSettings",
    "decode",
    "decode_all",
    "encode",
    "filterable_value",
    "metadata_bytes",
    "parse_keys",
    "query_of",
]
