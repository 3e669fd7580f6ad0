"""`StoredEmbeddingDedupPostprocessor`: one hit of each group that says the same."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore
from pydantic import Field

from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import Numbers, near_duplicates
from oss_vector_retriever.llama_index.postprocessing import Question
from oss_vector_retriever.llama_index.stored import Embedded, StoredEmbeddingPostprocessor


class StoredEmbeddingDedupPostprocessor(StoredEmbeddingPostprocessor):
    """Drop hits whose stored embedding is nearly that of an earlier hit; the order stays.

    A hit that is repeated is dropped too. The query plays no part.

    Attributes:
        threshold: the cosine similarity from which on two say the same, from -1 to 1.
    """

    threshold: float = Field(default=0.95, ge=-1, le=1)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsStoredEmbeddingDedupPostprocessor"

    def _query(self, question: Question) -> Flow[Numbers]:  # noqa: ARG002 - it plays no part
        yield from ()
        return []

    def _chosen(self, embedded: Embedded, query: Numbers) -> list[NodeWithScore]:  # noqa: ARG002 - the same
        kept = near_duplicates(embedded.matrix, self.threshold).kept
        return [embedded.hits[place] for place in kept]

    def _kept(
        self,
        hits: list[NodeWithScore],
        chosen: list[NodeWithScore],
        without: list[NodeWithScore],
    ) -> list[NodeWithScore]:
        stay = {id(hit) for hit in (*chosen, *without)}
        return [hit for hit in hits if id(hit) in stay]
