"""Each switch, on and off, where it is not tested beside what it switches."""

import pytest

from oss_vector_retriever.emulator import Behaviour

INVALID = (400, "VectorIndexParameterInvalid")
FAILED = (500, "InternalError")


def keys_of(hits):
    return [hit["key"] for hit in hits]


def test_distinct_keys_can_be_what_counts(make_caller):
    members = {"indexName": "index1", "keys": [f"k{i % 100}" for i in range(250)]}
    assert make_caller(index=True).code("getVectors", members) == INVALID
    counting = make_caller(index=True, behaviour=Behaviour(count_distinct_keys=True))
    assert counting.post("getVectors", members) == (200, {"vectors": []})
    one_more = members | {"keys": [f"k{i % 101}" for i in range(250)]}
    assert counting.code("getVectors", one_more) == INVALID


@pytest.mark.parametrize(
    ("text", "off"),
    [
        (b"[1, NaN]", (400, "MalformedJson")),
        (b"[1, -Infinity]", (400, "MalformedJson")),
        (b"[0, -0.0]", INVALID),
    ],
)
def test_what_cannot_be_stored_can_fail_instead_of_being_refused(make_caller, text, off):
    body = b'{"indexName":"c","vectors":[{"key":"a","data":{"float32":%b}}]}' % text
    for switch, expected in ((False, off), (True, FAILED)):
        caller = make_caller(behaviour=Behaviour(unstorable_fails=switch))
        caller.make_index("c", dimension=2, metric="cosine")
        assert caller.code("putVectors", body) == expected
        assert caller.post("listVectors", {"indexName": "c"})[1] == {"vectors": []}


def test_text_that_is_no_json_at_all_is_malformed_either_way(make_caller):
    caller = make_caller(index=True, behaviour=Behaviour(unstorable_fails=True))
    for body in (b"{NaN", b'{"a": 1' + b"[" * 100_000):
        assert caller.code("putVectors", body) == (400, "MalformedJson")


def test_euclidean_distances_can_be_squared_and_cosine_ones_stay(make_caller):
    caller = make_caller(index=True, behaviour=Behaviour(squared_euclidean=True))
    caller.make_index("cosine", metric="cosine")
    for index, expected in (("index1", 5.0), ("cosine", 1.0)):
        caller.put(("a", [0, 2, 0]), index=index)
        (hit,) = caller.query([1, 0, 0], index=index, returnDistance=True)
        assert hit["distance"] == pytest.approx(expected)


def test_a_filter_can_choose_among_the_nearest_only(make_caller):
    vectors = [(f"k{i}", [i, 0, 0], {"n": str(i % 2)}) for i in range(10)]
    wanted = {"n": {"$eq": "1"}}
    for switch, expected in ((False, ["k1", "k3", "k5"]), (True, ["k1"])):
        caller = make_caller(index=True, behaviour=Behaviour(filter_after_ranking=switch))
        caller.put(*vectors)
        assert keys_of(caller.query([0, 0, 0], 3, filter=wanted)) == expected
        assert len(caller.query([0, 0, 0], 3)) == 3


def test_a_negation_can_need_the_field(make_caller):
    for switch, expected in ((False, {"b", "c"}), (True, {"b"})):
        caller = make_caller(index=True, behaviour=Behaviour(negation_needs_field=switch))
        caller.put(("a", [1, 0, 0], {"n": "1"}), ("b", [1, 0, 0], {"n": "2"}), ("c", [1, 0, 0]))
        for condition in ({"$ne": "1"}, {"$nin": ["1", "3"]}):
            assert set(keys_of(caller.query([1, 0, 0], filter={"n": condition}))) == expected


def test_an_index_that_is_being_made_can_refuse_writes(make_caller, clock):
    behaviour = Behaviour(index_creation_seconds=10, creating_refuses_writes=True)
    caller = make_caller(clock=clock, behaviour=behaviour)

    def post(operation, **members):
        return caller.post(operation, {"indexName": "new", **members}, now=clock.now)

    post("putVectorIndex", dataType="float32", dimension=1, distanceMetric="euclidean")
    vectors = [{"key": "a", "data": {"float32": [1]}}]
    status, parsed = post("putVectors", vectors=vectors)
    assert (status, parsed["Error"]["Code"]) == FAILED
    assert post("getVectors", keys=["a"]) == (200, {"vectors": []})
    clock.advance(10)
    assert post("putVectors", vectors=vectors) == (200, None)


def test_a_new_bucket_can_take_its_time_to_be_listed(make_caller, clock):
    caller = make_caller(clock=clock, behaviour=Behaviour(bucket_list_delay_seconds=3))

    def is_listed():
        reply = caller.send("GET", bucket=None, now=clock.now)
        assert reply.status == 200
        return b"development-bucket" in reply.body

    assert not is_listed()
    assert caller.send("GET", "bucketInfo", now=clock.now).status == 200
    clock.advance(3)
    assert is_listed()
