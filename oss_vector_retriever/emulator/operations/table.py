"""Which request asks for which operation; reference section 1."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ...client.models.messages import Request
from ..http.addressing import parameters, resolve
from ..rules.refusals import Refusal
from . import buckets, indexes, vectors
from .call import Answer, Call

# The SDK for Java sends `vector` with each listing of buckets (section 1).
_LIST_PARAMETERS = frozenset({"prefix", "marker", "max-keys", "vector"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API: how it is asked for, and what runs it.

    `name` is as the API and its policies name it, `query` the query key that chooses it, or empty;
    `level` is what it is about, which decides the resource that policies see.
    """

    name: str
    method: str
    query: str
    run: Callable[[Call], Answer]
    level: Literal["region", "bucket", "index", "vectors"]

    @property
    def status(self) -> int:
        """Return the HTTP status of success."""
        return 204 if self.name.startswith("Delete") else 200

    @property
    def body_may_be_empty(self) -> bool:
        """Tell whether no body stands for an empty object (section 3)."""
        return self.name == "ListVectorIndexes"


def _fusion(_: Call) -> Answer:
    raise Refusal("NotImplemented", "Fusion mode is not part of this emulator.")


OPERATIONS = (
    Operation("ListVectorBuckets", "GET", "", buckets.list_vector_buckets, "region"),
    Operation("PutVectorBucket", "PUT", "", buckets.put_vector_bucket, "bucket"),
    Operation("DeleteVectorBucket", "DELETE", "", buckets.delete_vector_bucket, "bucket"),
    Operation("GetVectorBucket", "GET", "bucketInfo", buckets.get_vector_bucket, "bucket"),
    Operation("PutBucketPolicy", "PUT", "policy", buckets.put_bucket_policy, "bucket"),
    Operation("GetBucketPolicy", "GET", "policy", buckets.get_bucket_policy, "bucket"),
    Operation("DeleteBucketPolicy", "DELETE", "policy", buckets.delete_bucket_policy, "bucket"),
    Operation("PutBucketLogging", "PUT", "logging", buckets.put_bucket_logging, "bucket"),
    Operation("GetBucketLogging", "GET", "logging", buckets.get_bucket_logging, "bucket"),
    Operation("DeleteBucketLogging", "DELETE", "logging", buckets.delete_bucket_logging, "bucket"),
    Operation("PutVectorIndex", "POST", "putVectorIndex", indexes.put_vector_index, "index"),
    Operation("GetVectorIndex", "POST", "getVectorIndex", indexes.get_vector_index, "index"),
    Operation(
        "ListVectorIndexes", "POST", "listVectorIndexes", indexes.list_vector_indexes, "bucket"
    ),
    Operation(
        "DeleteVectorIndex", "POST", "deleteVectorIndex", indexes.delete_vector_index, "index"
    ),
    Operation("PutVectors", "POST", "putVectors", vectors.put_vectors, "vectors"),
    Operation("GetVectors", "POST", "getVectors", vectors.get_vectors, "vectors"),
    Operation("ListVectors", "POST", "listVectors", vectors.list_vectors, "vectors"),
    Operation("QueryVectors", "POST", "queryVectors", vectors.query_vectors, "vectors"),
    Operation("DeleteVectors", "POST", "deleteVectors", vectors.delete_vectors, "vectors"),
    Operation("PutVectorIndexFusion", "POST", "putVectorIndexFusion", _fusion, "index"),
    Operation("QueryVectorsFusion", "POST", "queryVectorsFusion", _fusion, "vectors"),
)
_BY_REQUEST = {(operation.method, operation.query): operation for operation in OPERATIONS}
_CHOOSING = frozenset(operation.query for operation in OPERATIONS if operation.query)


def select(method: str, query: Mapping[str, str], *, has_bucket: bool) -> Operation:
    """Return the operation that a request asks for; `?op` and `?op=` are the same (section 1).

    Raises:
        Refusal: MethodNotAllowed where there is no such operation, InvalidArgument where the query
            names two.
    """
    names = [name for name in query if name in _CHOOSING]
    if len(names) > 1:
        raise Refusal("InvalidArgument", f"The query names {names[0]} and {names[1]}.")
    operation = _BY_REQUEST.get((method, names[0] if names else ""))
    if operation is None or (operation.level != "region") != has_bucket:
        raise Refusal("MethodNotAllowed")
    # DELETE /?unheardOf must not delete the bucket.
    if not names and not all(n in _LIST_PARAMETERS or n.startswith("x-oss-") for n in query):
        raise Refusal("MethodNotAllowed")
    return operation


def operation_of(request: Request) -> Operation | None:
    """Return the operation that a request asks for, or None."""
    has_bucket = resolve(request).bucket is not None
    try:
        return select(request.method, parameters(request.query), has_bucket=has_bucket)
    except Refusal:
        return None
