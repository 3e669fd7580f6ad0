"""One face for each framework's vector store, so that the same cases are put to both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

INDEX = "records"
FIELDS = ["tag", "size"]
_OPERATORS = {"!=": "$ne", "==": "$eq", "in": "$in", "nin": "$nin", ">": "$gt", "<=": "$lte"}


@dataclass(frozen=True)
class Given:
    """Hold what a case stores, whatever the framework calls it."""

    key: str
    text: str
    metadata: dict[str, Any]
    embedding: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)


class LangChainStore:
    """Documents; `where` is a filter in the service's grammar."""

    def __init__(self, client, **options):
        langchain = pytest.importorskip("oss_vector_retriever.langchain.store")
        self._documents = pytest.importorskip("langchain_core.documents")
        settings = {"client": client, "index": INDEX, "filterable": FIELDS, **options}
        self.store = langchain.OSSVectorStore(**settings)

    def run(self, name, *args, **options):
        return getattr(self.store, name)(*args, **options)

    def add(self, records):
        documents = [
            self._documents.Document(id=one.key, page_content=one.text, metadata=one.metadata)
            for one in records
        ]
        vectors = [one.embedding for one in records]
        return self.run("add_documents", documents, embeddings=vectors)

    def get(self, keys):
        pairs = self.run("get_by_ids_with_embeddings", keys)
        return [self._seen(document, embedding) for document, embedding in pairs]

    def near(self, vector, k, where=None):
        found = self.run("similarity_search_by_vector", vector, k, filter=self._filter(where))
        return [document.id for document in found]

    def varied(self, vector, k, of):
        found = self.run("max_marginal_relevance_search_by_vector", vector, k=k, fetch_k=of)
        return [document.id for document in found]

    def delete(self, keys):
        self.run("delete", keys)

    def delete_where(self, where, keys=None):
        self.run("delete", keys, filter=self._filter(where))

    def where(self, where, keys=None):
        return [document.id for document in self.run("get", keys, filter=self._filter(where))]

    def clear(self):
        self.run("delete", delete_all=True)

    def _seen(self, document, embedding):
        return Given(document.id, document.page_content, document.metadata, tuple(embedding))

    def _filter(self, where):
        if where is None:
            return None
        parts = [{field: {_OPERATORS[op]: value}} for field, op, value in where]
        return {"$and": parts}


class LlamaIndexStore:
    """Nodes; `where` becomes MetadataFilters."""

    def __init__(self, client, **options):
        llama_index = pytest.importorskip("oss_vector_retriever.llama_index.store")
        self._schema = pytest.importorskip("llama_index.core.schema")
        self._types = pytest.importorskip("llama_index.core.vector_stores.types")
        settings = {"index": INDEX, "filterable": FIELDS, **options}
        self.store = llama_index.OSSVectorStore(client, **settings)

    def run(self, name, *args, **options):
        return getattr(self.store, name)(*args, **options)

    def add(self, records):
        nodes = [
            self._schema.TextNode(
                id_=one.key, text=one.text, metadata=one.metadata, embedding=list(one.embedding)
            )
            for one in records
        ]
        return self.run("add", nodes)

    def get(self, keys):
        return [
            Given(node.node_id, node.get_content(), node.metadata, tuple(node.embedding))
            for node in self.run("get_nodes", keys)
        ]

    def near(self, vector, k, where=None):
        return self.run("query", self._query(vector, k, filters=self._filters(where))).ids

    def varied(self, vector, k, of):
        mode = self._types.VectorStoreQueryMode.MMR
        return self.run("query", self._query(vector, k, mode=mode), mmr_prefetch_k=of).ids

    def delete(self, keys):
        self.run("delete_nodes", keys)

    def delete_where(self, where, keys=None):
        self.run("delete_nodes", keys, self._filters(where))

    def where(self, where, keys=None):
        return [node.node_id for node in self.run("get_nodes", keys, self._filters(where))]

    def clear(self):
        self.run("clear")

    def _query(self, vector, k, **options):
        return self._types.VectorStoreQuery(
            query_embedding=list(vector), similarity_top_k=k, **options
        )

    def _filters(self, where):
        if where is None:
            return None
        kind = self._types.MetadataFilter
        parts = [kind(key=field, operator=op, value=value) for field, op, value in where]
        return self._types.MetadataFilters(filters=parts)


class AsyncLangChainStore(LangChainStore):
    def run(self, name, *args, **options):
        return asyncio.run(getattr(self.store, f"a{name}")(*args, **options))


class AsyncLlamaIndexStore(LlamaIndexStore):
    def run(self, name, *args, **options):
        method = getattr(self.store, "async_add" if name == "add" else f"a{name}")
        return asyncio.run(method(*args, **options))


STORES = {
    "langchain": LangChainStore,
    "langchain_async": AsyncLangChainStore,
    "llama_index": LlamaIndexStore,
    "llama_index_async": AsyncLlamaIndexStore,
}
