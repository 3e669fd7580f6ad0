"""Records of LlamaIndex: a serialised node under `_node_content`.

`node_to_metadata_dict` of llama-index-core writes them, and every LlamaIndex vector store with it:
the user's metadata at the top level and again in the node, the ids of the source document under
three bookkeeping names, "None" where there is none. Some stores write the text beside an emptied
node.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.records.errors import DecodeError
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.values import as_object, fresh, load_object

NODE_FIELD: Final = "_node_content"
NODE_TYPE_FIELD: Final = "_node_type"

SOURCE_ID_FIELD: Final = "ref_doc_id"
SOURCE_ID_FIELDS: Final = ("doc_id", "document_id", SOURCE_ID_FIELD)
_NO_SOURCE = "None"
_SOURCE_RELATIONSHIP = "1"  # NodeRelationship.SOURCE


def from_node(
    key: str, stored: dict[str, Any], embedding: Float32Array | None, text_key: str | None
) -> Record:
    """Read a record that LlamaIndex wrote; the node wins over the fields beside it.

    Bookkeeping goes: an id field that says "None" or repeats the source relationship.

    Raises:
        DecodeError: the node is not a JSON object, or its metadata or text has a wrong type.
    """
    node = load_object(stored[NODE_FIELD], key, NODE_FIELD)
    if isinstance(node_type := stored.get(NODE_TYPE_FIELD), str):
        node.setdefault("class_name", node_type)
    node.pop("embedding", None)
    own = node.pop("metadata", None)
    metadata = {} if own is None else as_object(own, key, f"{NODE_FIELD}.metadata")
    text, used = _text_beside(_text_inside(node, key), stored, metadata, text_key)
    add_fields_beside(metadata, stored, node, {NODE_FIELD, NODE_TYPE_FIELD, *used})
    return Record(key, text, metadata, embedding, node, "llama_index")


def _text_inside(node: dict[str, Any], key: str) -> str:
    """Return the node's text: `text`, or that of `text_resource` (Node and Document)."""
    resource = node.get("text_resource")
    for field, text in (
        ("text", node.get("text")),
        ("text_resource.text", resource.get("text") if isinstance(resource, dict) else None),
    ):
        if text is not None and not isinstance(text, str):
            raise DecodeError(key, f"{NODE_FIELD}.{field}", "it is not a string")
        if text:
            return text
    return ""


def _text_beside(
    text: str, stored: dict[str, Any], metadata: dict[str, Any], text_key: str | None
) -> tuple[str, set[str]]:
    """Return the text, taken from beside an emptied node, and the fields that only repeat it."""
    used = set()
    for name in (text_key, "text", "content"):
        beside = stored.get(name) if name and name not in metadata else None
        if name and beside and isinstance(beside, str) and text in ("", beside):
            text = beside
            used.add(name)
    return text, used


def add_fields_beside(
    metadata: dict[str, Any],
    stored: dict[str, Any],
    node: dict[str, Any] | None,
    skipped: Collection[str],
) -> None:
    """Add to `metadata` the stored top-level fields that it lacks, copied, but for bookkeeping.

    Bookkeeping says no more than the node's source relationship; without a node there is none.
    """
    beside = [name for name in stored if name not in metadata and name not in skipped]
    if beside and node is not None:
        told = (source_id(node), _NO_SOURCE)
        beside = [n for n in beside if n not in SOURCE_ID_FIELDS or stored[n] not in told]
    if beside:
        metadata.update(fresh({name: stored[name] for name in beside}))


def source_id(node: dict[str, Any] | None) -> object:
    """Return the id of the document that a serialised node was made from; None without one."""
    relationships = None if node is None else node.get("relationships")
    source = relationships.get(_SOURCE_RELATIONSHIP) if isinstance(relationships, dict) else None
    return source.get("node_id") if isinstance(source, dict) else None
