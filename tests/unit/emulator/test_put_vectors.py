import orjson
import pytest

from oss_vector_retriever.emulator import Behaviour
from oss_vector_retriever.emulator.operations import vectors as operations

INVALID = (400, "VectorIndexParameterInvalid")
DATA = {"float32": [1, 2, 3]}


def put(caller, vectors, index="index1"):
    return caller.post("putVectors", {"indexName": index, "vectors": vectors})


def refusal(caller, vectors, index="index1"):
    """Return the message of a PutVectors that is refused as invalid, having written nothing."""
    status, parsed = put(caller, vectors, index)
    assert (status, parsed["Error"]["Code"]) == INVALID
    assert caller.post("listVectors", {"indexName": index})[1] == {"vectors": []}
    return parsed["Error"]["Message"]


def test_a_known_key_is_overwritten_whole(caller):
    caller.put(("a", [1, 2, 3], {"title": "old", "more": "x"}))
    caller.put(("a", [4, 5, 6], {"title": "new"}))
    assert caller.get(["a"]) == [
        {"key": "a", "data": {"float32": [4.0, 5.0, 6.0]}, "metadata": {"title": "new"}}
    ]
    caller.put(("a", [7, 8, 9]))
    assert caller.get(["a"]) == [{"key": "a", "data": {"float32": [7.0, 8.0, 9.0]}}]


@pytest.mark.parametrize(
    ("vectors", "reason"),
    [
        (None, "vectors must be an array of 1 to 500"),
        ([], "vectors must be an array of 1 to 500"),
        ({}, "vectors must be an array"),
        ([None], "vectors[0] must be an object"),
        ([{"data": DATA}], "vectors[0].key must be a string"),
        ([{"key": "", "data": DATA}], "vectors[0].key must be a string"),
        ([{"key": "k" * 1025, "data": DATA}], "1 to 1024 characters"),
        ([{"key": 1, "data": DATA}], "vectors[0].key must be a string"),
        ([{"key": "a"}], "vectors[0].data.float32 must be an array"),
        ([{"key": "a", "data": [1, 2, 3]}], "vectors[0].data.float32 must be an array"),
        ([{"key": "a", "data": {"float64": [1, 2, 3]}}], "data.float32 must be an array"),
        ([{"key": "a", "data": {"float32": [1, 2]}}], "has 2 values; the index has 3"),
        ([{"key": "a", "data": {"float32": []}}], "has 0 values"),
        ([{"key": "a", "data": {"float32": [1, 2, 3, 4]}}], "has 4 values"),
        ([{"key": "a", "data": {"float32": [1, True, 3]}}], "holds a boolean"),
        ([{"key": "a", "data": {"float32": [1, None, 3]}}], "not a number"),
        ([{"key": "a", "data": {"float32": [1, "2", 3]}}], "not a number"),
        ([{"key": "a", "data": {"float32": [1, 1e39, 3]}}], "too large for float32"),
        ([{"key": "a", "data": DATA, "metadata": []}], "vectors[0].metadata must be an object"),
        ([{"key": "a", "data": DATA}, {"key": "a", "data": DATA}], "must not hold a key twice"),
    ],
)
def test_a_bad_vector_is_refused(caller, vectors, reason):
    assert reason in refusal(caller, vectors)


def test_one_bad_vector_keeps_the_whole_batch_out(caller):
    good = [{"key": f"k{i}", "data": DATA} for i in range(499)]
    bad = {"key": "bad", "data": {"float32": [1, 2]}}
    assert "vectors[499].data.float32" in refusal(caller, [*good, bad])


def test_five_hundred_and_no_more(caller):
    vectors = [{"key": f"k{i}", "data": DATA} for i in range(501)]
    assert "1 to 500" in refusal(caller, vectors)
    assert put(caller, vectors[:500]) == (200, None)


def test_not_a_number_is_malformed(caller):
    for literal in (b"NaN", b"Infinity", b"-Infinity", b"1e400"):
        body = b'{"indexName":"index1","vectors":[{"key":"a","data":{"float32":[1,%b,3]}}]}'
        assert caller.code("putVectors", body % literal) == (400, "MalformedJson")


def test_a_zero_vector_is_refused_under_cosine_only(caller):
    caller.make_index("cosine", metric="cosine")
    for zero in ([0, 0, 0], [0.0, -0.0, 1e-50]):
        vectors = [{"key": "a", "data": {"float32": zero}}]
        assert "all zero" in refusal(caller, vectors, "cosine")
        assert put(caller, vectors) == (200, None)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"a": None}, "'a' must be a string"),
        ({"a": {"b": "c"}}, "'a' must be a string"),
        ({"a": [1]}, "'a' must be an array of strings"),
        ({"a": ["x", None]}, "'a' must be an array of strings"),
        ({"a": [["x"]]}, "'a' must be an array of strings"),
        ({str(i): "x" for i in range(11)}, "has 11 filterable keys; at most 10"),
        ({"a": "x" * 2041}, "has 2049 filterable bytes; at most 2048"),
        ({"a": "é" * 1021}, "has 2050 filterable bytes"),
        ({"hidden": "x" * 40948}, "has 40961 bytes; at most 40960"),
    ],
)
def test_metadata_outside_its_limits_is_refused(caller, metadata, reason):
    caller.make_index("other", non_filterable=["hidden"])
    vectors = [{"key": "a", "data": DATA, "metadata": metadata}]
    assert f"vectors[0].metadata {reason}" in refusal(caller, vectors, "other")


def test_metadata_at_its_limits_is_kept_as_it_is(caller):
    caller.make_index("other", non_filterable=["hidden", "more"])
    metadata = {str(i): "x" for i in range(9)} | {"a": "é" * 700}
    metadata["a"] += "x" * (2048 - len(orjson.dumps(metadata)))
    metadata["more"] = ["x", ""]
    metadata["hidden"] = ""
    metadata["hidden"] = "y" * (40960 - len(orjson.dumps(metadata)))
    assert len(orjson.dumps(metadata)) == 40960
    caller.put(("a", [1, 2, 3], metadata), index="other")
    (vector,) = caller.get(["a"], index="other")
    assert vector["metadata"] == metadata
    assert list(vector["metadata"]) == list(metadata)


def test_numbers_and_booleans_are_accepted_unless_switched_off(make_caller):
    metadata = {"text": "x", "list": ["x"], "int": 7, "float": 0.5, "flag": True}
    lenient = make_caller(index=True)
    lenient.put(("a", [1, 2, 3], metadata))
    (vector,) = lenient.get(["a"])
    assert vector["metadata"] == metadata
    assert vector["metadata"]["flag"] is True
    strict = make_caller(index=True, behaviour=Behaviour(scalars="refused"))
    for name in ("int", "float", "flag"):
        vectors = [{"key": "a", "data": DATA, "metadata": {name: metadata[name]}}]
        assert f"{name!r} must be a string or an array" in refusal(strict, vectors)
    strict.put(("a", [1, 2, 3], {"text": "x", "list": ["x"]}))


def test_an_index_that_does_not_exist(caller):
    status, parsed = put(caller, [{"key": "a", "data": DATA}], "other")
    assert (status, parsed["Error"]["Code"]) == (404, "NoSuchVectorIndex")


def test_an_index_deleted_meanwhile_is_said_to_be_missing(caller, monkeypatch):
    def read_row(*arguments):
        caller.post("deleteVectorIndex", {"indexName": "index1"})
        return original(*arguments)

    original = operations._row
    monkeypatch.setattr(operations, "_row", read_row)
    status, parsed = put(caller, [{"key": "a", "data": DATA}])
    assert (status, parsed["Error"]["Code"]) == (404, "NoSuchVectorIndex")


class TestDeleteVectors:
    @pytest.mark.parametrize(
        "keys", [None, [], "a", [""], [1], [None], [f"k{i}" for i in range(501)]]
    )
    def test_parameters_outside_their_limits_are_refused(self, caller, keys):
        assert caller.code("deleteVectors", {"indexName": "index1", "keys": keys}) == INVALID

    def test_keys_are_counted_without_repetitions(self, caller):
        caller.put(("a", [1, 2, 3]), ("b", [1, 2, 3]))
        for keys in (["a", "a"], [f"k{i % 500}" for i in range(1000)]):
            members = {"indexName": "index1", "keys": keys}
            assert caller.post("deleteVectors", members) == (204, None)
        assert [v["key"] for v in caller.get(["a", "b"])] == ["b"]
        more = {"indexName": "index1", "keys": [f"k{i % 501}" for i in range(1000)]}
        assert caller.code("deleteVectors", more) == INVALID

    def test_what_exists_is_deleted_and_the_rest_is_no_error(self, caller):
        caller.put(("a", [1, 2, 3]), ("b", [1, 2, 3]))
        members = {"indexName": "index1", "keys": ["a", *(f"k{i}" for i in range(499))]}
        assert caller.post("deleteVectors", members) == (204, None)
        assert [v["key"] for v in caller.get(["a", "b"])] == ["b"]

    def test_an_index_that_does_not_exist(self, caller):
        members = {"indexName": "other", "keys": ["a"]}
        assert caller.code("deleteVectors", members) == (404, "NoSuchVectorIndex")

    def test_other_indexes_are_left_alone(self, caller):
        caller.make_index("index2")
        for index in ("index1", "index2"):
            caller.put(("a", [1, 2, 3]), index=index)
        caller.post("deleteVectors", {"indexName": "index1", "keys": ["a"]})
        assert caller.get(["a"]) == []
        assert len(caller.get(["a"], index="index2")) == 1
