# ruff: noqa: A002 - `filter` is LangChain's own name for it
"""The searching half of `OSSVectorStore`: documents, scores, embeddings, by text, vector and id."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from langchain_core.documents import Document

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.store_base import (
    StoreBase,
    WithEmbeddings,
    embedding_of,
    refuse_unknown,
)
from oss_vector_retriever.records.filters import Filter
from oss_vector_retriever.records.searching import Hit, relevance, search, search_by_key
from oss_vector_retriever.records.storing import Start

T = TypeVar("T")
Scored = list[tuple[Document, float]]


class StoreSearching(StoreBase):
    """Search by text, by vector and by stored id.

    `k` is how many are wanted. `filter` is `{"field": value}` or the service's full grammar, on
    fields that the store names in `filterable`. A score is the distance: smaller is closer. What
    `score_key` puts into metadata is the relevance: from 0 to 1, larger is closer. Arguments that
    a method does not have are refused.
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
        return self.run(self._each(self._near(embedding, k, filter), alone))

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
        return await self.arun(self._each(self._near(embedding, k, filter), alone))

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
        return self.run(self._each(self._near(embedding, k, filter), _scored))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Iterable[float], k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Do as `similarity_search_with_score_by_vector` does."""
        return await self.arun(self._each(self._near(embedding, k, filter), _scored))

    def similarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> list[Document]:
        """Return the Documents closest to a stored one, itself left out; no embedding call.

        Raises:
            MissingKeysError: there is no such id.
        """
        return self.run(self._each(self._near_key(id, k, filter), alone))

    async def asimilarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> list[Document]:
        """Do as `similarity_search_by_id` does."""
        return await self.arun(self._each(self._near_key(id, k, filter), alone))

    def similarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Return the Documents closest to a stored one, each with its distance.

        Raises:
            MissingKeysError: there is no such id.
        """
        return self.run(self._each(self._near_key(id, k, filter), _scored))

    async def asimilarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Do as `similarity_search_with_score_by_id` does."""
        return await self.arun(self._each(self._near_key(id, k, filter), _scored))

    def similarity_search_with_embeddings(
        self, query: str, k: int = 4, *, filter: Filter | None = None
    ) -> WithEmbeddings:
        """Return the Documents closest to a text, each with its stored embedding."""
        vector = self._embedder.query(query)
        return self.run(self._each(self._near(vector, k, filter, return_data=True), _paired))

    async def asimilarity_search_with_embeddings(
        self, query: str, k: int = 4, *, filter: Filter | None = None
    ) -> WithEmbeddings:
        """Do as `similarity_search_with_embeddings` does."""
        vector = await self._embedder.aquery(query)
        near = self._near(vector, k, filter, return_data=True)
        return await self.arun(self._each(near, _paired))

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

    def _each(self, found: Start[list[Hit]], make: Callable[[Document, Hit], T]) -> Start[list[T]]:
        """Return the flow that makes something of each hit and its Document."""

        def start(context: Context) -> Flow[list[T]]:
            hits = yield from found(context)
            scores: list[float | None] = [None] * len(hits)
            if hits and self.score_key is not None:
                metric = yield from self._records.metric()(context)
                scores = [relevance(metric, hit.distance) for hit in hits]
            return [
                make(self._document(hit.record, score), hit)
                for hit, score in zip(hits, scores, strict=True)
            ]

        return start


def alone(document: Document, _: Hit) -> Document:
    """Return the Document of a hit, without its distance."""
    return document


def _scored(document: Document, hit: Hit) -> tuple[Document, float]:
    return document, hit.distance


def _paired(document: Document, hit: Hit) -> tuple[Document, list[float]]:
    return document, embedding_of(hit.record)
