"""Records as LangChain Documents."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.records import Record
from oss_vector_retriever.records.settings import ROW_FIELD, ROW_ID_FIELD

# What Document(...) comes down to; the constructors on the way take longer than all the rest here.
_new = Document.__new__
_fill = Document.__pydantic_validator__.validate_python


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
    document = _new(Document)
    _fill(
        {"id": record.key, "page_content": record.text, "metadata": metadata},
        self_instance=document,
    )
    return document


def _leave_row_out(metadata: dict[str, Any]) -> None:
    if metadata.pop(ROW_FIELD) is not None:
        metadata.pop(ROW_ID_FIELD, None)
