"""Vector buckets (reference section 8), their policies (10) and their logging settings (1)."""

import re
from typing import Any

from ..rules import policy
from ..rules.refusals import Refusal
from ..storage import buckets as table
from ..storage.buckets import Bucket
from .call import Answer, Call, iso_time

# As a test of the SDK for Python reads it from the service (section 1).
_LOGGING_OFF = '{"BucketLoggingStatus":{"LoggingEnabled":{}}}'
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{1,30})[a-z0-9]")


def is_bucket_name(name: str) -> bool:
    """Tell whether a name keeps the rule: 3 to 32 of a-z, 0-9 and `-`, no `-` at either end."""
    return _NAME.fullmatch(name) is not None


def put_vector_bucket(call: Call) -> Answer:
    """Make a bucket."""
    name = call.address.bucket or ""
    if not is_bucket_name(name):
        raise Refusal("InvalidVectorBucketName")
    with call.core.buckets.write() as db:
        if table.find(db, call.namespace, name) is not None:
            raise Refusal("BucketAlreadyExists", members={"BucketName": name})
        kept = call.core.behaviour.bucket_name_kept_seconds
        deleted = table.deletion_of(db, call.namespace, name) if kept else None
        if deleted is not None and call.milliseconds - deleted < kept * 1000:
            raise Refusal("BucketNameNotAvailable", members={"BucketName": name})
        if table.count(db, call.namespace) >= call.core.limits.buckets_per_region:
            raise Refusal("TooManyBuckets")
        table.create(db, call.namespace, name, call.milliseconds, _resource_group(call))
    return Answer(headers={"location": f"/{name}"})


def get_vector_bucket(call: Call) -> Answer:
    """Return a bucket's description."""
    return Answer.of({"BucketInfo": _describe(call.bucket)})


def list_vector_buckets(call: Call) -> Answer:
    """Return a page of the caller's buckets in alphabetical order."""
    prefix, marker = call.query.get("prefix", ""), call.query.get("marker", "")
    limit = _max_keys(call)
    # Until when a bucket must have been made to be listed.
    until = call.past(call.core.behaviour.bucket_list_delay_seconds)
    with call.core.database.read() as db:
        found = table.page(
            db,
            call.namespace,
            prefix,
            marker,
            limit=limit + 1,
            until=until,
            group=_resource_group(call),
        )
    result: dict[str, Any] = {"Buckets": [_describe(bucket) for bucket in found[:limit]]}
    if len(found) > limit:
        # A listing that is complete shows none of these (section 8).
        result |= {
            "Prefix": prefix,
            "Marker": marker,
            "MaxKeys": limit,
            "IsTruncated": True,
            "NextMarker": found[limit - 1].name,
        }
    return Answer.of({"ListAllMyBucketsResult": result})


def _resource_group(call: Call) -> str | None:
    # An empty header is as none: clients send one for an option left blank.
    return call.request.headers.get("x-oss-resource-group-id") or None


def _max_keys(call: Call) -> int:
    text = call.query.get("max-keys")
    if text is None:
        return call.core.limits.bucket_list_page_default
    limit = call.core.limits.bucket_list_page
    # int() alone would take " 1", "1_0" and digits of other scripts.
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= limit:
        raise Refusal("InvalidArgument", f"max-keys must be an integer from 1 to {limit}.")
    return int(text)


def delete_vector_bucket(call: Call) -> Answer:
    """Delete a bucket that holds no index."""
    with call.core.buckets.write() as db:
        if not table.delete(db, call.bucket, call.milliseconds):
            raise Refusal("VectorBucketNotEmpty", members={"BucketName": call.bucket.name})
    return Answer()


def _describe(bucket: Bucket) -> dict[str, Any]:
    members = {
        "Name": bucket.arn,  # the ARN, as the tests of the SDKs assert (section 8)
        "Location": f"oss-{bucket.region}",
        "Region": bucket.region,
        "CreationDate": iso_time(bucket.created),
        "ExtranetEndpoint": f"{bucket.region}.oss-vectors.aliyuncs.com",
        "IntranetEndpoint": f"{bucket.region}-internal.oss-vectors.aliyuncs.com",
    }
    if bucket.resource_group:
        members["ResourceGroupId"] = bucket.resource_group
    return members


def put_bucket_policy(call: Call) -> Answer:
    """Put a policy, which holds from the next request on."""
    policy.parse(call.members)
    return _keep(call, "policy", call.request.body.decode())


def get_bucket_policy(call: Call) -> Answer:
    """Return the policy as it was put."""
    if call.bucket.policy is None:
        raise Refusal("NoSuchBucketPolicy", members={"BucketName": call.bucket.name})
    return Answer(call.bucket.policy.encode())


def delete_bucket_policy(call: Call) -> Answer:
    """Remove the policy, if there is one."""
    return _keep(call, "policy", None)


def put_bucket_logging(call: Call) -> Answer:
    """Keep the logging settings; the emulator writes no access log."""
    status = call.members.get("BucketLoggingStatus")
    if not isinstance(status, dict):
        raise Refusal("InvalidArgument", "BucketLoggingStatus must be an object.")
    enabled = status.get("LoggingEnabled")
    if not isinstance(enabled, dict | None):
        raise Refusal("InvalidArgument", "LoggingEnabled must be an object.")
    # Nothing under LoggingEnabled is how plain OSS is told to stop.
    return _keep(call, "logging", call.request.body.decode() if enabled else None)


def get_bucket_logging(call: Call) -> Answer:
    """Return the logging settings as they were put; with logging off they are there and empty."""
    return Answer((call.bucket.logging or _LOGGING_OFF).encode())


def delete_bucket_logging(call: Call) -> Answer:
    """Remove the logging settings, if there are any."""
    return _keep(call, "logging", None)


def _keep(call: Call, setting: table.Setting, text: str | None) -> Answer:
    with call.core.buckets.write() as db:
        table.set_text(db, call.bucket.id, setting, text)
    return Answer()
