"""Every operator and condition means what it says, and, with exact lists, what core's mean."""

import pytest
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.llama_index.filters import check_filters, has_empty_group, read_filters
from oss_vector_retriever.records import conditions

RECORD = {
    "word": "Straße 5",
    "number": 5,
    "part": 2.5,
    "flag": True,
    "tags": ["red", "blue"],
    "sizes": [1, 2],
    "nothing": None,
    "blank": "",
    "hollow": [],
}
PASSING = [
    ("number", "==", 5),
    ("number", "==", 5.0),
    ("tags", "==", ["red", "blue"]),
    ("flag", "!=", 1),
    ("flag", "nin", [1, 0]),
    ("number", "!=", "5"),
    ("nothing", "!=", "x"),
    ("absent", "!=", "x"),
    ("number", ">", 4.5),
    ("number", ">=", 5),
    ("part", "<", 3),
    ("part", "<=", 2.5),
    ("word", ">", "Str"),
    ("number", "in", [4, 5]),
    ("number", "nin", ["5"]),
    ("absent", "nin", ["x"]),
    ("tags", "any", ["green", "red"]),
    ("tags", "all", ["blue", "red"]),
    ("tags", "all", []),
    ("tags", "contains", "red"),
    ("sizes", "contains", 2),
    ("word", "contains", "5"),
    ("word", "text_match", "raße"),
    ("word", "text_match_insensitive", "STRASSE"),
    ("absent", "is_empty", None),
    ("nothing", "is_empty", None),
    ("blank", "is_empty", None),
    ("hollow", "is_empty", None),
]
FAILING = [
    ("number", "==", "5"),
    ("tags", "==", "red"),
    ("nothing", "==", None),
    ("absent", "==", 5),
    ("number", "!=", 5.0),
    ("number", ">", 5),
    ("number", ">", "4"),
    ("word", "<", 9),
    ("absent", "<=", 9),
    ("tags", "in", ["red"]),
    ("number", "nin", [5]),
    ("tags", "any", []),
    ("number", "any", [5]),
    ("tags", "all", ["red", "green"]),
    ("number", "contains", 5),
    ("tags", "contains", "re"),
    ("word", "text_match", "STRASSE"),
    ("tags", "text_match", "red"),
    ("number", "is_empty", None),
    ("flag", "is_empty", None),
    ("flag", "==", 1),
    ("flag", "in", [1]),
    ("flag", ">", 0),
]
OF_ANY_ITEM = [
    ("tags", "==", "red"),
    ("tags", "==", ["red", "blue"]),
    ("tags", "in", ["green", "blue"]),
    ("sizes", "==", 2),
    ("sizes", "in", [2.0]),
]
OF_NO_ITEM = [
    ("tags", "==", "re"),
    ("tags", "==", ["red"]),
    ("tags", "in", ["green"]),
    ("sizes", "==", "2"),
    ("sizes", ">", 0),
    ("hollow", "==", ""),
]


def leaf(key, operator, value):
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def group(condition, *parts):
    return MetadataFilters(filters=list(parts), condition=condition)


def evaluated(filters, metadata, exact_lists=True):
    return conditions.passes(metadata, read_filters(filters), exact_lists)


def passes(*parts, condition="and", metadata=RECORD, exact_lists=True):
    return evaluated(group(condition, *parts), metadata, exact_lists)


@pytest.mark.parametrize("case", PASSING, ids=str)
def test_a_record_passes_and_its_negation_fails(case):
    assert passes(leaf(*case))
    assert not passes(leaf(*case), condition="not")


@pytest.mark.parametrize("case", FAILING, ids=str)
def test_a_record_fails_and_its_negation_passes(case):
    assert not passes(leaf(*case))
    assert passes(leaf(*case), condition="not")


@pytest.mark.parametrize("case", OF_ANY_ITEM, ids=str)
def test_a_list_passes_by_any_item_unless_lists_are_exact(case):
    key, operator, operand = case
    negation = (key, {"==": "!=", "in": "nin"}[operator], operand)
    assert passes(leaf(*case), exact_lists=False)
    assert not passes(leaf(*negation), exact_lists=False)
    assert passes(leaf(*case)) is (operand == ["red", "blue"])
    assert passes(leaf(*negation)) is not passes(leaf(*case))


@pytest.mark.parametrize("case", OF_NO_ITEM, ids=str)
def test_a_list_without_such_an_item_does_not_pass(case):
    assert not passes(leaf(*case), exact_lists=False)
    assert passes(leaf(*case), exact_lists=False, condition="not")


def test_every_operator_is_tried():
    assert {operator for _, operator, _ in PASSING} == {one.value for one in FilterOperator}


YES, NO = leaf("number", "==", 5), leaf("number", "==", 6)


@pytest.mark.parametrize(
    ("condition", "parts", "expected"),
    [
        ("and", (YES, NO), False),
        ("and", (YES, YES), True),
        (None, (YES, NO), False),
        ("or", (YES, NO), True),
        ("or", (NO, NO), False),
        ("not", (YES, NO), False),
        ("not", (NO, NO), True),
        ("not", (group("and", YES, NO),), True),
        ("not", (group("not", NO),), False),
        ("or", (NO, group("not", group("and", NO, YES))), True),
        ("and", (YES, group("or", NO, group("or", NO, YES))), True),
    ],
)
def test_conditions_join_and_nest(condition, parts, expected):
    assert passes(*parts, condition=condition) is expected


@pytest.mark.parametrize("condition", [None, *FilterCondition])
def test_no_filters_are_no_restriction(condition):
    assert passes(condition=condition)
    assert check_filters(None) is None
    assert check_filters(group(condition)) is None
    assert check_filters(group(condition, group("or"))) is None
    assert check_filters(restricting := group(condition, group("or", YES))) is restricting
    assert has_empty_group(group(condition, YES, group("or")))
    assert not has_empty_group(group(condition, YES, group("or", NO)))


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("in", "red"),
        ("nin", 5),
        ("any", "red"),
        ("all", None),
        ("text_match", 5),
        ("text_match_insensitive", None),
        (">", None),
        ("<=", [5]),
        ("==", float("nan")),
        ("in", [float("inf")]),
    ],
)
def test_an_operand_that_means_nothing_is_refused(operator, value):
    with pytest.raises(InvalidRequestError, match=f"filter on 'tags': {operator} compares with"):
        passes(leaf("tags", operator, value))


def test_an_unknown_operator_or_condition_is_refused_not_ignored():
    unknown = leaf("tags", "==", "x").model_copy(update={"operator": "near"})
    with pytest.raises(InvalidRequestError, match=r"^filter on 'tags': unknown operator 'near'\.$"):
        passes(unknown)
    with pytest.raises(InvalidRequestError, match="xor"):
        check_filters(group("and", YES).model_copy(update={"condition": "xor"}))


def without_booleans(metadata):
    """Return metadata without what core takes for 1 and 0."""
    return {name: value for name, value in metadata.items() if not isinstance(value, bool)}


def by_core(filters, metadata):
    return build_metadata_filter_fn(lambda _: metadata, filters)("id")


def test_cores_own_evaluator_agrees_wherever_it_answers(dice):
    answered = 0
    for _ in range(6000):
        filters, metadata = dice.flat(), without_booleans(dice.metadata())
        try:
            expected = by_core(filters, metadata)
        except TypeError:  # core compares what does not compare
            continue
        answered += 1
        assert evaluated(filters, metadata) is expected, (filters, metadata)
    assert answered > 2000


def reference(filters, metadata):
    """Evaluate nested filters, each leaf by core; what core cannot compare does not pass."""
    if isinstance(filters, MetadataFilter):
        try:
            return by_core(group("and", filters), metadata)
        except TypeError:
            return alone(filters, metadata)
    found = [reference(one, metadata) for one in filters.filters]
    if not found:
        return True
    return {"or": any(found), "not": not any(found)}.get(filters.condition, all(found))


def alone(one, metadata):
    """Answer item by item where core gives up: ANY may have found one before or after."""
    items = one.value if one.operator == FilterOperator.ANY else []
    return any(
        isinstance(item, str) and isinstance(metadata[one.key], str) and item in metadata[one.key]
        for item in items
    )


def test_nested_filters_agree_with_core_asked_leaf_by_leaf(dice):
    passed = 0
    for _ in range(6000):
        filters, metadata = dice.nested(), without_booleans(dice.metadata())
        if check_filters(filters) is None:  # no restriction, which core has no word for
            continue
        expected = reference(filters, metadata)
        passed += expected
        assert evaluated(filters, metadata) is expected, (filters, metadata)
    assert 1000 < passed < 5500
