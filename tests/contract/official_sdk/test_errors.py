import json
from datetime import UTC, datetime, timedelta

import alibabacloud_oss_v2 as oss
import pytest

from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCESS_KEY_ID,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_REGION,
)
from oss_vector_retriever.emulator.faults import Reset, ServerError, Skew, Throttle, Truncate

HOST = f"{DEVELOPMENT_ACCOUNT_ID}.{DEVELOPMENT_REGION}.oss-vectors.aliyuncs.com"
NAN = [{"key": "a", "data": {"float32": [1, float("nan")]}}]
SHORT = [{"key": "a", "data": {"float32": [1]}}]
TWICE = [{"key": "a", "data": {"float32": [1, 2]}}] * 2
NO_BUCKET = (404, "NoSuchBucket", "0015-00000101")
INVALID = (400, "VectorIndexParameterInvalid", "")


@pytest.mark.parametrize(
    ("operation", "members", "expected"),
    [
        ("GetVectors", {"bucket": "missing", "keys": ["a"]}, NO_BUCKET),
        ("GetVectorBucket", {"bucket": "missing"}, NO_BUCKET),
        ("GetVectors", {"index_name": "other", "keys": ["a"]}, (404, "NoSuchVectorIndex", "")),
        ("GetVectorIndex", {"index_name": "other"}, (404, "NoSuchVectorIndex", "")),
        ("GetVectors", {"keys": []}, INVALID),
        ("GetVectors", {"keys": [f"k{i}" for i in range(101)]}, INVALID),
        ("GetVectors", {"index_name": None}, (400, "MalformedJson", "")),
        ("PutVectors", {"vectors": NAN}, (400, "MalformedJson", "")),
        ("PutVectors", {"vectors": SHORT}, INVALID),
        ("PutVectors", {"vectors": TWICE}, INVALID),
        ("QueryVectors", {"query_vector": {"float32": [0, 0]}, "top_k": 1}, INVALID),
        ("QueryVectors", {"query_vector": {"float32": [1, 2]}, "top_k": 501}, INVALID),
        ("ListVectors", {"max_results": 1001}, INVALID),
        ("PutVectorBucket", {}, (409, "BucketAlreadyExists", "0015-00000104")),
        ("DeleteVectorBucket", {}, (409, "VectorBucketNotEmpty", "")),
        ("GetBucketPolicy", {}, (404, "NoSuchBucketPolicy", "")),
        ("PutBucketPolicy", {"body": "no JSON"}, (400, "MalformedJson", "")),
    ],
    ids=str,
)
def test_an_error_carries_code_status_request_id_and_ec(sdk, operation, members, expected):
    error = sdk.failure(operation, **members)
    assert (error.status_code, error.code, error.ec) == expected
    assert len(error.request_id) == 24
    assert error.request_id == error.headers["x-oss-request-id"]
    assert error.message
    assert abs(error.timestamp - datetime.now(UTC)) < timedelta(minutes=5)
    assert "BadErrorResponse" not in str(error)


def test_an_index_is_not_made_twice(sdk):
    with pytest.raises(oss.exceptions.OperationError) as caught:
        sdk.make_index(sdk.index)
    assert caught.value.unwrap().code == "VectorBucketIndexAlreadyExist"


def test_the_real_host_names_are_asked_for(sdk):
    error = sdk.failure("GetVectors", keys=[])
    assert error.request_target == f"POST http://{sdk.bucket}-{HOST}/?getVectors="
    assert error.error_fileds["HostId"] == f"{sdk.bucket}-{HOST}"


def test_the_internal_host_works_too(sdk):
    internal = sdk.connect(use_internal_endpoint=True)
    assert sdk.call("GetVectors", client=internal, keys=["x"]).vectors == []


def test_a_security_token_is_checked(sdk):
    right = sdk.connect("temporary", "secret", "token")
    assert sdk.call("GetVectors", client=right, keys=["x"]).vectors == []
    wrong = sdk.connect("temporary", "secret", "another")
    error = sdk.failure("GetVectors", client=wrong, keys=["x"])
    assert (error.status_code, error.code) == (403, "InvalidSecurityToken")


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ((DEVELOPMENT_ACCESS_KEY_ID, "wrong"), "SignatureDoesNotMatch"),
        (("nobody", "wrong"), "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_named(empty_sdk, credentials, code):
    stranger = empty_sdk.connect(*credentials)
    error = empty_sdk.failure("ListVectorBuckets", client=stranger)
    assert (error.status_code, error.code) == (403, code)


def test_an_anonymous_caller_is_denied(empty_sdk):
    provider = oss.credentials.AnonymousCredentialsProvider()
    anonymous = empty_sdk.connect(credentials_provider=provider)
    error = empty_sdk.failure("ListVectorBuckets", client=anonymous)
    assert (error.status_code, error.code) == (403, "AccessDenied")


def test_an_anonymous_caller_is_admitted_by_a_policy(sdk):
    anonymous = sdk.connect(credentials_provider=oss.credentials.AnonymousCredentialsProvider())
    assert sdk.failure("GetVectors", client=anonymous, keys=["a"]).code == "AccessDenied"
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetVectors"],
        "Principal": ["*"],
        "Resource": [f"acs:ossvector:*:*:bucket/{sdk.bucket}/*"],
    }
    sdk.call("PutBucketPolicy", body=json.dumps({"Version": "1", "Statement": [statement]}))
    assert sdk.call("GetVectors", client=anonymous, keys=["a"]).vectors == []
    assert sdk.failure("ListVectors", client=anonymous).code == "AccessDenied"


@pytest.mark.parametrize("fault", [Throttle(), ServerError(), Reset(), Truncate()], ids=repr)
def test_its_own_retries_survive_a_fault(sdk, fault):
    sdk.put(("a", [1, 2], {}))
    faults = sdk.server.service.faults
    faults.clear()
    faults.add(fault)
    assert sdk.get(["a"]) == [{"key": "a"}]
    assert len(faults.applied) == 1


def test_it_does_not_correct_a_wrong_clock(sdk):
    faults = sdk.server.service.faults
    faults.clear()
    faults.add(Skew(seconds=3600))
    try:
        error = sdk.failure("GetVectors", client=sdk.connect(retry_max_attempts=1), keys=["a"])
    finally:
        faults.clear()
    assert (error.status_code, error.code) == (403, "RequestTimeTooSkewed")
    assert error.ec == "0002-00000504"
