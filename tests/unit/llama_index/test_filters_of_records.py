"""What filters say of whole records, what is refused of them, and what is sent with a search."""

import math

import pytest
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.llama_index.filters import (
    check_filters,
    combine,
    document_id,
    fits,
    passes,
    record_passes,
    service_filter,
    translate,
)
from oss_vector_retriever.records import Record, filterable_value


def leaf(key, operator, value=None):
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def group(*parts, condition="and"):
    return MetadataFilters(filters=list(parts), condition=condition)


def record(document=None, **metadata):
    node = None if document is None else {"relationships": {"1": {"node_id": document}}}
    return Record("key", metadata=metadata, node=node)


class TestTheDocumentOfARecord:
    def test_is_the_source_of_its_node_or_the_field_of_that_name(self):
        assert document_id(record("d1", ref_doc_id="d2")) == "d1"
        assert document_id(record(ref_doc_id="d2")) == "d2"
        assert document_id(record(doc_id="d2")) is None

    def test_is_one_of_those_that_were_asked_for(self):
        assert record_passes(record("d1"), None, ["d1", "d2"])
        assert not record_passes(record("d3"), None, ["d1", "d2"])
        assert not record_passes(record(), None, ["d1"])
        assert not record_passes(record("d1"), None, [])
        assert record_passes(record(), None)

    @pytest.mark.parametrize("name", ["doc_id", "document_id", "ref_doc_id"])
    def test_is_seen_by_filters_under_each_of_its_names(self, name):
        asked = group(leaf(name, "==", "d1"))
        assert record_passes(record("d1"), asked)
        assert not record_passes(record("d2"), asked)
        assert not record_passes(record(), asked)
        assert record_passes(record(), group(leaf(name, "is_empty")))

    def test_gives_way_to_a_field_of_the_users(self):
        asked = group(leaf("doc_id", "==", "mine"))
        assert record_passes(record("d1", doc_id="mine"), asked)
        assert not record_passes(record("mine", doc_id="d1"), asked)

    def test_and_the_filters_must_both_fit(self):
        asked = group(leaf("a", "==", 1))
        assert record_passes(record("d1", a=1), asked, ["d1"])
        assert not record_passes(record("d1", a=2), asked, ["d1"])
        assert not record_passes(record("d2", a=1), asked, ["d1"])


class TestWhatIsRefused:
    def test_is_what_is_no_filters(self):
        with pytest.raises(InvalidRequestError) as refused:
            check_filters({"a": 1})
        assert str(refused.value).startswith("filters must be MetadataFilters, not dict; as in ")
        assert refused.value.argument == "filters"

    def test_is_more_than_a_hundred_levels(self):
        nested = leaf("a", "==", 1)
        for _ in range(99):
            nested = group(nested)
        assert check_filters(nested) is nested
        assert passes({"a": 1}, nested)
        for deeper in (group(nested), group(leaf("b", "==", 1), group(nested))):
            with pytest.raises(InvalidRequestError, match="deeper than 100 levels") as refused:
                check_filters(deeper)
            assert (refused.value.argument, refused.value.limit) == ("filters", 100)

    @pytest.mark.parametrize(
        ("one", "said"),
        [
            (leaf("\ud800", "==", "x"), "filter on the field '\\ud800' holds half"),
            (leaf("\ud800", "is_empty"), "filter on the field '\\ud800' holds half"),
            (leaf("a", "==", "\ud800"), "filter on 'a': the value '\\ud800' holds half"),
            (leaf("a", "in", ["x", "\ud800"]), "filter on 'a': the value '\\ud800' holds half"),
            (leaf("a", "==", math.inf), "filter on 'a': == compares with finite numbers, not"),
            (leaf("a", "in", [1.0, math.nan]), "in compares with finite numbers, not with [1.0, n"),
            (leaf("a", "any", "x"), "filter on 'a': any compares with a list, not with 'x'."),
            (leaf("a", "text_match", 1), "text_match compares with a string, not with 1."),
            (leaf("a", ">", ["x"]), "> compares with a number or a string, not with ['x']."),
        ],
    )
    def test_is_a_value_that_no_record_can_hold_or_that_compares_with_nothing(self, one, said):
        for filters in (group(one), group(group(leaf("b", "==", 1), one))):
            with pytest.raises(InvalidRequestError) as refused:
                check_filters(filters)
            assert said in str(refused.value)
            if "holds half" in said:
                assert refused.value.argument == "filters"

    @pytest.mark.parametrize(
        "one",
        [
            leaf("a", "is_empty", ["x"]),
            leaf("a", "==", ["x", "y"]),
            leaf("a", "==", None),
            leaf("a", "contains", 5),
            leaf("a", ">", "x"),
            leaf("a", "<=", 2.5),
            leaf("a", "all", []),
            leaf("a", "text_match_insensitive", ""),
        ],
        ids=str,
    )
    def test_is_nothing_that_can_be_compared(self, one):
        assert check_filters(filters := group(one)) is filters


class TestWhatIsSentWithASearch:
    def sent(
        self, filters, doc_ids=None, fields=("a", "ref_doc_id"), limits=DEFAULT_LIMITS, **more
    ):
        options = {"native_scalars": False, **more}
        return service_filter(filters, doc_ids, fields, limits=limits, **options)

    def test_are_the_filters_and_the_documents(self):
        documents = {"ref_doc_id": {"$in": ["d1", "d2"]}}
        assert self.sent(None) == (None, True)
        assert self.sent(group(leaf("a", "==", "x"))) == ({"a": {"$eq": "x"}}, True)
        assert self.sent(None, {"d2", "d1"}) == (documents, True)
        assert self.sent(group(leaf("a", "==", "x")), ["d2", "d1"]) == (
            {"$and": [{"a": {"$eq": "x"}}, documents]},
            True,
        )

    def test_are_no_documents_where_the_service_cannot_see_them(self):
        assert self.sent(None, ["d1"], fields=["a"]) == (None, False)
        asked = group(leaf("a", "==", "x"))
        assert self.sent(asked, ["d1"], fields=["a"]) == ({"a": {"$eq": "x"}}, False)

    @pytest.mark.parametrize("name", ["doc_id", "document_id", "ref_doc_id"])
    def test_is_no_filter_on_a_documents_id(self, name):
        # the copy is of what the writer put there, which a node's source goes before
        asked = group(leaf(name, "==", "d1"))
        assert self.sent(asked, fields=[name, "a"]) == (None, False)

    def test_is_nothing_where_it_would_be_refused(self):
        asked = group(leaf("a", "in", ["x", "y", "z"]))
        assert self.sent(asked, limits=Limits(filter_items=3)) == (None, False)
        assert self.sent(asked, limits=Limits(filter_items=4))[1]

    def test_are_numbers_where_the_copies_are_numbers(self):
        assert self.sent(group(leaf("a", ">", 5)))[0] is None
        assert self.sent(group(leaf("a", ">", 5)), native_scalars=True)[0] == {"a": {"$gt": 5}}

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (leaf("a", ">", 0), {"$or": [{"a": {"$gt": 0}}, {"a": {"$in": [True]}}]}),
            (leaf("a", ">=", 0), {"$or": [{"a": {"$gte": 0}}, {"a": {"$in": [False, True]}}]}),
            (leaf("a", "<", 1), {"$or": [{"a": {"$lt": 1}}, {"a": {"$in": [False]}}]}),
            (leaf("a", "<=", -1), {"a": {"$lte": -1}}),
            (leaf("a", "==", 1), {"a": {"$in": ["1", 1, 1.0, "true", True]}}),
            (leaf("a", "==", 0), {"a": {"$in": ["0", 0, 0.0, "false", False]}}),
            (leaf("a", "==", 0.5), {"a": {"$in": ["0.5", 0.5]}}),
            (leaf("a", "==", "x"), {"a": {"$eq": "x"}}),
            (leaf("a", "in", [7, 8]), {"a": {"$in": ["7", 7, 7.0, "8", 8, 8.0]}}),
        ],
    )
    def test_is_whatever_python_takes_for_equal(self, asked, expected):
        found, complete = translate(group(asked), ["a"], native_scalars=True)
        assert complete
        assert _typed(found) == _typed(expected)

    @pytest.mark.parametrize("number", [1e305, -1e305, 1.7976931348623157e308, 2.0**1000, 2**1000])
    @pytest.mark.parametrize("native_scalars", [False, True])
    def test_is_a_number_however_large_as_records_hold_it(self, number, native_scalars):
        (found,) = translate(group(leaf("a", "==", number)), ["a"], native_scalars=native_scalars)[
            0
        ].values()
        for value in (float(number), int(number)):
            assert filterable_value(value, native_scalars=native_scalars) in found["$in"]

    @pytest.mark.parametrize("number", [2**53 + 1, 2**1000, -(2**1000), 10**400, 2**999])
    def test_is_an_int_that_no_float_holds(self, number):
        found, complete = translate(group(leaf("a", "==", number)), ["a"])
        assert complete
        forms = found["a"].get("$in", [found["a"].get("$eq")])
        assert str(number) in forms

    @pytest.mark.parametrize(
        ("condition", "inner", "expected"),
        [
            ("and", "and", "$and"),
            ("and", "or", "$or"),
            ("not", "and", "$or"),
            ("not", "or", "$and"),
        ],
    )
    def test_are_groups_turned_round_by_a_not(self, condition, inner, expected):
        operator = "!=" if condition == "not" else "=="
        parts = [leaf("a", operator, "x"), leaf("b", operator, "y")]
        found, complete = translate(
            group(group(*parts, condition=inner), condition=condition), ["a", "b"]
        )
        assert complete
        assert found == {expected: [{"a": {"$eq": "x"}}, {"b": {"$eq": "y"}}]}

    def test_are_not_all_where_any_part_is_left_out(self):
        known, unknown = leaf("a", "==", "x"), leaf("far", "==", "x")
        for parts in ((known, unknown), (unknown, known)):
            assert translate(group(*parts), ["a"]) == ({"a": {"$eq": "x"}}, False)

    def test_is_nothing_of_an_or_that_lacks_a_part(self):
        known, unknown = leaf("a", "!=", "x"), leaf("far", "!=", "x")
        assert translate(group(known, unknown, condition="not"), ["a"]) == (
            {"a": {"$eq": "x"}},
            False,
        )
        inner = group(known, unknown, condition="and")
        assert translate(group(inner, condition="not"), ["a"]) == (None, False)


def _typed(found):
    """Return a filter as text: True is not 1, and 7 is not 7.0."""
    return repr(found)


def test_parts_are_joined_and_empty_ones_left_out():
    one, other = {"a": {"$eq": "x"}}, {"b": {"$eq": "y"}}
    assert combine("$and", []) is None
    assert combine("$and", [None, {}]) is None
    assert combine("$or", [None, one]) == one
    assert combine("$or", [one, None, other]) == {"$or": [one, other]}


@pytest.mark.parametrize(
    ("found", "limits", "is_within"),
    [
        ({"a": {"$eq": "x"}}, Limits(filter_items=1), True),
        ({"a": {"$in": ["x", "y"]}}, Limits(filter_items=3), True),
        ({"a": {"$in": ["x", "y"]}}, Limits(filter_items=2), False),
        ({"$or": [{"a": {"$eq": "x"}}, {"b": {"$in": ["y"]}}]}, Limits(filter_items=4), True),
        ({"$or": [{"a": {"$eq": "x"}}, {"b": {"$in": ["y"]}}]}, Limits(filter_items=3), False),
        ({"a": {"$eq": "x"}}, Limits(filter_depth=2), True),
        ({"a": {"$eq": "x"}}, Limits(filter_depth=1), False),
        ({"$or": [{"a": {"$eq": "x"}}, {"a": {"$eq": "y"}}]}, Limits(filter_depth=3), True),
        ({"$or": [{"a": {"$eq": "x"}}, {"a": {"$eq": "y"}}]}, Limits(filter_depth=2), False),
        ({"a": {"$eq": "x"}}, Limits(filter_bytes=17), True),
        ({"a": {"$eq": "x"}}, Limits(filter_bytes=16), False),
    ],
)
def test_a_filter_fits_where_its_items_depth_and_bytes_do(found, limits, is_within):
    assert fits(found, limits) is is_within


def test_a_condition_of_none_is_and():
    parts = [leaf("a", "==", "x"), leaf("a", "==", "y")]
    assert not passes({"a": "x"}, group(*parts, condition=None))
    assert translate(group(*parts, condition=None), ["a"])[0].keys() == {"$and"}
