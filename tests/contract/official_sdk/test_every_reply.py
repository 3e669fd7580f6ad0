"""What a reply means to the official SDK it means to this package's client.

Both read the same bytes, of every shape that the tables of `support.reply_shapes` hold to be legal.
The SDK hands most members on as they are, so that None and absent are alike to it.
"""

import contextlib
import itertools
import json

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2 import vectors
from support.canned import HEADERS, CannedService, blocking_client, json_reply
from support.official_sdk import official_client
from support.promises import sized
from support.reply_shapes import (
    ABSENT,
    BUCKET_ATTRIBUTES,
    BUCKET_MEMBERS,
    DATA,
    INDEX_ATTRIBUTES,
    INDEX_MEMBERS,
    LOGGING_ATTRIBUTES,
    LOGGING_MEMBERS,
    METADATA,
    NUMBERS,
    TOKENS,
    Shape,
    described,
    put_together,
    some_of,
)

pytestmark = pytest.mark.promise("R8")

ALL = 10**9
models = vectors.models


class Answer:
    """A whole reply in the SDK's form."""

    request = None
    is_closed = is_stream_consumed = True
    reason = "Said"

    def __init__(self, body):
        self._body = body
        self.status_code = 200
        self.headers = {"Content-Type": "application/json", **HEADERS}
        self.content = body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Do nothing: there is no connection."""

    def read(self):
        return self._body

    def close(self):
        """Do nothing: there is no connection."""

    def iter_bytes(self, **_):
        return iter([self._body])


class Wire:
    """The SDK's way to a service that says one thing."""

    def __init__(self):
        self.body = b""

    def send(self, request, **_):
        del request
        return Answer(self.body)

    def open(self):
        """Do nothing: there is no connection."""

    def close(self):
        """Do nothing: there is no connection."""


class Readers:
    """The SDK and the client, each told the same."""

    def __init__(self):
        self.wire, self.service = Wire(), CannedService()
        self.sdk = official_client("http://127.0.0.1:1", http_client=self.wire)
        self.client = blocking_client(self.service)

    def tell(self, operation, body):
        self.wire.body = json.dumps(body).encode()
        self.service.answers[operation] = json_reply(self.wire.body)


@pytest.fixture
def readers():
    return Readers()


def legal(shapes):
    return [shape for shape in shapes if not shape.refused]


def nothing_is_none(values):
    """Return values as they are, with None for what says nothing."""
    return {name: None if value in ("", 0, (), [], {}) else value for name, value in values.items()}


def alike(ours, theirs):
    assert nothing_is_none(ours) == nothing_is_none(theirs)


def test_a_bucket(readers):
    cases = [
        one
        for one in described(BUCKET_MEMBERS, BUCKET_ATTRIBUTES)
        # the SDK takes 18:49 in Beijing for 18:49 UTC
        if isinstance(one.expected, dict) and "+" not in str(one.members.get("CreationDate"))
    ]
    compared = 0
    for one in some_of(cases, sized(30, ALL)):
        readers.tell("GetVectorBucket", {"BucketInfo": one.members})
        ours = readers.client.get_vector_bucket()
        # of a moment with nine digits, or without a zone, it can make nothing
        with contextlib.suppress(oss.exceptions.DeserializationError, ValueError):
            request = models.GetVectorBucketRequest(bucket="examplebucket")
            theirs = readers.sdk.get_vector_bucket(request).bucket_info
            names = {name: name if name != "arn" else "name" for name in BUCKET_ATTRIBUTES.values()}
            alike(
                {name: getattr(ours, name) for name in names},
                {name: getattr(theirs, there) for name, there in names.items()},
            )
            compared += 1
    assert compared > 20


def test_where_a_bucket_is_logged(readers):
    cases = [one for one in described(LOGGING_MEMBERS, LOGGING_ATTRIBUTES)
             if isinstance(one.expected, dict)]  # fmt: skip
    for one in cases:
        body = {"BucketLoggingStatus": {"LoggingEnabled": one.members}}
        readers.tell("GetBucketLogging", body)
        request = models.GetBucketLoggingRequest(bucket="examplebucket")
        theirs = readers.sdk.get_bucket_logging(request).bucket_logging_status.logging_enabled
        ours = readers.client.get_bucket_logging()
        assert (ours is None) == (not theirs.target_bucket)
        if ours is not None:
            names = LOGGING_ATTRIBUTES.values()
            alike({n: getattr(ours, n) for n in names}, {n: getattr(theirs, n) for n in names})


def test_an_index(readers):
    cases = [one for one in described(INDEX_MEMBERS, INDEX_ATTRIBUTES)
             if isinstance(one.expected, dict)]  # fmt: skip
    cases = some_of(cases, sized(30, ALL))
    plain = ("indexName", "dimension", "distanceMetric", "status", "bucketArn", "mode")
    for one in cases:
        readers.tell("GetVectorIndex", {"index": one.members})
        ours = readers.client.get_vector_index(index="docs")
        request = models.GetVectorIndexRequest(bucket="examplebucket", index_name="docs")
        theirs = readers.sdk.get_vector_index(request).index
        alike(
            {name: getattr(ours, INDEX_ATTRIBUTES[name]) for name in plain},
            {
                **{name: theirs.get(name) for name in plain},
                "indexName": theirs.get("indexName") or "docs",
            },
        )
        inner = theirs.get("metadata") or {}
        names = tuple(inner.get("nonFilterableMetadataKeys") or ())
        assert ours.non_filterable_metadata_keys == names


def vector_of(key, data, metadata, distance):
    members = {"data": data, "metadata": metadata, "distance": distance}
    return {"key": key, **put_together(members)}


def test_vectors(readers, figure):
    tokens = [one for one in legal(TOKENS) if one.value != "t"]
    distances = legal(NUMBERS)
    shapes = list(itertools.product(legal(DATA), legal(METADATA), distances, tokens))
    shapes = some_of(shapes, sized(40, ALL))
    for data, metadata, distance, token in shapes:
        items = [vector_of("b", data, metadata, distance), vector_of("a", data, metadata, distance)]
        body = put_together({"vectors": Shape("", items), "nextToken": token})
        index = {"bucket": "examplebucket", "index_name": "docs"}
        for operation in ("GetVectors", "ListVectors", "QueryVectors"):
            readers.tell(operation, body)
        asked = {"return_data": True, "return_metadata": True}
        theirs = readers.sdk.get_vectors(
            models.GetVectorsRequest(**index, keys=["a", "b"], **asked)
        )
        ours = readers.client.get_vectors(["a", "b"], **asked)
        assert [seen(one) for one in ours] == [read(one) for one in theirs.vectors]
        listed = readers.sdk.list_vectors(models.ListVectorsRequest(**index, **asked))
        ours = readers.client.list_vectors(**asked)
        assert [seen(one) for one in ours] == [read(one) for one in listed.vectors]
        assert ours.next_token == (listed.next_token or None)
        request = models.QueryVectorsRequest(**index, query_vector={"float32": [1.0]}, top_k=5)
        found = readers.sdk.query_vectors(request)
        ours = readers.client.query_vectors([1.0], return_metadata=True)
        assert [(hit.key, hit.distance, hit.metadata) for hit in ours] == [
            (hit["key"], hit.get("distance"), hit.get("metadata") or {}) for hit in found.vectors
        ]
    figure(f"{len(shapes)} replies with vectors, read as the official SDK reads them")


def seen(vector):
    return vector.key, vector.data.tolist(), vector.metadata


def read(item):
    # of the numbers in the tables one is no float32 by itself
    numbers = [float(oss_float) for oss_float in item["data"]["float32"]]
    rounded = [1.401298464324817e-45 if number == 1e-45 else number for number in numbers]
    return item["key"], rounded, item.get("metadata") or {}


@pytest.mark.parametrize("vectors_", [ABSENT, None, []])
def test_nothing(readers, vectors_):
    body = put_together({"vectors": Shape("", vectors_)})
    readers.tell("GetVectors", body)
    request = models.GetVectorsRequest(bucket="examplebucket", index_name="docs", keys=["a"])
    assert not readers.sdk.get_vectors(request).vectors
    assert readers.client.fetch(["a"]).missing == ("a",)
