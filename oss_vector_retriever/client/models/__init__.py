"""Values: what is asked, what is answered, and the limits in force."""

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
from .account_record import AccountRecord
from .columns import ArrowBatches
from .limits import DEFAULT_LIMITS, Limits, dump, largest, metadata_bytes
from .messages import Reply, Request, printable
from .results import (
    Acknowledgement, BucketLogging, ClientStats, FetchResult, FinishedCall, FusedVector,
    GetVectorsResult, ListVectorBucketsResult, ListVectorIndexesResult, ListVectorsResult,
    OperationStats, Page, QueryVectorsFusionResult, QueryVectorsResult, ScoredVector, VectorBucket,
    VectorIndex,
)
from .vector import Float32Array, Vector, pack_float32
# isort: on
# fmt: on

__all__ = [
    "DEFAULT_LIMITS",
    "AccountRecord",
    "Acknowledgement",
    "ArrowBatches",
    "BucketLogging",
    "ClientStats",
    "FetchResult",
    "FinishedCall",
    "Float32Array",
    "FusedVector",
    "GetVectorsResult",
    "Limits",
    "ListVectorBucketsResult",
    "ListVectorIndexesResult",
    "ListVectorsResult",
    "OperationStats",
    "Page",
    "QueryVectorsFusionResult",
    "QueryVectorsResult",
    "Reply",
    "Request",
    "ScoredVector",
    "Vector",
    "VectorBucket",
    "VectorIndex",
    "dump",
    "largest",
    "metadata_bytes",
    "pack_float32",
    "printable",
]
