"""The ladder: one test a rung, and the order of the rungs."""

import json

import pytest

from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import Record, decode, encode

CONTENT = "OSSVECTORS-EMBED-SRC-CONTENT"
LOCATION = "OSSVECTORS-EMBED-SRC-LOCATION"
CONTENT_TYPE = "OSSVECTORS-EMBED-SRC-CONTENT-TYPE"

ALL_RUNGS = {
    **encode("k", None, text="envelope").metadata,
    "_node_content": json.dumps({"text": "llama_index"}),
    CONTENT: "embed_cli",
    "_page_content": "langchain",
    "page_content": "langchain, second",
    "mine": "text_key",
    "text": "text",
    "content": "content",
}
ORDER = [
    ("_record", "envelope", "envelope"),
    ("_node_content", "llama_index", "llama_index"),
    (CONTENT, "embed_cli", "embed_cli"),
    ("_page_content", "langchain", "langchain"),
    ("page_content", "langchain", "langchain, second"),
    ("mine", "text_key", "text_key"),
    ("text", "text", "text"),
    ("content", "content", "content"),
]


def of(metadata, **options):
    return decode(Vector("k", None, metadata), **options)


@pytest.mark.parametrize("step", range(len(ORDER)))
def test_the_first_match_wins(step):
    above = {name for name, _, _ in ORDER[:step]}
    stored = {name: value for name, value in ALL_RUNGS.items() if name not in above}
    record = of(stored, text_key="mine")
    assert (record.source, record.text) == ORDER[step][1:]


def test_a_field_that_holds_none_does_not_match():
    names = ["_record", "_node_content", CONTENT, "_page_content", "mine", "text"]
    record = of({**dict.fromkeys(names), "content": "here"}, text_key="mine")
    assert (record.text, record.source) == ("here", "content")


def test_without_any_text_all_is_metadata():
    assert of({"a": "1", "b": ["x"]}) == Record("k", "", {"a": "1", "b": ["x"]}, source="empty")


def test_an_empty_string_is_a_text():
    record = of({"text": "", "content": "other"})
    assert (record.text, record.source, record.metadata) == ("", "text", {"content": "other"})


def test_the_text_leaves_the_metadata_and_the_rest_stays():
    assert of({"_page_content": "t", "source": "a.pdf"}).metadata == {"source": "a.pdf"}


def test_text_key_counts_only_where_it_is_configured():
    assert of({"body": "t"}).source == "empty"
    assert of({"body": "t"}, text_key="body") == Record("k", "t", {}, source="text_key")


@pytest.mark.parametrize(
    ("value", "text"),
    [(["one", "two"], "one\ntwo"), (5, "5"), (0.5, "0.5"), (True, "true"), (False, "false")],
)
def test_a_text_that_is_not_a_string_is_written_out_and_its_field_kept(value, text):
    record = of({"text": value})
    assert (record.text, record.metadata) == (text, {"text": value})


@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], ["a", None], []])
def test_a_value_that_is_no_text_is_passed_over_and_kept(value):
    record = of({"text": value, "content": "t"})
    assert (record.text, record.metadata) == ("t", {"text": value})


def test_the_cli_text_record_keeps_where_it_came_from():
    stored = {CONTENT: "line", LOCATION: "notes.txt", CONTENT_TYPE: "TEXT"}
    record = of(stored)
    assert record.text == "line"
    assert record.media.location == "notes.txt"
    assert record.metadata == {LOCATION: "notes.txt", CONTENT_TYPE: "TEXT"}


def test_the_cli_image_record_has_no_text_and_its_location():
    record = of({LOCATION: "cat.png", CONTENT_TYPE: "IMAGE"})
    assert (record.text, record.source) == ("", "embed_cli")
    assert record.media.content_type == "IMAGE"


def test_a_cli_image_record_takes_its_caption_from_a_text_field():
    record = of({LOCATION: "cat.png", "text": "a cat"})
    assert (record.text, record.media.location) == ("a cat", "cat.png")


def test_the_envelope_wins_over_the_copies_beside_it():
    vector = encode("k", None, text="t", metadata={"year": 2024}, filterable=["year"])
    assert vector.metadata["year"] == "2024"
    assert decode(vector).metadata == {"year": 2024}


def test_a_field_that_another_tool_added_beside_the_envelope_is_kept():
    vector = encode("k", None, text="t", metadata={"a": 1})
    vector.metadata["added"] = ["later"]
    record = decode(vector)
    assert record.metadata == {"a": 1, "added": ["later"]}
    assert record.metadata["added"] is not vector.metadata["added"]


def test_the_embedding_is_beside_the_metadata_and_never_in_it():
    vector = Vector("k", [0.5, 0.25], {"text": "t"})
    record = decode(vector)
    assert record.embedding.tolist() == [0.5, 0.25]
    assert record.metadata == {}
