"""What may not be put or searched for is refused before any call, naming the key and the field."""

import dataclasses
import math
import time

import numpy as np
import pytest

from oss_vector_retriever import InvalidRequestError, Vector
from oss_vector_retriever.client import wire
from oss_vector_retriever.client.operations.checks import check_data, check_numbers
from oss_vector_retriever.client.operations.vectors import list_vectors, put_vectors, query_vectors


def refused(machine, item, *more):
    with pytest.raises(InvalidRequestError) as raised:
        put_vectors(machine.context(), [item, *more])
    assert len(str(raised.value)) < 300
    return str(raised.value)


@pytest.mark.parametrize("count", [0, 501])
def test_a_put_takes_1_to_500_vectors(machine, count):
    many = [Vector(str(number), [1.0]) for number in range(count)]
    with pytest.raises(InvalidRequestError, match=r"takes 1 to 500, not .*; upsert\(\) takes any"):
        put_vectors(machine.context(), many)


def test_a_key_that_stands_twice_is_named(machine):
    said = refused(machine, Vector("a", [1]), Vector("b", [1]), Vector("a", [2]))
    assert "key 'a' stands more than once" in said


@pytest.mark.parametrize("item", ["a", None, 5, ["a", [1.0]], ("a", [1.0])])
def test_what_is_no_vector_is_refused(machine, item):
    assert "a vector to put is a Vector or a dict" in refused(machine, item)


@pytest.mark.parametrize("key", [None, 5, "", "x" * 1025, b"a", "\udfff"])
def test_what_is_no_key_is_refused(machine, key):
    assert "key" in refused(machine, {"key": key, "data": [1.0]})


def test_a_member_that_no_vector_has_is_named(machine):
    message = refused(machine, {"key": "a", "data": [1.0], "metdata": {"text": "lost"}})
    assert "vector 'a' has a member 'metdata'" in message
    assert "key, data and metadata" in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "vector 'a' has no data"),
        ({}, "vector 'a' has no data"),
        ({"float32": None}, "vector 'a' has no data"),
        ([], "holds no numbers"),
        ([math.nan], "holds NaN or an infinite number"),
        ([1.0, math.inf], "holds NaN or an infinite number"),
        ([math.inf, -math.inf], "holds NaN or an infinite number"),
        ([1.0, -math.inf], "holds NaN or an infinite number"),
        ([math.copysign(math.nan, -1)], "holds NaN or an infinite number"),
        (np.float32([math.nan, 1]), "holds NaN or an infinite number"),
        (np.float64([1e300]), "must be numbers that float32 can hold"),
        ([10**400], "must be numbers that float32 can hold"),
        (["1.0"], "must be numbers that float32 can hold"),
        ("1.0", "must be numbers that float32 can hold"),
        (b"\0\0\0\0", "must be numbers that float32 can hold"),
        ([None], "must be numbers that float32 can hold"),
        ([[1.0]], "must be numbers that float32 can hold"),
        (5, "must be numbers that float32 can hold"),
    ],
)
def test_data_that_are_no_finite_numbers_are_refused(machine, data, said):
    message = refused(machine, {"key": "a", "data": data})
    assert said in message
    assert "'a'" in message


@pytest.mark.parametrize("extreme", [3.4028234e38, -3.4028234e38, 1.7014118e38, -1.7014118e38])
def test_the_largest_numbers_are_finite(extreme):
    assert check_data("vectors", [extreme] * 5000)[0] == pytest.approx(extreme)


def test_data_that_are_no_numbers_for_a_query_are_refused(machine):
    for data in ([], [math.nan], [math.inf], ["1"], "1", None, 5):
        with pytest.raises(InvalidRequestError, match="query_vector"):
            query_vectors(machine.context(), data)


@pytest.mark.parametrize("metadata", ["x", ["x"], 5, [("a", "b")]])
def test_metadata_that_are_no_dict_are_refused(machine, metadata):
    said = refused(machine, {"key": "a", "data": [1.0], "metadata": metadata})
    assert said == "metadata of 'a' must be a dict."


@dataclasses.dataclass
class Price:
    value: float


NOT_FINITE = [
    ({"price": math.nan}, "['price']"),
    ({"a": "b", "price": math.inf}, "['price']"),
    ({"price": -math.inf}, "['price']"),
    ({"l": ["a", 1, math.nan]}, "['l'][2]"),
    ({"l": (1.0, math.inf)}, "['l'][1]"),
    ({"d": {"e": [{"f": math.nan}]}}, "['d']['e'][0]['f']"),
    ({"n": np.float32("nan")}, "['n']"),
    ({"n": np.float64("inf")}, "['n']"),
    ({"n": np.array([1.0, math.nan])}, "['n'][1]"),
    ({"n": np.array([[1.0], [math.inf]], dtype=np.float32)}, "['n'][1][0]"),
]


@pytest.mark.parametrize(("metadata", "where"), NOT_FINITE)
@pytest.mark.parametrize("has_orjson", [True, False])
def test_nan_in_metadata_never_becomes_null(machine, monkeypatch, metadata, where, has_orjson):
    monkeypatch.setattr(wire, "_HAS_ORJSON", has_orjson)
    said = refused(machine, Vector("b", [1.0]), Vector("a", [1.0], metadata))
    assert said == f"metadata of 'a'{where} is NaN or infinite, which JSON cannot carry."


def test_a_field_with_a_long_name_is_named_in_short(machine):
    said = refused(machine, Vector("a" * 1000, [1.0], {"x" * 1000: math.nan}))
    assert "'aaa" in said
    assert "['xxx" in said


@pytest.mark.parametrize(("filters", "where"), NOT_FINITE)
def test_nan_in_a_filter_never_becomes_null(machine, filters, where):
    for start in (
        lambda: query_vectors(machine.context(), [1.0], filter={"$and": [filters]}),
        lambda: list_vectors(machine.context(), filter={"$and": [filters]}),
    ):
        with pytest.raises(InvalidRequestError) as raised:
            start()
        assert str(raised.value).startswith(f"filter['$and'][0]{where} is NaN")


@pytest.mark.parametrize("given", ["a", ["a"], 5, True, [("a", "b")]])
def test_a_filter_that_is_no_dict_is_refused(machine, given):
    with pytest.raises(InvalidRequestError, match="filter must be a dict"):
        query_vectors(machine.context(), [1.0], filter=given)
    with pytest.raises(InvalidRequestError, match="filter must be a dict"):
        list_vectors(machine.context(), filter=given)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, b"bytes", 1j, "\ud800", Price(math.nan), Price(1.0)]
)
@pytest.mark.parametrize("has_orjson", [True, False])
def test_what_json_cannot_say_is_refused(machine, monkeypatch, value, has_orjson):
    monkeypatch.setattr(wire, "_HAS_ORJSON", has_orjson)
    assert "cannot be written as JSON" in refused(machine, Vector("a", [1.0], {"x": value}))


def test_metadata_that_hold_themselves_are_refused(machine):
    endless = {}
    endless["again"] = endless
    assert "nested too deep" in refused(machine, Vector("a", [1.0], endless))


def test_metadata_nested_deeper_than_json_writers_go_are_refused(machine):
    deep = {}
    for _ in range(400):
        deep = {"d": deep}
    assert "cannot be written as JSON" in refused(machine, Vector("a", [1.0], deep))


def test_metadata_that_are_fine_are_left_alone():
    check_numbers("metadata", {"a": "b", "n": None, "t": True, "f": 0.5, "i": 10**30, "l": ["x"]})


def test_the_check_costs_little_beside_the_writing():
    metadata = {f"field{number}": "some text" for number in range(10)}
    puts = [Vector(str(number), [0.1] * 1024, metadata) for number in range(500)]
    started = time.process_time()
    for put in puts:
        check_numbers("metadata", put.metadata)
    checking = time.process_time() - started
    started = time.process_time()
    wire.dump_json([{"float32": put.data} for put in puts])
    assert checking < 3 * (time.process_time() - started)
