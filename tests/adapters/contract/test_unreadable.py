"""One record that cannot be read never sinks the others, unless that is asked for."""

import json
import logging

import pytest
from support.foreign_records import UNREADABLE

from oss_vector_retriever.records import DecodeError, encode


@pytest.fixture(params=UNREADABLE)
def unreadable(request, put):
    put({"a": {"text": "a"}, "bad": UNREADABLE[request.param], "b": {"text": "b"}})
    return UNREADABLE[request.param]


@pytest.mark.usefixtures("unreadable")
def test_it_is_raised_by_default_and_names_the_record(get):
    with pytest.raises(DecodeError, match="record 'bad'") as caught:
        get("a\nbad\nb")
    assert caught.value.key == "bad"


@pytest.mark.usefixtures("unreadable")
def test_it_can_be_skipped_with_a_word_in_the_log(get, caplog):
    with caplog.at_level(logging.WARNING, logger="oss_vector_retriever"):
        seen = get("a\nbad\nb", on_decode_error="skip")
    assert [one.key for one in seen] == ["a", "b"]
    assert "record 'bad'" in caplog.text


def test_it_can_come_back_raw(get, unreadable):
    seen = get("a\nbad\nb", on_decode_error="raw")
    assert [one.key for one in seen] == ["a", "bad", "b"]
    assert (seen[1].text, seen[1].metadata) == ("saved", unreadable)


def test_a_skipped_record_is_not_missing(get, put):
    put({"bad": UNREADABLE["a damaged node"]})
    assert get("bad", on_decode_error="skip", on_missing="raise") == []


@pytest.mark.usefixtures("unreadable")
@pytest.mark.parametrize(("on_missing", "left"), [("keep", ["a", "gone"]), ("omit", ["a"])])
def test_rehydration_leaves_out_a_skipped_hit_whatever_is_done_with_missing_ones(
    face, client, on_missing, left
):
    rehydrator = face.rehydrator(client, on_missing=on_missing, on_decode_error="skip")
    seen = [face.see(one) for one in face.rehydrate(rehydrator, ["bad", "a", "gone"])]
    assert [one.key for one in seen] == left


def test_a_skipped_hit_is_not_missing_for_rehydration(face, client, put):
    put({"bad": UNREADABLE["a damaged node"]})
    rehydrator = face.rehydrator(client, on_missing="raise", on_decode_error="skip")
    assert face.rehydrate(rehydrator, ["bad"]) == []


@pytest.mark.parametrize("policy", ["raise", "skip", "raw"])
def test_a_policy_does_nothing_to_readable_records(get, put, policy):
    vector = encode("k", [0.5], text="hello", metadata={"n": 1})
    put({"k": vector.metadata, "j": {"_node_content": json.dumps({"text": "hello"})}})
    assert [one.text for one in get("k\nj", on_decode_error=policy)] == ["hello", "hello"]
