"""`StoredEmbeddingMMRPostprocessor`: hits near the query and unlike one another."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore
from pydantic import Field

from oss_vector_retriever.embeddings import Numbers, maximal_marginal_relevance
from oss_vector_retriever.llama_index.stored import Embedded, StoredEmbeddingPostprocessor


class StoredEmbeddingMMRPostprocessor(StoredEmbeddingPostprocessor):
    """Pick hits by maximal marginal relevance of their stored embeddings, in the order picked.

    Scores stay as they are. Hits without an embedding come last, as far as there is room.

    Attributes:
        top_n: how many to pick.
        lambda_mult: from 0, all diversity, to 1, all similarity to the query.
    """

    top_n: int = Field(default=10, gt=0, strict=True)
    lambda_mult: float = Field(default=0.5, ge=0, le=1)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsStoredEmbeddingMMRPostprocessor"

    def _chosen(self, embedded: Embedded, query: Numbers) -> list[NodeWithScore]:
        picks = maximal_marginal_relevance(query, embedded.matrix, self.top_n, self.lambda_mult)
        return [embedded.hits[place] for place in picks]

    def _kept(
        self,
        hits: list[NodeWithScore],
        chosen: list[NodeWithScore],
        without: list[NodeWithScore],
    ) -> list[NodeWithScore]:
        return super()._kept(hits, chosen, without)[: self.top_n]
