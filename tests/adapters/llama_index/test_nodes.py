"""Nodes that LlamaIndex's own writer stored come back as they were."""

import json
import logging
import sys

import pytest
from llama_index.core.schema import (
    Document,
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
from llama_index.core.storage.docstore.utils import doc_to_json

from oss_vector_retriever.llama_index import OSSVectorNodeMapping, OSSVectorRetriever
from oss_vector_retriever.records import DecodeError, encode

DATA = [1.0, -0.5, 0.25, 3.0]
RELATED = {
    NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", node_type=ObjectType.DOCUMENT),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="after", metadata={"p": 2}, hash="h"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
}
COMMON = {
    "metadata": {"page": 7, "title": "Größe", "tags": ["a"], "none": None},
    "relationships": RELATED,
    "excluded_llm_metadata_keys": ["page"],
}
NODES = {
    "TextNode": TextNode(id_="n", text="hello", start_char_idx=3, end_char_idx=8, **COMMON),
    "ImageNode": ImageNode(id_="n", text="hello", image_url="http://x.test/a.png", **COMMON),
    "IndexNode": IndexNode(id_="n", text="hello", index_id="i", **COMMON),
    "Node": Node(id_="n", text_resource=MediaResource(text="hello"), **COMMON),
    "Document": Document(id_="n", text="hello", **COMMON),
}
EMPTIED = ("TextNode", "ImageNode", "IndexNode", "Document")


def one(retriever, query="n"):
    [found] = retriever.retrieve(query)
    return found.node


@pytest.mark.parametrize("name", NODES)
def test_class_id_text_metadata_relationships_and_embedding_come_back(client, put_nodes, name):
    stored = NODES[name]
    put_nodes(stored, data=DATA)
    node = one(OSSVectorRetriever(client))
    assert type(node) is type(stored)
    assert node.model_dump() == {**stored.model_dump(), "embedding": DATA}
    assert node.hash == stored.hash
    assert node.ref_doc_id == "doc"


@pytest.mark.parametrize("name", NODES)
def test_the_envelope_keeps_nodes_too(client, put, name):
    stored = NODES[name]
    node = {**stored.model_dump(mode="json", exclude={"metadata"}), "class_name": name}
    written = encode("n", DATA, text="hello", metadata=stored.metadata, node=node)
    put({"n": written.metadata}, data=DATA)
    found = one(OSSVectorRetriever(client))
    assert type(found) is type(stored)
    assert found.model_dump() == {**stored.model_dump(), "embedding": DATA}


@pytest.mark.parametrize("name", EMPTIED)
def test_text_beside_an_emptied_node_returns_to_it(client, put_nodes, name):
    put_nodes(NODES[name], remove_text=True, beside={"text": "hello"})
    node = one(OSSVectorRetriever(client))
    assert node.get_content(MetadataMode.NONE) == "hello"
    assert type(node) is type(NODES[name])


@pytest.mark.parametrize(
    "inside",
    [
        {"class_name": "os"},
        "a text",
        doc_to_json(TextNode(id_="inside", text="deep")),
        {"node": {"id": "inside", "text": "deep", "metadata": {}, "payload": {}}},
        {"value": "a text"},
    ],
)
def test_what_others_put_into_an_index_node_never_takes_its_place(client, put, inside):
    content = {"id_": "x", "text": "top", "metadata": {}, "index_id": "i", "obj": inside}
    put({"n": {"_node_type": "IndexNode", "_node_content": json.dumps(content)}})
    node = one(OSSVectorRetriever(client))
    # the framework would go on to the object by itself, and return it under its own id
    assert (type(node), node.node_id, node.text, node.index_id) == (IndexNode, "n", "top", "i")
    assert OSSVectorNodeMapping(client)["n"].obj is None
    # an object that the program names is another thing
    named = OSSVectorRetriever(client, object_map={"i": TextNode(id_="named", text="its own")})
    assert one(named).node_id == "named"


DEEP = json.loads('{"1":' * 90 + "1" + "}" * 90)
HOSTILE_FIELDS = {
    "a class of a module": {"class_name": "os.system"},
    "core's base": {"class_name": "BaseNode"},
    "no node": {"class_name": "MediaResource", "path": "{canary}"},
    "an image by path": {"class_name": "ImageNode", "image_path": "{canary}"},
    "an image by url": {"class_name": "ImageNode", "image_url": "file://{canary}"},
    "an image's resource": {"class_name": "ImageNode", "image_resource": {"path": "{canary}"}},
    "resources": {
        "class_name": "Node",
        "image_resource": {"path": "{canary}"},
        "audio_resource": {"url": "file://{canary}"},
        "text_resource": {"path": "{canary}", "mimetype": "x"},
    },
    "an id": {"id_": "other", "node_id": "other", "doc_id": "other", "ref_doc_id": "other"},
    "an embedding": {"embedding": [9.0], "hash": "h", "callback_manager": "x"},
    "a base class": {"class_name": "Unknown", "base_class": "os"},
    "a deep source": {"relationships": {"1": {"node_id": "a", "metadata": DEEP}}},
    "a deep nothing": {"relationships": DEEP},
    "a wide number": {"start_char_idx": 10**400},
    "a class that is no string": {"class_name": {"a": 1}, "base_class": []},
}


@pytest.mark.parametrize(
    ("kind", "ours"), [(kind, ours) for kind in HOSTILE_FIELDS for ours in (False, True)]
)
def test_decoding_opens_and_imports_nothing_that_a_record_names(
    put, tmp_path, kind, ours, watched_retriever
):
    retriever, watched_calls = watched_retriever
    canary = tmp_path / "canary.png"
    canary.write_bytes(b"secret")
    fields = json.loads(json.dumps(HOSTILE_FIELDS[kind]).replace("{canary}", canary.as_posix()))
    if ours:
        envelope = json.dumps({"v": 1, "metadata": {}, "node": fields})
        put({"n": {"_record": envelope, "_record_text": "top"}, "after": {"text": "fine"}})
    else:
        content = json.dumps({"id_": "x", "text": "top", "metadata": {}, **fields})
        put({"n": {"_node_content": content}, "after": {"text": "fine"}})
    retriever.retrieve("after")  # what the libraries load by themselves
    with watched_calls as calls:
        found = retriever.retrieve('["n", "after"]')
    assert [each.node.node_id for each in found] == ["n", "after"]
    assert not [call for call in calls if "canary" in call or "os.system" in call]
    assert not [call for call in calls if call.startswith(("socket.connect", "subprocess"))]


def test_the_watch_sees_what_it_is_to_see(tmp_path, watched_calls):
    with watched_calls as calls:
        (tmp_path / "canary.png").write_bytes(b"x")
    assert any("canary" in call for call in calls)


class Watch:
    """The interpreter's own audit events between `with` and its end; hooks cannot be removed."""

    def __init__(self):
        self.calls = None
        sys.addaudithook(self.note)

    def note(self, event, arguments):
        if self.calls is not None and event.startswith(("open", "import", "socket", "subprocess")):
            self.calls.append(f"{event} {arguments!r}")

    def __enter__(self):
        self.calls = []
        return self.calls

    def __exit__(self, *_):
        self.calls = None


@pytest.fixture(scope="module")
def watched_calls():
    return Watch()


@pytest.fixture
def watched_retriever(client, watched_calls):
    return OSSVectorRetriever(client, on_decode_error="raw"), watched_calls


class Marked(Node):
    """A user's own class, which a reader need not know."""

    mark: str = "own"

    @classmethod
    def class_name(cls):
        return "Marked"


@pytest.mark.parametrize(
    ("resource", "text"),
    [(MediaResource(text="hello"), "hello"), (MediaResource(url="http://x.test/a.png"), "")],
)
def test_a_class_that_nobody_knows_becomes_a_text_node(client, put_nodes, resource, text):
    put_nodes(Marked(id_="n", text_resource=resource, metadata={"p": 1}))
    node = one(OSSVectorRetriever(client))
    assert type(node) is TextNode
    assert (node.node_id, node.text, node.metadata) == ("n", text, {"p": 1})


@pytest.mark.parametrize("more", [{}, {"text_template": "{content}!", "start_char_idx": 3}])
def test_a_text_node_is_what_its_own_constructor_makes_of_it(client, put, more):
    related = {"1": {"node_id": "d", "node_type": "4", "hash": "h"}}
    payload = {"relationships": related, "later": "a field of a later release", **more}
    stored = encode("n", [0.5], text="a", metadata={"p": 1}, node=payload)
    put({"n": stored.metadata})
    node = one(OSSVectorRetriever(client, return_data=False))
    expected = TextNode(id_="n", text="a", metadata={"p": 1}, **payload)
    assert vars(node) == vars(expected)
    assert node.model_fields_set == expected.model_fields_set
    assert node.model_copy(deep=True) == expected
    node.text = "changed"
    assert node.get_content() == "changed"


def test_a_record_that_llama_index_did_not_write_becomes_a_text_node(client, put):
    put({"k": {"_page_content": "hello", "tag": "x"}})
    node = one(OSSVectorRetriever(client), "k")
    assert type(node) is TextNode
    assert (node.node_id, node.text, node.metadata) == ("k", "hello", {"tag": "x"})


def test_the_embedding_can_be_left_out(client, put_nodes):
    put_nodes(NODES["TextNode"])
    assert one(OSSVectorRetriever(client, return_data=False)).embedding is None


BROKEN_NODES = {
    "its relationships are no relationships": {"text": "saved", "relationships": "none"},
    "an index node that names no index": {"text": "saved", "class_name": "IndexNode"},
    "its text resource is a number": {"text": "saved", "class_name": "Node", "text_resource": 5},
    "a list of excluded names is a number": {"text": "saved", "excluded_llm_metadata_keys": 5},
}


@pytest.fixture(params=BROKEN_NODES)
def broken(request, put):
    """Store a node that is JSON, and of which no node can be made, between two good records."""
    stored = {"_node_content": json.dumps(BROKEN_NODES[request.param]), "tag": "x"}
    put({"a": {"text": "a"}, "bad": stored, "b": {"text": "b"}})
    return stored


@pytest.mark.usefixtures("broken")
def test_a_node_that_cannot_be_made_is_a_decode_error(client):
    with pytest.raises(DecodeError, match=r"record 'bad': _node_content .* can be made of it"):
        OSSVectorRetriever(client).retrieve("a\nbad\nb")


@pytest.mark.usefixtures("broken")
def test_a_node_that_cannot_be_made_can_be_skipped(client, caplog):
    retriever = OSSVectorRetriever(client, on_decode_error="skip", k=2)
    with caplog.at_level(logging.WARNING, logger="oss_vector_retriever"):
        assert [found.node_id for found in retriever.retrieve("a\nbad\nb")] == ["a", "b"]
    assert "record 'bad'" in caplog.text


def test_a_node_that_cannot_be_made_can_come_back_raw(client, broken):
    found = OSSVectorRetriever(client, on_decode_error="raw").retrieve("a\nbad\nb")
    assert [one.node_id for one in found] == ["a", "bad", "b"]
    node = found[1].node
    assert type(node) is TextNode
    assert (node.text, node.metadata) == ("saved", broken)
