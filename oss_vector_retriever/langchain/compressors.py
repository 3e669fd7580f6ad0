"""Filter, deduplicate and diversify Documents by their stored embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import (
    maximal_marginal_relevance,
    near_duplicates,
    rescore,
    similarities,
)
from oss_vector_retriever.embeddings.stored import (
    StoredEmbeddings,
    WithoutPolicy,
    stored_embeddings,
)
from oss_vector_retriever.langchain.connection import STRICT, Connected
from oss_vector_retriever.langchain.embedder import QueryEmbedding, aquery_vector, query_vector

Choice = list[tuple[int, float | None]]


class StoredEmbeddingsCompressor(Connected, BaseDocumentCompressor):
    """Choose among Documents by their stored embeddings, which are fetched by `Document.id`.

    Ids and metadata stay, and what is given is never changed.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        on_missing: for Documents without an id or a stored embedding: "keep", "drop" or "raise".
        score_key: the metadata field that receives the score; None leaves it out.
    """

    model_config = STRICT

    on_missing: WithoutPolicy = "keep"
    score_key: str | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """Return the Documents chosen, each a copy."""
        del callbacks  # nothing in here is a run of its own
        listed = list(documents)
        vector = self._query(query) if self._asks(listed) else None
        return self._both().run(self._chosen(listed, vector))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """Return the Documents chosen, each a copy."""
        del callbacks
        listed = list(documents)
        vector = await self._aquery(query) if self._asks(listed) else None
        return await self._both().arun(self._chosen(listed, vector))

    def _asks(self, documents: Sequence[Document]) -> bool:
        """Tell whether the query's embedding is needed: without ids it would be for nothing."""
        return any(document.id is not None for document in documents)

    def _query(self, query: str) -> Any:
        """Return the embedding of the query, for those that compare with it."""

    async def _aquery(self, query: str) -> Any:
        """Return the embedding of the query, for those that compare with it."""

    def _query_key(self) -> str | None:
        return None

    def _choose(self, stored: StoredEmbeddings, query: Any) -> Choice:
        """Return rows of the matrix that are chosen, with their scores, in the order wanted."""
        raise NotImplementedError

    def _laid_out(self, chosen: Choice, stored: StoredEmbeddings) -> Choice:
        """Return places among the Documents: those chosen, and among them those kept unseen."""
        places = [(stored.positions[row], score) for row, score in chosen]
        unseen: Choice = [(place, None) for place in stored.without]
        return sorted([*places, *unseen], key=lambda pair: pair[0])

    def _chosen(
        self, documents: Sequence[Document], vector: Any
    ) -> Callable[[Context], Flow[list[Document]]]:
        def run(context: Context) -> Flow[list[Document]]:
            stored = yield from stored_embeddings(
                context,
                [document.id for document in documents],
                index=self.index,
                query_key=self._query_key(),
                on_missing=self.on_missing,
            )
            if self.on_missing == "drop":
                stored = replace(stored, without=())
            chosen = self._choose(stored, vector) if stored.positions else []
            return list(self._copies(documents, self._laid_out(chosen, stored)))

        return run

    def _copies(self, documents: Sequence[Document], places: Choice) -> Iterator[Document]:
        for place, score in places:
            copied = documents[place].model_copy(deep=True)
            if score is not None and self.score_key is not None:
                copied.metadata[self.score_key] = score
            yield copied


class ComparesWithQuery(StoredEmbeddingsCompressor):
    """Compare the stored embeddings with that of the query.

    Attributes:
        query_embedding: an `Embeddings`, or a function from the query to its embedding (a coroutine
            function too, for async calls); it is called once.
        query_key: the key of a stored vector that serves as the query, in its place.
    """

    query_embedding: QueryEmbedding | None = Field(default=None, exclude=True, repr=False)
    query_key: str | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Check that the query's embedding has one source."""
        super().model_post_init(context)
        if (self.query_embedding is None) == (self.query_key is None):
            raise ConfigurationError("pass either query_embedding= or query_key=.")

    def _query(self, query: str) -> Any:
        return None if self.query_embedding is None else query_vector(self.query_embedding, query)

    async def _aquery(self, query: str) -> Any:
        source = self.query_embedding
        return None if source is None else await aquery_vector(source, query)

    def _query_key(self) -> str | None:
        return self.query_key


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
