"""LangChain adapters: records by key as Documents. Needs the extra `langchain`."""

from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .compressors import (
        StoredEmbeddingsFilter,
        StoredEmbeddingsMMR,
        StoredEmbeddingsRedundantFilter,
    )
    from .connection import Connected, ConnectedComponent
    from .document_index import OSSVectorDocumentIndex
    from .fetcher import FetchReport, OSSVectorFetcher, OSSVectorRehydrator
    from .key_value import OSSVectorByteStore, OSSVectorDocStore, OSSVectorEmbeddingStore
    from .loading import load_retriever
    from .parents import ParentHydratingRetriever
    from .record_manager import VerifyingRecordManager
    from .retriever import OSSVectorRetriever
    from .store import OSSVectorStore
    from .tools import OSSVectorFetchTool, OSSVectorSearchTool, OSSVectorToolkit

_WHERE = {
    "Connected": f"{__name__}.connection",
    "ConnectedComponent": f"{__name__}.connection",
    "FetchReport": f"{__name__}.fetcher",
    "OSSVectorByteStore": f"{__name__}.key_value",
    "OSSVectorDocStore": f"{__name__}.key_value",
    "OSSVectorDocumentIndex": f"{__name__}.document_index",
    "OSSVectorEmbeddingStore": f"{__name__}.key_value",
    "OSSVectorFetchTool": f"{__name__}.tools",
    "OSSVectorFetcher": f"{__name__}.fetcher",
    "OSSVectorRehydrator": f"{__name__}.fetcher",
    "OSSVectorRetriever": f"{__name__}.retriever",
    "OSSVectorSearchTool": f"{__name__}.tools",
    "OSSVectorStore": f"{__name__}.store",
    "OSSVectorToolkit": f"{__name__}.tools",
    "ParentHydratingRetriever": f"{__name__}.parents",
    "StoredEmbeddingsFilter": f"{__name__}.compressors",
    "StoredEmbeddingsMMR": f"{__name__}.compressors",
    "StoredEmbeddingsRedundantFilter": f"{__name__}.compressors",
    "VerifyingRecordManager": f"{__name__}.record_manager",
    "load_retriever": f"{__name__}.loading",
}

__all__ = [
    "Connected",
    "ConnectedComponent",
    "FetchReport",
    "OSSVectorByteStore",
    "OSSVectorDocStore",
    "OSSVectorDocumentIndex",
    "OSSVectorEmbeddingStore",
    "OSSVectorFetchTool",
    "OSSVectorFetcher",
    "OSSVectorRehydrator",
    "OSSVectorRetriever",
    "OSSVectorSearchTool",
    "OSSVectorStore",
    "OSSVectorToolkit",
    "ParentHydratingRetriever",
    "StoredEmbeddingsFilter",
    "StoredEmbeddingsMMR",
    "StoredEmbeddingsRedundantFilter",
    "VerifyingRecordManager",
    "load_retriever",
]

__getattr__, __dir__ = make_lazy(__name__, _WHERE, extra="langchain")
