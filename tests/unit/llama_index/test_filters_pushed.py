"""What is pushed down loses nothing that passes, and narrows where the service can."""

import pytest
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.llama_index.filters import fits, passes, translate
from oss_vector_retriever.records import filterable_value

FIELDS = ("a", "b", "c")
PUSHED = ("==", "in", "is_empty", ">", ">=", "<", "<=", "!=", "nin")


def leaf(key, operator, value=None):
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def push(*parts, condition="and", **options):
    filters = MetadataFilters(filters=list(parts), condition=condition)
    return translate(filters, FIELDS, **options)[0]


def copies(metadata, native_scalars):
    forms = {
        name: filterable_value(metadata.get(name), native_scalars=native_scalars) for name in FIELDS
    }
    return {name: form for name, form in forms.items() if form is not None}


A5, B = leaf("a", "==", 5), leaf("b", "in", ["x", "y"])
FAR = leaf("far", "==", "x")
A5_PUSHED, B_PUSHED = {"a": {"$eq": "5"}}, {"b": {"$in": ["x", "y"]}}


@pytest.mark.parametrize(
    ("parts", "condition", "expected"),
    [
        ((leaf("a", "==", "x"),), "and", {"a": {"$eq": "x"}}),
        ((A5,), "and", A5_PUSHED),
        ((leaf("a", "==", 5.0),), "and", A5_PUSHED),
        ((leaf("a", "==", 1),), "and", {"a": {"$in": ["1", "true"]}}),
        ((leaf("a", "==", 1e16),), "and", {"a": {"$in": ["10000000000000000", "1e+16"]}}),
        ((leaf("a", "is_empty"),), "and", {"$or": [{"a": {"$exists": False}}, {"a": {"$eq": ""}}]}),
        ((A5, B), "and", {"$and": [A5_PUSHED, B_PUSHED]}),
        ((A5, B), "or", {"$or": [A5_PUSHED, B_PUSHED]}),
        ((A5, FAR), "and", A5_PUSHED),
        ((A5, leaf("a", "contains", "x")), "and", A5_PUSHED),
        ((A5, MetadataFilters(filters=[], condition="or")), "and", A5_PUSHED),
        ((leaf("a", "!=", 5),), "not", A5_PUSHED),
        ((leaf("b", "nin", ["x", "y"]), FAR), "not", B_PUSHED),
        ((leaf("a", "is_empty"),), "not", {"a": {"$exists": True}}),
    ],
)
def test_what_the_service_can_check_is_pushed(parts, condition, expected):
    assert push(*parts, condition=condition) == expected


@pytest.mark.parametrize(
    ("parts", "condition"),
    [
        ((), "and"),
        ((FAR,), "and"),
        ((A5, FAR), "or"),
        ((A5, MetadataFilters(filters=[], condition="and")), "or"),
        ((A5,), "not"),
        ((leaf("a", "!=", "x"),), "and"),
        ((leaf("a", "nin", ["x"]),), "and"),
        ((leaf("a", "any", ["x"]),), "and"),
        ((leaf("a", "text_match", "x"),), "and"),
        ((leaf("a", "in", []),), "and"),
        ((leaf("a", "==", ["x"]),), "and"),
        ((leaf("a", "==", None),), "and"),
        ((leaf("a", ">", 5),), "and"),
    ],
)
def test_what_it_cannot_is_left_to_the_evaluation(parts, condition):
    assert push(*parts, condition=condition) is None


def test_ranges_are_pushed_where_numbers_are_stored_as_numbers():
    assert push(leaf("a", ">=", 5), native_scalars=True) == {"a": {"$gte": 5}}
    assert push(leaf("a", ">", "x"), native_scalars=True) is None


def test_it_says_whether_the_service_checks_all_of_it():
    for parts, complete in [((A5, B), True), ((A5, FAR), False), ((), True)]:
        assert translate(MetadataFilters(filters=list(parts)), FIELDS)[1] is complete


def test_filters_over_the_services_limits_do_not_fit():
    assert fits({"a": {"$in": ["x"] * 1023}}, DEFAULT_LIMITS)
    assert not fits({"a": {"$in": ["x"] * 1024}}, DEFAULT_LIMITS)
    assert not fits({"a": {"$eq": "x" * 21_000}}, DEFAULT_LIMITS)
    nested = A5_PUSHED
    for _ in range(6):
        nested = {"$or": [nested, A5_PUSHED]}
    assert fits(nested, DEFAULT_LIMITS)
    assert not fits({"$and": [nested, A5_PUSHED]}, DEFAULT_LIMITS)


@pytest.mark.parametrize("native_scalars", [False, True])
def test_the_service_passes_whatever_the_filters_pass(dice, native_scalars):
    narrowed = kept = 0
    operators = tuple(FilterOperator(one) for one in PUSHED)
    for _ in range(8000):
        filters, metadata = dice.nested(operators), dice.metadata()
        sent, _ = translate(filters, FIELDS, native_scalars=native_scalars)
        if sent is None:
            continue
        lets_through = parse_filter(sent).matches(copies(metadata, native_scalars))
        narrowed += not lets_through
        kept += passes(metadata, filters)
        assert lets_through or not passes(metadata, filters), (filters, metadata, sent)
    assert narrowed > 50
    assert kept > 50
