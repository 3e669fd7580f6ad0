"""Filter, deduplicate and diversify Documents by their stored embeddings."""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError
from ..embeddings import stored as choices
from ..embeddings.stored import Pick, StoredEmbeddings
from .connection import STRICT, Connected
from .embedder import QueryEmbedding, aquery_vector, query_vector


class _StoredEmbeddingsCompressor(Connected, BaseDocumentCompressor):
    """A choice among Documents by their stored embeddings, which are fetched by `Document.id`.

    Ids and metadata stay, and what is given is never changed.

    Attributes:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        on_missing: for Documents without an id or a stored embedding: "keep", "omit" or "raise".
        score_key: the metadata field that receives the score; None leaves it out.
    """

    model_config = STRICT

    on_missing: Literal["omit", "keep", "raise"] = "keep"
    score_key: str | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """Return the Documents chosen, each a copy."""
        del callbacks  # nothing in here is a run of its own
        listed = list(documents)
        source = self._query_source(listed)
        vector = None if source is None else query_vector(source, query)
        return self._clients.run(self._choose_documents, listed, vector)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> Sequence[Document]:
        """Return the Documents chosen, each a copy."""
        del callbacks
        listed = list(documents)
        source = self._query_source(listed)
        vector = None if source is None else await aquery_vector(source, query)
        return await self._clients.arun(self._choose_documents, listed, vector)

    def _query_source(self, documents: Sequence[Document]) -> QueryEmbedding | None:
        if all(document.id is None for document in documents):
            return None  # nothing to compare with: the embedding would be paid for in vain
        return getattr(self, "embedding", None)  # a field of those that compare with the query

    def _pick(self, stored: StoredEmbeddings, query: Any) -> list[Pick]:
        """Return the positions of the Documents chosen, in their new order, with their scores."""
        raise NotImplementedError

    def _choose_documents(
        self, context: Context, documents: Sequence[Document], query: Any
    ) -> Flow[list[Document]]:
        ids = [document.id for document in documents]
        query_key: str | None = getattr(self, "query_key", None)
        stored = yield from choices.stored_embeddings(
            context, ids, index=self.index, query_key=query_key, on_missing=self.on_missing
        )
        chosen: list[Document] = []
        for position, score in self._pick(stored, query):
            copied = documents[position].model_copy(deep=True)  # a retriever may cache its own
            if score is not None and self.score_key is not None:
                copied.metadata[self.score_key] = score
            chosen.append(copied)
        return chosen


class _ComparesWithQuery(_StoredEmbeddingsCompressor):
    """A comparison of the stored embeddings with that of the query.

    Attributes:
        embedding: an `Embeddings`, or a function from the query to its embedding (a coroutine
            function too, for async calls); it is called once.
        query_key: the key of a stored vector that serves as the query, in its place.
    """

    embedding: QueryEmbedding | None = Field(default=None, exclude=True, repr=False)
    query_key: str | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Check that the query's embedding has one source."""
        super().model_post_init(context)
        if (self.embedding is None) == (self.query_key is None):
            raise ConfigurationError("pass either embedding= or query_key=.")


class StoredEmbeddingsFilter(_ComparesWithQuery):
    """The Documents whose stored embeddings are similar to the query's, in their order.

    LangChain's `EmbeddingsFilter` embeds every Document again and loses their ids; here the
    embeddings are fetched, 100 a call.

    Attributes:
        k: keep the most similar so many; those kept unseen (`on_missing`) are not counted.
        similarity_threshold: keep what has at least this cosine similarity, from -1 to 1.
        sort: put the most similar first, and those kept unseen last.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> _ = store.add_texts(["Green tea.", "Coffee."], ids=["tea", "coffee"])
        >>> found = [Document("", id="tea"), Document("", id="coffee")]
        >>> nearest = StoredEmbeddingsFilter(client=client, embedding=model, k=1)
        >>> [one.id for one in nearest.compress_documents(found, "Coffee.")]
        ['coffee']
    """

    k: int | None = Field(default=None, gt=0, strict=True)
    similarity_threshold: float | None = Field(default=None, ge=-1, le=1)
    sort: bool = False

    def _pick(self, stored: StoredEmbeddings, query: Any) -> list[Pick]:
        threshold, in_order = self.similarity_threshold, not self.sort
        return choices.pick_similar(
            stored, query, k=self.k, similarity_threshold=threshold, in_order=in_order
        )


class StoredEmbeddingsRedundantFilter(_StoredEmbeddingsCompressor):
    """The Documents whose stored embeddings do not nearly repeat an earlier one's, in their order.

    Attributes:
        similarity_threshold: the cosine similarity from which a Document counts as a repetition.

    Examples:
        >>> from langchain_core.documents import Document
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> rows = {"a": [1, 0], "b": [1, 0.01], "c": [0, 1]}
        >>> _ = client.upsert({"key": key, "data": data} for key, data in rows.items())
        >>> found = [Document(key, id=key) for key in rows]
        >>> keep = StoredEmbeddingsRedundantFilter(client=client)
        >>> [one.id for one in keep.compress_documents(found, "")]
        ['a', 'c']
    """

    similarity_threshold: float = Field(default=0.95, ge=-1, le=1)

    def _pick(self, stored: StoredEmbeddings, query: Any) -> list[Pick]:
        del query  # Documents are compared with one another alone
        return choices.pick_distinct(stored, self.similarity_threshold)


class StoredEmbeddingsMMR(_ComparesWithQuery):
    """Documents that are near the query and unlike each other, in the order picked.

    Documents kept unseen (`on_missing`) come last, where there is room among the `k`.

    Attributes:
        k: how many to pick.
        lambda_mult: from 0, all diversity, to 1, all similarity.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> model, client = DeterministicFakeEmbedding(size=2), OSSVectorClient.local()
        >>> store = OSSVectorStore(model, client=client)
        >>> _ = store.add_texts(["Green tea.", "Coffee."], ids=["tea", "coffee"])
        >>> found = [Document("", id="tea"), Document("", id="coffee")]
        >>> unlike = StoredEmbeddingsMMR(client=client, embedding=model, k=2)
        >>> [one.id for one in unlike.compress_documents(found, "Coffee.")]
        ['coffee', 'tea']
    """

    k: int = Field(default=4, gt=0, strict=True)
    lambda_mult: float = Field(default=0.5, ge=0, le=1)

    def _pick(self, stored: StoredEmbeddings, query: Any) -> list[Pick]:
        return choices.pick_diverse(stored, query, self.k, self.lambda_mult)
