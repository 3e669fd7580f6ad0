"""LlamaIndex adapters: records by key as nodes. Needs the extra `llama-index`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oss_vector_retriever.lazy import lazily

if TYPE_CHECKING:
    from oss_vector_retriever.llama_index.events import MissingKeysEvent
    from oss_vector_retriever.llama_index.retriever import OSSVectorRetriever

_WHERE = {
    "MissingKeysEvent": f"{__name__}.events",
    "OSSVectorRetriever": f"{__name__}.retriever",
}

__all__ = ["MissingKeysEvent", "OSSVectorRetriever"]

__getattr__, __dir__ = lazily(__name__, _WHERE, extra="llama-index")
