"""Operations on vector buckets (reference section 8)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ..context import Context, Flow
from ..errors import InvalidRequestError
from ..flow import Operation, call
from ..models import Acknowledgement, BucketLogging, ListVectorBucketsResult, Reply, VectorBucket
from ..wire import refuse, reply_list, reply_member, reply_object, reply_token
from .checks import check_whole, json_body
from .vectors import acknowledge

Header = tuple[str, str]
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)


def put_vector_bucket(
    context: Context, resource_group_id: str | None = None, tagging: Mapping[str, str] | None = None
) -> Flow[Acknowledgement]:
    headers = [*_group_header(resource_group_id), *_tagging_header(tagging)]
    return _change(context, "PutVectorBucket", "PUT", headers=headers, idempotent=False)


def get_vector_bucket(context: Context) -> Flow[VectorBucket]:
    def decode(reply: Reply) -> VectorBucket:
        body = reply_object(reply, "GetVectorBucket")
        found = reply_member(reply, "GetVectorBucket", body, "BucketInfo")
        return _bucket(reply, "GetVectorBucket", found)

    return call(context, Operation("GetVectorBucket", decode, method="GET", query="bucketInfo"))


def list_vector_buckets(
    context: Context,
    prefix: str | None = None,
    marker: str | None = None,
    max_keys: int | None = None,
    resource_group_id: str | None = None,
) -> Flow[ListVectorBucketsResult]:
    name = "ListVectorBuckets"
    if max_keys is not None:
        check_whole("max_keys", max_keys, 1, context.config.limits.bucket_list_page)
    given = {"marker": marker, "max-keys": max_keys, "prefix": prefix}
    query = "&".join(f"{n}={_escape(n, v)}" for n, v in given.items() if v is not None)

    def decode(reply: Reply) -> ListVectorBucketsResult:
        # The name of the XML element of plain OSS, here the member of a JSON object.
        found = reply_member(reply, name, reply_object(reply, name), "ListAllMyBucketsResult")
        items = reply_list(reply, name, found, "Buckets")
        buckets = tuple(_bucket(reply, name, item) for item in items)
        # as the official SDKs read it: after a page that is not cut there is none, whatever it says
        following = None
        if found.get("IsTruncated") is not False:
            following = reply_token(reply, name, found, "NextMarker", asked=marker)
        if found.get("IsTruncated") is True and following is None:
            raise refuse(reply, name, "cut (IsTruncated) and names no NextMarker")
        return ListVectorBucketsResult(buckets, following, reply.request_id)

    headers = tuple(_group_header(resource_group_id))
    return call(
        context,
        Operation(name, decode, method="GET", query=query, headers=headers, on_bucket=False),
    )


def delete_vector_bucket(context: Context) -> Flow[Acknowledgement]:
    return _change(context, "DeleteVectorBucket", "DELETE", idempotent=False)


def put_bucket_policy(context: Context, policy: Mapping[str, Any]) -> Flow[Acknowledgement]:
    # Only its outline: the statements' grammar is the service's, and grows.
    if not isinstance(policy, Mapping) or "Statement" not in policy:
        message = "a policy is {mapping} with 'Version' and 'Statement'."
        raise InvalidRequestError(message, argument="policy")
    return _change(context, "PutBucketPolicy", "PUT", "policy", json_body(**policy))


def get_bucket_policy(context: Context) -> Flow[dict[str, Any]]:
    def decode(reply: Reply) -> dict[str, Any]:
        return reply_object(reply, "GetBucketPolicy")

    return call(context, Operation("GetBucketPolicy", decode, method="GET", query="policy"))


def delete_bucket_policy(context: Context) -> Flow[Acknowledgement]:
    return _change(context, "DeleteBucketPolicy", "DELETE", "policy")


def put_bucket_logging(
    context: Context, target_bucket: str, target_prefix: str = "", logging_role: str | None = None
) -> Flow[Acknowledgement]:
    enabled = {"TargetBucket": target_bucket, "TargetPrefix": target_prefix}
    if logging_role is not None:
        enabled["LoggingRole"] = logging_role
    body = json_body(BucketLoggingStatus={"LoggingEnabled": enabled})
    return _change(context, "PutBucketLogging", "PUT", "logging", body)


def get_bucket_logging(context: Context) -> Flow[BucketLogging | None]:
    name = "GetBucketLogging"

    def decode(reply: Reply) -> BucketLogging | None:
        body = reply_object(reply, name)
        status = reply_member(reply, name, body, "BucketLoggingStatus")
        try:
            found = BucketLogging.from_api(reply_member(reply, name, status, "LoggingEnabled"))
        except ValueError as error:
            raise refuse(reply, name, f"with a target off at {error}") from None
        # With logging off `LoggingEnabled` is there and empty (reference 1).
        return found if found.target_bucket else None

    return call(context, Operation(name, decode, method="GET", query="logging"))


def delete_bucket_logging(context: Context) -> Flow[Acknowledgement]:
    return _change(context, "DeleteBucketLogging", "DELETE", "logging")


def _change(
    context: Context,
    name: str,
    method: str,
    query: str = "",
    body: bytes = b"",
    *,
    headers: Iterable[Header] = (),
    idempotent: bool = True,
) -> Flow[Acknowledgement]:
    def decode(reply: Reply) -> Acknowledgement:
        return acknowledge(reply, name)

    operation = Operation(name, decode, method, query, body, tuple(headers), idempotent=idempotent)
    return call(context, operation)


def _escape(name: str, value: object) -> str:
    try:
        # Every sign, the slash too: the signature covers the query as it is sent.
        return quote(str(value), safe="")
    except UnicodeEncodeError:
        message, argument = "{argument} {value} cannot be written as UTF-8.", name.replace("-", "_")
        raise InvalidRequestError(message, argument=argument, value=value) from None


def _bucket(reply: Reply, operation: str, item: object) -> VectorBucket:
    try:
        found = VectorBucket.from_api(item)
    except ValueError as error:
        raise refuse(reply, operation, f"with a bucket description off at {error}") from None
    if not found.arn:
        raise refuse(reply, operation, "with a bucket description without Name")
    return found


def _group_header(group: object) -> Iterator[Header]:
    if group is None:
        return
    # Nothing else goes into a header: a line break would begin another.
    if not isinstance(group, str) or not _GROUP.fullmatch(group):
        message = "{argument} must be letters, digits, hyphens and underscores, not {value}."
        raise InvalidRequestError(message, argument="resource_group_id", value=group)
    yield "x-oss-resource-group-id", group


def _tagging_header(tags: object) -> Iterator[Header]:
    if tags is None:
        return
    if not isinstance(tags, Mapping) or not all(
        isinstance(text, str) for tag in tags.items() for text in tag
    ):
        message = "{argument} must be {mapping} of strings to strings, not {a_kind}."
        raise InvalidRequestError(message, argument="tagging", value=tags)
    escaped = [f"{_escape('tagging', n)}={_escape('tagging', v)}" for n, v in tags.items()]
    if escaped:
        yield "x-oss-bucket-tagging", "&".join(escaped)
