"""What a model may have meant by an id, however long."""

import time

import pytest
from pydantic import ValidationError

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.records.agent_ids import absent_ids, read_ids
from oss_vector_retriever.records.agent_search import read_arguments, search_arguments


def test_ids_that_mean_none_of_the_keys_are_absent():
    asked = ["[id: a]", "a", "c", "a, [id: d]", "e, f", "a"]
    assert absent_ids(asked, ["a", "b"]) == ["c", "d", "e, f"]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a", ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ('["a"', ['["a"']),
        ("7", ["7"]),
        ('{"a": 1}', ['{"a": 1}']),
        (["a"], ["a"]),
        (7, 7),
    ],
)
def test_a_list_of_ids_may_be_one_id_or_text(given, read):
    assert read_ids(given) == read


@pytest.mark.parametrize(
    "part", ['"', "(", "[id: ", '[id: "', " ", "a, ", "distance=", "id:", "\\"]
)
def test_a_page_of_text_as_an_id_is_read_quickly(part):
    page = part * (20_000 // len(part))
    began = time.perf_counter()
    assert absent_ids([page], ["x"]) == [page]
    assert absent_ids(["y" + page * 100], ["x"]) == ["y" + page * 100]
    assert time.perf_counter() - began < 0.5  # a squared cost takes seconds


def test_without_fields_a_search_has_its_own_arguments_and_none_restricts():
    assert list(search_arguments(None).model_fields) == ["query", "k"]
    assert read_arguments({"a": str}, {"a": None}) is None
    assert read_arguments(None, {}) is None
    with pytest.raises(InvalidRequestError, match="no argument 'a'"):
        read_arguments(None, {"a": "x"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1e999", "x"])
def test_a_number_is_finite(value):
    with pytest.raises(ValidationError, match="size"):
        search_arguments({"size": float}).model_validate({"query": "q", "size": value})
