import pytest

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator import Behaviour

INVALID = (400, "VectorIndexParameterInvalid")


@pytest.fixture
def filled(caller):
    """Return a caller whose index holds c, a and b, written in that order."""
    caller.put(("c", [1, 2, 3], {"title": "C", "tags": ["x", "y"]}))
    caller.put(("a", [0.1, 0.2, 0.3], {"title": "A"}))
    caller.put(("b", [-1, 0, 1]))
    return caller


def ask(caller, **members):
    return caller.post("getVectors", {"indexName": "index1", **members})


def keys_of(vectors):
    return [vector["key"] for vector in vectors]


def test_data_and_metadata_come_only_when_asked_for(filled):
    assert ask(filled, keys=["c"]) == (200, {"vectors": [{"key": "c"}]})
    data = {"data": {"float32": [1.0, 2.0, 3.0]}}
    metadata = {"metadata": {"title": "C", "tags": ["x", "y"]}}
    asked = {"keys": ["c"], "returnData": True, "returnMetadata": True}
    assert ask(filled, **asked) == (200, {"vectors": [{"key": "c"} | data | metadata]})
    asked["returnData"] = False
    assert ask(filled, **asked) == (200, {"vectors": [{"key": "c"} | metadata]})


def test_unknown_keys_are_left_out_without_an_error(filled):
    assert keys_of(filled.get(["x", "b", "y", "a"])) == ["b", "a"]
    assert ask(filled, keys=["x"]) == (200, {"vectors": []})


def test_duplicates_are_allowed_and_come_back_once(filled):
    assert keys_of(filled.get(["a", "b", "a", "a"])) == ["a", "b"]


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"keys": None},
        {"keys": []},
        {"keys": "a"},
        {"keys": {"a": 1}},
        {"keys": [""]},
        {"keys": [1]},
        {"keys": [None]},
        {"keys": [["a"]]},
        {"keys": ["a", "x" * 1025]},
        {"keys": ["a"] * 101},
        {"keys": ["a"], "returnData": "true"},
        {"keys": ["a"], "returnData": 1},
        {"keys": ["a"], "returnMetadata": "false"},
        {"keys": ["a"], "returnMetadata": []},
        {"keys": ["a"], "indexName": None},
        {"keys": ["a"], "indexName": ""},
        {"keys": ["a"], "indexName": 1},
        {"keys": ["a"], "indexName": "1index"},
        {"keys": ["a"], "indexName": "index-1"},
        {"keys": ["a"], "indexName": "index1\n"},
        {"keys": ["a"], "indexName": "i" * 64},
    ],
)
def test_parameters_outside_their_limits_are_refused(filled, members):
    status, parsed = ask(filled, **members)
    assert (status, parsed["Error"]["Code"]) == INVALID


def test_the_message_names_the_member(filled):
    for members, name in [
        ({"keys": []}, "keys must be an array of 1 to 100"),
        ({"keys": ["a", ""]}, "keys[1] must be a string of 1 to 1024"),
        ({"keys": ["a"], "returnData": 1}, "returnData must be true or false"),
        ({"keys": ["a"], "indexName": "-"}, "indexName must be 1 to 63"),
    ]:
        assert name in filled.message("getVectors", {"indexName": "index1", **members})


def test_a_missing_index_name_is_refused(filled):
    assert filled.code("getVectors", {"keys": ["a"]}) == INVALID
    assert filled.code("getVectors", b"") == (400, "MalformedJson")


def test_an_index_that_does_not_exist(filled):
    assert filled.code("getVectors", {"indexName": "other", "keys": ["a"]}) == (
        404,
        "NoSuchVectorIndex",
    )


def test_a_hundred_keys_of_a_thousand_and_twenty_four_characters(caller):
    keys = [chr(0x4E00 + i) * 1024 for i in range(100)]
    for start in (0, 50):
        caller.put(*((key, [i, 1, 2]) for i, key in enumerate(keys[start : start + 50], start)))
    found = caller.get(list(reversed(keys)), metadata=False)
    assert keys_of(found) == list(reversed(keys))
    assert found[0]["data"]["float32"] == [99.0, 1.0, 2.0]


def test_odd_keys_are_kept_apart(caller):
    keys = ["a", "A", "a ", " a", "a\x00", "a\x00b", "é", "e\u0301", "😀", '"', "a,b", "%61", "\n"]
    caller.put(*((key, [i, 0, 0]) for i, key in enumerate(keys)))
    found = caller.get(keys)
    assert [(v["key"], v["data"]["float32"][0]) for v in found] == [
        (key, float(i)) for i, key in enumerate(keys)
    ]


def test_unknown_members_are_ignored(filled):
    assert ask(filled, keys=["a"], somethingElse={"a": [1]}) == (200, {"vectors": [{"key": "a"}]})


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (Behaviour(), ["a", "c", "b"]),
        (Behaviour(duplicates="each"), ["a", "c", "a", "b"]),
        (Behaviour(order="storage"), ["c", "a", "b"]),
        (Behaviour(order="storage", duplicates="each"), ["c", "a", "a", "b"]),
    ],
)
def test_order_and_duplicates_can_be_switched(make_caller, behaviour, expected):
    caller = make_caller(index=True, behaviour=behaviour)
    for key in "cab":
        caller.put((key, [1, 2, 3]))
    assert keys_of(caller.get(["a", "c", "x", "a", "b"])) == expected


def test_shuffling_loses_nothing_and_repeats_with_its_seed(make_caller):
    keys = [f"k{i}" for i in range(50)]
    orders = []
    for seed in (1, 1, 2):
        caller = make_caller(index=True, behaviour=Behaviour(order="shuffled", seed=seed))
        caller.put(*((key, [1, 2, 3]) for key in keys))
        orders.append(keys_of(caller.get(keys)))
    assert orders[0] == orders[1] != orders[2]
    assert all(sorted(order) == sorted(keys) != order for order in orders)


def test_vectors_may_be_left_out_when_there_are_none(make_caller):
    caller = make_caller(index=True, behaviour=Behaviour(omit_empty_vectors=True))
    assert ask(caller, keys=["x"]) == (200, {})


@pytest.mark.parametrize(
    ("shown", "expected"), [(False, {"key": "a"}), (True, {"key": "a", "metadata": {}})]
)
def test_no_metadata_may_be_shown_as_empty(make_caller, shown, expected):
    caller = make_caller(index=True, behaviour=Behaviour(show_empty_metadata=shown))
    caller.put(("a", [1, 2, 3]), ("b", [1, 2, 3], {}))
    vectors = caller.get(["a", "b"], data=False)
    assert vectors == [expected, expected | {"key": "b"}]


def test_limits_can_be_raised(make_caller):
    caller = make_caller(index=True, limits=Limits(keys_per_get=200))
    assert ask(caller, keys=["a"] * 200) == (200, {"vectors": []})
    assert ask(caller, keys=["a"] * 201)[0] == 400
