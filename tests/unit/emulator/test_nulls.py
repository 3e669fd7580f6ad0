"""A member that is null is as one that is absent, in whatever operation."""

import orjson
import pytest

VECTOR = {"key": "a", "data": {"float32": [1, 2, 3]}}
OPTIONAL = [
    ("getVectors", {"keys": ["a"]}, ["returnData", "returnMetadata"]),
    (
        "listVectors",
        {},
        [
            *("maxResults", "nextToken", "returnData", "returnMetadata"),
            *("segmentCount", "segmentIndex", "filter", "unheardOf"),
        ],
    ),
    (
        "queryVectors",
        {"queryVector": {"float32": [1, 2, 3]}, "topK": 1},
        ["filter", "returnDistance", "returnMetadata"],
    ),
    ("putVectors", {"vectors": [VECTOR]}, ["unheardOf"]),
    ("listVectorIndexes", {}, ["maxResults", "nextToken", "prefix"]),
]
REQUIRED = [
    ("getVectors", {"keys": ["a"]}),
    ("deleteVectors", {"keys": ["a"]}),
    ("putVectors", {"vectors": [VECTOR]}),
    ("queryVectors", {"queryVector": {"float32": [1, 2, 3]}, "topK": 1}),
    ("putVectorIndex", {"dataType": "float32", "dimension": 1, "distanceMetric": "cosine"}),
]


@pytest.mark.parametrize(
    ("operation", "members", "name"),
    [(operation, members, name) for operation, members, names in OPTIONAL for name in names],
)
def test_an_optional_member_may_be_null(caller, operation, members, name):
    caller.put(("a", [1, 2, 3], {"n": "1"}))
    members = {"indexName": "index1", **members}
    expected = caller.post(operation, members)
    assert expected[0] == 200
    assert caller.post(operation, {**members, name: None}) == expected


@pytest.mark.parametrize(
    ("operation", "members", "name"),
    [(operation, members, name) for operation, members in REQUIRED for name in members],
)
def test_a_required_member_that_is_null_is_missing(caller, operation, members, name):
    members = {"indexName": "index2" if operation == "putVectorIndex" else "index1", **members}
    absent = {other: value for other, value in members.items() if other != name}
    expected = caller.post(operation, absent)
    assert expected[0] == 400
    status, parsed = caller.post(operation, {**members, name: None})
    assert status == 400
    assert parsed["Error"]["Message"] == expected[1]["Error"]["Message"]


def test_the_metadata_of_a_vector_and_of_an_index_may_be_null(caller):
    vector = {**VECTOR, "metadata": None}
    assert caller.post("putVectors", {"indexName": "index1", "vectors": [vector]})[0] == 200
    index = {"dataType": "float32", "dimension": 1, "distanceMetric": "cosine"}
    for name, metadata in (("index2", None), ("index3", {"nonFilterableMetadataKeys": None})):
        made = caller.post("putVectorIndex", {"indexName": name, "metadata": metadata, **index})
        assert made == (200, None)


def test_a_condition_that_is_null_is_none(caller):
    statement = {
        "Effect": "Allow",
        "Action": ["oss:GetVectors"],
        "Principal": ["1"],
        "Resource": ["acs:ossvector:*:*:*"],
        "Condition": None,
    }
    document = orjson.dumps({"Version": "1", "Statement": [statement]})
    assert caller.send("PUT", "policy", document).status == 200


@pytest.mark.parametrize("number", ["1" * 310, "1e400"])
def test_a_number_beyond_the_range_of_doubles_is_no_json(caller, number):
    body = b'{"indexName":"index1","keys":["a"],"unheardOf":%b}' % number.encode()
    assert caller.code("getVectors", body) == (400, "MalformedJson")
