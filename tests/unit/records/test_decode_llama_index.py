"""Records as llama-index-core's own writer leaves them, read back."""

import pytest

from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records import decode, encode

schema = pytest.importorskip("llama_index.core.schema")
utils = pytest.importorskip("llama_index.core.vector_stores.utils")

METADATA = {"page": 7, "score": 0.5, "title": "Größe", "tags": ["a", "b"], "none": None}


def source_of(document_id):
    return {schema.NodeRelationship.SOURCE: schema.RelatedNodeInfo(node_id=document_id)}


class MarkedNode(schema.TextNode):
    """A user's own class."""

    mark: str = ""

    @classmethod
    def class_name(cls):
        return "MarkedNode"


TEXT = schema.TextNode(id_="n", text="hello", metadata=METADATA, relationships=source_of("doc"))
NODES = {
    "TextNode": TEXT,
    "ImageNode": schema.ImageNode(text="hello", image_url="http://x.test/a.png", metadata=METADATA),
    "IndexNode": schema.IndexNode(text="hello", index_id="i", obj=TEXT, metadata=METADATA),
    "Document": schema.Document(text="hello", metadata=METADATA),
    "Node": schema.Node(text_resource=schema.MediaResource(text="hello"), metadata=METADATA),
    "MarkedNode": MarkedNode(text="hello", mark="own", metadata=METADATA),
}


def written(node, **options):
    return Vector("key", [0.5], utils.node_to_metadata_dict(node, **options))


@pytest.mark.parametrize("name", NODES)
def test_text_metadata_and_class_come_back(name):
    record = decode(written(NODES[name]))
    assert (record.key, record.text, record.source) == ("key", "hello", "llama_index")
    assert record.metadata == METADATA
    assert record.node["class_name"] == name


def test_what_is_special_to_a_class_comes_back():
    assert decode(written(NODES["ImageNode"])).node["image_url"] == "http://x.test/a.png"
    assert decode(written(NODES["IndexNode"])).node["obj"]["__data__"]["text"] == "hello"
    assert decode(written(NODES["MarkedNode"])).node["mark"] == "own"


@pytest.mark.parametrize("name", NODES)
def test_the_framework_builds_the_same_node_again(name):
    node = NODES[name]
    record = decode(written(node))
    again = type(node).from_dict({**record.node, "id_": node.id_, "metadata": record.metadata})
    assert again.to_dict() == node.to_dict()
    assert again.hash == node.hash


@pytest.mark.parametrize("name", ["TextNode", "Document", "Node"])
def test_a_store_that_keeps_the_text_beside_the_node(name):
    vector = written(NODES[name], remove_text=True)
    vector.metadata["text"] = "hello"
    record = decode(vector)
    assert (record.text, record.metadata) == ("hello", METADATA)


def test_the_writer_puts_three_bookkeeping_ids_that_we_take_away():
    vector = written(TEXT)
    assert vector.metadata["ref_doc_id"] == "doc"
    assert decode(vector).metadata == METADATA
    assert utils.node_to_metadata_dict(NODES["Document"])["doc_id"] == "None"


@pytest.mark.parametrize("name", NODES)
def test_a_serialised_node_survives_our_envelope(name):
    node = NODES[name].to_dict()
    record = decode(encode("key", None, text="hello", metadata=METADATA, node=node))
    assert record.node == node
    assert record.metadata == METADATA
