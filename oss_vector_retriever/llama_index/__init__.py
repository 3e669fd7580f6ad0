"""LlamaIndex adapters: records by key as nodes. Needs the extra `llama-index`.

An OSS Vectors index holds records: each a key, a vector of float32, and metadata. Here the key is
the node's id, the vector its embedding, and the rest of the node stands in the metadata, so that a
node comes back as what it was. Records that other programs wrote become nodes too.

All classes take a `client` (`OSSVectorClient` or `AsyncOSSVectorClient`, either serves blocking and
awaited calls), or the arguments of one (`ConnectionOptions`); what is not given comes from the
environment. Ids may be any number: they are fetched 100 a call, several calls at a time, and nodes
come in the order asked. Ids that do not exist are left out and reported as a `MissingKeysEvent`,
where a class does not say otherwise.

A component that is saved, by `to_dict` or by pickle, reads in another process what it read here:
where its client points travels with it, credentials never do.
"""

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
from typing import TYPE_CHECKING

from ..lazy import make_lazy

if TYPE_CHECKING:
    from .auto_merging import OSSVectorAutoMergingRetriever
    from .chat_store import OSSVectorChatStore
    from .component import ConnectionOptions, IncompleteSearchEvent, MissingKeysEvent
    from .docstore import OSSVectorDocumentStore
    from .kv_store import OSSVectorIndexStore, OSSVectorKVStore
    from .mapping import OSSVectorNodeMapping, OSSVectorPrefetchingRetriever
    from .postprocessors import (
        OSSVectorPrevNextPostprocessor, OSSVectorRehydrationPostprocessor,
        StoredEmbeddingDedupPostprocessor, StoredEmbeddingMMRPostprocessor,
        StoredEmbeddingRescorer,
    )
    from .reader import DocumentStream, OSSVectorReader
    from .retriever import KeyQueryBundle, NodeWithProvenance, OSSVectorRetriever
    from .reuse import ReuseStoredEmbeddings
    from .store import OSSVectorStore, QueryOptions
    from .tools import OSSVectorToolSpec
# isort: on
# fmt: on

_WHERE = {
    "ConnectionOptions": f"{__name__}.component",
    "DocumentStream": f"{__name__}.reader",
    "KeyQueryBundle": f"{__name__}.retriever",
    "IncompleteSearchEvent": f"{__name__}.component",
    "MissingKeysEvent": f"{__name__}.component",
    "NodeWithProvenance": f"{__name__}.retriever",
    "OSSVectorAutoMergingRetriever": f"{__name__}.auto_merging",
    "OSSVectorChatStore": f"{__name__}.chat_store",
    "OSSVectorDocumentStore": f"{__name__}.docstore",
    "OSSVectorIndexStore": f"{__name__}.kv_store",
    "OSSVectorKVStore": f"{__name__}.kv_store",
    "OSSVectorNodeMapping": f"{__name__}.mapping",
    "OSSVectorPrefetchingRetriever": f"{__name__}.mapping",
    "OSSVectorPrevNextPostprocessor": f"{__name__}.postprocessors",
    "OSSVectorReader": f"{__name__}.reader",
    "OSSVectorRehydrationPostprocessor": f"{__name__}.postprocessors",
    "OSSVectorRetriever": f"{__name__}.retriever",
    "OSSVectorStore": f"{__name__}.store",
    "OSSVectorToolSpec": f"{__name__}.tools",
    "QueryOptions": f"{__name__}.store",
    "ReuseStoredEmbeddings": f"{__name__}.reuse",
    "StoredEmbeddingDedupPostprocessor": f"{__name__}.postprocessors",
    "StoredEmbeddingMMRPostprocessor": f"{__name__}.postprocessors",
    "StoredEmbeddingRescorer": f"{__name__}.postprocessors",
}

__all__ = [
    "ConnectionOptions",
    "DocumentStream",
    "IncompleteSearchEvent",
    "KeyQueryBundle",
    "MissingKeysEvent",
    "NodeWithProvenance",
    "OSSVectorAutoMergingRetriever",
    "OSSVectorChatStore",
    "OSSVectorDocumentStore",
    "OSSVectorIndexStore",
    "OSSVectorKVStore",
    "OSSVectorNodeMapping",
    "OSSVectorPrefetchingRetriever",
    "OSSVectorPrevNextPostprocessor",
    "OSSVectorReader",
    "OSSVectorRehydrationPostprocessor",
    "OSSVectorRetriever",
    "OSSVectorStore",
    "OSSVectorToolSpec",
    "QueryOptions",
    "ReuseStoredEmbeddings",
    "StoredEmbeddingDedupPostprocessor",
    "StoredEmbeddingMMRPostprocessor",
    "StoredEmbeddingRescorer",
]

__getattr__, __dir__ = make_lazy(__name__, _WHERE, extra="llama-index")
