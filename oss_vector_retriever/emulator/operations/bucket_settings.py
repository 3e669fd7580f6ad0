"""A bucket's policy and its logging: kept as JSON text; reference sections 1 and 10."""

from __future__ import annotations

from oss_vector_retriever.emulator import policy
from oss_vector_retriever.emulator.operations.call import Answer, Call
from oss_vector_retriever.emulator.refusals import Refusal
from oss_vector_retriever.emulator.storage import buckets as table


def put_bucket_policy(call: Call) -> Answer:
    """Put a policy, which holds from the next request on."""
    policy.parse(call.members)
    return _keep(call, "policy", call.request.body.decode())


def get_bucket_policy(call: Call) -> Answer:
    """Return the policy as it was put."""
    if call.bucket.policy is None:
        raise Refusal("NoSuchBucketPolicy", members={"BucketName": call.bucket.name})
    return Answer(ready=call.bucket.policy.encode())


def delete_bucket_policy(call: Call) -> Answer:
    """Remove the policy, if there is one."""
    return _keep(call, "policy", None)


def put_bucket_logging(call: Call) -> Answer:
    """Keep the logging settings; the emulator writes no access log."""
    if not isinstance(call.members.get("BucketLoggingStatus"), dict):
        raise Refusal("InvalidArgument", "BucketLoggingStatus must be an object.")
    return _keep(call, "logging", call.request.body.decode())


def get_bucket_logging(call: Call) -> Answer:
    """Return the logging settings as they were put."""
    return Answer(ready=(call.bucket.logging or '{"BucketLoggingStatus":{}}').encode())


def delete_bucket_logging(call: Call) -> Answer:
    """Remove the logging settings, if there are any."""
    return _keep(call, "logging", None)


def _keep(call: Call, setting: table.Setting, text: str | None) -> Answer:
    with call.core.buckets.write() as db:
        table.set_text(db, call.bucket.id, setting, text)
    return Answer()
