"""What all postprocessors share: their work is a flow, written once for sync and async."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index import scores
from oss_vector_retriever.llama_index.component import Fetching


@dataclass(frozen=True, slots=True)
class Question:
    """Hold the query that hits were found by, if any, and what embeds its text, if anything."""

    bundle: QueryBundle | None
    embed: scores.Embed | None

    def embedding(self) -> Flow[list[float]]:
        """Return the query's embedding.

        Raises:
            InvalidRequestError: there is none, and nothing to make it of.
        """
        return scores.query_embedding(self.bundle, self.embed)


class FetchingPostprocessor(Fetching, BaseNodePostprocessor):
    """Be a postprocessor that fetches; what it does is `_flow`."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        question = Question(query_bundle, scores.blocking(self._model()))
        return self._both().run(partial(self._flow, hits=nodes, question=question))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        question = Question(query_bundle, scores.awaited(self._model()))
        return await self._both().arun(partial(self._flow, hits=nodes, question=question))

    def _model(self) -> BaseEmbedding | None:
        """Return what embeds the query where its bundle has no embedding."""
        return None

    def _flow(
        self, context: Context, hits: list[NodeWithScore], question: Question
    ) -> Flow[list[NodeWithScore]]:
        raise NotImplementedError
