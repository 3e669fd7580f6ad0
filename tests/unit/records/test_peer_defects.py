"""Defects 7 to 10 of llama-index-vector-stores-s3 0.4.0, which we must not have.

They were found by running it; llama-index-vector-stores-cos 0.1.1 shares them.
"""

import json

from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import decode, decode_all, encode

LLAMA_INDEX = Vector("li", None, {"_node_content": json.dumps({"id_": "other", "text": "node"})})
FOREIGN = Vector("foreign", None, {"body": "plain", "tag": "x"})
BARE = Vector("bare", None, None)
BROKEN = Vector("broken", None, {"_node_content": "not json"})


def test_7_the_id_of_a_plain_text_record_is_its_key_and_not_a_random_one():
    assert decode(FOREIGN, text_key="body").key == "foreign"
    assert decode(FOREIGN, text_key="body") == decode(FOREIGN, text_key="body")


def test_8_the_text_is_not_popped_out_of_the_reply():
    for _ in range(2):
        assert decode(FOREIGN, text_key="body").text == "plain"
    assert FOREIGN.metadata == {"body": "plain", "tag": "x"}


def test_9_formats_mix_in_one_batch_with_text_key_and_without():
    ours = encode("ours", None, text="mine")
    batch = [LLAMA_INDEX, FOREIGN, ours, BARE]
    assert [r.text for r in decode_all(batch, text_key="body")] == ["node", "plain", "mine", ""]
    assert [r.text for r in decode_all(batch)] == ["node", "", "mine", ""]


def test_9_one_bad_record_does_not_sink_the_batch():
    batch = [LLAMA_INDEX, BROKEN, BARE]
    assert [r.key for r in decode_all(batch, on_decode_error="skip")] == ["li", "bare"]
    assert [r.key for r in decode_all(batch, on_decode_error="raw")] == ["li", "broken", "bare"]


def test_10_a_record_without_metadata_is_an_empty_text():
    for metadata in (None, {}):
        record = decode(Vector("bare", [1.0], metadata), text_key="body")
        assert (record.text, record.metadata, record.embedding.tolist()) == ("", {}, [1.0])
