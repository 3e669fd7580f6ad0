"""Filters: spelled out, in the form of the stored copies, and refused where nothing would match."""

import json
import math

import pytest

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.records.filters import explicit_filter, intersect

EQ_A = {"a": {"$eq": "1"}}
EQ_B = {"b": {"$eq": "x"}}


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (None, None),
        ({}, None),
        ({"a": 1}, EQ_A),
        ({"a": 1.0}, EQ_A),
        ({"a": "1"}, EQ_A),
        ({"a": True}, {"a": {"$eq": "true"}}),
        ({"a": {"$eq": 1}}, EQ_A),
        ({"a": 1, "b": "x"}, {"$and": [EQ_A, EQ_B]}),
        ({"$and": [{"a": 1}, {"b": "x"}]}, {"$and": [EQ_A, EQ_B]}),
        ({"$or": [{"a": 1, "b": "x"}, {"b": "x"}]}, {"$or": [{"$and": [EQ_A, EQ_B]}, EQ_B]}),
        ({"$or": [{"a": 1}], "b": "x"}, {"$and": [{"$or": [EQ_A]}, EQ_B]}),
        ({"a": {"$in": [1, "x"]}}, {"a": {"$in": ["1", "x"]}}),
        ({"a": {"$nin": (2,)}}, {"a": {"$nin": ["2"]}}),
        (
            {"a": {"$ne": 1, "$exists": True}},
            {"$and": [{"a": {"$ne": "1"}}, {"a": {"$exists": True}}]},
        ),
        ({"a": None}, {"a": {"$exists": False}}),
        ({"a": {"$ne": None}}, {"a": {"$exists": True}}),
    ],
)
def test_every_form_is_spelled_out(given, written):
    before = json.dumps(given)
    assert explicit_filter(given, filterable=("a", "b")) == written
    assert json.dumps(given) == before
    if written is not None:
        parse_filter(written, shorthand=False)


def test_native_scalars_stay_as_they_are():
    given = {"a": 1, "b": {"$gt": 2, "$lte": 2.5}}
    assert explicit_filter(given, filterable=("a", "b"), native_scalars=True) == {
        "$and": [{"a": {"$eq": 1}}, {"$and": [{"b": {"$gt": 2}}, {"b": {"$lte": 2.5}}]}]
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "must be a dict, not a list"),
        (lambda _: True, "must be a dict, not a function"),
        ({"c": 1}, r"'c' is not among the filterable fields of this store \(a, b\)"),
        ({"_record": "x"}, "keeps '_record' out of its filters"),
        ({"a": {}}, "'a' has no operator"),
        ({"a": {"$like": "x"}}, r"'a' has '\$like'; the service knows"),
        ({"a": {"nested": "x"}}, "has 'nested'"),
        ({"a": [1, 2]}, r"Several values go to \$in"),
        ({"a": {"$in": []}}, "takes a list, not empty"),
        ({"a": {"$in": "x"}}, "takes a list"),
        ({"a": {"$in": [None]}}, "not a NoneType"),
        ({"a": {"$exists": 1}}, "takes True or False"),
        ({"a": {"$gt": 1}}, "native_scalars=True"),
        ({"a": {"$gt": "1"}}, "takes a number"),
        ({"a": {"$eq": math.nan}}, "NaN"),
        ({"a": math.inf}, "infinite"),
        ({"$and": []}, r"\$and takes a list of conditions"),
        ({"$or": {"a": 1}}, r"\$or takes a list of conditions"),
        ({"$and": [1]}, "1 is no condition"),
        ({"$and": [{}]}, "{} is no condition"),
        ({"$not": {"a": 1}}, r"'\$not' is no field"),
        ({1: "x"}, "1 is no field"),
    ],
)
def test_what_cannot_work_is_refused_with_the_mend(given, message):
    with pytest.raises(InvalidRequestError, match=message):
        explicit_filter(given, filterable=("a", "b"))


def test_where_the_fields_are_not_known_every_field_passes():
    assert explicit_filter({"any": {"$gt": 1}}) == {"any": {"$gt": 1}}


def nested(depth):
    return {"a": 1} if depth == 1 else {"$and": [nested(depth - 1)]}


def test_depth_is_limited_implicit_and_included():
    assert explicit_filter(nested(8))
    with pytest.raises(InvalidRequestError, match="nested deeper than 8"):
        explicit_filter(nested(9))
    deep = nested(8)
    inner = deep
    while "$and" in inner:
        inner = inner["$and"][0]
    inner["b"] = 2
    with pytest.raises(InvalidRequestError, match="nested deeper than 8"):
        explicit_filter(deep)


def test_what_passes_our_depth_passes_the_services():
    parse_filter(explicit_filter(nested(8)), shorthand=False)


def test_items_and_bytes_are_limited():
    assert explicit_filter({"a": {"$in": ["x"] * 1023}})
    with pytest.raises(InvalidRequestError, match="items; the service takes 1024"):
        explicit_filter({"a": {"$in": ["x"] * 1025}})
    with pytest.raises(InvalidRequestError, match="bytes; the service takes 20,480"):
        explicit_filter({"a": "x" * DEFAULT_LIMITS.filter_bytes})
    assert explicit_filter({"a": "x" * 30_000}, limits=Limits(filter_bytes=65_536))


def test_two_filters_become_one():
    assert intersect(None, EQ_A) == intersect(EQ_A, None) == EQ_A
    assert intersect(EQ_A, EQ_B) == {"$and": [EQ_A, EQ_B]}
    assert intersect(None, None) is None
