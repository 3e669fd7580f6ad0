"""Filterable copies and the service's limits, checked before any call."""

from dataclasses import replace

import pytest

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.records import (
    ENVELOPE_KEYS,
    decode,
    encode,
    filterable_value,
    metadata_bytes,
)


def copies(metadata, filterable, **options):
    stored = encode("k", None, text="t", metadata=metadata, filterable=filterable, **options)
    ours = (*ENVELOPE_KEYS, "_unsure")
    return {name: value for name, value in stored.metadata.items() if name not in ours}


def refused(match, **options):
    with pytest.raises(InvalidRequestError, match=match) as caught:
        encode("k", None, **{"text": "t", **options})
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("a", "a"),
        ("", ""),
        (["a", "b"], ["a", "b"]),
        ([1, True, 0.5], ["1", "true", "0.5"]),
        (2024, "2024"),
        (2024.0, "2024"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (True, "true"),
        (False, "false"),
        (2**70, str(2**70)),
        (None, None),
        ([], None),
    ],
)
def test_the_form_that_filters_see(value, form):
    assert filterable_value(value) == form
    assert copies({"a": value}, ["a"]) == ({} if form is None else {"a": form})


@pytest.mark.parametrize(
    ("value", "form"), [(5, 5), (0.5, 0.5), (True, True), ([5], ["5"]), (2**64, str(2**64))]
)
def test_native_scalars_on_request(value, form):
    assert filterable_value(value, scalars="native") == form
    assert copies({"a": value}, ["a"], scalars="native") == {"a": form}


@pytest.mark.parametrize("value", [{"a": 1}, [["a"]], [None], [{}]])
def test_what_no_filter_can_see_into_is_refused(value):
    with pytest.raises(TypeError):
        filterable_value(value)
    refused(r"metadata\['a'\] cannot be filterable", metadata={"a": value}, filterable=["a"])


def test_an_operand_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        filterable_value(float("nan"))


def test_only_the_chosen_fields_are_copied_and_absent_ones_are_passed_over():
    assert copies({"a": "1", "b": "2"}, ["a", "absent", "a"]) == {"a": "1"}


def test_a_single_name_instead_of_several_is_refused():
    refused("put a single one into a list", metadata={"a": "1"}, filterable="a")


def test_a_copy_named_like_a_foreign_format_does_not_mislead_the_decoder():
    metadata = {"text": "label", "_node_content": "x", "_page_content": "y"}
    record = decode(encode("k", None, text="t", metadata=metadata, filterable=list(metadata)))
    assert (record.text, record.metadata) == ("t", metadata)


def test_size_is_compact_json_in_utf8_with_names_and_escapes():
    assert metadata_bytes({"a": "b"}) == len('{"a":"b"}')
    assert metadata_bytes({"ä": "😀"}) == len('{"ä":"😀"}'.encode())
    assert metadata_bytes({"a": '"'}) == len('{"a":"\\""}')


def test_nine_filterable_fields_pass_beside_the_mark_and_ten_are_refused():
    metadata = {f"f{number}": "x" for number in range(10)}
    assert len(copies(metadata, list(metadata)[:9])) == 9
    refused("11 filterable fields .*_unsure, f0.*takes 10", metadata=metadata, filterable=metadata)


def test_filterable_copies_are_weighed_in_bytes_and_the_largest_is_named():
    overhead = metadata_bytes({"long": "", "s": "x", "_unsure": ["-"]})
    fits = "ü" * ((2048 - overhead) // 2)
    assert copies({"long": fits, "s": "x"}, ["long", "s"])["long"] == fits
    message = refused(
        "filterable copies take", metadata={"long": fits + "ü", "s": "x"}, filterable=["long", "s"]
    )
    assert "the largest is long" in message
    assert "limit of 2,048" in message
    assert "Leave it out of filterable=" in message


def test_a_record_of_exactly_40_kb_passes_and_one_byte_more_is_refused():
    base = metadata_bytes(encode("k", None, text="").metadata)
    text = "x" * (40 * 1024 - base)
    assert metadata_bytes(encode("k", None, text=text).metadata) == 40 * 1024
    message = refused("over the limit of 40,960", text=text + "x")
    assert "record 'k'" in message
    assert "the largest is text" in message
    assert "Split the record" in message


def test_the_largest_part_is_named_whatever_it_is():
    big = "x" * 41_000
    assert r"largest is metadata['big']" in refused("over", metadata={"a": 1, "big": big})
    assert "largest is node" in refused("over", node={"text": big})


def test_other_limits_by_argument():
    small = replace(DEFAULT_LIMITS, metadata_bytes=50)
    refused("over the limit of 50", text="x" * 50, limits=small)
    refused(
        "takes 0",
        metadata={"a": "b"},
        filterable=["a"],
        limits=replace(DEFAULT_LIMITS, filterable_keys=0),
    )
