"""Our own lossless envelope, as it is stored and as it is read.

A record that this package wrote has two fields beside its filterable copies:

    _record_text    the text, as it is
    _record         JSON: {"v": 1, "metadata": {typed metadata}, "node": {a framework's object}};
                    it begins with "wide": true where an integer may be wider than 64 bits

An index that this package creates declares both non-filterable. The envelope wins over the copies
beside it; a field beside it that it does not know was added by someone else, and is kept.
"""

from __future__ import annotations

from typing import Any, Final

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.records.errors import DecodeError
from oss_vector_retriever.records.nodes import without_bookkeeping
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.values import (
    as_object,
    exact_json,
    fast_json,
    fresh,
    load_object,
)

ENVELOPE_FIELD: Final = "_record"
TEXT_FIELD: Final = "_record_text"
ENVELOPE_KEYS: Final = (ENVELOPE_FIELD, TEXT_FIELD)
VERSION: Final = 1
WIDE_MARK: Final = '{"wide":true,'

_METADATA = f"{ENVELOPE_FIELD}.metadata"
_NODE = f"{ENVELOPE_FIELD}.node"


def from_envelope(key: str, stored: dict[str, Any], embedding: Float32Array | None) -> Record:
    """Read a record that `encode` wrote.

    Raises:
        DecodeError: the envelope is damaged, or of a version that this release does not know.
    """
    envelope = _load(stored[ENVELOPE_FIELD], key)
    if envelope.get("v") != VERSION:
        raise DecodeError(key, ENVELOPE_FIELD, _unknown_version(envelope))
    metadata = as_object(envelope.get("metadata"), key, _METADATA)
    node = envelope.get("node")
    if node is not None:
        node = as_object(node, key, _NODE)
    text = stored.get(TEXT_FIELD)
    if not isinstance(text, str):
        raise DecodeError(key, TEXT_FIELD, "it is absent, or not a string")
    if len(stored) > len(ENVELOPE_KEYS):
        beside = [n for n in stored if n not in metadata and n not in ENVELOPE_KEYS]
        if beside and node is not None:
            beside = without_bookkeeping(beside, stored, node)
        if beside:
            metadata.update(fresh({name: stored[name] for name in beside}))
    return Record(key, text, metadata, embedding, node, "envelope")


def _load(value: object, key: str) -> dict[str, Any]:
    wide = isinstance(value, str) and value.startswith(WIDE_MARK)
    return load_object(value, key, ENVELOPE_FIELD, exact_json if wide else fast_json)


def _unknown_version(envelope: dict[str, Any]) -> str:
    found = envelope.get("v")
    if isinstance(found, int) and found > VERSION:
        return f"it has version {found}, and this release reads {VERSION}; a newer one wrote it"
    return f"it has no version {VERSION}, so this package did not write it"
