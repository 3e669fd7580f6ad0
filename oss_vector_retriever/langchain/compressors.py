"""Filter, deduplicate and diversify Documents by their stored embeddings."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from oss_vector_retriever.embeddings import (
    maximal_marginal_relevance,
    near_duplicates,
    rescore,
    similarities,
)
from oss_vector_retriever.embeddings.stored import StoredEmbeddings
from oss_vector_retriever.langchain.compressor_base import (
    Choice,
    ComparesWithQuery,
    StoredEmbeddingsCompressor,
)


class StoredEmbeddingsFilter(ComparesWithQuery):
    """Keep the Documents whose stored embeddings are similar to the query's, in their order.

    LangChain's `EmbeddingsFilter` embeds every Document again and loses their ids; here the
    embeddings are fetched, 100 a call.

    Attributes:
        k: keep the most similar so many; those kept unseen (`on_missing`) are not counted.
        similarity_threshold: keep what has at least this cosine similarity, from -1 to 1.
        sort: put the most similar first, and those kept unseen last.
    """

    k: int | None = Field(default=None, gt=0, strict=True)
    similarity_threshold: float | None = Field(default=None, ge=-1, le=1)
    sort: bool = False

    def _choose(self, stored: StoredEmbeddings, query: Any) -> Choice:
        ranked = rescore(query if stored.query is None else stored.query, stored.matrix, k=self.k)
        least = self.similarity_threshold
        return [(row, score) for row, score in ranked if least is None or score >= least]

    def _laid_out(self, chosen: Choice, stored: StoredEmbeddings) -> Choice:
        if not self.sort:
            return super()._laid_out(chosen, stored)
        return in_order_chosen(chosen, stored)


class StoredEmbeddingsRedundantFilter(StoredEmbeddingsCompressor):
    """Leave out Documents whose stored embeddings nearly repeat an earlier one's; order stays.

    Attributes:
        similarity_threshold: the cosine similarity from which a Document counts as a repetition.
    """

    similarity_threshold: float = Field(default=0.95, ge=-1, le=1)

    def _choose(self, stored: StoredEmbeddings, query: Any) -> Choice:
        del query
        return [
            (row, None) for row in near_duplicates(stored.matrix, self.similarity_threshold).kept
        ]


class StoredEmbeddingsMMR(ComparesWithQuery):
    """Pick Documents that are near the query and unlike each other, in the order picked.

    Documents kept unseen (`on_missing`) come last, where there is room among the `k`.

    Attributes:
        k: how many to pick.
        lambda_mult: from 0, all diversity, to 1, all similarity.
    """

    k: int = Field(default=4, gt=0, strict=True)
    lambda_mult: float = Field(default=0.5, ge=0, le=1)

    def _choose(self, stored: StoredEmbeddings, query: Any) -> Choice:
        vector = query if stored.query is None else stored.query
        picks = maximal_marginal_relevance(vector, stored.matrix, self.k, self.lambda_mult)
        scores = similarities(vector, stored.matrix)
        return [(row, float(scores[row])) for row in picks]

    def _laid_out(self, chosen: Choice, stored: StoredEmbeddings) -> Choice:
        return in_order_chosen(chosen, stored)[: self.k]


def in_order_chosen(chosen: Choice, stored: StoredEmbeddings) -> Choice:
    """Return places among the Documents: the chosen in their order, then those kept unseen."""
    unseen: Choice = [(place, None) for place in stored.without]
    return [*((stored.positions[row], score) for row, score in chosen), *unseen]
