import math

import pytest

from oss_vector_retriever.emulator import Behaviour

INVALID = (400, "VectorIndexParameterInvalid")


def keys_of(hits):
    return [vector["key"] for vector in hits]


def test_the_closest_comes_first_with_its_distance(caller):
    caller.put(("far", [4, 0, 3]), ("near", [1, 1, 0]), ("here", [1, 0, 0]))
    assert caller.query([1, 0, 0], returnDistance=True) == [
        {"key": "here", "distance": 0.0},
        {"key": "near", "distance": 1.0},
        {"key": "far", "distance": pytest.approx(math.sqrt(18), rel=1e-15)},
    ]


def test_cosine_does_not_look_at_length(caller):
    caller.make_index("cosine", metric="cosine")
    caller.put(("back", [-2, 0, 0]), ("across", [0, 9, 0]), ("same", [5, 0, 0]), index="cosine")
    assert caller.query([3, 0, 0], index="cosine", returnDistance=True) == [
        {"key": "same", "distance": 0.0},
        {"key": "across", "distance": 1.0},
        {"key": "back", "distance": 2.0},
    ]


def test_data_is_never_and_metadata_only_when_asked_for_returned(caller):
    caller.make_index("other", non_filterable=["hidden"])
    metadata = {"title": "A", "hidden": "x"}
    caller.put(("a", [1, 0, 0], metadata), index="other")
    assert caller.query([1, 0, 0], index="other") == [{"key": "a"}]
    shown = caller.query([1, 0, 0], index="other", returnMetadata=True, returnData=True)
    assert shown == [{"key": "a", "metadata": metadata}]


@pytest.mark.parametrize(
    "members",
    [
        {"topK": 0},
        {"topK": 501},
        {"topK": "1"},
        {"topK": None},
        {"topK": True},
        {"topK": 1.0},
        {"queryVector": None},
        {"queryVector": [1, 0, 0]},
        {"queryVector": {"data": {"float32": [1, 0, 0]}}},
        {"queryVector": {"float32": [1, 0]}},
        {"queryVector": {"float32": [1, 0, True]}},
        {"queryVector": {"float32": [1, 0, None]}},
        {"queryVector": {"float32": [1, 0, 1e39]}},
        {"returnDistance": "true"},
        {"returnMetadata": 0},
        {"filter": []},
        {"filter": {"$and": []}},
    ],
)
def test_parameters_outside_their_limits_are_refused(caller, members):
    good = {"indexName": "index1", "queryVector": {"float32": [1, 0, 0]}, "topK": 1}
    assert caller.post("queryVectors", good) == (200, {"vectors": []})
    assert caller.code("queryVectors", good | members) == INVALID


def test_a_zero_query_has_no_cosine(caller):
    caller.make_index("cosine", metric="cosine")
    members = {"indexName": "cosine", "queryVector": {"float32": [0, 0, 0]}, "topK": 1}
    assert caller.code("queryVectors", members) == INVALID
    assert caller.query([0, 0, 0]) == []


def test_an_index_that_does_not_exist(caller):
    members = {"indexName": "other", "queryVector": {"float32": [1, 0]}, "topK": 1}
    assert caller.code("queryVectors", members) == (404, "NoSuchVectorIndex")


def test_every_write_is_seen_at_once(caller):
    caller.put(("a", [1, 0, 0]))
    assert keys_of(caller.query([1, 0, 0])) == ["a"]
    caller.put(("b", [1, 0, 0]))
    assert keys_of(caller.query([1, 0, 0])) == ["a", "b"]
    caller.put(("a", [9, 0, 0]))
    assert keys_of(caller.query([1, 0, 0])) == ["b", "a"]
    caller.post("deleteVectors", {"indexName": "index1", "keys": ["b"]})
    assert keys_of(caller.query([1, 0, 0])) == ["a"]


def test_a_write_can_take_its_time_to_be_seen(make_caller, clock):
    caller = make_caller(clock=clock, behaviour=Behaviour(query_delay_seconds=3))

    def post(operation, **members):
        return caller.post(operation, {"indexName": "index1", **members}, now=clock.now)[1]

    post("putVectorIndex", dataType="float32", dimension=1, distanceMetric="euclidean")
    vector = {"float32": [1]}
    post("putVectors", vectors=[{"key": "a", "data": vector}])
    assert post("queryVectors", queryVector=vector, topK=1) == {"vectors": []}
    assert post("getVectors", keys=["a"]) == {"vectors": [{"key": "a"}]}
    clock.advance(3)
    assert post("queryVectors", queryVector=vector, topK=1) == {"vectors": [{"key": "a"}]}


def test_a_filter_is_applied_after_the_ranking(caller):
    caller.put(*((f"k{i:03}", [i, 0, 0], {"odd": str(i % 2)}) for i in range(200)))
    odd = {"odd": {"$eq": "1"}}
    assert keys_of(caller.query([0, 0, 0], 3, filter=odd)) == ["k001"]
    assert keys_of(caller.query([0, 0, 0], 6, filter=odd)) == ["k001", "k003", "k005"]
    assert caller.query([0, 0, 0], 1, filter=odd) == []
    assert len(caller.query([0, 0, 0], 500, filter=odd)) == 100
    assert caller.query([0, 0, 0], filter={"type": {"$eq": "x"}}) == []


def test_without_numpy_the_refusal_names_the_extra(caller, monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules, "oss_vector_retriever.emulator.search.nearest", None
    )
    members = {"indexName": "index1", "queryVector": {"float32": [1, 0, 0]}, "topK": 1}
    status, parsed = caller.post("queryVectors", members)
    assert (status, parsed["Error"]["Code"]) == (501, "NotImplemented")
    assert "oss-vector-retriever[emulator]" in parsed["Error"]["Message"]
