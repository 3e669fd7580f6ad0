# ruff: noqa: A002 - `filter` is LangChain's own name for it
"""The searching half of `OSSVectorStore`: documents, scores, embeddings, by text, vector and id."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.langchain.store_base import StoreBase, WithEmbeddings, refuse_unknown
from oss_vector_retriever.records.filters import Filter
from oss_vector_retriever.records.searching import Hit, relevance, search, search_by_key
from oss_vector_retriever.records.storing import Start

Scored = list[tuple[Document, float]]


class StoreSearching(StoreBase):
    """Search by text, by vector and by stored id.

    `k` is how many are wanted. `filter` is `{"field": value}` or the service's full grammar, on
    fields that the store names in `filterable`. A score is the distance: smaller is closer.
    Arguments that a method does not have are refused.
    """

    def similarity_search(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> list[Document]:
        """Return the Documents closest to a text, closest first."""
        refuse_unknown(unknown)
        return self.similarity_search_by_vector(self._embedder.query(query), k, filter=filter)

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> list[Document]:
        """Do as `similarity_search` does."""
        refuse_unknown(unknown)
        vector = await self._embedder.aquery(query)
        return await self.asimilarity_search_by_vector(vector, k, filter=filter)

    def similarity_search_by_vector(
        self,
        embedding: Iterable[float],
        k: int = 4,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Return the Documents closest to a vector, closest first."""
        refuse_unknown(unknown)
        return self._documents(self.run(self._near(embedding, k, filter)))

    async def asimilarity_search_by_vector(
        self,
        embedding: Iterable[float],
        k: int = 4,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Do as `similarity_search_by_vector` does."""
        refuse_unknown(unknown)
        return self._documents(await self.arun(self._near(embedding, k, filter)))

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> Scored:
        """Return the Documents closest to a text, each with its distance."""
        refuse_unknown(unknown)
        vector = self._embedder.query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter=filter)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> Scored:
        """Do as `similarity_search_with_score` does."""
        refuse_unknown(unknown)
        vector = await self._embedder.aquery(query)
        return await self.asimilarity_search_with_score_by_vector(vector, k, filter=filter)

    def similarity_search_with_score_by_vector(
        self, embedding: Iterable[float], k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Return the Documents closest to a vector, each with its distance."""
        return self._scored(self.run(self._near(embedding, k, filter)))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Iterable[float], k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Do as `similarity_search_with_score_by_vector` does."""
        return self._scored(await self.arun(self._near(embedding, k, filter)))

    def similarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> list[Document]:
        """Return the Documents closest to a stored one, itself left out; no embedding call.

        Raises:
            MissingKeysError: there is no such id.
        """
        return self._documents(self.run(self._near_key(id, k, filter)))

    async def asimilarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> list[Document]:
        """Do as `similarity_search_by_id` does."""
        return self._documents(await self.arun(self._near_key(id, k, filter)))

    def similarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Return the Documents closest to a stored one, each with its distance.

        Raises:
            MissingKeysError: there is no such id.
        """
        return self._scored(self.run(self._near_key(id, k, filter)))

    async def asimilarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Do as `similarity_search_with_score_by_id` does."""
        return self._scored(await self.arun(self._near_key(id, k, filter)))

    def similarity_search_with_embeddings(
        self, query: str, k: int = 4, *, filter: Filter | None = None
    ) -> WithEmbeddings:
        """Return the Documents closest to a text, each with its stored embedding."""
        vector = self._embedder.query(query)
        return self._pairs(self.run(self._near(vector, k, filter, return_data=True)))

    async def asimilarity_search_with_embeddings(
        self, query: str, k: int = 4, *, filter: Filter | None = None
    ) -> WithEmbeddings:
        """Do as `similarity_search_with_embeddings` does."""
        vector = await self._embedder.aquery(query)
        return self._pairs(await self.arun(self._near(vector, k, filter, return_data=True)))

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return partial(relevance, self.run(self._records.metric()))

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> Scored:
        scored = self.similarity_search_with_score(query, k, **options)
        metric = self.run(self._records.metric())
        return [(document, relevance(metric, distance)) for document, distance in scored]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> Scored:
        scored = await self.asimilarity_search_with_score(query, k, **options)
        metric = await self.arun(self._records.metric())
        return [(document, relevance(metric, distance)) for document, distance in scored]

    def _near(
        self,
        embedding: Iterable[float],
        k: int,
        filter: Filter | None,
        *,
        return_data: bool = False,
    ) -> Start[list[Hit]]:
        wanted = return_data or self.embedding_key is not None
        return search(self._records, embedding, k, filter=filter, return_data=wanted)

    def _near_key(self, key: str, k: int, filter: Filter | None) -> Start[list[Hit]]:
        wanted = self.embedding_key is not None
        return search_by_key(self._records, key, k, filter=filter, return_data=wanted)

    def _documents(self, hits: list[Hit]) -> list[Document]:
        return [self._document(hit.record) for hit in hits]

    def _scored(self, hits: list[Hit]) -> Scored:
        return [(self._document(hit.record), hit.distance) for hit in hits]

    def _pairs(self, hits: list[Hit]) -> WithEmbeddings:
        return [self._pair(hit.record) for hit in hits]
