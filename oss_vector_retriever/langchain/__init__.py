"""LangChain adapters: records by key as Documents. Needs the extra `langchain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oss_vector_retriever.lazy import lazily

if TYPE_CHECKING:
    from oss_vector_retriever.langchain.retriever import OSSVectorRetriever

_WHERE = {"OSSVectorRetriever": f"{__name__}.retriever"}

__all__ = ["OSSVectorRetriever"]

__getattr__, __dir__ = lazily(__name__, _WHERE, extra="langchain")
