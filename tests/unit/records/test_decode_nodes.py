"""Records with a `_node_content`, in every form that stores leave them in."""

import json

import pytest

from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import DecodeError, decode

NODE = {
    "id_": "written-id",
    "embedding": [0.5],
    "metadata": {"page": 7, "nested": {"a": [1]}},
    "relationships": {"1": {"node_id": "doc-1", "class_name": "RelatedNodeInfo"}},
    "text": "hello",
    "class_name": "TextNode",
}


def stored(node=None, **beside):
    return {"_node_content": json.dumps(NODE if node is None else node), **beside}


def of(metadata, **options):
    return decode(Vector("k", None, metadata), **options)


def test_the_node_gives_text_metadata_and_relationships():
    record = of(stored())
    assert record.text == "hello"
    assert record.metadata == {"page": 7, "nested": {"a": [1]}}
    assert record.node["relationships"]["1"]["node_id"] == "doc-1"
    assert record.source == "llama_index"


def test_the_key_is_the_id_whatever_the_node_says():
    assert of(stored()).key == "k"


def test_the_embedding_inside_a_node_goes():
    assert "embedding" not in of(stored()).node


def test_the_node_may_be_an_object_instead_of_json_text():
    vector = Vector("k", None, {"_node_content": NODE})
    record = decode(vector)
    assert record.metadata == NODE["metadata"]
    assert record.metadata["nested"] is not NODE["metadata"]["nested"]
    assert "embedding" in NODE


def test_the_node_wins_over_the_fields_beside_it():
    assert of(stored(page="8")).metadata["page"] == 7


def test_fields_that_only_stand_beside_the_node_are_kept_after_its_own():
    assert list(of(stored(tag="new", page="7")).metadata) == ["page", "nested", "tag"]


def test_bookkeeping_ids_that_say_none_or_repeat_the_source_go():
    record = of(stored(doc_id="doc-1", document_id="None", ref_doc_id="doc-1"))
    assert record.metadata == NODE["metadata"]


def test_an_id_field_of_the_user_stays():
    assert of(stored(doc_id="mine")).metadata["doc_id"] == "mine"


@pytest.mark.parametrize("relationships", [None, [], {"1": None}, {"1": []}])
def test_odd_relationships_do_not_stop_the_decoding(relationships):
    record = of(stored({"text": "t", "relationships": relationships}, ref_doc_id="None"))
    assert (record.text, record.metadata) == ("t", {})


def test_the_class_name_comes_from_node_type_where_the_node_has_none():
    assert of(stored({"text": "t"}, _node_type="ImageNode")).node["class_name"] == "ImageNode"
    assert of(stored(_node_type="Other")).node["class_name"] == "TextNode"


def test_the_text_may_stand_in_a_text_resource():
    assert of(stored({"text_resource": {"text": "t", "mimetype": None}})).text == "t"


@pytest.mark.parametrize("field", ["mine", "text", "content"])
def test_an_emptied_node_takes_its_text_from_beside_it(field):
    record = of(stored({"text": "", "metadata": {}}, **{field: "moved"}), text_key="mine")
    assert (record.text, record.metadata) == ("moved", {})


def test_a_metadata_field_named_text_is_not_taken_for_the_text_of_an_empty_node():
    record = of(stored({"text": "", "metadata": {"text": "a label"}}, text="a label"))
    assert (record.text, record.metadata) == ("", {"text": "a label"})


def test_a_text_repeated_beside_the_node_is_not_metadata():
    assert "text" not in of(stored(text="hello")).metadata
    assert of(stored(text="another")).metadata["text"] == "another"


def test_integers_over_64_bits_stay_exact():
    assert of(stored({"metadata": {"n": 2**64 + 1}})).metadata == {"n": 2**64 + 1}


@pytest.mark.parametrize(
    ("content", "field", "reason"),
    [
        ("", "_node_content", "not JSON"),
        ("junk", "_node_content", "not JSON"),
        ("[1]", "_node_content", "not an object"),
        (5, "_node_content", "not JSON text"),
        ("[" * 100_000, "_node_content", "not JSON"),
        ('{"metadata": []}', "_node_content.metadata", "not an object"),
        ('{"text": 5}', "_node_content.text", "not a string"),
        ('{"text_resource": {"text": []}}', "_node_content.text_resource.text", "not a string"),
    ],
)
def test_a_broken_node_says_which_record_which_field_and_why(content, field, reason):
    with pytest.raises(DecodeError, match=reason) as caught:
        of({"_node_content": content})
    assert (caught.value.key, caught.value.field) == ("k", field)
    assert "'k'" in str(caught.value)
