"""`StoredEmbeddingRescorer`: hits by their exact similarity to the query."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore
from pydantic import Field

from oss_vector_retriever.embeddings import Numbers, rescore
from oss_vector_retriever.llama_index.stored import Embedded, StoredEmbeddingPostprocessor


class StoredEmbeddingRescorer(StoredEmbeddingPostprocessor):
    """Score hits by the cosine similarity of query and stored embedding, best first.

    Hits without an embedding come last, with the score they had. The hits given are not changed.

    Attributes:
        top_n: keep at most so many.
        weight: the share of the similarity in the new score; the rest is that of the hit's own.
    """

    top_n: int | None = Field(default=None, gt=0, strict=True)
    weight: float = Field(default=1.0, ge=0, le=1)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsStoredEmbeddingRescorer"

    def _chosen(self, embedded: Embedded, query: Numbers) -> list[NodeWithScore]:
        earlier = [hit.get_score() for hit in embedded.hits] if self.weight < 1 else None
        ranking = rescore(query, embedded.matrix, k=self.top_n, scores=earlier, weight=self.weight)
        return [
            embedded.hits[place].model_copy(update={"score": score}) for place, score in ranking
        ]

    def _kept(
        self,
        hits: list[NodeWithScore],
        chosen: list[NodeWithScore],
        without: list[NodeWithScore],
    ) -> list[NodeWithScore]:
        return super()._kept(hits, chosen, without)[: self.top_n]
