"""Records as LlamaIndex nodes."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    TextNode,
)

from oss_vector_retriever.records import DecodeError, Record

_CLASSES: dict[str, type[BaseNode]] = {
    kind.class_name(): kind for kind in (TextNode, ImageNode, IndexNode, Node, Document)
}


def node_from(record: Record) -> BaseNode:
    """Return a record as a node: the key as its id, relationships and class as they were written.

    The stored embedding, if it was fetched, is the node's. A record that LlamaIndex did not write
    becomes a TextNode.

    Raises:
        DecodeError: the record claims to be a node, and no node can be made of it.
    """
    embedding = None if record.embedding is None else record.embedding.tolist()
    if record.node is None:
        return TextNode(
            id_=record.key, text=record.text, metadata=record.metadata, embedding=embedding
        )
    return _restored(record, record.node, embedding)


def _restored(record: Record, node: dict[str, Any], embedding: list[float] | None) -> BaseNode:
    kind = _CLASSES.get(str(node.get("class_name")), TextNode)
    fields = {**node, "id_": record.key, "metadata": record.metadata, "embedding": embedding}
    if issubclass(kind, TextNode):
        fields.pop("text_resource", None)
        fields["text"] = record.text
    try:
        restored = kind.from_dict(fields)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DecodeError(record.key, _field(record), _reason(kind, error)) from error
    if restored.get_content(MetadataMode.NONE) != record.text:
        restored.set_content(record.text)
    return restored


def _field(record: Record) -> str:
    return "_record.node" if record.source == "envelope" else "_node_content"


def _reason(kind: type[BaseNode], error: Exception) -> str:
    return f"no {kind.class_name()} can be made of it ({type(error).__name__})"
