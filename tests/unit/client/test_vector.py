"""`Vector`: frozen, packed, short to read."""

import copy
import dataclasses
import pickle
from types import MappingProxyType

import numpy as np
import pytest

from oss_vector_retriever import Float32Array, Vector


def test_data_are_packed_on_construction():
    for data in ([0.5, 1], np.array([0.5, 1]), iter([0.5, 1])):
        assert type(Vector("a", data).data) is Float32Array
        assert Vector("a", data if not hasattr(data, "__next__") else [0.5, 1]).data[0] == 0.5


def test_packed_data_are_kept_as_they_are():
    data = Float32Array([0.5])
    assert Vector("a", data).data is data


def test_data_and_metadata_may_be_absent():
    vector = Vector("a")
    assert (vector.key, vector.data, vector.metadata) == ("a", None, None)


def test_metadata_are_a_dict_of_what_was_given():
    given = {"a": 1}
    assert Vector("a", None, given).metadata is given
    assert Vector("a", None, MappingProxyType(given)).metadata == given
    assert type(Vector("a", None, MappingProxyType(given)).metadata) is dict


@pytest.mark.parametrize("name", ["key", "data", "metadata", "other"])
def test_no_field_can_be_set(name):
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        setattr(Vector("a"), name, "b")


def test_vectors_are_equal_by_what_they_hold():
    assert Vector("a", [1], {"x": 1}) == Vector("a", [1.0], {"x": 1})
    assert Vector("a", [1]) != Vector("a", [2])
    assert Vector("a", [1]) != Vector("b", [1])
    assert Vector("a", [1]) != Vector("a")
    assert Vector("a", None, {}) != Vector("a")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_vector_survives_a_pickle(protocol):
    vector = Vector("a", [0.5, 2], {"x": ["y"]})
    again = pickle.loads(pickle.dumps(vector, protocol))
    assert again == vector
    assert type(again.data) is Float32Array


def test_copies_share_data_but_not_metadata():
    vector = Vector("a", [0.5], {"x": ["y"]})
    deep = copy.deepcopy(vector)
    assert deep == vector
    assert deep.data is vector.data
    assert deep.metadata["x"] is not vector.metadata["x"]
    assert copy.copy(vector) == vector


def test_a_part_can_be_replaced_in_a_copy():
    vector = dataclasses.replace(Vector("a", [0.5], {}), key="b")
    assert (vector.key, vector.data.tolist()) == ("b", [0.5])


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (Vector("a"), "Vector('a')"),
        (Vector("a", [1]), "Vector('a', data=Float32Array([1]))"),
        (Vector("a", None, {"x": 1}), "Vector('a', metadata={'x': 1})"),
    ],
)
def test_its_repr_says_what_there_is(vector, text):
    assert repr(vector) == text


def test_its_repr_is_short_whatever_it_holds():
    vector = Vector("a", [0.1] * 4096, {"text": "x" * 40_000})
    assert len(repr(vector)) < 260
    assert "40012 characters" in repr(vector)
    assert "4096 values" in repr(vector)


def test_data_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError):
        Vector("a", "0.5")
    with pytest.raises(TypeError):
        Vector("a", ["0.5"])
