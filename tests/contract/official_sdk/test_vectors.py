from itertools import chain

import pytest

from oss_vector_retriever.client.models.vector import Float32Array

FIRST = ("doc-001", [0.1, 0.2], {"category": ["technology", "ai"], "text": "Grüße, 世界 😀"})
SECOND = ("doc-002", [-0.3, 0.4], {"category": ["science"]})


def keys_of(vectors):
    return [vector["key"] for vector in vectors]


def test_vectors_are_put_got_and_deleted(sdk):
    sdk.put(FIRST, SECOND)
    both = sdk.get(["doc-002", "gone", "doc-001"], return_data=True, return_metadata=True)
    assert keys_of(both) == ["doc-002", "doc-001"]
    assert both[1]["metadata"] == FIRST[2]
    assert Float32Array(both[1]["data"]["float32"]) == Float32Array([0.1, 0.2])
    assert sdk.get(["doc-001"]) == [{"key": "doc-001"}]
    sdk.put(("doc-001", [1, 1], {"category": ["changed"]}))
    (changed,) = sdk.get(["doc-001"], return_metadata=True)
    assert changed["metadata"] == {"category": ["changed"]}
    assert sdk.call("DeleteVectors", keys=["doc-001", "x"]).status_code == 204
    assert keys_of(sdk.get(["doc-001", "doc-002"])) == ["doc-002"]


def query(sdk, **more):
    return sdk.call("QueryVectors", query_vector={"float32": [1, 2]}, top_k=5, **more).vectors


def test_vectors_are_queried(sdk):
    sdk.put(FIRST, SECOND)
    found = query(sdk, return_distance=True, return_metadata=True)
    assert keys_of(found) == ["doc-001", "doc-002"]
    assert found[0]["distance"] == pytest.approx(0, abs=1e-6)
    assert found[1]["distance"] == pytest.approx(1 - 0.5 / (5**0.5 * 0.5), abs=1e-6)
    assert found[0]["metadata"] == FIRST[2]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ({"$and": [{"category": {"$in": ["science"]}}]}, ["doc-002"]),
        ({"$or": [{"category": {"$eq": "ai"}}, {"category": "science"}]}, ["doc-001", "doc-002"]),
        ({"category": {"$nin": ["science"]}}, ["doc-001"]),
        ({"type": {"$eq": "never stored"}}, []),
        ({"type": {"$exists": False}}, ["doc-001", "doc-002"]),
        ({}, ["doc-001", "doc-002"]),
    ],
)
def test_a_filter_chooses(sdk, filter_, found):
    sdk.put(FIRST, SECOND)
    assert keys_of(query(sdk, filter=filter_)) == found


def test_vectors_are_listed_by_its_paginator(sdk):
    sdk.put(*((f"k{i}", [1, i], {"n": str(i)}) for i in range(3)))
    request = sdk.request("ListVectors", return_data=True, return_metadata=True)
    pages = list(sdk.client.list_vectors_paginator(limit=1).iter_page(request))
    assert [keys_of(page.vectors) for page in pages] == [["k0"], ["k1"], ["k2"]]
    assert pages[2].vectors[0]["data"] == {"float32": [1.0, 2.0]}
    assert pages[2].vectors[0]["metadata"] == {"n": "2"}


def test_vectors_are_listed_in_segments(sdk):
    sdk.put(*((f"k{i}", [1, i], {}) for i in range(30)))
    parts = [
        keys_of(sdk.call("ListVectors", segment_count=3, segment_index=part).vectors)
        for part in range(3)
    ]
    assert sorted(chain.from_iterable(parts)) == sorted(f"k{i}" for i in range(30))
    assert all(parts)


@pytest.mark.parametrize("times", range(2))
def test_the_segment_of_a_lone_vector_is_that_of_the_sdks_own_test(sdk, times):
    # however full the server is
    sdk.put(("vector-key-1", [1, 2], {}), *((f"k{i}", [1, 2], {}) for i in range(times)))
    listed = [sdk.call("ListVectors", segment_count=2, segment_index=s).vectors for s in (0, 1)]
    assert "vector-key-1" in keys_of(listed[1])
    assert "vector-key-1" not in keys_of(listed[0])


def test_a_key_may_be_deleted_twice_in_one_call(sdk):
    sdk.put(("a", [1, 2], {}))
    assert sdk.call("DeleteVectors", keys=["a", "a"]).status_code == 204
    assert sdk.get(["a"]) == []


def test_five_hundred_vectors_are_put_in_one_call(sdk):
    sdk.put(*((f"k{i}", [1, i], {"n": str(i)}) for i in range(500)))
    (last,) = sdk.get(["k499"], return_data=True)
    assert last["data"] == {"float32": [1.0, 499.0]}
