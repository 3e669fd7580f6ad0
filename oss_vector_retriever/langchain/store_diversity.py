# ruff: noqa: A002 - `filter` is LangChain's own name for it
"""Maximal marginal relevance in `OSSVectorStore`, on stored embeddings: one query and the gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.documents import Document

from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.embeddings import maximal_marginal_relevance
from oss_vector_retriever.langchain.store_base import refuse_unknown
from oss_vector_retriever.langchain.store_searching import StoreSearching, alone
from oss_vector_retriever.records.filters import Filter
from oss_vector_retriever.records.searching import mmr_search
from oss_vector_retriever.records.storing import Start


class StoreDiversity(StoreSearching):
    """Search for what is near a query and unlike the rest of the answer.

    `fetch_k` candidates are found, up to the service's top_k limit, and `k` of them picked;
    `lambda_mult` goes from 0, all diversity, to 1, all similarity.
    """

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Return Documents near a text and unlike one another."""
        refuse_unknown(unknown)
        vector = self._embedder.query(query)
        return self.run(self._diverse(vector, k, fetch_k, lambda_mult, filter))

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search` does."""
        refuse_unknown(unknown)
        vector = await self._embedder.aquery(query)
        return await self.arun(self._diverse(vector, k, fetch_k, lambda_mult, filter))

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Iterable[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Return Documents near a vector and unlike one another."""
        refuse_unknown(unknown)
        return self.run(self._diverse(embedding, k, fetch_k, lambda_mult, filter))

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Iterable[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Do as `max_marginal_relevance_search_by_vector` does."""
        refuse_unknown(unknown)
        return await self.arun(self._diverse(embedding, k, fetch_k, lambda_mult, filter))

    def _diverse(
        self,
        embedding: Iterable[float],
        k: int,
        fetch_k: int,
        lambda_mult: float,
        filter: Filter | None,
    ) -> Start[list[Document]]:
        def choose(query: Float32Array, rows: Sequence[Float32Array], count: int) -> list[int]:
            return maximal_marginal_relevance(query, rows, count, lambda_mult)

        found = mmr_search(self._records, embedding, choose, k=k, fetch_k=fetch_k, filter=filter)
        return self._each(found, alone)
