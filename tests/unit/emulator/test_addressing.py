import pytest

from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator.http.addressing import parameters, resolve, split_target


def address(host, path="/"):
    found = resolve(Request("POST", f"http://{host}", path))
    return found.region, found.account, found.bucket, found.rest


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        # The region host: no bucket, or one in the path.
        ("cn-hangzhou", "/", ("cn-hangzhou", None, None, "")),
        ("cn-hangzhou-internal", "/", ("cn-hangzhou", None, None, "")),
        ("us-west-1", "/b-1/", ("us-west-1", None, "b-1", "")),
        # The bucket host; a bucket's name may itself end in digits.
        ("bucket-123.cn-hangzhou", "/", ("cn-hangzhou", "123", "bucket", "")),
        ("a-1-23.cn-hangzhou-internal", "/", ("cn-hangzhou", "23", "a-1", "")),
        ("BUCKET-123.CN-HANGZHOU", "/", ("cn-hangzhou", "123", "bucket", "")),
        ("bucket-123.cn-hangzhou", "/x", ("cn-hangzhou", "123", "bucket", "x")),
        ("bucket.cn-hangzhou", "/", ("cn-hangzhou", "", "bucket", "")),
    ],
)
def test_a_real_host_name_says_bucket_account_and_region(host, path, expected):
    assert address(f"{host}.oss-vectors.aliyuncs.com", path) == expected
    assert address(f"{host}.oss-vectors.aliyuncs.com:80", path) == expected


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        # A bucket label before any other host, as the official Python SDK writes it.
        ("bucket-123.127.0.0.1:9000", "/", (None, "123", "bucket", "")),
        ("bucket-123.localhost", "/", (None, "123", "bucket", "")),
        # Path style.
        ("127.0.0.1:9000", "/bucket/", (None, None, "bucket", "")),
        ("127.0.0.1:9000", "/bucket", (None, None, "bucket", "")),
        ("localhost", "/bucket/", (None, None, "bucket", "")),
        ("[::1]:9000", "/bucket/", (None, None, "bucket", "")),
        ("host-1.example.com", "/bucket/", (None, None, "bucket", "")),
        ("127.0.0.1:9000", "/bucket/more/still", (None, None, "bucket", "more/still")),
        ("127.0.0.1:9000", "/buc%6Bet/", (None, None, "bucket", "")),
        ("127.0.0.1:9000", "/", (None, None, None, "")),
    ],
)
def test_any_other_host_takes_the_bucket_as_a_label_or_in_the_path(host, path, expected):
    assert address(host, path) == expected


def test_the_host_header_stands_in_for_a_missing_origin():
    headers = {"host": "bucket-7.us-east-1.oss-vectors.aliyuncs.com"}
    found = resolve(Request("POST", "", "/", headers=headers))
    assert (found.bucket, found.account, found.region) == ("bucket", "7", "us-east-1")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/b/?getVectors", (None, "/b/", "getVectors")),
        (b"/", (None, "/", "")),
        (b"http://b-1.example/?getVectors=", ("http://b-1.example", "/", "getVectors=")),
        (b"http://b-1.example?getVectors", ("http://b-1.example", "/", "getVectors")),
        (b"HTTP://h:1/b/", ("HTTP://h:1", "/b/", "")),
    ],
)
def test_a_target_may_be_in_absolute_form(target, expected):
    assert split_target(target) == expected


def test_query_parameters_are_decoded():
    assert parameters("getVectors&prefix=a%2Fb+c&marker=") == {
        "getVectors": "",
        "prefix": "a/b c",
        "marker": "",
    }


@pytest.mark.parametrize(
    "origin",
    [
        "http://development-bucket-1000000000000001.cn-hangzhou.oss-vectors.aliyuncs.com",
        "https://development-bucket-1000000000000001.cn-hangzhou-internal.oss-vectors.aliyuncs.com",
        "http://development-bucket-1000000000000001.localhost:9000",
    ],
)
def test_the_service_is_reached_by_host_name(caller, origin):
    caller.put(("a", [1, 2, 3]))
    members = {"indexName": "index1", "keys": ["a"]}
    answer = caller.post("getVectors", members, origin=origin, path="/")
    assert answer == (200, {"vectors": [{"key": "a"}]})


def test_another_region_has_other_buckets(caller):
    origin = "http://development-bucket-1000000000000001.us-east-1.oss-vectors.aliyuncs.com"
    members = {"indexName": "index1", "keys": ["a"]}
    there = {"origin": origin, "path": "/", "region": "us-east-1"}
    assert caller.code("getVectors", members, **there) == (404, "NoSuchBucket")


def test_a_path_beyond_the_bucket_is_refused(caller):
    assert caller.send("GET", "bucketInfo", path="/development-bucket/").status == 200
    assert caller.send("GET", "bucketInfo", path="/development-bucket/more").status == 403
    signed_for_it = {"bucket": "development-bucket/more", "path": "/development-bucket/more/"}
    assert caller.send("GET", "bucketInfo", **signed_for_it).status == 405
