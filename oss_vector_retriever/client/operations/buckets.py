"""Operations on vector buckets (reference section 8)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from oss_vector_retriever.client.attempts import Operation
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models.descriptions import ListVectorBucketsResult, VectorBucket
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.results import Acknowledgement
from oss_vector_retriever.client.operations.checks import check_whole
from oss_vector_retriever.client.operations.vectors import acknowledged
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.client.wire import refuse, reply_list, reply_object


def put_vector_bucket(context: Context) -> Flow[Acknowledgement]:
    """Make the client's vector bucket. Source: page PutVectorBucket.

    Raises:
        BucketAlreadyExistsError: it exists.
    """
    return call(context, Operation("PutVectorBucket", acknowledged, method="PUT", idempotent=False))


def get_vector_bucket(context: Context) -> Flow[VectorBucket]:
    """Describe the client's vector bucket. Source: page GetVectorBucket."""

    def decode(reply: Reply) -> VectorBucket:
        found = reply_object(reply, "GetVectorBucket").get("BucketInfo")
        return _bucket(reply, "GetVectorBucket", found)

    return call(context, Operation("GetVectorBucket", decode, method="GET", query="bucketInfo"))


def list_vector_buckets(
    context: Context,
    *,
    prefix: str | None = None,
    marker: str | None = None,
    max_keys: int | None = None,
) -> Flow[ListVectorBucketsResult]:
    """List one page of the account's vector buckets in the region, 100 unless `max_keys` says else.

    Source: page ListVectorBuckets.
    """
    if max_keys is not None:
        check_whole("max_keys", max_keys, 1, context.config.limits.bucket_list_page)
    given = {"marker": marker, "max-keys": max_keys, "prefix": prefix}
    query = "&".join(f"{n}={_quoted(n, v)}" for n, v in given.items() if v is not None)

    def decode(reply: Reply) -> ListVectorBucketsResult:
        found = reply_object(reply, "ListVectorBuckets").get("ListAllMyBucketsResult") or {}
        if not isinstance(found, dict):
            raise refuse(reply, "ListVectorBuckets", "without an object ListAllMyBucketsResult")
        items = reply_list(reply, "ListVectorBuckets", found.get("Buckets"))
        buckets = tuple(_bucket(reply, "ListVectorBuckets", item) for item in items)
        return ListVectorBucketsResult(buckets, found.get("NextMarker") or None, reply.request_id)

    return call(
        context,
        Operation("ListVectorBuckets", decode, method="GET", query=query, on_bucket=False),
    )


def delete_vector_bucket(context: Context) -> Flow[Acknowledgement]:
    """Delete the client's vector bucket, which must hold no index. Source: page DeleteVectorBucket.

    Raises:
        BucketNotEmptyError: it holds an index.
    """
    return call(
        context, Operation("DeleteVectorBucket", acknowledged, method="DELETE", idempotent=False)
    )


def _quoted(name: str, value: object) -> str:
    try:
        return quote(str(value), safe="")
    except UnicodeEncodeError:
        raise InvalidRequestError(f"{name} {shown(value)} cannot be written as UTF-8.") from None


def _bucket(reply: Reply, operation: str, item: Any) -> VectorBucket:
    try:
        return VectorBucket.model_validate(item)
    except ValidationError:
        raise refuse(reply, operation, "with a bucket description that cannot be read") from None
