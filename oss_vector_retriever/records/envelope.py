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
from oss_vector_retriever.records.nodes import add_fields_beside
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.values import (
    exact_json,
    fast_json,
    load_object,
    not_an_object,
)

ENVELOPE_FIELD: Final = "_record"
TEXT_FIELD: Final = "_record_text"
ENVELOPE_KEYS: Final = (ENVELOPE_FIELD, TEXT_FIELD)
VERSION: Final = 1
WIDE_MARK: Final = '{"wide":true,'


def from_envelope(key: str, stored: dict[str, Any], embedding: Float32Array | None) -> Record:
    """Read a record that `encode` wrote.

    Raises:
        DecodeError: the envelope is damaged, or of a version that this release does not know.
    """
    written = stored[ENVELOPE_FIELD]
    wide = isinstance(written, str) and written.startswith(WIDE_MARK)
    envelope = load_object(written, key, ENVELOPE_FIELD, exact_json if wide else fast_json)
    metadata, node, text = envelope.get("metadata"), envelope.get("node"), stored.get(TEXT_FIELD)
    broken = envelope.get("v") != VERSION or not (node is None or type(node) is dict)
    if broken or type(metadata) is not dict or type(text) is not str:
        raise _damage(key, envelope)
    if len(stored) > len(ENVELOPE_KEYS):
        add_fields_beside(metadata, stored, node, ENVELOPE_KEYS)
    return Record(key, text, metadata, embedding, node, "envelope")


def _damage(key: str, envelope: dict[str, Any]) -> DecodeError:
    if envelope.get("v") != VERSION:
        return DecodeError(key, ENVELOPE_FIELD, _unknown_version(envelope))
    for part in ("metadata", "node"):
        value = envelope.get(part)
        if not isinstance(value, dict) and not (part == "node" and value is None):
            return not_an_object(value, key, f"{ENVELOPE_FIELD}.{part}")
    return DecodeError(key, TEXT_FIELD, "it is absent, or not a string")


def _unknown_version(envelope: dict[str, Any]) -> str:
    found = envelope.get("v")
    if isinstance(found, int) and found > VERSION:
        return f"it has version {found}, and this release reads {VERSION}; a newer one wrote it"
    return f"it has no version {VERSION}, so this package did not write it"
