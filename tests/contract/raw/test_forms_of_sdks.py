"""Each operation in the form in which the SDKs for Go and Java put it on the wire.

Go: path style or the bucket's host, the operation without an equals sign, its own choice of where a
Content-Type is sent, and what has no body under PUT or POST in chunks, as Go's library does with a
body whose length is 0. Java: an equals sign behind the operation, `vector=` with a listing, a
Content-Length of 0 also under GET and DELETE, and from newer versions of its HTTP library the offer
of an upgrade to TLS.
"""

import json
from dataclasses import replace

import pytest
from support.raw_rules import check_form, keys_of
from support.raw_wire import Ask

XML, JSON = "application/xml", "application/json"
INDEX = {"indexName": "goSdkIndexAbc"}
VECTORS = [
    {"data": {"float32": [1.2, 2.5, 3]}, "key": "vector1", "metadata": {"Key3": ["1", "2", "3"]}}
]
FILTER = {"$and": [{"type": {"$nin": ["comedy", "documentary"]}}]}
POLICY = {
    "Version": "1",
    "Statement": [
        {
            "Action": ["ossvector:PutVectors"],
            "Effect": "Deny",
            "Principal": ["1234567890"],
            "Resource": ["acs:ossvector:cn-hangzhou:1234567890:*"],
        }
    ],
}
LOGGING = {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "logs"}}}

# In the order of a working life: method, operation, body, status, and Go's Content-Type.
LIFE = [
    ("PUT", "", None, 200, JSON),
    ("GET", "bucketInfo", None, 200, None),
    ("LIST", "", None, 200, None),
    ("PUT", "policy", POLICY, 200, JSON),
    ("GET", "policy", None, 200, XML),
    ("DELETE", "policy", None, 204, XML),
    ("PUT", "logging", LOGGING, 200, JSON),
    ("GET", "logging", None, 200, JSON),
    ("DELETE", "logging", None, 204, JSON),
    (
        "POST",
        "putVectorIndex",
        INDEX | {"dataType": "float32", "dimension": 3, "distanceMetric": "cosine"},
        200,
        JSON,
    ),
    ("POST", "getVectorIndex", INDEX, 200, None),
    ("POST", "listVectorIndexes", None, 200, JSON),
    ("POST", "listVectorIndexes", {"maxResults": 5}, 200, JSON),
    ("POST", "putVectors", INDEX | {"vectors": VECTORS}, 200, JSON),
    ("POST", "getVectors", INDEX | {"keys": ["vector1"]}, 200, None),
    ("POST", "listVectors", INDEX, 200, JSON),
    (
        "POST",
        "queryVectors",
        INDEX | {"filter": FILTER, "queryVector": {"float32": [1, 2, 3]}, "topK": 10},
        200,
        JSON,
    ),
    ("POST", "deleteVectors", INDEX | {"keys": ["vector1"]}, 204, JSON),
    ("POST", "deleteVectorIndex", INDEX, 204, JSON),
    ("DELETE", "", None, 204, None),
]


def go(ask, content_type):
    agent = "alibabacloud-go-sdk-v2/1.5.1 (linux/6.1/amd64;go1.22.5)/vectors-client"
    headers = {"Content-Type": content_type, "User-Agent": agent, "Accept-Encoding": "gzip"}
    empty = not ask.body and ask.method in {"PUT", "POST"}
    return replace(ask, headers=headers, chunks=empty)


def go_in_path_style(ask, content_type):
    return replace(go(ask, content_type), style="path", host="127.0.0.1:9000")


def java(ask, _):
    pairs = [f"{name}=" for name in ask.query.split("&") if name]
    if ask.bucket is None:
        pairs = ["max-keys=1", "prefix=", "vector="]
    body = b"{}" if ask.method == "POST" and not ask.body else ask.body
    agent = "alibabacloud-java-sdk-v2/0.5.0 (Linux/6.1/amd64;17.0.12)/vectors-client"
    headers = {
        "Content-Type": "application/octet-stream" if ask.bucket is None else JSON,
        "Content-Length": str(len(body)),
        "User-Agent": agent,
        "Connection": "Upgrade",
        "Upgrade": "TLS/1.2",
    }
    return replace(ask, query="&".join(pairs), headers=headers, body=body)


def java_from_a_stream(ask, _):
    found = java(ask, _)
    headers = {name: value for name, value in found.headers.items() if name != "Content-Length"}
    return replace(found, headers=headers, chunks=True)


@pytest.mark.parametrize("form", [go, go_in_path_style, java, java_from_a_stream])
def test_a_whole_life(wire, form):
    bucket = f"form-{form.__name__}".replace("_", "-")
    for method, query, members, status, content_type in LIFE:
        body = b"" if members is None else json.dumps(members, separators=(",", ":")).encode()
        ask = Ask("GET" if method == "LIST" else method, query, body, bucket)
        if method == "LIST":
            ask = replace(ask, bucket=None)
        ask = form(ask, content_type)
        reply = wire.send(ask)
        assert reply.status == status, (ask, reply)
        head = wire.head(ask).decode("latin-1")
        check_form(reply, head.partition("\r\nhost: ")[2].partition("\r\n")[0])
        if query in ("getVectors", "listVectors", "queryVectors"):
            assert keys_of(reply.json) == ["vector1"]
        if query in ("policy", "logging") and method == "GET":
            assert reply.json == (POLICY if query == "policy" else LOGGING)
        if reply.body and method in ("GET", "LIST") and query != "policy":
            # The SDK for Go takes the one member at the root, whatever its name.
            assert len(reply.json) == 1


@pytest.mark.parametrize("form", [go, go_in_path_style, java])
@pytest.mark.parametrize("query", ["getVectors", "putVectorIndex", "policy", "logging"])
def test_a_missing_bucket_is_named_as_their_tests_assert(wire, form, query):
    body = b'{"indexName":"index","dataType":"demo","distanceMetric":"oss"}'
    method = "POST" if "Vector" in query else "PUT"
    reply = wire.send(form(Ask(method, query, body, "logging-bucket-not-exist"), JSON))
    assert reply.status == 404
    assert reply.error["Code"] == "NoSuchBucket"
    assert reply.error["Message"] == "The specified bucket does not exist."


@pytest.mark.parametrize("form", [go, java])
def test_an_unknown_key_is_named_as_their_tests_assert(wire, form):
    for ask in (Ask("PUT", bucket="some-bucket", as_key="unknown"),
                Ask("GET", bucket=None, as_key="unknown")):  # fmt: skip
        reply = wire.send(form(ask, JSON))
        assert (reply.status, reply.error["Code"]) == (403, "InvalidAccessKeyId")
        message = "The OSS Access Key Id you provided does not exist in our records."
        assert reply.error["Message"] == message
