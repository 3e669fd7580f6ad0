"""The official SDK, unchanged, against a running server.

It is given the server as its proxy, so it asks for the real host names in absolute form, and no
name has to resolve.
"""

import contextlib
from datetime import UTC, datetime, timedelta

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2 import vectors

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCESS_KEY_ID,
    DEVELOPMENT_ACCESS_KEY_SECRET,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_KEY,
    DEVELOPMENT_REGION,
    AccessKey,
    Server,
    Service,
)

BUCKET = "sdk-bucket"
INDEX = "sdkIndex"
HOST = f"{BUCKET}-{DEVELOPMENT_ACCOUNT_ID}.{DEVELOPMENT_REGION}.oss-vectors.aliyuncs.com"
TEMPORARY = AccessKey("temporary", "secret", DEVELOPMENT_ACCOUNT_ID, security_token="token")
models = vectors.models


@pytest.fixture(scope="module")
def server():
    with Service(access_keys=[DEVELOPMENT_KEY, TEMPORARY]) as service, Server(service) as running:
        yield running


def connect(
    server, key=DEVELOPMENT_ACCESS_KEY_ID, secret=DEVELOPMENT_ACCESS_KEY_SECRET, token=None, **more
):
    config = oss.config.load_default()
    config.region = DEVELOPMENT_REGION
    config.account_id = DEVELOPMENT_ACCOUNT_ID
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(key, secret, token)
    config.disable_ssl = True
    config.proxy_host = {"http": server.endpoint}
    for name, value in more.items():
        setattr(config, name, value)
    return vectors.Client(config)


@pytest.fixture(scope="module")
def client(server):
    return connect(server)


@pytest.fixture
def index(client):
    """Make a bucket with an index of two dimensions, and remove both afterwards."""
    client.put_vector_bucket(models.PutVectorBucketRequest(bucket=BUCKET))
    made = client.put_vector_index(
        models.PutVectorIndexRequest(
            bucket=BUCKET,
            index_name=INDEX,
            data_type="float32",
            dimension=2,
            distance_metric="cosine",
            metadata={"nonFilterableMetadataKeys": ["text"]},
        )
    )
    assert made.status_code == 200
    yield client
    client.delete_bucket_policy(models.DeleteBucketPolicyRequest(bucket=BUCKET))
    for name in (INDEX, "a1", "a2", "a3"):
        request = models.DeleteVectorIndexRequest(bucket=BUCKET, index_name=name)
        with contextlib.suppress(oss.exceptions.OperationError):
            client.delete_vector_index(request)
    request = models.DeleteVectorBucketRequest(bucket=BUCKET)
    assert client.delete_vector_bucket(request).status_code == 204


def put(client, *items):
    shaped = [{"key": k, "data": {"float32": v}, "metadata": m} for k, v, m in items]
    request = models.PutVectorsRequest(bucket=BUCKET, index_name=INDEX, vectors=shaped)
    result = client.put_vectors(request)
    assert result.status_code == 200
    assert len(result.request_id) == 24


def get(client, keys, **more):
    request = models.GetVectorsRequest(bucket=BUCKET, index_name=INDEX, keys=keys, **more)
    return client.get_vectors(request).vectors


def failure(call, request, **more):
    """Return the ServiceError that a call ends with."""
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call(request, **more)
    error = caught.value.unwrap()
    assert isinstance(error, oss.exceptions.ServiceError)
    return error


FIRST = ("doc-001", [0.1, 0.2], {"category": ["technology", "ai"], "text": "Grüße, 世界 😀"})
SECOND = ("doc-002", [-0.3, 0.4], {"category": ["science"]})


def test_vectors_are_put_got_and_deleted(index):
    put(index, FIRST, SECOND)
    both = get(index, ["doc-002", "gone", "doc-001"], return_data=True, return_metadata=True)
    assert [v["key"] for v in both] == ["doc-002", "doc-001"]
    assert both[1]["metadata"] == FIRST[2]
    assert Float32Array(both[1]["data"]["float32"]) == Float32Array([0.1, 0.2])
    assert get(index, ["doc-001"]) == [{"key": "doc-001"}]
    put(index, ("doc-001", [1, 1], {"category": ["changed"]}))
    (changed,) = get(index, ["doc-001"], return_metadata=True)
    assert changed["metadata"] == {"category": ["changed"]}
    request = models.DeleteVectorsRequest(bucket=BUCKET, index_name=INDEX, keys=["doc-001", "x"])
    assert index.delete_vectors(request).status_code == 204
    assert [v["key"] for v in get(index, ["doc-001", "doc-002"])] == ["doc-002"]


def test_vectors_are_queried(index):
    put(index, FIRST, SECOND)

    def query(**more):
        request = models.QueryVectorsRequest(
            bucket=BUCKET, index_name=INDEX, query_vector={"float32": [1, 2]}, top_k=5, **more
        )
        return index.query_vectors(request).vectors

    found = query(return_distance=True, return_metadata=True)
    assert [v["key"] for v in found] == ["doc-001", "doc-002"]
    assert found[0]["distance"] == pytest.approx(0, abs=1e-6)
    assert found[1]["distance"] == pytest.approx(1 - 0.5 / (5**0.5 * 0.5), abs=1e-6)
    assert found[0]["metadata"] == FIRST[2]
    assert query(filter={"$and": [{"category": {"$in": ["science"]}}]}) == [{"key": "doc-002"}]
    assert query(filter={"type": {"$eq": "never stored"}}) == []


def test_vectors_are_listed(index):
    put(index, *((f"k{i}", [1, i], {"n": str(i)}) for i in range(3)))
    request = models.ListVectorsRequest(
        bucket=BUCKET, index_name=INDEX, return_data=True, return_metadata=True
    )
    pages = list(index.list_vectors_paginator(limit=1).iter_page(request))
    assert [[v["key"] for v in page.vectors] for page in pages] == [["k0"], ["k1"], ["k2"]]
    assert pages[2].vectors[0]["data"] == {"float32": [1.0, 2.0]}
    assert pages[2].vectors[0]["metadata"] == {"n": "2"}
    segments = []
    for number in range(2):
        request = models.ListVectorsRequest(
            bucket=BUCKET, index_name=INDEX, segment_count=2, segment_index=number
        )
        segments += [v["key"] for v in index.list_vectors(request).vectors]
    assert sorted(segments) == ["k0", "k1", "k2"]


def test_indexes_are_described_and_listed(index):
    request = models.GetVectorIndexRequest(bucket=BUCKET, index_name=INDEX)
    shown = index.get_vector_index(request).index
    assert shown["indexName"] == INDEX
    assert (shown["dimension"], shown["distanceMetric"], shown["status"]) == (2, "cosine", "enable")
    assert shown["metadata"] == {"nonFilterableMetadataKeys": ["text"]}
    for name in ("a1", "a2", "a3"):
        index.put_vector_index(
            models.PutVectorIndexRequest(
                bucket=BUCKET,
                index_name=name,
                data_type="float32",
                dimension=1,
                distance_metric="euclidean",
            )
        )
    pages = index.list_vector_indexes_paginator(limit=2).iter_page(
        models.ListVectorIndexesRequest(bucket=BUCKET)
    )
    names = [[i["indexName"] for i in page.indexes] for page in pages]
    assert names == [["a1", "a2"], ["a3", INDEX]]
    # Without arguments the SDK sends an empty body.
    everything = index.list_vector_indexes(models.ListVectorIndexesRequest(bucket=BUCKET))
    assert len(everything.indexes) == 4


def test_buckets_are_described_and_listed(index):
    info = index.get_vector_bucket(models.GetVectorBucketRequest(bucket=BUCKET)).bucket_info
    arn = f"acs:ossvector:{DEVELOPMENT_REGION}:{DEVELOPMENT_ACCOUNT_ID}:{BUCKET}"
    assert (info.name, info.location, info.region) == (arn, "oss-cn-hangzhou", "cn-hangzhou")
    assert abs(info.creation_date - datetime.now(UTC)) < timedelta(minutes=5)
    for i in range(3):
        index.put_vector_bucket(models.PutVectorBucketRequest(bucket=f"list-{i}"))
    request = models.ListVectorBucketsRequest(prefix="list-")
    pages = list(index.list_vector_buckets_paginator(limit=2).iter_page(request))
    names = [[bucket.name.split(":")[4] for bucket in page.buckets] for page in pages]
    assert names == [["list-0", "list-1"], ["list-2"]]
    assert (pages[0].is_truncated, pages[0].next_marker, pages[0].max_keys) == (True, "list-1", 2)
    for i in range(3):
        index.delete_vector_bucket(models.DeleteVectorBucketRequest(bucket=f"list-{i}"))
    assert not index.list_vector_buckets(request).buckets


POLICY = (
    '{"Version":"1","Statement":[{"Action":["ossvector:GetVectors"],"Effect":"Deny",'
    '"Principal":["*"],"Resource":["acs:ossvector:cn-hangzhou:*:*"]}]}'
)


def test_a_policy_denies(index):
    put(index, FIRST)
    index.put_bucket_policy(models.PutBucketPolicyRequest(bucket=BUCKET, body=POLICY))
    kept = index.get_bucket_policy(models.GetBucketPolicyRequest(bucket=BUCKET))
    assert kept.body == POLICY
    request = models.GetVectorsRequest(bucket=BUCKET, index_name=INDEX, keys=["doc-001"])
    error = failure(index.get_vectors, request)
    assert (error.status_code, error.code) == (403, "AccessDenied")
    index.delete_bucket_policy(models.DeleteBucketPolicyRequest(bucket=BUCKET))
    assert get(index, ["doc-001"]) == [{"key": "doc-001"}]


def test_logging_is_kept(index):
    enabled = models.LoggingEnabled(target_bucket="target", target_prefix="p/", logging_role="r")
    status = models.BucketLoggingStatus(logging_enabled=enabled)
    index.put_bucket_logging(
        models.PutBucketLoggingRequest(bucket=BUCKET, bucket_logging_status=status)
    )
    request = models.GetBucketLoggingRequest(bucket=BUCKET)
    kept = index.get_bucket_logging(request).bucket_logging_status.logging_enabled
    assert (kept.target_bucket, kept.target_prefix, kept.logging_role) == ("target", "p/", "r")
    request = models.DeleteBucketLoggingRequest(bucket=BUCKET)
    assert index.delete_bucket_logging(request).status_code == 204


def request_for(operation, **members):
    return getattr(models, f"{operation}Request")(**members)


@pytest.mark.parametrize(
    ("call", "request_", "expected"),
    [
        (
            "get_vectors",
            request_for("GetVectors", bucket="missing", index_name=INDEX, keys=["a"]),
            (404, "NoSuchBucket", "0015-00000101"),
        ),
        (
            "get_vectors",
            request_for("GetVectors", bucket=BUCKET, index_name="other", keys=["a"]),
            (404, "NoSuchVectorIndex", ""),
        ),
        (
            "get_vectors",
            request_for("GetVectors", bucket=BUCKET, index_name=INDEX, keys=[]),
            (400, "VectorIndexParameterInvalid", ""),
        ),
        (
            "get_vectors",
            request_for("GetVectors", bucket=BUCKET),
            (400, "MalformedJson", ""),
        ),
        (
            "put_vectors",
            request_for(
                "PutVectors",
                bucket=BUCKET,
                index_name=INDEX,
                vectors=[{"key": "a", "data": {"float32": [1, float("nan")]}}],
            ),
            (400, "MalformedJson", ""),
        ),
        (
            "put_vector_bucket",
            request_for("PutVectorBucket", bucket=BUCKET),
            (409, "BucketAlreadyExists", "0015-00000104"),
        ),
        (
            "delete_vector_bucket",
            request_for("DeleteVectorBucket", bucket=BUCKET),
            (409, "BucketNotEmpty", "0015-00000301"),
        ),
    ],
)
def test_an_error_carries_code_status_request_id_and_ec(index, call, request_, expected):
    error = failure(getattr(index, call), request_)
    assert (error.status_code, error.code, error.ec) == expected
    assert len(error.request_id) == 24
    assert error.request_id == error.headers["x-oss-request-id"]
    assert error.message
    assert abs(error.timestamp - datetime.now(UTC)) < timedelta(minutes=5)
    assert "BadErrorResponse" not in str(error)


def test_the_real_host_names_are_asked_for(index):
    error = failure(
        index.get_vectors, models.GetVectorsRequest(bucket=BUCKET, index_name=INDEX, keys=[])
    )
    assert error.request_target == f"POST http://{HOST}/?getVectors="
    assert error.error_fileds["HostId"] == HOST


def test_the_internal_host_works_too(server, index):
    put(index, FIRST)
    internal = connect(server, use_internal_endpoint=True)
    assert get(internal, ["doc-001"]) == [{"key": "doc-001"}]


def test_a_security_token_is_checked(server, index):
    put(index, FIRST)
    assert get(connect(server, "temporary", "secret", "token"), ["doc-001"])
    request = models.GetVectorsRequest(bucket=BUCKET, index_name=INDEX, keys=["doc-001"])
    wrong = connect(server, "temporary", "secret", "another")
    error = failure(wrong.get_vectors, request)
    assert (error.status_code, error.code) == (403, "InvalidSecurityToken")


@pytest.mark.parametrize(
    ("credentials", "code"),
    [
        ((DEVELOPMENT_ACCESS_KEY_ID, "wrong"), "SignatureDoesNotMatch"),
        (("nobody", "wrong"), "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_named(server, credentials, code):
    stranger = connect(server, *credentials)
    error = failure(stranger.list_vector_buckets, models.ListVectorBucketsRequest())
    assert (error.status_code, error.code) == (403, code)


def test_an_anonymous_caller_is_denied(server):
    provider = oss.credentials.AnonymousCredentialsProvider()
    anonymous = connect(server, credentials_provider=provider)
    error = failure(anonymous.list_vector_buckets, models.ListVectorBucketsRequest())
    assert (error.status_code, error.code) == (403, "AccessDenied")


@pytest.mark.usefixtures("index")
def test_fusion_mode_is_said_to_be_missing(server):
    once = connect(server, retry_max_attempts=1)
    request = models.PutVectorIndexFusionRequest(
        bucket=BUCKET, index_name="f", mode="fusion", schema_configuration={"fields": []}
    )
    error = failure(once.put_vector_index_fusion, request)
    assert (error.status_code, error.code) == (501, "NotImplemented")
