"""What filters say of whole records, and what is refused of them."""

import math

import pytest
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.llama_index.filters import check_filters, read_filters
from oss_vector_retriever.records import Record, StoreSettings
from oss_vector_retriever.records.conditions import document_id, passes
from oss_vector_retriever.records.store import RecordStore

STORE = RecordStore(StoreSettings())


def leaf(key, operator, value=None):
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def group(*parts, condition="and"):
    return MetadataFilters(filters=list(parts), condition=condition)


def record(document=None, **metadata):
    node = None if document is None else {"relationships": {"1": {"node_id": document}}}
    return Record("key", metadata=metadata, node=node)


def record_passes(found, filters):
    return STORE.passes(found, None, read_filters(filters))


class TestTheDocumentOfARecord:
    def test_is_the_source_of_its_node_or_the_field_of_that_name(self):
        assert document_id(record("d1", ref_doc_id="d2")) == "d1"
        assert document_id(record(ref_doc_id="d2")) == "d2"
        assert document_id(record(doc_id="d2")) is None

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
        assert passes({"a": 1}, read_filters(nested))
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


def test_a_condition_of_none_is_and():
    parts = [leaf("a", "==", "x"), leaf("a", "==", "y")]
    assert not passes({"a": "x"}, read_filters(group(*parts, condition=None)))
