"""`Record` and `Media`: what they show, and that importing them pulls in no framework."""

import copy
import dataclasses
import pickle

import pytest

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.records import Media, Record

LOCATION = "OSSVECTORS-EMBED-SRC-LOCATION"


def test_a_record_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Record("k").text = "other"


def test_records_share_no_default_metadata():
    first, second = Record("a"), Record("b")
    first.metadata["x"] = 1
    assert second.metadata == {}


def test_the_repr_stays_short_and_shows_no_metadata_values():
    record = Record(
        "k",
        "word " * 5000,
        {"secret": "s" * 5000},
        Float32Array([0.5] * 4096),
        {"class_name": "TextNode", "text": "t" * 5000},
        "llama_index",
    )
    assert len(repr(record)) < 300
    assert "25000 characters" in repr(record)
    assert "sss" not in repr(record)
    assert "node=TextNode" in repr(record)


def test_an_empty_record_has_a_plain_repr():
    assert repr(Record("k")) == "Record('k', text='', metadata=[], source='empty')"


def test_a_record_survives_pickle_and_copies():
    record = Record("k", "t", {"a": [1]}, Float32Array([1, 2]), {"class_name": "Node"}, "envelope")
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record


def test_a_record_of_another_writer_has_no_media():
    assert Record("k", "t", {"source": "a.pdf"}).media is None


def test_media_reads_what_the_cli_wrote():
    record = Record(
        "k",
        metadata={
            LOCATION: "oss://bucket/film.mp4",
            "OSSVECTORS-EMBED-SRC-CONTENT-TYPE": "VIDEO",
            "OSSVECTORS-EMBED-SRC-INDEX": "3",
            "OSSVECTORS-EMBED-START-SEC": 1.5,
            "OSSVECTORS-EMBED-END-SEC": "4",
            "OSSVECTORS-EMBED-TYPE": "visual",
        },
    )
    expected = Media(("oss://bucket/film.mp4",), "VIDEO", 3, 1.5, 4.0, "visual")
    assert record.media == expected
    assert record.media.location == "oss://bucket/film.mp4"


def test_media_of_many_images_keeps_every_location():
    media = Record("k", metadata={LOCATION: ["a.png", "b.png"]}).media
    assert media.locations == ("a.png", "b.png")


@pytest.mark.parametrize("value", ["", None, 5, [], [None]])
def test_media_without_a_usable_location_has_none(value):
    assert Record("k", metadata={LOCATION: value}).media.location is None


@pytest.mark.parametrize("value", ["soon", None, [], "1e999999x"])
def test_media_with_an_unreadable_number_has_none(value):
    metadata = {LOCATION: "a", "OSSVECTORS-EMBED-SRC-INDEX": value}
    assert Record("k", metadata=metadata).media.index is None
