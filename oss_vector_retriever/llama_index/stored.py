"""What the postprocessors on stored embeddings share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import NodeWithScore
from pydantic import Field

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import (
    Matrix,
    Numbers,
    StoredEmbeddings,
    stored_embeddings,
)
from oss_vector_retriever.llama_index.postprocessing import FetchingPostprocessor, Question
from oss_vector_retriever.records.keys import is_key


@dataclass(frozen=True, slots=True)
class Embedded:
    """Hold hits that have an embedding, row by row, those that have none, and a stored query."""

    hits: list[NodeWithScore]
    matrix: Matrix
    without: list[NodeWithScore]
    query: Float32Array | None


class StoredEmbeddingPostprocessor(FetchingPostprocessor):
    """Choose among hits by their stored embeddings; no document is embedded again.

    Embeddings that the nodes carry are used; the others are fetched by node id, all in one fetch.

    Attributes:
        on_missing: what becomes of a hit without a stored embedding: "keep", "drop", or "raise".
        use_node_embeddings: False fetches the stored embedding of every hit.
        query_key: the key of a stored vector that serves as the query.
        embed_model: embeds the query where neither its bundle nor `query_key` gives an embedding.
    """

    on_missing: Literal["keep", "drop", "raise"] = "keep"
    use_node_embeddings: bool = True
    query_key: str | None = None
    embed_model: BaseEmbedding | None = Field(default=None, exclude=True, repr=False)

    def _model(self) -> BaseEmbedding | None:
        return self.embed_model

    def _flow(
        self, context: Context, hits: list[NodeWithScore], question: Question
    ) -> Flow[list[NodeWithScore]]:
        if not hits:
            return []
        embedded = yield from self._embedded(context, hits)
        chosen: list[NodeWithScore] = []
        if embedded.hits:
            query = embedded.query or (yield from self._query(question))
            chosen = self._chosen(embedded, query)
        if self.on_missing == "keep":
            return self._kept(hits, chosen, embedded.without)
        return chosen

    def _query(self, question: Question) -> Flow[Numbers]:
        return (yield from question.embedding())

    def _embedded(self, context: Context, hits: list[NodeWithScore]) -> Flow[Embedded]:
        own = [hit.node.embedding if self.use_node_embeddings else None for hit in hits]
        asked = [place for place, embedding in enumerate(own) if embedding is None]
        stored = yield from self._stored(context, [_key(hits[place]) for place in asked])
        rows: dict[int, Numbers] = {p: row for p, row in enumerate(own) if row is not None}
        rows |= {asked[at]: row for at, row in zip(stored.positions, stored.matrix, strict=True)}
        places = sorted(rows)
        return Embedded(
            [hits[place] for place in places],
            [rows[place] for place in places],
            [hit for place, hit in enumerate(hits) if place not in rows],
            stored.query,
        )

    def _stored(self, context: Context, ids: list[str | None]) -> Flow[StoredEmbeddings]:
        """Fetch the embeddings of ids and that of the query's key, in one fetch."""
        if any(ids) or self.query_key is None:
            return stored_embeddings(
                context,
                ids,
                index=self.index,
                query_key=self.query_key,
                on_missing=self.on_missing,
            )
        return self._query_alone(context, self.query_key)

    def _query_alone(self, context: Context, key: str) -> Flow[StoredEmbeddings]:
        found = yield from stored_embeddings(context, [key], index=self.index, query_key=key)
        return replace(found, positions=(), matrix=found.matrix[:0])

    def _chosen(self, embedded: Embedded, query: Numbers) -> list[NodeWithScore]:
        """Return the hits that stay, of those that have an embedding, in their new order."""
        raise NotImplementedError

    def _kept(
        self,
        hits: list[NodeWithScore],  # noqa: ARG002 - for those that keep the hits' order
        chosen: list[NodeWithScore],
        without: list[NodeWithScore],
    ) -> list[NodeWithScore]:
        """Return the chosen together with those that have no embedding."""
        return [*chosen, *without]


def _key(hit: NodeWithScore) -> str | None:
    """Return a hit's id, or None where it is none that a record can have."""
    return hit.node.node_id if is_key(hit.node.node_id) else None
