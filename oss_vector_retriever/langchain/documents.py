"""Records as LangChain Documents."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from pydantic import BaseModel

from oss_vector_retriever.records import Record
from oss_vector_retriever.records.settings import ROW_FIELD, ROW_ID_FIELD


def document_from(record: Record, embedding_key: str | None = None) -> Document:
    """Return a record as a Document: the key as its id, the text as its page content.

    A Document has no place for an embedding; `embedding_key` names a metadata field that receives
    it, as a list of floats. Without it the embedding is left out. What a key-value store notes for
    itself in a row is left out too.
    """
    metadata = record.metadata
    if ROW_FIELD in metadata:
        _leave_row_out(metadata)
    if embedding_key is not None and record.embedding is not None:
        metadata[embedding_key] = record.embedding.tolist()
    return _make(record.key, record.text, metadata)


def _leave_row_out(metadata: dict[str, Any]) -> None:
    if metadata.pop(ROW_FIELD) is not None:
        metadata.pop(ROW_ID_FIELD, None)


def validated(key: str, text: str, metadata: dict[str, Any]) -> Document:
    """Return a Document as its class makes one."""
    return Document(id=key, page_content=text, metadata=metadata)


def filled(key: str, text: str, metadata: dict[str, Any]) -> Document:
    """Return the same Document, filled as pydantic's `model_construct` does it.

    A record's values are of the right types; to look at each again takes longer than all the rest.
    """
    document = _new(Document)
    values = {"id": key, "metadata": metadata, "page_content": text, "type": "Document"}
    _set_values(document, values)
    _set_given(document, {"id", "metadata", "page_content"})
    _set_extra(document, None)
    _set_private(document, None)
    return document


_new = Document.__new__
_set_values, _set_given, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in (
        "__dict__",
        "__pydantic_fields_set__",
        "__pydantic_extra__",
        "__pydantic_private__",
    )
)


def _is_plain() -> bool:
    """Tell whether Document is what `filled` knows: four fields, and nothing done to them."""
    known = set(Document.model_fields) == {"id", "metadata", "page_content", "type"}
    return known and not (Document.__pydantic_post_init__ or Document.__private_attributes__)


_make = filled if _is_plain() else validated
