"""What happens to records that cannot be read, and what no decoding may ever do."""

import copy
import logging
import pickle

import pytest

from oss_vector_retriever.client.errors import InvalidRequestError, OSSVectorError
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import DecodeError, decode, decode_all, encode

GOOD = Vector("good", None, {"text": "fine"})
BROKEN_NODE = Vector("broken", None, {"_node_content": "{", "text": "kept", "tags": ["a"]})
BROKEN_ENVELOPE = Vector("torn", None, {"_record": "{", "_record_text": "whole", "a": "1"})


def test_raise_is_the_default_and_names_the_record():
    with pytest.raises(DecodeError, match="'broken': _node_content cannot be read") as caught:
        decode_all([GOOD, BROKEN_NODE])
    assert isinstance(caught.value, OSSVectorError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is not None


def test_skip_leaves_the_broken_one_out_and_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        records = decode_all([BROKEN_NODE, GOOD, BROKEN_ENVELOPE], on_decode_error="skip")
    assert [record.key for record in records] == ["good"]
    assert "'broken'" in caplog.text
    assert decode(BROKEN_NODE, on_decode_error="skip") is None


def test_raw_keeps_the_metadata_as_stored_and_what_text_there_is():
    records = decode_all([BROKEN_NODE, GOOD, BROKEN_ENVELOPE], on_decode_error="raw")
    assert [record.text for record in records] == ["kept", "fine", "whole"]
    assert [record.source for record in records] == ["raw", "text", "raw"]
    assert records[0].metadata == BROKEN_NODE.metadata
    assert records[0].metadata["tags"] is not BROKEN_NODE.metadata["tags"]


def test_raw_without_any_text_is_empty():
    assert decode(Vector("k", None, {"_node_content": "{"}), on_decode_error="raw").text == ""


def test_raw_honours_text_key():
    vector = Vector("k", None, {"_node_content": "{", "mine": "t"})
    assert decode(vector, text_key="mine", on_decode_error="raw").text == "t"


def test_an_unknown_policy_is_refused_even_where_nothing_is_broken():
    with pytest.raises(InvalidRequestError, match="raise or skip or raw"):
        decode(GOOD, on_decode_error="ignore")


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"_record": "junk"}, "_record", "not JSON"),
        ({"_record": "[]"}, "_record", "not an object"),
        ({"_record": "{}"}, "_record", "this package did not write it"),
        ({"_record": '{"v": 3}'}, "_record", "a newer one wrote it"),
        ({"_record": '{"v": 1}'}, "_record.metadata", "not an object"),
        ({"_record": '{"v": 1, "metadata": {}, "node": 5}'}, "_record.node", "not an object"),
        ({"_record_text": None}, "_record_text", "absent"),
        ({"_record_text": ["t"]}, "_record_text", "not a string"),
    ],
)
def test_a_damaged_envelope_says_what_is_damaged(change, field, reason):
    stored = encode("k", None, text="t", metadata={"a": 1}).metadata
    with pytest.raises(DecodeError, match=reason) as caught:
        decode(Vector("k", None, {**stored, **change}))
    assert caught.value.field == field


def test_a_decode_error_survives_pickle():
    with pytest.raises(DecodeError) as caught:
        decode(BROKEN_NODE)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.key, again.field) == (str(caught.value), "broken", "_node_content")


def test_a_decode_error_with_a_long_key_stays_readable():
    with pytest.raises(DecodeError) as caught:
        decode(Vector("k" * 1024, None, {"_record": "{"}))
    assert len(str(caught.value)) < 400


def test_metadata_nested_deeper_than_the_stack_is_copied():
    deep = []
    for _ in range(5000):
        deep = [deep]
    record = decode(Vector("k", None, {"deep": deep}))
    assert record.metadata["deep"] is not deep


@pytest.mark.parametrize(
    "metadata",
    [
        {"text": "t", "tags": ["a"], "more": {"b": [{"c": 1}]}},
        {"_node_content": {"text": "t", "metadata": {"tags": ["a"]}}, "tags": ["a"], "x": ["y"]},
        {"_node_content": '{"text": "t"}', "x": ["y"]},
        {**encode("k", None, text="t", metadata={"a": [1]}).metadata, "x": ["y"]},
        {"_node_content": "{", "x": ["y"]},
    ],
    ids=["fields", "node object", "node text", "envelope", "raw"],
)
def test_decoding_leaves_the_vector_alone_and_shares_nothing(metadata):
    vector = Vector("k", None, metadata)
    before = copy.deepcopy(metadata)
    first, second = (decode(vector, on_decode_error="raw") for _ in range(2))
    assert first == second
    _spoil(first.metadata)
    _spoil(first.node)
    assert vector.metadata == before
    assert second == decode(vector, on_decode_error="raw")


def _spoil(value):
    items = list(value.values()) if isinstance(value, dict) else list(value or [])
    for item in items:
        if isinstance(item, dict | list):
            _spoil(item)
    if value is not None:
        value.clear()
