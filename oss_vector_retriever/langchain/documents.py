"""Records as LangChain Documents."""

from __future__ import annotations

from langchain_core.documents import Document

from oss_vector_retriever.records import Record


def document_from(record: Record, embedding_key: str | None = None) -> Document:
    """Return a record as a Document: the key as its id, the text as its page content.

    A Document has no place for an embedding; `embedding_key` names a metadata field that receives
    it, as a list of floats. Without it the embedding is left out.
    """
    metadata = record.metadata
    if embedding_key is not None and record.embedding is not None:
        metadata[embedding_key] = record.embedding.tolist()
    return Document(id=record.key, page_content=record.text, metadata=metadata)
