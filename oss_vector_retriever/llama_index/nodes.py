"""Records as LlamaIndex nodes, and nodes as what a record keeps of them.

Text, metadata and embedding stand in the record itself. Of the rest of a node its payload keeps
what is not a default: it is read with every fetch, and shares 40 KB with text and metadata.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from llama_index.core.schema import BaseNode, ImageNode, IndexNode, MetadataMode, Node, TextNode

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.llama_index.node_classes import (
    CORE_CLASSES,
    NodeClasses,
    core_class_of,
    name_of,
)
from oss_vector_retriever.records import DecodeError, Record

_NOT_OF_TEXT = frozenset({"text_resource", "embedding"})
_IN_THE_RECORD = {"id_", "embedding", "metadata", "text"}
_RESOURCES = ("text_resource", "image_resource", "audio_resource", "video_resource")
_BASE = "base_class"
_NODE, _VALUE = "node", "value"
_PLAIN = (str, int, float, bool, list, dict)


class NodeFields(NamedTuple):
    """Hold what `records.encode` takes of a node: `text=`, `metadata=`, and the payload as `node=`.

    `metadata` is the node's own dict.
    """

    text: str
    metadata: dict[str, Any]
    payload: dict[str, Any]


def node_fields(node: BaseNode) -> NodeFields:
    """Return what a record keeps of a node, from which `node_from` makes an equal one.

    The embedding is the vector's data, and is not among it; nor is that of `IndexNode.obj`.

    Raises:
        InvalidRequestError: `IndexNode.obj` is a retriever or the like, which no record can hold.
    """
    plain = node.model_copy(update={"obj": None}) if isinstance(node, IndexNode) else node
    payload = plain.model_dump(mode="json", exclude=_IN_THE_RECORD, exclude_defaults=True)
    payload["class_name"] = name_of(type(node))
    if payload["class_name"] not in CORE_CLASSES:
        payload[_BASE] = core_class_of(type(node)).class_name()
    _shorten_relationships(payload)
    if isinstance(node, Node):
        _pack_resources(node, payload)
    elif isinstance(node, IndexNode):
        _pack_object(node, payload)
    return NodeFields(node.get_content(MetadataMode.NONE), node.metadata, payload)


def node_from(record: Record, classes: NodeClasses = CORE_CLASSES) -> BaseNode:
    """Return a record as a node: the key as its id, relationships and class as they were written.

    The stored embedding, if it was fetched, is the node's. A record that LlamaIndex did not write
    becomes a TextNode; one of `oss-vectors-embed` for an image an ImageNode that says where it is.

    Args:
        record: a decoded record, which the node takes over.
        classes: the classes that nodes come back as, by stored name; one of a class that is not
            there comes back as core's class that it is made from.

    Raises:
        DecodeError: the record claims to be a node, and no node can be made of it.
    """
    node = _unwritten(record) if record.node is None else _restored(record, record.node, classes)
    if record.embedding is not None:
        # an assignment would check and copy each float, which these are known to be
        node.__dict__["embedding"] = record.embedding.tolist()
        node.__pydantic_fields_set__.add("embedding")
    return node


def _unwritten(record: Record) -> BaseNode:
    fields: dict[str, Any] = {"id_": record.key, "text": record.text, "metadata": record.metadata}
    media = record.media if record.source == "embed_cli" else None
    if media is None or media.content_type != "IMAGE" or media.location is None:
        return TextNode(**fields)
    place = "image_url" if "://" in media.location else "image_path"
    return ImageNode(**fields, **{place: media.location})


def _restored(record: Record, payload: dict[str, Any], classes: NodeClasses) -> BaseNode:
    kind = _class_for(payload, classes)
    try:
        if kind is TextNode and _NOT_OF_TEXT.isdisjoint(payload):
            return _text_node(record, payload)
        return _made(kind, record, payload, classes)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DecodeError(record.key, _field(record), _reason(kind, error)) from error


def _class_for(payload: dict[str, Any], classes: NodeClasses) -> type[BaseNode]:
    known = classes.get(str(payload.get("class_name")))
    return known or classes.get(str(payload.get(_BASE)), TextNode)


def _text_node(record: Record, payload: dict[str, Any]) -> TextNode:
    # its own constructor does no more than this, in twice the time
    node = TextNode.__new__(TextNode)
    fields = {**payload, "id_": record.key, "metadata": record.metadata, "text": record.text}
    TextNode.__pydantic_validator__.validate_python(fields, self_instance=node)
    return node


def _made(
    kind: type[BaseNode], record: Record, payload: dict[str, Any], classes: NodeClasses
) -> BaseNode:
    fields = {**payload, "id_": record.key, "metadata": record.metadata}
    fields.pop("class_name", None)
    fields.pop("embedding", None)
    if issubclass(kind, Node):
        fields.pop("text", None)
        fields["text_resource"] = _with_text(payload.get("text_resource"), record.text)
        return kind(**fields)
    fields.pop("text_resource", None)
    if issubclass(kind, TextNode):
        fields["text"] = record.text
        return _index_node(kind, fields, classes) if issubclass(kind, IndexNode) else kind(**fields)
    return _of_another_kind(kind, fields, record.text)


def _of_another_kind(kind: type[BaseNode], fields: dict[str, Any], text: str) -> BaseNode:
    """Make a node of a class that derives from none of core's that can be made."""
    node = kind(**fields)
    if node.get_content(MetadataMode.NONE) != text:
        node.set_content(text)
    return node


def _with_text(resource: dict[str, Any] | None, text: str) -> dict[str, Any] | None:
    if resource is None:
        return {"text": text} if text else None
    without = not text and resource.get("text", "") is None
    return resource if without else {**resource, "text": text}


def _index_node(kind: type[IndexNode], fields: dict[str, Any], classes: NodeClasses) -> IndexNode:
    packed = fields.get("obj")
    if isinstance(packed, dict) and len(packed) == 1:
        if _VALUE in packed:
            return kind(**{**fields, "obj": packed[_VALUE]})
        if _NODE in packed:
            return kind(**{**fields, "obj": _object_from(packed[_NODE], classes)})
    return kind.from_dict(fields)


def _object_from(packed: dict[str, Any], classes: NodeClasses) -> BaseNode:
    inside = Record(packed["id"], packed["text"], packed["metadata"], None, packed["payload"])
    return node_from(inside, classes)


def _shorten_relationships(payload: dict[str, Any]) -> None:
    for related in payload.get("relationships", {}).values():
        for one in related if isinstance(related, list) else (related,):
            one.pop("class_name", None)


def _pack_resources(node: Node, payload: dict[str, Any]) -> None:
    for name in _RESOURCES:
        resource = getattr(node, name)
        if resource is None:
            continue
        packed = {key: value for key, value in payload[name].items() if value is not None}
        payload[name] = packed
        if resource.data is not None:  # which its own dump leaves out
            packed["data"] = resource.data.decode("ascii")
        if name == "text_resource":
            _leave_out_text(payload, packed, resource.text)


def _leave_out_text(payload: dict[str, Any], packed: dict[str, Any], text: str | None) -> None:
    packed.pop("text", None)
    if text is None:
        packed["text"] = None
    elif text and not packed:
        del payload["text_resource"]


def _pack_object(node: IndexNode, payload: dict[str, Any]) -> None:
    inside = node.obj
    payload.pop("obj", None)
    if isinstance(inside, BaseNode):
        text, metadata, inner = node_fields(inside)
        packed = {"id": inside.node_id, "text": text, "metadata": metadata, "payload": inner}
        payload["obj"] = {_NODE: packed}
    elif isinstance(inside, _PLAIN):
        payload["obj"] = {_VALUE: inside}
    elif inside is not None:
        raise InvalidRequestError(
            f"record {shown(node.node_id)}: IndexNode.obj of type {type(inside).__name__} cannot "
            "be stored; set it to None and give the object to the retriever's object_map"
        )


def _field(record: Record) -> str:
    return "_record.node" if record.source == "envelope" else "_node_content"


def _reason(kind: type[BaseNode], error: Exception) -> str:
    return f"no {kind.class_name()} can be made of it ({type(error).__name__})"
