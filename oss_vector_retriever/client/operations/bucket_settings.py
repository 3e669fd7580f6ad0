"""Policy and logging of the client's vector bucket (reference sections 8 and 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oss_vector_retriever.client.attempts import Operation
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models.descriptions import BucketLogging
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.results import Acknowledgement
from oss_vector_retriever.client.operations.bodies import json_body
from oss_vector_retriever.client.operations.vectors import acknowledged
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.client.wire import reply_object


def put_bucket_policy(context: Context, policy: Mapping[str, Any]) -> Flow[Acknowledgement]:
    """Set the bucket's policy: a dict with `Version` and `Statement`.

    Source: page PutBucketPolicy; its actions carry the prefix `oss:`.
    """
    if not isinstance(policy, Mapping) or "Statement" not in policy:
        raise InvalidRequestError("a policy is a dict with 'Version' and 'Statement'.")
    return call(context, _operation("PutBucketPolicy", "PUT", "policy", json_body(**policy)))


def get_bucket_policy(context: Context) -> Flow[dict[str, Any]]:
    """Return the bucket's policy, a dict; the service refuses where there is none."""

    def decode(reply: Reply) -> dict[str, Any]:
        return reply_object(reply, "GetBucketPolicy")

    return call(context, Operation("GetBucketPolicy", decode, method="GET", query="policy"))


def delete_bucket_policy(context: Context) -> Flow[Acknowledgement]:
    """Remove the bucket's policy."""
    return call(context, _operation("DeleteBucketPolicy", "DELETE", "policy"))


def put_bucket_logging(
    context: Context,
    *,
    target_bucket: str,
    target_prefix: str = "",
    logging_role: str | None = None,
) -> Flow[Acknowledgement]:
    """Have accesses logged into objects of an OSS bucket, under a prefix."""
    enabled = {"TargetBucket": target_bucket, "TargetPrefix": target_prefix}
    if logging_role is not None:
        enabled["LoggingRole"] = logging_role
    body = json_body(BucketLoggingStatus={"LoggingEnabled": enabled})
    return call(context, _operation("PutBucketLogging", "PUT", "logging", body))


def get_bucket_logging(context: Context) -> Flow[BucketLogging | None]:
    """Return where accesses are logged, or None where they are not."""

    def decode(reply: Reply) -> BucketLogging | None:
        status = reply_object(reply, "GetBucketLogging").get("BucketLoggingStatus")
        enabled = status.get("LoggingEnabled") if isinstance(status, dict) else None
        return BucketLogging.model_validate(enabled) if isinstance(enabled, dict) else None

    return call(context, Operation("GetBucketLogging", decode, method="GET", query="logging"))


def delete_bucket_logging(context: Context) -> Flow[Acknowledgement]:
    """Stop logging accesses."""
    return call(context, _operation("DeleteBucketLogging", "DELETE", "logging"))


def _operation(name: str, method: str, query: str, body: bytes = b"") -> Operation[Acknowledgement]:
    return Operation(name, acknowledged, method=method, query=query, body=body)
