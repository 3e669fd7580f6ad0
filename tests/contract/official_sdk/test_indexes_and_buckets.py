from datetime import UTC, datetime, timedelta

import alibabacloud_oss_v2 as oss

from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_REGION


def test_an_index_is_described(sdk):
    shown = sdk.call("GetVectorIndex").index
    assert shown["indexName"] == sdk.index
    assert (shown["dimension"], shown["distanceMetric"], shown["status"]) == (2, "cosine", "enable")
    assert shown["metadata"] == {"nonFilterableMetadataKeys": ["text"]}


def test_indexes_are_listed_by_its_paginator(sdk):
    for name in ("a1", "a2", "a3"):
        sdk.make_index(name)
    request = sdk.request("ListVectorIndexes")
    pages = sdk.client.list_vector_indexes_paginator(limit=2).iter_page(request)
    names = [[i["indexName"] for i in page.indexes] for page in pages]
    assert names == [["a1", "a2"], ["a3", sdk.index]]
    # Without arguments the SDK sends an empty body.
    assert len(sdk.call("ListVectorIndexes").indexes) == 4
    assert len(sdk.call("ListVectorIndexes", prefix="a").indexes) == 3


def test_a_deleted_index_is_gone(sdk):
    assert sdk.call("DeleteVectorIndex").status_code == 204
    assert sdk.failure("GetVectorIndex").code == "NoSuchVectorIndex"
    assert sdk.call("ListVectorIndexes").indexes == []


def test_a_bucket_is_described(sdk):
    info = sdk.call("GetVectorBucket").bucket_info
    arn = f"acs:ossvector:{DEVELOPMENT_REGION}:{DEVELOPMENT_ACCOUNT_ID}:{sdk.bucket}"
    assert (info.name, info.location, info.region) == (arn, "oss-cn-hangzhou", "cn-hangzhou")
    assert info.extranet_endpoint == "cn-hangzhou.oss-vectors.aliyuncs.com"
    assert abs(info.creation_date - datetime.now(UTC)) < timedelta(minutes=5)


def test_buckets_are_listed_by_its_paginator(sdk):
    for i in range(3):
        sdk.call("PutVectorBucket", bucket=f"list-{i}")
    request = sdk.request("ListVectorBuckets", prefix="list-")
    pages = list(sdk.client.list_vector_buckets_paginator(limit=2).iter_page(request))
    names = [[bucket.name.split(":")[4] for bucket in page.buckets] for page in pages]
    assert names == [["list-0", "list-1"], ["list-2"]]
    assert (pages[0].is_truncated, pages[0].next_marker, pages[0].max_keys) == (True, "list-1", 2)
    for i in range(3):
        sdk.call("DeleteVectorBucket", bucket=f"list-{i}")
    assert not sdk.call("ListVectorBuckets", prefix="list-").buckets


POLICY = (
    '{"Version":"1","Statement":[{"Action":["ossvector:GetVectors"],"Effect":"Deny",'
    '"Principal":["*"],"Resource":["acs:ossvector:cn-hangzhou:*:*"]}]}'
)


def test_a_policy_denies(sdk):
    sdk.put(("doc-001", [1, 2], {}))
    sdk.call("PutBucketPolicy", body=POLICY)
    assert sdk.call("GetBucketPolicy").body == POLICY
    error = sdk.failure("GetVectors", keys=["doc-001"])
    assert (error.status_code, error.code) == (403, "AccessDenied")
    sdk.call("DeleteBucketPolicy")
    assert sdk.get(["doc-001"]) == [{"key": "doc-001"}]


def test_logging_is_kept(sdk):
    enabled = sdk.model("LoggingEnabled", target_bucket="t", target_prefix="p/", logging_role="r")
    status = sdk.model("BucketLoggingStatus", logging_enabled=enabled)
    sdk.call("PutBucketLogging", bucket_logging_status=status)
    kept = sdk.call("GetBucketLogging").bucket_logging_status.logging_enabled
    assert (kept.target_bucket, kept.target_prefix, kept.logging_role) == ("t", "p/", "r")
    assert sdk.call("DeleteBucketLogging").status_code == 204
    off = sdk.call("GetBucketLogging").bucket_logging_status.logging_enabled
    assert (off.target_bucket, off.target_prefix, off.logging_role) == (None, None, None)


def test_buckets_are_listed_as_the_java_sdk_asks_for_them(sdk):
    asked = {"max-keys": "1", "prefix": sdk.bucket, "vector": ""}
    wire = oss.OperationInput(op_name="ListVectorBuckets", method="GET", parameters=asked)
    assert sdk.client.invoke_operation(wire).status_code == 200
