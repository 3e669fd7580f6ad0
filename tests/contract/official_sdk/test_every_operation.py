"""Every operation that the SDK has, once, by the name it has there."""

import inspect

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2 import vectors

FUSION = {"fields": [{"name": "v", "type": "vector", "dataType": "float32", "dimension": 2}]}
LOGGING = {"target_bucket": "t", "target_prefix": "p/"}
POLICY = (
    '{"Version":"1","Statement":[{"Action":["oss:GetVectors"],"Effect":"Allow",'
    '"Principal":["*"],"Resource":["*"]}]}'
)
VECTOR = {"key": "a", "data": {"float32": [1, 2]}}

# Its methods in the order of a working life: the operation, its members, and the status.
LIFE = [
    ("PutVectorBucket", {}, 200),
    ("GetVectorBucket", {}, 200),
    ("ListVectorBuckets", {}, 200),
    ("PutBucketPolicy", {"body": POLICY}, 200),
    ("GetBucketPolicy", {}, 200),
    ("DeleteBucketPolicy", {}, 204),
    ("PutBucketLogging", {"bucket_logging_status": LOGGING}, 200),
    ("GetBucketLogging", {}, 200),
    ("DeleteBucketLogging", {}, 204),
    (
        "PutVectorIndex",
        {"data_type": "float32", "dimension": 2, "distance_metric": "euclidean"},
        200,
    ),
    ("GetVectorIndex", {}, 200),
    ("ListVectorIndexes", {}, 200),
    ("PutVectors", {"vectors": [VECTOR]}, 200),
    ("GetVectors", {"keys": ["a"]}, 200),
    ("ListVectors", {}, 200),
    ("QueryVectors", {"query_vector": {"float32": [1, 2]}, "top_k": 1}, 200),
    ("DeleteVectors", {"keys": ["a"]}, 204),
    ("DeleteVectorIndex", {}, 204),
    ("DeleteVectorBucket", {}, 204),
]
NOT_HERE = [
    ("PutVectorIndexFusion", {"schema_configuration": FUSION}),
    ("QueryVectorsFusion", {"knn": {"field": "v", "queryVector": [1, 2]}}),
]


def test_the_table_names_every_method():
    public = {
        name
        for name, _ in inspect.getmembers(vectors.Client, inspect.isfunction)
        if not name.startswith("_") and not name.endswith("_paginator")
    }
    named = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in operation)[1:]
        for operation, *_ in LIFE + NOT_HERE
    }
    assert named == public - {"invoke_operation"}


def test_a_whole_life(empty_sdk):
    for operation, members, status in LIFE:
        given = dict(members)
        if operation == "PutBucketLogging":
            enabled = empty_sdk.model("LoggingEnabled", **LOGGING)
            given["bucket_logging_status"] = empty_sdk.model(
                "BucketLoggingStatus", logging_enabled=enabled
            )
        result = empty_sdk.call(operation, **given)
        assert result.status_code == status, operation
        assert len(result.request_id) == 24, operation


@pytest.mark.parametrize(("operation", "members"), NOT_HERE, ids=lambda value: str(value)[:20])
def test_fusion_mode_is_said_to_be_missing(sdk, operation, members):
    once = sdk.connect(retry_max_attempts=1)
    error = sdk.failure(operation, client=once, **members)
    assert (error.status_code, error.code) == (501, "NotImplemented")
    assert len(error.request_id) == 24


def invoke(sdk, **more):
    """Make GetVectors by the SDK's way to operations that it has no method for."""
    return sdk.client.invoke_operation(
        oss.types.OperationInput(
            op_name="GetVectors",
            method="POST",
            headers={"Content-Type": "application/json"},
            parameters={"getVectors": ""},
            bucket=sdk.bucket,
            body=b'{"indexName":"sdkIndex","keys":["a"]}',
        ),
        **more,
    )


@pytest.mark.parametrize("method", ["header", "query"])
def test_any_operation_is_invoked_by_name_signed_in_the_header_or_in_the_query(sdk, method):
    sdk.put(("a", [1, 2], {}))
    output = invoke(sdk, auth_method=method)
    assert output.status_code == 200
    assert output.http_response.content == b'{"vectors":[{"key":"a"}]}'
    assert ("x-oss-signature" in output.http_response.request.url) is (method == "query")
