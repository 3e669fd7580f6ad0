"""Every command of the service, one after the other, on an embedded and on a served service."""

import json

import pytest
from support.command_line import call

from oss_vector_retriever import emulator
from oss_vector_retriever.cli.catalogue import SECTIONS

OPERATIONS = {entry.name for entries in SECTIONS.values() for entry in entries if entry.operation}
VECTORS = [
    {"key": "x", "data": {"float32": [1, 0, 0]}, "metadata": {"axis": "x"}},
    {"key": "y", "data": {"float32": [0, 1, 0]}},
]
POLICY = {
    "Version": "1",
    "Statement": [
        {"Effect": "Deny", "Action": ["oss:DeleteVectors"], "Principal": ["*"], "Resource": ["*"]}
    ],
}
LOGGING = {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "p/"}}
FIELDS = {"fields": [{"name": "v", "type": "vector", "dataType": "float32", "dimension": 3,
                      "distanceMetric": "cosine"}]}  # fmt: skip


class Walk:
    """Call commands on one service, and remember which."""

    def __init__(self, *where):
        self.where = where
        self.walked = set()

    def call(self, name, *words):
        self.walked.add(name)
        texts = (json.dumps(word) if isinstance(word, dict | list) else word for word in words)
        return call(name, *self.where, *texts)

    def silent(self, name, *words):
        done = self.call(name, *words)
        assert (done.status, done.output, done.errors) == (0, "", "")

    def said(self, name, *words):
        done = self.call(name, *words)
        assert done.status == 0, done.errors
        return done.json


@pytest.fixture(params=["embedded", "served"])
def walk(request, tmp_path, monkeypatch):
    if request.param == "embedded":
        return Walk("--bucket", "walk-bucket", "--local", str(tmp_path / "walk.db"))
    server = request.getfixturevalue("server")
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", emulator.DEVELOPMENT_ACCESS_KEY_ID)
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", emulator.DEVELOPMENT_ACCESS_KEY_SECRET)
    return Walk(
        *("--bucket", "walk-bucket", "--endpoint", server.endpoint),
        *("--account-id", emulator.DEVELOPMENT_ACCOUNT_ID),
        *("--region", emulator.DEVELOPMENT_REGION),
    )


def test_every_command_does_its_work(walk):
    buckets(walk)
    indexes(walk)
    vectors(walk)
    settings(walk)
    fusion(walk)
    removal(walk)
    assert walk.walked == OPERATIONS


def buckets(walk):
    walk.silent("put-vector-bucket")
    assert walk.call("put-vector-bucket").status == 1
    info = walk.said("get-vector-bucket")["BucketInfo"]
    assert info["Name"].endswith(":walk-bucket")
    assert info["Region"] == emulator.DEVELOPMENT_REGION
    listed = walk.said("list-vector-buckets", "--prefix", "walk", "--max-keys", 5)
    assert listed["ListAllMyBucketsResult"]["Buckets"] == [info]
    assert info in walk.said(
        "list-vector-buckets", "--all", "--output-query", "ListAllMyBucketsResult.Buckets"
    )


def indexes(walk):
    walk.silent(
        *("put-vector-index", "--index-name", "walk", "--data-type", "float32", "--dimension", 3),
        *("--distance-metric", "cosine", "--metadata", {"nonFilterableMetadataKeys": ["text"]}),
    )
    other = ("--dimension", 2, "--distance-metric", "cosine")
    walk.silent("put-vector-index", "--index-name", "other", *other)
    found = walk.said("get-vector-index", "--index-name", "walk")["index"]
    assert (found["indexName"], found["dimension"], found["dataType"]) == ("walk", 3, "float32")
    assert found["metadata"] == {"nonFilterableMetadataKeys": ["text"]}
    page = walk.said("list-vector-indexes", "--max-results", 1)
    assert [index["indexName"] for index in page["indexes"]] == ["other"]
    rest = walk.said("list-vector-indexes", "--next-token", page["nextToken"], "--prefix", "wa")
    assert rest == {"indexes": [found]}
    assert len(walk.said("list-vector-indexes", "--all")["indexes"]) == 2


def vectors(walk):
    index = ("--index-name", "walk")
    walk.silent("put-vectors", *index, "--vectors", VECTORS)
    got = walk.said("get-vectors", *index, "--keys", "x,z", "--return-data", "--return-metadata")
    assert got == {"vectors": VECTORS[:1], "missing": ["z"]}
    assert walk.said("list-vectors", *index) == {"vectors": [{"key": "x"}, {"key": "y"}]}
    some = ("--segment-count", 2, "--segment-index", 1, "--filter", {"axis": {"$exists": False}})
    assert len(walk.said("list-vectors", *index, *some)["vectors"]) <= 1
    hits = walk.said(
        *("query-vectors", *index, "--query-vector", {"float32": [1, 0.1, 0]}, "--top-k", 1),
        *("--filter", {"axis": {"$eq": "x"}}, "--return-metadata", "--return-distance=true"),
    )["vectors"]
    assert (hits[0]["key"], hits[0]["metadata"]) == ("x", {"axis": "x"})
    assert 0 < hits[0]["distance"] < 0.1
    walk.silent("delete-vectors", *index, "--keys", "x", "--key", "never")
    assert walk.said("list-vectors", *index, "--all") == {"vectors": [{"key": "y"}]}


def settings(walk):
    assert "NoSuchBucketPolicy" in walk.call("get-bucket-policy").errors
    walk.silent("put-bucket-policy", "--body", POLICY)
    assert walk.said("get-bucket-policy") == POLICY
    denied = walk.call("delete-vectors", "--index-name", "walk", "--keys", "y")
    assert denied.status == 1
    assert "AccessDenied" in denied.errors
    walk.silent("delete-bucket-policy")
    assert walk.said("get-bucket-logging") == {"BucketLoggingStatus": {}}
    walk.silent("put-bucket-logging", "--bucket-logging-status", LOGGING)
    assert walk.said("get-bucket-logging") == {"BucketLoggingStatus": LOGGING}
    walk.silent("delete-bucket-logging")
    assert walk.said("get-bucket-logging") == {"BucketLoggingStatus": {}}


def fusion(walk):
    """The emulator has no fusion mode: what counts is that the request arrives."""
    index = ("--index-name", "fused")
    made = walk.call("put-vector-index-fusion", *index, "--schema-configuration", FIELDS)
    knn = {"field": "v", "queryVector": [1, 0, 0]}
    found = walk.call(
        *("query-vectors-fusion", *index, "--knn", knn, "--limit", 3, "--sort", [{"_score": {}}]),
        *("--query", {"a": {"$eq": "b"}}, "--partition-keys", "a,b", "--return-metadata"),
    )
    for done in (made, found):
        assert done.status == 1
        assert "NotImplemented" in done.errors


def removal(walk):
    assert "VectorBucketNotEmpty" in walk.call("delete-vector-bucket").errors
    for index in ("walk", "other"):
        walk.silent("delete-vector-index", "--index-name", index)
    walk.silent("delete-vector-bucket")
    assert "NoSuchBucket" in walk.call("get-vector-bucket").errors
