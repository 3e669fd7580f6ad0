"""Filters in the service's grammar: what each form means, and what is refused with the mend."""

import json
import math

import pytest

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.records.conditions import can_pass, passes
from oss_vector_retriever.records.filters import intersect, read_filter

EQ_A = {"a": {"$eq": "1"}}
EQ_B = {"b": {"$eq": "x"}}
RECORD = {"a": 1, "b": "x", "tags": ["red", "5"], "yes": True, "none": None, "half": 0.5}


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"a": 1},
        {"a": 1.0},
        {"a": {"$eq": 1}},
        {"a": {"$ne": True}},
        {"a": {"$ne": "1"}},
        {"yes": True},
        {"yes": {"$nin": [1, "true"]}},
        {"a": 1, "b": "x"},
        {"$and": [{"a": 1}, {"b": "x"}]},
        {"$or": [{"a": 2, "b": "x"}, {"b": "x"}]},
        {"$or": [{"a": 1}], "b": "x"},
        {"a": {"$in": [1, "x"]}},
        {"a": {"$nin": (2,)}},
        {"a": {"$nin": []}},
        {"a": {"$in": {1}}},
        {"a": {"$ne": 2, "$exists": True}},
        {"half": {"$gt": 0, "$lt": 1}},
        {"none": None},
        {"absent": None},
        {"absent": {"$exists": False}},
        {"absent": {"$ne": 1}},
        {"a": {"$ne": None}},
        {"tags": "red"},
        {"tags": {"$in": ["5", 7]}},
        {"tags": {"$ne": "blue"}},
        {"tags": {"$nin": [5, "re"]}},
        {"$not": {"a": 2}},
        {"$not": {"absent": {"$gt": 1}}},
        {"$not": [{"a": 2}, {"b": "y"}]},
        {"$not": {"$and": [{"a": 1}, {"b": "y"}]}},
        {"$not": {"$not": {"a": 1}}},
        {"a": 1, "$not": {"tags": "blue"}},
        {"tags": {"$contains": "red"}},
        {"b": {"$contains": "x"}},
    ],
    ids=str,
)
def test_a_record_passes(given):
    before = repr(given)
    assert passes(RECORD, read_filter(given))
    assert repr(given) == before


@pytest.mark.parametrize(
    "given",
    [
        {"a": "1"},
        {"a": True},
        {"yes": 1},
        {"yes": {"$in": [1, "true"]}},
        {"yes": {"$gt": 0}},
        {"b": {"$gt": 0}},
        {"a": {"$in": []}},
        {"a": {"$exists": False}},
        {"none": {"$exists": True}},
        {"absent": 1},
        {"tags": "re"},
        {"tags": 5},
        {"tags": {"$ne": "red"}},
        {"tags": {"$nin": ["5"]}},
        {"tags": {"$gt": 1}},
        {"a": 1, "b": "y"},
        {"$or": [{"a": 2}, {"b": "y"}]},
    ],
    ids=str,
)
def test_a_record_does_not_pass(given):
    assert not passes(RECORD, read_filter(given))


@pytest.mark.parametrize("given", [{"tags": "red"}, {"tags": {"$in": ["red"]}}])
def test_a_list_is_compared_as_a_whole_where_lists_are_exact(given):
    assert not passes(RECORD, read_filter(given), exact_lists=True)
    assert passes(RECORD, read_filter({"tags": {"$ne": "red"}}), exact_lists=True)


@pytest.mark.parametrize(
    ("given", "possible"),
    [
        ({"a": {"$in": []}}, False),
        ({"a": {"$in": []}, "b": "x"}, False),
        ({"$or": [{"a": {"$in": []}}, {"a": {"$in": set()}}]}, False),
        ({"$or": [{"a": {"$in": []}}, {"b": "x"}]}, True),
        ({"a": {"$nin": []}}, True),
        ({"a": {"$in": ["x"]}}, True),
        (None, True),
    ],
)
def test_an_empty_list_is_nothing_by_its_form_alone(given, possible):
    assert can_pass(read_filter(given)) is possible


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "must be a dict, not a list"),
        (lambda _: True, "must be a dict, not a function"),
        ({"_record": "x"}, "'_record' is a field of the record's envelope"),
        ({"_unsure": "x"}, "'_unsure' is a field of the record's envelope"),
        ({"a": {}}, "'a' has no operator"),
        ({"a": {"$like": "x"}}, r"'a' has '\$like'; the service knows"),
        ({"a": {"nested": "x"}}, "has 'nested'"),
        ({"a": [1, 2]}, r"Several values go to \$in"),
        ({"a": {"$in": "x"}}, "takes a list"),
        ({"a": {"$in": {}}}, "takes a list"),
        ({"a": {"$in": [None]}}, "not a NoneType"),
        ({"a": {"$exists": 1}}, "takes True or False"),
        ({"a": {"$gt": "1"}}, "takes a number"),
        ({"a": {"$gt": True}}, r"\$gt of 'a' takes a number"),
        ({"a": {"$lte": None}}, r"\$lte of 'a' takes a number"),
        ({"a": {"$eq": math.nan}}, "NaN"),
        ({"a": math.inf}, "infinite"),
        ({"a": {"$in": [1, math.inf]}}, r"filter: the operand of 'a'.* is NaN or infinite"),
        ({"$and": []}, r"\$and takes a list of conditions"),
        ({"$or": {"a": 1}}, r"\$or takes a list of conditions"),
        ({"$and": [1]}, "1 is no condition"),
        ({"$and": [{}]}, "{} is no condition"),
        ({"$nor": {"a": 1}}, r"'\$nor' is no field"),
        ({1: "x"}, "1 is no field"),
        ({"a\ud800": 1}, r"filter: the field 'a\\ud800' holds half"),
        ({"a": "x\ud800"}, r"filter: the operand of 'a', 'x\\ud800' holds half"),
        ({"a": {"$in": ["\ud800"]}}, r"the operand of 'a', '\\ud800' holds half"),
        ({"a": {"$eq": {"x": 1}}}, r"not a dict.$"),
        ({"a": {"$ne": ("x",)}}, r"not a tuple. Several values go to \$in"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_mend(given, message):
    with pytest.raises(InvalidRequestError, match=message) as refused:
        read_filter(given)
    assert refused.value.argument == "filter"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": {"$exists": 1}}, "$exists of 'a' takes True or False."),
        ({"a": {"$in": "x"}}, "$in of 'a' takes a list."),
        ({"a": {"$in": [None]}}, "$in of 'a' compares with a string, a number or a boolean, not a"),
        (
            {"a": {"$eq": []}},
            "$eq of 'a' compares with a string, a number or a boolean, not a list",
        ),
        (
            {"$x": 1},
            (
                "'$x' is no field; $and, $or and $not stand around fields, and $eq, $ne, $in, "
                "$nin, $gt, $gte, $lt, $lte, $exists, $contains inside one."
            ),
        ),
        (
            {"a": {"$x": 1}},
            (
                "'a' has '$x'; the service knows $eq, $ne, $in, $nin, $gt, $gte, $lt, $lte, "
                "$exists, and $contains is checked here."
            ),
        ),
    ],
)
def test_what_is_wrong_is_told_with_field_and_operator(given, said):
    with pytest.raises(InvalidRequestError) as refused:
        read_filter(given)
    assert str(refused.value).startswith(f"filter: {said}")


def test_a_filter_that_is_none_is_named_with_what_was_given():
    with pytest.raises(InvalidRequestError) as refused:
        read_filter([("a", 1)])
    assert (refused.value.argument, refused.value.value) == ("filter", "[('a', 1)]")


def nested(depth):
    return {"a": 1} if depth == 1 else {"$and": [nested(depth - 1)]}


def test_a_hundred_levels_pass_and_no_more():
    assert passes(RECORD, read_filter(nested(100)))
    with pytest.raises(InvalidRequestError, match="nested deeper than 100 levels") as refused:
        read_filter(nested(101))
    assert (refused.value.argument, refused.value.limit) == ("filter", 100)


def test_large_filters_are_evaluated_whatever_the_service_takes():
    assert passes(RECORD, read_filter({"a": {"$in": [*range(5000)]}}))
    assert passes(RECORD, read_filter(json.loads(json.dumps({"b": {"$ne": "x" * 100_000}}))))


def test_two_filters_become_one():
    assert intersect(None, EQ_A) == intersect(EQ_A, None) == EQ_A
    assert intersect(EQ_A, EQ_B) == {"$and": [EQ_A, EQ_B]}
    assert intersect(None, None) is None


@pytest.mark.parametrize("place", [{"$or": []}, {"a": "x"}])
def test_a_filter_that_is_empty_is_left_out_of_two(place):
    assert intersect(place, None) == intersect(None, place) == place
