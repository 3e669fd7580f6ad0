"""Filters: spelled out, in the form of the stored copies, and refused where nothing would match."""

import json
import math

import pytest

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.emulator import Behaviour
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.records.filters import explicit_filter, intersect

STRICT = Behaviour(filter_shorthand=False)
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
        parse_filter(written, behaviour=STRICT)


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
    parse_filter(explicit_filter(nested(8)), behaviour=STRICT)


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


@pytest.mark.parametrize(
    ("given", "items"),
    [
        ({"a": 1}, 1),
        ({"a": None}, 1),
        ({"a": 1, "b": 2}, 3),
        ({"$and": [{"a": 1}, {"b": 2}, {"b": 3}]}, 4),
        ({"$or": [{"$and": [{"a": 1}]}]}, 3),
        ({"a": {"$ne": 1, "$exists": True}}, 3),
        ({"a": {"$in": ["x", "y", "z"]}}, 4),
        ({"a": {"$nin": {"x"}}, "b": {"$in": ("y", "z")}}, 6),
    ],
)
def test_each_operator_and_operand_that_is_sent_is_an_item(given, items):
    assert explicit_filter(given, limits=Limits(filter_items=items))
    with pytest.raises(InvalidRequestError, match=f"{items} items; the service takes {items - 1}"):
        explicit_filter(given, limits=Limits(filter_items=items - 1))


def test_many_members_are_no_more_than_the_service_takes():
    names = [f"{one}{other}" for one in "abcdefghijklmnopqrstuvwxyzABCDEF" for other in range(32)]
    with pytest.raises(InvalidRequestError, match="1025 items"):
        explicit_filter(dict.fromkeys(names, ""))
    parse_filter(explicit_filter(dict.fromkeys(names[1:], "")), behaviour=STRICT)


@pytest.mark.parametrize("given", [{"a": "x"}, {"a": "é", "b": "y"}])
def test_bytes_are_those_of_the_json_that_is_sent(given):
    size = len(json.dumps(explicit_filter(given), ensure_ascii=False).replace(" ", "").encode())
    assert explicit_filter(given, limits=Limits(filter_bytes=size))
    with pytest.raises(InvalidRequestError, match=f"{size} bytes; the service takes {size - 1}"):
        explicit_filter(given, limits=Limits(filter_bytes=size - 1))


@pytest.mark.parametrize(
    ("given", "depth"),
    [
        ({"a": 1}, 1),
        ({"a": 1, "b": 1}, 2),
        ({"a": {"$ne": 1, "$exists": True}}, 2),
        ({"a": {"$ne": 1, "$exists": True}, "b": 1}, 3),
        ({"$or": [{"a": 1}, {"b": 2}]}, 2),
        ({"$or": [{"a": 1, "b": 1}, {"b": 2}]}, 3),
        ({"$or": [{"a": {"$ne": 1, "$exists": True}}], "b": 1}, 4),
    ],
)
def test_each_level_that_is_sent_is_one(given, depth):
    written = explicit_filter(given, limits=Limits(filter_depth=depth))
    parse_filter(written, Limits(filter_depth=depth), STRICT)
    with pytest.raises(InvalidRequestError, match=f"nested deeper than {depth - 1} levels"):
        explicit_filter(given, limits=Limits(filter_depth=depth - 1))


@pytest.mark.parametrize(
    ("given", "limits", "limit"),
    [
        ({"a": {"$in": ["x", "y"]}}, Limits(filter_items=2), 2),
        ({"a": "xxxxxxxxxxxxxxxxxxxx"}, Limits(filter_bytes=20), 20),
        ({"$and": [{"a": 1}]}, Limits(filter_depth=1), 1),
    ],
)
def test_an_error_of_a_limit_names_it(given, limits, limit):
    with pytest.raises(InvalidRequestError) as refused:
        explicit_filter(given, limits=limits)
    assert (refused.value.argument, refused.value.limit) == ("filter", limit)


def test_a_filter_that_is_none_is_named_with_what_was_given():
    with pytest.raises(InvalidRequestError) as refused:
        explicit_filter([("a", 1)])
    assert (refused.value.argument, refused.value.value) == ("filter", "[('a', 1)]")


@pytest.mark.parametrize("place", [{"$or": []}, {"a": "x"}])
def test_a_filter_that_is_empty_is_left_out_of_two(place):
    assert intersect(place, None) == intersect(None, place) == place


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a\ud800": 1}, r"filter: the field 'a\\ud800' holds half"),
        ({"a": "x\ud800"}, r"filter: the operand of 'a', 'x\\ud800' holds half"),
        ({"a": {"$in": ["\ud800"]}}, r"the operand of 'a', '\\ud800' holds half"),
        ({"a": {"$eq": math.nan}}, r"filter: the operand of 'a' is NaN"),
        ({"a": {"$in": [1, math.inf]}}, r"filter: the operand of 'a'.* is NaN or infinite"),
        ({"a": {"$gt": True}}, r"\$gt of 'a' takes a number"),
        ({"a": {"$lte": None}}, r"\$lte of 'a' takes a number"),
        ({"a": {"$eq": ["x"]}}, r"not a list. Several values go to \$in"),
        ({"a": {"$eq": {"x": 1}}}, r"not a dict.$"),
        ({"a": {"$ne": ("x",)}}, r"not a tuple. Several values go to \$in"),
        ({"a": {"$in": {}}}, "takes a list, not empty"),
    ],
)
def test_what_cannot_be_compared_is_named(given, message):
    with pytest.raises(InvalidRequestError, match=message) as refused:
        explicit_filter(given)
    assert refused.value.argument == "filter"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": {"$exists": 1}}, "$exists of 'a' takes True or False."),
        ({"a": {"$in": "x"}}, "$in of 'a' takes a list, not empty."),
        ({"a": {"$in": [None]}}, "$in of 'a' compares with a string, a number or a boolean, not a"),
        (
            {"a": {"$eq": []}},
            "$eq of 'a' compares with a string, a number or a boolean, not a list",
        ),
        (
            {"$x": 1},
            (
                "'$x' is no field; $and and $or stand around fields, and $eq, $ne, $in, $nin, $gt, "
                "$gte, $lt, $lte, $exists inside one."
            ),
        ),
        (
            {"a": {"$x": 1}},
            "'a' has '$x'; the service knows $eq, $ne, $in, $nin, $gt, $gte, $lt, $lte, $exists.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_field_and_operator(given, said):
    with pytest.raises(InvalidRequestError) as refused:
        explicit_filter(given)
    assert str(refused.value).startswith(f"filter: {said}")


def test_a_store_without_fields_says_so():
    with pytest.raises(InvalidRequestError, match=r"of this store \(none\)"):
        explicit_filter({"a": 1}, filterable=())


def test_numbers_are_compared_where_copies_are_numbers_or_unknown():
    for options in ({}, {"filterable": ("a",), "native_scalars": True}):
        assert explicit_filter({"a": {"$gte": 1.5}}, **options) == {"a": {"$gte": 1.5}}
    with pytest.raises(InvalidRequestError, match=r"\$gte of 'a' compares numbers"):
        explicit_filter({"a": {"$gte": 1.5}}, filterable=("a",))
