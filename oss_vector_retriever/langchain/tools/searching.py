"""`OSSVectorSearchTool`: an agent finds documents by meaning, and sees their ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.tools.base import ArgsSchema
from pydantic import BaseModel, Field

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import VectorIndexParameterInvalidError
from oss_vector_retriever.client.models.results import QueryVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.vectors import query_vectors
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import rescore, stored_embeddings
from oss_vector_retriever.langchain.queries import QueryEmbedding, aquery_vector, query_vector
from oss_vector_retriever.langchain.tools.answers import Answer
from oss_vector_retriever.langchain.tools.base import DocumentTool, Reply
from oss_vector_retriever.records import Record, decode
from oss_vector_retriever.records.batches import is_row
from oss_vector_retriever.records.filters import explicit_filter
from oss_vector_retriever.records.indexing import IndexKeeper
from oss_vector_retriever.records.lookup import Lookup
from oss_vector_retriever.records.settings import StoreSettings

MOST_HITS = 100


class SearchArguments(BaseModel):
    """Say what to look for."""

    query: str = Field(description="What to look for, in plain words.", min_length=1)
    k: int | None = Field(
        default=None, gt=0, le=MOST_HITS, description="How many documents, at most."
    )


class OSSVectorSearchTool(DocumentTool):
    """Find documents by meaning: the nearest first, each with its id and its distance.

    Of `allowed_keys` the stored embeddings are fetched and compared by cosine, so nothing else is
    ever touched. The service cannot filter by key: under `key_prefix`, or `allowed_keys` with a
    `filter`, it is asked for the most hits it gives, and those outside are dropped unseen; a
    tenant's field in `filter` keeps them from being looked at.

    Attributes:
        query_embedding: an `Embeddings`, or a function from the query to its embedding.
        k: how many to show where the model does not say.
        filter: a filter on metadata, `{"field": value}` or the service's full grammar, always in
            force.
        native_scalars: say in the filter numbers and booleans as they are, for records written so.
        fetch_tool: the name of the tool that reads documents by id, to which cut texts then point.
    """

    name: str = "search_documents"
    description: str = (
        "Find documents by meaning. Returns the best matches with their ids and the beginning of "
        "their text."
    )
    args_schema: ArgsSchema | None = SearchArguments
    query_embedding: QueryEmbedding = Field(exclude=True, repr=False)
    k: int = Field(default=5, gt=0, le=MOST_HITS)
    filter: Mapping[str, Any] | None = None
    native_scalars: bool = False
    fetch_tool: str | None = None
    max_characters_per_document: int = Field(default=1_000, gt=0)

    def _run(self, query: str, k: int | None = None, **_: Any) -> Reply:
        vector = query_vector(self.query_embedding, query)
        return self._reply(self._both().run(self._answer(vector, k or self.k)))

    async def _arun(self, query: str, k: int | None = None, **_: Any) -> Reply:
        vector = await aquery_vector(self.query_embedding, query)
        return self._reply(await self._both().arun(self._answer(vector, k or self.k)))

    def _answer(self, vector: Any, k: int) -> Callable[[Context], Flow[Answer]]:
        exact = self.allowed_keys is not None and self.filter is None
        found = self._nearest_allowed if exact else self._nearest

        def run(context: Context) -> Flow[Answer]:
            hits = yield from found(context, vector, k)
            return Answer(
                [self._document(record) for record, _ in hits],
                distances={record.key: far for record, far in hits if far is not None},
                nothing="Nothing was found.",
                fetch=self.fetch_tool,
            )

        return run

    def _nearest(
        self, context: Context, vector: Any, k: int
    ) -> Flow[list[tuple[Record, float | None]]]:
        most = context.config.limits.top_k if self._access.restricted else k
        hits = yield from self._query(context, vector, most)
        permitted = [
            hit for hit in hits if self._access.permits(hit.key) and not is_row(hit.metadata)
        ]
        decoded = [
            (self._decoded(Vector(hit.key, None, hit.metadata)), hit.distance)
            for hit in permitted[:k]
        ]
        return [(record, distance) for record, distance in decoded if record is not None]

    def _query(self, context: Context, vector: Any, most: int) -> Flow[QueryVectorsResult]:
        wanted = explicit_filter(
            self.filter, native_scalars=self.native_scalars, limits=context.config.limits
        )
        try:
            return (
                yield from query_vectors(
                    context,
                    vector,
                    top_k=most,
                    index=self.index,
                    filter=wanted,
                    return_metadata=True,
                )
            )
        except VectorIndexParameterInvalidError:  # perhaps of another model than the index
            keeper = IndexKeeper(StoreSettings(index=self.index))
            yield from keeper.check_query(context, len(vector))
            raise

    def _nearest_allowed(
        self, context: Context, vector: Any, k: int
    ) -> Flow[list[tuple[Record, float | None]]]:
        keys = self._access.visible()
        stored = yield from stored_embeddings(context, keys, index=self.index, on_missing="drop")
        ranked = rescore(vector, stored.matrix, k=k) if stored.positions else []
        far = {keys[stored.positions[row]]: 1.0 - score for row, score in ranked}
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from lookup.of(list(far), lambda record: record)(context)
        return [(record, far[record.key]) for record in found.made]

    def _decoded(self, vector: Vector) -> Record | None:
        return decode(vector, text_key=self.text_key, on_decode_error=self.on_decode_error)
