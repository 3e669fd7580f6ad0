"""Nodes of every class come back from a record as they were."""

import base64
import json

import pytest
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from oss_vector_retriever import ConfigurationError, InvalidRequestError
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, OSSVectorRetriever
from oss_vector_retriever.llama_index.nodes import node_fields

IMAGE = base64.b64encode(b"\x89PNG\r\n\x1a\n rest")
RELATED = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="doc", node_type=ObjectType.DOCUMENT, metadata={"p": 1}, hash="h"
    ),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before", node_type="own"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
}
COMMON = {
    "metadata": {"page": 7, "title": "Größe", "tags": ["a"], "none": None, "ratio": 0.5},
    "relationships": RELATED,
    "excluded_llm_metadata_keys": ["page"],
    "excluded_embed_metadata_keys": ["title"],
    "metadata_template": "{key}={value}",
    "metadata_separator": "; ",
}


class Note(TextNode):
    """A user's own class with a name of its own."""

    author: str = ""

    @classmethod
    def class_name(cls):
        return "Note"


class Unnamed(Document):
    """A user's own class that inherits its name."""

    rating: int = 0


NODES = {
    "text": TextNode(id_="n", text="hello", start_char_idx=3, end_char_idx=8, **COMMON),
    "text with a template": TextNode(id_="n", text="x", text_template="{content}!", **COMMON),
    "empty text": TextNode(id_="n"),
    "document": Document(id_="n", text="hello", **COMMON),
    "document without text": Document(id_="n"),
    "document with empty text": Document(id_="n", text_resource=MediaResource(text="")),
    "image by url": ImageNode(id_="n", text="hello", image_url="http://x.test/a.png", **COMMON),
    "image itself": ImageNode(id_="n", image=IMAGE.decode(), image_path="a.png"),
    "image document": ImageDocument(id_="n", image=IMAGE, text="seen", **COMMON),
    "index": IndexNode(id_="n", text="hello", index_id="i", **COMMON),
    "index with a node": IndexNode(
        id_="n",
        text="top",
        index_id="i",
        obj=TextNode(id_="inside", text="deep", metadata={"in": [1]}, relationships=RELATED),
    ),
    "index with an index node": IndexNode(
        id_="n", index_id="i", obj=IndexNode(id_="m", index_id="j", obj=Note(id_="o", author="me"))
    ),
    "index with a value": IndexNode(id_="n", index_id="i", obj={"some": ["json", 1]}),
    "index with a text": IndexNode(id_="n", index_id="i", obj="a string"),
    "multimodal": Node(
        id_="n",
        text_resource=MediaResource(text="hello", mimetype="text/markdown"),
        image_resource=MediaResource(data=IMAGE),
        audio_resource=MediaResource(url="http://x.test/a.mp3"),
        video_resource=MediaResource(path="v.mp4"),
        **COMMON,
    ),
    "image without text": Node(id_="n", image_resource=MediaResource(url="http://x.test/a.png")),
    "resource without text": Node(id_="n", text_resource=MediaResource(url="http://x.test/t")),
    "own class": Note(id_="n", text="hello", author="me", **COMMON),
    "own class without a name": Unnamed(id_="n", text="hello", rating=5, **COMMON),
}
OWN = (Note, Unnamed)


@pytest.mark.parametrize("name", NODES)
def test_a_node_of_any_class_comes_back_equal(client, put_records, name):
    stored = NODES[name]
    put_records(stored)
    found = OSSVectorDocumentStore(client, node_classes=OWN).get_document("n")
    assert type(found) is type(stored)
    assert found == stored
    assert found.hash == stored.hash
    assert found.model_dump() == stored.model_dump()


@pytest.mark.parametrize("name", ["own class", "own class without a name"])
def test_a_class_that_is_not_registered_comes_back_as_cores(client, put_records, name):
    stored = NODES[name]
    put_records(stored)
    found = OSSVectorDocumentStore(client).get_document("n")
    assert type(found) is (TextNode if isinstance(stored, TextNode) else Document)
    assert found.get_content() == "hello"
    assert found.relationships == stored.relationships


def test_text_metadata_embedding_and_defaults_are_not_in_the_payload():
    node = TextNode(id_="n", text="t", metadata={"a": 1}, embedding=[1.0, 2.0])
    assert node_fields(node) == ("t", {"a": 1}, {"class_name": "TextNode"})
    assert node_fields(Document(text="t")).payload == {"class_name": "Document"}
    assert "hello" not in json.dumps(node_fields(NODES["multimodal"]).payload)


def test_an_embedding_comes_back_where_it_is_asked_for(client, put_records):
    put_records(TextNode(id_="n", text="t", embedding=[0.5, 1.0, -2.0, 0.25]))
    assert OSSVectorRetriever(client).retrieve("n")[0].node.embedding == [0.5, 1.0, -2.0, 0.25]
    assert OSSVectorRetriever(client, return_data=False).retrieve("n")[0].embedding is None
    assert OSSVectorDocumentStore(client).get_document("n").embedding is None


def test_an_object_that_no_record_can_hold_is_refused_by_name(client):
    node = IndexNode(id_="n", index_id="i", obj=OSSVectorRetriever(client))
    with pytest.raises(InvalidRequestError, match=r"'n'.*OSSVectorRetriever.*object_map"):
        node_fields(node)


def test_a_node_given_for_writing_stays_as_it_was():
    node = NODES["index with a node"]
    before = node.model_dump()
    node_fields(node)
    assert node.model_dump() == before


@pytest.mark.parametrize("name", NODES)
def test_the_text_node_family_is_to_be_had_of_every_class(client, put_records, name):
    stored = NODES[name]
    put_records(stored)
    found = OSSVectorDocumentStore(client, text_nodes=True, node_classes=OWN).get_document("n")
    assert isinstance(found, TextNode)
    assert found.text == stored.get_content(MetadataMode.NONE)
    assert (found.metadata, found.relationships) == (stored.metadata, stored.relationships)
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert found.get_metadata_str(mode) == stored.get_metadata_str(mode)


def test_images_stay_images_in_the_text_node_family(client, put_records):
    put_records(NODES["image document"])
    found = OSSVectorDocumentStore(client, text_nodes=True).get_document("n")
    assert (type(found), found.image) == (ImageNode, IMAGE.decode())


def test_an_image_of_the_embed_tool_is_an_image_node(client, put):
    place = "oss://examplebucket/pictures/cat.jpg"
    put(
        {
            "cat": {
                "OSSVECTORS-EMBED-SRC-LOCATION": place,
                "OSSVECTORS-EMBED-SRC-CONTENT-TYPE": "IMAGE",
            }
        }
    )
    node = OSSVectorDocumentStore(client).get_document("cat")
    assert (type(node), node.node_id, node.image_url) == (ImageNode, "cat", place)


@pytest.mark.parametrize("wrong", [(int,), (Note, type("Note", (Note,), {}))])
def test_node_classes_must_be_nodes_of_different_names(client, wrong):
    with pytest.raises(ConfigurationError, match="node class"):
        OSSVectorRetriever(client, node_classes=wrong)
