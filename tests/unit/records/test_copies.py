"""Copies of fields and the mark: which stand where the service sees them, and what is said of the
others.
"""

from dataclasses import replace

import pytest

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.records import ENVELOPE_KEYS, decode, encode, metadata_bytes
from oss_vector_retriever.records.copies import fit_copies


def seen(metadata, *, node=None, **options):
    """Return what the service's filters see of a record."""
    given = {"filterable": None, "scalars": "native", **options}
    vector = encode("k", None, text="t", metadata=metadata, node=node, **given)
    assert decode(vector).metadata == metadata
    stored = {name: v for name, v in vector.metadata.items() if name not in ENVELOPE_KEYS}
    assert len(vector.metadata) <= 10 or options
    assert metadata_bytes(stored) <= 2048
    return stored


def of_document(source):
    return {"relationships": {"1": {"node_id": source}}}


def test_each_field_that_the_service_can_hold_is_copied_as_it_is_in_order():
    metadata = {"t": "x", "n": 5, "half": 0.5, "yes": True, "tags": ["a", "b"], "": "", "e": ""}
    stored = seen(metadata)
    assert list(stored.items()) == [
        ("_unsure", [""]),
        ("t", "x"),
        ("n", 5),
        ("half", 0.5),
        ("yes", True),
        ("tags", ["a", "b"]),
        ("e", ""),
    ]


@pytest.mark.parametrize(
    "value", [{"a": 1}, [], [1], ["a", 1], [["a"]], [None], 2**53, -(2**60), 2**64], ids=repr
)
def test_a_field_that_it_cannot_judge_is_named(value):
    assert seen({"a": "x", "f": value})["_unsure"] == ["f"]


def test_a_number_as_a_string_is_not_the_value_itself():
    metadata = {"n": 5, "yes": True, "tags": [1, "a"], "text": "5"}
    stored = seen(metadata, scalars="strings")
    assert stored == {"_unsure": ["n", "yes", "tags"], "n": "5", "yes": "true", "text": "5"}
    named = seen(metadata, filterable=["tags", "n"], scalars="strings")
    assert named == {"tags": ["1", "a"], "n": "5", "_unsure": ["n", "yes", "tags", "text"]}


def test_what_is_absent_or_none_needs_no_mark():
    assert seen({"a": None}) == seen({}) == {"_unsure": ["-"]}


@pytest.mark.parametrize("name", ["größe", "with space", "1st", "a-b", "n" * 64, "$x"])
def test_a_name_that_the_service_may_not_know_is_not_copied(name):
    assert seen({name: "x"}) == {"_unsure": [name]}


def test_our_own_come_first_and_ten_names_are_all_that_a_record_has():
    metadata = {f"f{n}": n for n in range(12)}
    assert list(seen(metadata, node=of_document("d"))) == [
        "_unsure",
        "ref_doc_id",
        *(f"f{n}" for n in range(6)),
    ]
    assert list(seen(metadata)) == ["_unsure", *(f"f{n}" for n in range(7))]
    stored = seen(metadata, own=["f11"], kept=["f9"])
    assert list(stored) == ["f11", "_unsure", "f9", *(f"f{n}" for n in range(5))]
    assert stored["_unsure"] == ["f5", "f6", "f7", "f8", "f10"]


def test_more_names_are_copied_where_an_account_takes_more():
    fields = {f"f{n}": n for n in range(20)}
    for counts, copied in [((14, 20), 14), ((14, 12), 10), ((10, 20), 10), ((10, 4), 2)]:
        limits = replace(DEFAULT_LIMITS, filterable_keys=counts[0], metadata_keys=counts[1])
        assert len(seen(fields, limits=limits)) == copied


def test_what_is_too_large_is_passed_over_and_what_comes_after_it_is_not():
    stored = seen({"large": "x" * 2048, "small": "y", "half": "z" * 1000, "other": "z" * 1000})
    assert stored == {"_unsure": ["large", "other"], "small": "y", "half": "z" * 1000}


def test_two_kilobytes_are_used_to_the_last_byte():
    overhead = metadata_bytes({"_unsure": ["-"], "f": ""})
    exactly = seen({"f": "x" * (2048 - overhead)})
    assert metadata_bytes(exactly) == 2048
    assert list(exactly) == ["_unsure", "f"]
    assert seen({"f": "x" * (2049 - overhead)}) == {"_unsure": ["f"]}
    overhead = metadata_bytes({"_unsure": ["g"], "f": ""})
    assert metadata_bytes(seen({"f": "x" * (2048 - overhead), "g": {}})) == 2048
    assert "f" not in seen({"f": "x" * (2049 - overhead), "g": {}})


def test_a_star_stands_for_names_that_do_not_fit():
    many = {f"{'n' * 50}_{number}": {} for number in range(50)}
    assert seen({**many, "a": "x"}) == {"_unsure": ["*"], "a": "x"}
    fewer = dict(list(many.items())[:30])
    assert seen({**fewer, "a": "x"}) == {"_unsure": list(fewer), "a": "x"}


def test_nobody_is_copied_where_none_are_named_and_all_are_marked():
    assert seen({"a": "x", "b": 1}, filterable=()) == {"_unsure": ["a", "b"]}


def test_what_is_named_must_fit_and_nothing_else_is_copied():
    assert seen({"a": "x", "b": 1, "c": "y"}, filterable=["c", "absent"]) == {
        "c": "y",
        "_unsure": ["a", "b"],
    }
    for metadata, reason in [
        ({"a": {"b": 1}}, "cannot be filterable"),
        ({"a": "x" * 2048}, "over the limit of 2,048"),
    ]:
        with pytest.raises(InvalidRequestError, match=reason) as refused:
            encode("k", None, text="t", metadata=metadata, filterable=["a"])
        assert refused.value.argument == "filterable"
        assert "filterable=" in str(refused.value)


def test_the_mark_of_a_named_field_gives_way_to_it():
    named = {"a": "x" * (2048 - metadata_bytes({"_unsure": ["*"], "a": ""}))}
    others = {f"other{n}": "y" for n in range(3)}
    assert seen({**named, **others}, filterable=["a"])["_unsure"] == ["*"]


def test_a_field_of_ones_own_named_as_the_document_is_marked():
    metadata = {"ref_doc_id": "mine"}
    assert seen(metadata, node=of_document("d")) == {"_unsure": ["ref_doc_id"], "ref_doc_id": "d"}
    assert seen({"ref_doc_id": "d"}, node=of_document("d")) == {"_unsure": ["-"], "ref_doc_id": "d"}


def test_what_filters_see_may_be_other_fields_than_the_metadata():
    vector = encode("k", None, text="", metadata={"a": 1}, visible={"b": "x"}, filterable=None)
    assert vector.metadata["b"] == "x"
    assert vector.metadata["_unsure"] == ["-"]
    assert decode(vector).metadata == {"a": 1, "b": "x"}


class TestAnIndexThatTakesNoNumbersOrShowsTheEnvelope:
    def fit(self, metadata, *, filterable=None, text="t", **options):
        stored = encode(
            "k", None, text=text, metadata=metadata, filterable=filterable, scalars="native"
        ).metadata
        given = {"scalars": "native", "hidden": ENVELOPE_KEYS, "limits": DEFAULT_LIMITS, **options}
        return fit_copies(stored, **given)

    def test_what_fits_stays_as_it_is(self):
        fitting = self.fit({"a": "x", "n": 5, "d": {}})
        assert fitting["_unsure"] == ["d"]
        assert (fitting["a"], fitting["n"]) == ("x", 5)

    def test_numbers_become_strings_and_are_marked(self):
        fitting = self.fit({"a": "x", "n": 5, "d": {}, "yes": True}, scalars="strings")
        assert set(fitting["_unsure"]) == {"n", "yes", "d"}
        assert (fitting["a"], fitting["n"], fitting["yes"]) == ("x", "5", "true")

    def test_strings_that_are_longer_than_their_numbers_still_fit(self):
        flags = {f"f{n}": True for n in range(6)}
        overhead = metadata_bytes({"_unsure": ["-"], **flags, "a": ""})
        metadata = {**flags, "a": "x" * (2048 - overhead)}
        assert len(self.fit(metadata)) == 10
        fitting = self.fit(metadata, scalars="strings")
        visible = {n: v for n, v in fitting.items() if n not in ENVELOPE_KEYS}
        assert metadata_bytes(visible) <= 2048
        assert "a" not in visible
        assert "a" in visible["_unsure"]

    def test_copies_have_the_room_that_a_visible_envelope_leaves(self):
        metadata = {"a": "x" * 300, "b": "y" * 300, "c": "z"}
        fitting = self.fit(metadata, text="t" * 900, hidden=())
        assert metadata_bytes(fitting) <= 2048
        assert set(fitting) == {*ENVELOPE_KEYS, "_unsure", "a", "c"}
        assert fitting["_unsure"] == ["b"]
        # not even the mark has room: the record is as one of version 1
        assert self.fit(metadata, text="t" * 1400, hidden=()).keys() == set(ENVELOPE_KEYS)

    def test_a_copy_that_was_named_must_have_room(self):
        assert self.fit({"a": "x" * 500}, filterable=["a"], text="t" * 1400, hidden=()) is None

    def test_a_copy_that_the_index_hides_is_none(self):
        fitting = self.fit({"a": "x", "b": "y"}, hidden=(*ENVELOPE_KEYS, "a"))
        assert (fitting["_unsure"], fitting["b"], "a" in fitting) == (["a"], "y", False)

    def test_a_star_stays_a_star(self):
        many = {f"{'n' * 50}_{number}": {} for number in range(50)}
        assert self.fit({**many, "a": 1}, scalars="strings")["_unsure"] == ["*"]
