"""Records whose text is a field: Alibaba's CLI, LangChain, a configured field, anyone's."""

from __future__ import annotations

from typing import Any, Final

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.records.record import (
    EMBED_CONTENT_TYPE,
    EMBED_LOCATION,
    Record,
    Source,
)
from oss_vector_retriever.records.values import fresh, text_of

EMBED_CONTENT: Final = "OSSVECTORS-EMBED-SRC-CONTENT"

_Rungs = tuple[tuple[str, Source], ...]
_BEFORE: _Rungs = (
    (EMBED_CONTENT, "embed_cli"),
    ("_page_content", "langchain"),
    ("page_content", "langchain"),
)
_AFTER: _Rungs = (("text", "text"), ("content", "content"))
_DEFAULT = _BEFORE + _AFTER


def from_fields(
    key: str, stored: dict[str, Any], embedding: Float32Array | None, text_key: str | None
) -> Record:
    """Read a record by the first field that holds text (`values.text_of` says what does).

    A string moves from the metadata into the text. A text made of an array, a number or a boolean
    leaves its field in the metadata, so that nothing is lost.
    """
    for name, source in _rungs(text_key):
        value = stored.get(name)
        if value is not None and (text := text_of(value)) is not None:
            metadata = fresh(stored)
            if isinstance(value, str):
                del metadata[name]
            return Record(key, text, metadata, embedding, None, source)
    return Record(key, "", fresh(stored), embedding, None, _without_text(stored))


def _rungs(text_key: str | None) -> _Rungs:
    return (*_BEFORE, (text_key, "text_key"), *_AFTER) if text_key else _DEFAULT


def _without_text(stored: dict[str, Any]) -> Source:
    # The CLI writes no content for images and videos: only where they lie.
    return "embed_cli" if EMBED_LOCATION in stored or EMBED_CONTENT_TYPE in stored else "empty"
