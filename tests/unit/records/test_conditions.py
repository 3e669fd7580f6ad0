"""What passes a condition, and what of it is sent to the service, within its limits."""

import json
import sys

import pytest

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.records.conditions import (
    Group,
    Operator,
    Test,
    are_equal,
    can_pass,
    document_id,
    passes,
    push,
    restricts,
    visible_fields,
)
from oss_vector_retriever.records.decode import ENVELOPE_KEYS
from oss_vector_retriever.records.filters import read_filter
from oss_vector_retriever.records.record import Record

UNMARKED = {"_unsure": {"$exists": False}}
ABSENT, THERE = {"a": {"$exists": False}}, {"a": {"$exists": True}}


def unsure(*tests, field="a"):
    """Return the filter of what passes a test, or cannot be judged."""
    marks = [{"_unsure": {"$eq": field}}, {"_unsure": {"$eq": "*"}}, UNMARKED]
    return {"$or": [*tests, *marks]}


def sent(given, **options):
    return push(read_filter(given), **options).filter


def typed(found):
    """Return a filter as text: True is not 1, and 7 is not 7.0."""
    return repr(found)


@pytest.mark.parametrize(
    ("given", "tests"),
    [
        ({"a": "x"}, [{"a": {"$eq": "x"}}]),
        ({"a": "5"}, [{"a": {"$eq": "5"}}]),
        ({"a": {"$in": ["x", "y"]}}, [{"a": {"$in": ["x", "y"]}}]),
        ({"a": 5}, [{"a": {"$in": [5, 5.0]}}]),
        ({"a": 0.5}, [{"a": {"$eq": 0.5}}]),
        ({"a": True}, [{"a": {"$eq": True}}]),
        ({"a": {"$in": [True, 1, "1"]}}, [{"a": {"$in": [True, 1, 1.0, "1"]}}]),
        ({"a": {"$ne": "x"}}, [{"a": {"$nin": ["x"]}}, ABSENT]),
        ({"a": {"$nin": ["x", True]}}, [{"a": {"$nin": ["x", True]}}, ABSENT]),
        ({"a": {"$ne": 5}}, [{"a": {"$nin": [5, 5.0]}}, ABSENT]),
        ({"a": {"$gte": 2.5}}, [{"a": {"$gte": 2.5}}]),
        ({"a": {"$exists": True}}, [THERE]),
        ({"a": {"$ne": None}}, [THERE]),
        # of these a service may keep another number
        ({"a": {"$lt": 2**53}}, [THERE]),
        ({"a": 10**400}, [THERE]),
    ],
    ids=str,
)
def test_a_test_is_sent_with_what_the_service_cannot_judge(given, tests):
    assert typed(sent(given, native=True)) == typed(unsure(*tests))
    assert not push(read_filter(given), native=True).is_whole


def test_an_absent_field_needs_no_mark_since_what_has_no_copy_is_absent_to_the_service():
    assert sent({"a": None}) == ABSENT


@pytest.mark.parametrize(
    ("given", "tests"),
    [
        ({"a": 5}, [THERE]),
        ({"a": {"$gt": 5}}, [THERE]),
        ({"a": {"$in": ["x", 5]}}, [THERE]),
        ({"a": {"$nin": ["x", 5]}}, [{"a": {"$nin": ["x"]}}, ABSENT]),
        ({"a": "x"}, [{"a": {"$eq": "x"}}]),
    ],
    ids=str,
)
def test_no_number_is_sent_where_none_is_known_to_be_kept(given, tests):
    assert sent(given) == unsure(*tests)
    assert sent({"a": {"$ne": 5}}) is None


def test_a_large_number_is_not_excluded_since_a_float_may_stand_for_another():
    assert sent({"a": {"$ne": 2**53}}, native=True) is None
    assert sent({"a": {"$nin": [2**53, 1]}}, native=True) == unsure(
        {"a": {"$nin": [1, 1.0]}}, ABSENT
    )


def test_a_negation_is_not_sent_where_lists_are_exact():
    assert sent({"a": {"$ne": "x"}}, exact_lists=True) is None
    assert sent({"a": "x"}, exact_lists=True) == unsure({"a": {"$eq": "x"}})


def test_an_index_that_shows_envelopes_tells_those_of_version_1_apart():
    old = {"$and": [UNMARKED, {"_record": {"$exists": True}}]}
    marks = [{"_unsure": {"$eq": "a"}}, {"_unsure": {"$eq": "*"}}, old]
    inside = {"$and": [ABSENT, {"_node_content": {"$exists": True}}]}
    assert sent({"a": "x"}, hidden=()) == {"$or": [{"a": {"$eq": "x"}}, *marks, inside]}
    # what stands inside a node alone, the service cannot see there
    assert sent({"a": "x"}, hidden=["_node_content"])["$or"][-1] == ABSENT


def test_what_the_index_hides_and_what_is_no_field_is_not_sent():
    for name in ("_unsure", "$or", "$x", "large"):
        condition = Test(name, Operator.EQ, "x")
        assert push(condition, hidden=["_record", "large"]).filter is None


@pytest.mark.parametrize("kind", ["contains", "any", "all", "text_match", "text_match_insensitive"])
def test_what_only_we_can_compare_must_be_there_at_least(kind):
    operand = ["x"] if kind in ("any", "all") else "x"
    assert push(Test("a", Operator(kind), operand)).filter == unsure(THERE)
    assert push(Group("not", (Test("a", Operator(kind), operand),))).filter is None


def test_what_is_empty_may_be_a_list_that_only_a_record_of_ours_marks():
    empty = Test("a", Operator.IS_EMPTY)
    assert push(empty).filter == unsure(ABSENT, {"a": {"$eq": ""}})
    assert push(empty, hidden=()).filter is None
    assert push(Group("not", (empty,))).filter == unsure(THERE)


def test_groups_are_joined_their_marks_once_each():
    x, y = {"a": {"$eq": "x"}}, {"b": {"$eq": "y"}}
    both = [unsure(x), unsure(y, field="b")]
    assert sent({"a": "x", "b": "y"}) == {"$and": both}
    star = [{"_unsure": {"$eq": "*"}}, UNMARKED]
    either = [x, {"_unsure": {"$eq": "a"}}, *star, y, {"_unsure": {"$eq": "b"}}]
    assert sent({"$or": [{"a": "x"}, {"b": "y"}]}) == {"$or": either}


def test_a_not_is_moved_inwards():
    x, y = Test("a", Operator.NE, "x"), Test("b", Operator.NE, "y")
    positive = [unsure({"a": {"$eq": "x"}}), unsure({"b": {"$eq": "y"}}, field="b")]
    assert push(Group("not", (x, y))).filter == {"$and": positive}
    assert push(Group("not", (Group("not", (Test("a", Operator.EQ, "x"),)),))).filter == positive[0]
    inner = Group("not", (Group("and", (x, y)),))
    assert push(inner).filter.keys() == {"$or"}


def test_an_or_that_lacks_a_part_is_not_sent_and_an_and_without_it_is():
    x, unknown = Test("a", Operator.EQ, "x"), Test("hidden", Operator.EQ, "x")
    hidden = ["_record", "hidden"]
    assert push(Group("or", (x, unknown)), hidden=hidden).filter is None
    assert push(Group("and", (x, unknown)), hidden=hidden).filter == unsure({"a": {"$eq": "x"}})


def test_what_no_record_can_pass_adds_nothing_to_an_or():
    nothing, x = Test("b", Operator.IN, []), Test("a", Operator.EQ, "x")
    assert push(Group("or", (nothing, x))).filter == unsure({"a": {"$eq": "x"}})
    assert not can_pass(Group("and", (nothing, x)))
    assert can_pass(Group("not", (nothing,)))
    assert not can_pass(Test("b", Operator.ANY, []))
    assert can_pass(Test("b", Operator.ALL, []))
    assert not can_pass(Group("not", (Test("b", Operator.NIN, []),)))


def test_the_document_of_a_node_is_found_under_each_of_its_names():
    named = push(Test("doc_id", Operator.EQ, "d")).filter
    for field in ("doc_id", "ref_doc_id"):
        assert {field: {"$eq": "d"}} in named["$or"]
        assert {"_unsure": {"$eq": field}} in named["$or"]


@pytest.mark.parametrize(
    "condition", [None, Group("and", ()), Test("a", Operator.NIN, []), Group("not", ())]
)
def test_a_condition_that_all_pass_is_whole_without_a_filter(condition):
    assert push(condition) == push(None)
    assert push(None).is_whole
    assert passes({}, condition)


NOTHING, ALL = Test("b", Operator.IN, []), Test("b", Operator.NIN, [])
SOME = Test("a", Operator.EQ, "x")
VACUOUS = (
    ALL,
    Test("b", Operator.NE, None),
    Test("b", Operator.NIN, [None]),
    Group("and", ()),
    Group("not", ()),
    Group("and", (ALL, Group("and", ()))),
    Group("or", (SOME, ALL)),
    Group("or", (SOME, Group("not", (NOTHING,)))),
    Group("not", (NOTHING,)),
    Group("not", (NOTHING, Test("b", Operator.ANY, []), Group("or", ()))),
    Group("not", (Group("and", (SOME, NOTHING)),)),
    Group("not", (Test("b", Operator.EQ, None),)),
)


@pytest.mark.parametrize("condition", [None, *VACUOUS])
def test_a_condition_that_no_record_can_fail_restricts_nothing(condition):
    assert not restricts(condition)
    records = [{}, {"a": "x"}, {"a": "y", "b": "z"}, {"b": ["p", 1]}, {"a": None, "b": True}]
    assert all(passes(fields, condition) for fields in records)
    if condition is not None:
        assert restricts(Group("and", (condition, SOME)))
        assert restricts(Group("not", (condition, SOME)))


@pytest.mark.parametrize(
    "condition",
    [
        SOME,
        NOTHING,
        Group("or", ()),
        Group("or", (SOME, NOTHING)),
        Group("not", (ALL,)),
        Test("a", Operator.ALL, []),
        Test("a", Operator.IS_EMPTY),
        Test("a", Operator.EXISTS, False),
        Test("a", Operator.NE, ""),
        Test("a", Operator.NE, 0),
        Test("a", Operator.NIN, [None, "x"]),
    ],
)
def test_a_condition_that_a_record_can_fail_restricts(condition):
    assert restricts(condition)
    records = [{}, {"a": "x"}, {"a": ""}, {"a": 0}]
    assert not all(passes(fields, condition) for fields in records)


def test_what_is_over_a_limit_is_not_sent():
    names = [f"n{number}" for number in range(40)]
    many = sent({"a": {"$in": ["x"] * 1000}})
    assert many["$or"][0] == {"a": {"$in": ["x"] * 1000}}
    parse_filter(many)
    assert sent({"a": {"$in": ["x"] * 1024}}) is None
    assert sent({"a": "x" * 20_000}) is None
    # of an AND the parts that fit
    parts = sent({"a": "x" * 20_000, **dict.fromkeys(names, "y" * 500)})
    parse_filter(parts)
    assert 20 < len(parts["$and"]) < 40
    assert sent({"a": "x" * 20_000, "b": "y"}) == unsure({"b": {"$eq": "y"}}, field="b")
    assert sent({"$or": [{"a": "x" * 20_000}, {"b": "y"}]}) is None


def test_the_marks_count_against_the_levels_and_one_is_left():
    deep = {"a": "x"}
    for _ in range(2):
        deep = {"$or": [{"$and": [deep, {"b": "y"}]}, {"c": "z"}]}
    taken = sent(deep)
    parse_filter({"$and": [{"_row": {"$exists": False}}, taken]})
    assert sent(deep, limits=Limits(filter_depth=5)) != taken
    for depth in range(1, 8):
        fitting = sent(deep, limits=Limits(filter_depth=depth))
        if fitting is not None:
            parse_filter({"$and": [fitting, ABSENT]}, Limits(filter_depth=depth))
    assert DEFAULT_LIMITS.filter_depth == 8


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (True, True, True),
        (0, False, False),
        ([1, [True]], [1.0, [True]], True),
        ([1], [True], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": [1]}, {"a": [1.0]}, True),
        ([1, 2], [1], False),
        ("1", 1, False),
        ({"a": 1}, ["a"], False),
        ({"a": 1}, "a", False),
        (2**53 + 1, float(2**53), False),
    ],
)
def test_a_boolean_is_no_number_however_deep(one, other, expected):
    assert are_equal(one, other) is expected
    assert are_equal(other, one) is expected


@pytest.mark.parametrize(
    ("operator", "operand", "passing", "failing"),
    [
        (Operator.IS_EMPTY, None, [None, "", []], ["x", [""], 0, False, {}]),
        (Operator.CONTAINS, "x", ["axe", ["x"], {"x": 1}], [None, "y", ["axe"], 5]),
        (Operator.ANY, ["x", "y"], ["axe", ["y"]], [None, "z", ["z"], []]),
        (Operator.ALL, ["x", "y"], ["xy", ["y", "x"]], [None, "x", ["x"]]),
        (Operator.TEXT_MATCH, "x", ["axe"], [None, "AXE", ["x"]]),
        (Operator.TEXT_MATCH_INSENSITIVE, "x", ["AXE"], [None, "z", ["x"]]),
        (Operator.GT, "b", ["c"], [None, "b", "a", 5, ["c"]]),
        (Operator.LTE, 5, [5, 4.5, -1], [None, 6, "5", True, [5]]),
    ],
)
def test_each_comparison_means_what_it_says(operator, operand, passing, failing):
    test = Test("a", operator, operand)
    assert [found for found in passing if not passes({"a": found}, test)] == []
    assert [found for found in failing if passes({"a": found}, test)] == []


def test_lists_are_as_exact_in_groups_as_alone():
    grouped = Group("and", (Group("or", (Test("a", Operator.EQ, "x"),)),))
    assert passes({"a": ["x", "y"]}, grouped)
    assert not passes({"a": ["x", "y"]}, grouped, exact_lists=True)


NODE = {"relationships": {"1": {"node_id": "document"}}}


def test_a_record_shows_the_document_of_its_node_under_three_names():
    record = Record("k", metadata={"n": 1}, node=NODE, source="envelope")
    assert document_id(record) == "document"
    shown = visible_fields(record, {"_record": "{}", "copy": "x"})
    names = dict.fromkeys(("doc_id", "document_id", "ref_doc_id"), "document")
    assert shown == {**names, "n": 1}
    # a field of the user's own comes first
    own = Record("k", metadata={"doc_id": "mine"}, node=NODE, source="envelope")
    assert visible_fields(own, None) == {**names, "doc_id": "mine"}


def test_the_document_of_a_record_without_a_node_is_that_of_its_metadata():
    record = Record("k", metadata={"ref_doc_id": "d"}, source="text")
    assert document_id(record) == "d"
    assert document_id(Record("k")) is None
    assert visible_fields(Record("k"), None) == {}


def test_a_record_of_another_program_is_its_own_metadata():
    record = Record("k", text="t", metadata={"n": 1}, source="text")
    assert visible_fields(record, {"n": 1, "text": "t"}) == {"n": 1, "text": "t"}


def test_a_not_of_what_is_there_or_empty_is_moved_inwards():
    for given, expected in (
        (Test("a", Operator.EXISTS, True), ABSENT),
        (Test("a", Operator.EXISTS, False), unsure(THERE)),
        (Test("a", Operator.IS_EMPTY), unsure(THERE)),
    ):
        assert push(Group("not", (given,))).filter == expected


def test_a_not_of_all_is_one_that_any_fails():
    both = Group("and", (Test("a", Operator.EQ, "x"), Test("b", Operator.EQ, "y")))
    sent_back = push(Group("not", (both,))).filter
    for name, value in (("a", "x"), ("b", "y")):
        one = push(Test(name, Operator.NE, value)).filter
        assert all(part in sent_back["$or"] for part in one["$or"])
        assert {name: {"$eq": value}} not in sent_back["$or"]


def test_a_condition_that_some_fail_is_not_whole():
    assert not push(read_filter({"a": "x", "b": "y"})).is_whole
    some = Group("and", (Test("a", Operator.EQ, "x"), Test("b", Operator.NIN, [])))
    assert not push(some).is_whole


def test_a_document_is_not_sent_where_one_of_its_names_is_hidden():
    hidden = (*ENVELOPE_KEYS, "doc_id")
    assert push(Test("doc_id", Operator.EQ, "d"), hidden=hidden).filter is None


@pytest.mark.parametrize(
    ("number", "forms"),
    [
        (-(2**63), {"$in": [-(2**63), float(-(2**63))]}),
        (2**63, {"$eq": float(2**63)}),
        (-(2**63) - 1, {"$exists": True}),
        (sys.float_info.max, {"$eq": sys.float_info.max}),
    ],
)
def test_a_number_is_sent_in_each_form_that_the_service_can_hold(number, forms):
    first = sent({"a": number}, native=True)["$or"][0]["a"]
    assert typed(first) == typed(forms)


def test_the_items_that_fit_are_those_that_the_service_counts():
    limits = Limits(filter_items=100)
    # the list and its group, three marks, the items, one for an AND; eight are left to a search
    fits, too_many = ({"a": {"$in": ["x"] * count}} for count in (86, 87))
    assert sent(fits, limits=limits) is not None
    assert sent(too_many, limits=limits) is None
    halves = {name: {"$in": ["x"] * 40} for name in "ab"}
    assert len(sent(halves, limits=limits)["$and"]) == 2
    halves["a"] = {"$in": ["x"] * 41}
    assert sent(halves, limits=limits) == unsure({"a": halves["a"]})


def test_the_bytes_that_fit_are_those_of_compact_json():
    written = unsure({"a": {"$eq": "x" * 300}})
    size = len(json.dumps(written, separators=(",", ":"))) + len('{"$and":[,]}') + 2_200
    for limit, expected in ((size, written), (size - 1, None)):
        assert sent({"a": "x" * 300}, limits=Limits(filter_bytes=limit)) == expected


def test_of_an_and_the_parts_go_that_are_too_deep_and_of_an_or_none():
    deep = {"$or": [{"$and": [{"a": "x"}, {"b": "y"}]}, {"c": "z"}]}
    # an OR, the AND in it, the OR of a test and its marks, the test; one level is left to a search
    assert sent(deep, limits=Limits(filter_depth=5)) is not None
    assert sent(deep, limits=Limits(filter_depth=4)) is None
    beside = {"$and": [{"d": "w"}, deep]}
    assert sent(beside, limits=Limits(filter_depth=4)) == unsure({"d": {"$eq": "w"}}, field="d")
    assert sent({"d": "w"}, limits=Limits(filter_depth=3)) is not None
    assert sent({"d": "w"}, limits=Limits(filter_depth=2)) is None
