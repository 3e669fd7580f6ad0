"""LangChain adapters: records by key as Documents. Needs the extra `langchain`."""

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .compressors import (
        StoredEmbeddingsFilter, StoredEmbeddingsMMR, StoredEmbeddingsRedundantFilter,
    )
    from .connection import Connected, ConnectedComponent
    from .document_index import OSSVectorDocumentIndex
    from .fetcher import FetchReport, OSSVectorFetcher, OSSVectorRehydrator
    from .graph import OSSVectorAdapter
    from .key_value import OSSVectorByteStore, OSSVectorDocStore, OSSVectorEmbeddingStore
    from .loading import load_retriever
    from .parents import ParentHydratingRetriever
    from .record_manager import VerifyingRecordManager
    from .retriever import OSSVectorRetriever
    from .self_query import OSSVectorTranslator
    from .store import OSSVectorStore, OSSVectorStoreRetriever, SearchOptions
    from .tools import OSSVectorFetchTool, OSSVectorSearchTool, OSSVectorToolkit
# isort: on
# fmt: on

_WHERE = {
    "compressors": "StoredEmbeddingsFilter StoredEmbeddingsMMR StoredEmbeddingsRedundantFilter",
    "connection": "Connected ConnectedComponent",
    "document_index": "OSSVectorDocumentIndex",
    "fetcher": "FetchReport OSSVectorFetcher OSSVectorRehydrator",
    "graph": "OSSVectorAdapter",
    "key_value": "OSSVectorByteStore OSSVectorDocStore OSSVectorEmbeddingStore",
    "loading": "load_retriever",
    "parents": "ParentHydratingRetriever",
    "record_manager": "VerifyingRecordManager",
    "retriever": "OSSVectorRetriever",
    "self_query": "OSSVectorTranslator",
    "store": "OSSVectorStore OSSVectorStoreRetriever SearchOptions",
    "tools": "OSSVectorFetchTool OSSVectorSearchTool OSSVectorToolkit",
}

__all__ = [
    "Connected",
    "ConnectedComponent",
    "FetchReport",
    "OSSVectorAdapter",
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
    "OSSVectorStoreRetriever",
    "OSSVectorToolkit",
    "OSSVectorTranslator",
    "ParentHydratingRetriever",
    "SearchOptions",
    "StoredEmbeddingsFilter",
    "StoredEmbeddingsMMR",
    "StoredEmbeddingsRedundantFilter",
    "VerifyingRecordManager",
    "load_retriever",
]

__getattr__, __dir__ = make_lazy(
    __name__,
    {name: f"{__name__}.{module}" for module, names in _WHERE.items() for name in names.split()},
    extra="langchain",  # named in the error, where langchain-core is not installed
)
