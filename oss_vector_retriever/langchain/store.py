"""`OSSVectorStore`: LangChain's vector store on OSS Vectors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import ConfigurationError, InvalidRequestError
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.pair import Client, ClientPair, limits_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import maximal_marginal_relevance
from oss_vector_retriever.langchain.connection import SharesClient
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.embedder import Embedder
from oss_vector_retriever.langchain.pending_writes import Additions, Embedding
from oss_vector_retriever.records import DecodePolicy, Record
from oss_vector_retriever.records.filters import Filter
from oss_vector_retriever.records.lookup import Found
from oss_vector_retriever.records.search import Hit, mmr_search, relevance, search, search_by_key
from oss_vector_retriever.records.store import (
    DistanceMetric,
    RecordStore,
    Start,
    StoreSettings,
    delete,
    delete_all,
    update_metadata,
)

T = TypeVar("T")
WithEmbeddings = list[tuple[Document, list[float]]]


class StoreBase(SharesClient, VectorStore):
    """Hold what `OSSVectorStore` is made with, and run its flows either way."""

    def __init__(
        self,
        embedding: Embeddings | None,
        client: Client | None,
        settings: StoreSettings,
        embedding_key: str | None,
        score_key: str | None,
    ) -> None:
        if embedding_key is not None and embedding_key == score_key:
            raise ConfigurationError(
                f"embedding_key and score_key are both {score_key!r}; name two fields of metadata."
            )
        self._embedder = Embedder(embedding)
        self._clients = ClientPair(client)
        self._records = RecordStore(settings)
        self.embedding_key = embedding_key
        self.score_key = score_key

    @property
    def embeddings(self) -> Embeddings | None:
        """Return the embedding model."""
        return self._embedder.model

    @property
    def settings(self) -> StoreSettings:
        """Return how records are written and read."""
        return self._records.settings

    @property
    def records(self) -> RecordStore:
        """Return the store without its framework, for flows of `oss_vector_retriever.records`."""
        return self._records

    def run(self, start: Start[T]) -> T:
        """Run a flow of `oss_vector_retriever.records` on this store's client, blocking."""
        return self._clients.run(start)

    async def arun(self, start: Start[T]) -> T:
        """Run a flow of `oss_vector_retriever.records` on this store's client."""
        return await self._clients.arun(start)

    @property
    def _filled(self) -> set[str]:
        """Return the metadata fields that reading fills, so that writing leaves them out."""
        return {name for name in (self.embedding_key, self.score_key) if name is not None}

    def _document(self, record: Record, score: float | None = None) -> Document:
        document = document_from(record, self.embedding_key)
        if score is not None and self.score_key is not None:
            document.metadata[self.score_key] = score
        return document

    def _pair(self, record: Record) -> tuple[Document, list[float]]:
        return self._document(record), embedding_of(record)


def embedding_of(record: Record) -> list[float]:
    """Return the stored embedding of a record; empty where it has none."""
    return [] if record.embedding is None else record.embedding.tolist()


def refuse_unknown(options: Mapping[str, Any], known: Sequence[str] = ()) -> None:
    """Refuse arguments that a method does not have; LangChain's signatures let all of them in.

    Raises:
        TypeError: there is one.
    """
    unknown = [name for name in options if name not in known]
    if unknown:
        raise TypeError(f"unexpected argument {unknown[0]!r}")


# ruff: noqa: A002 - `filter` is LangChain's own name for it


Scored = list[tuple[Document, float]]


class StoreSearching(StoreBase):
    """Search by text, by vector and by stored id.

    `k` is how many are wanted. `filter` is `{"field": value}` or the service's full grammar, on
    fields that the store names in `filterable`. A score is the distance: smaller is closer. What
    `score_key` puts into metadata is the relevance: from 0 to 1, larger is closer. Arguments that
    a method does not have are refused.
    """

    def similarity_search(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> list[Document]:
        """Return the Documents closest to a text, closest first."""
        refuse_unknown(unknown)
        return self.similarity_search_by_vector(self._embedder.query(query), k, filter=filter)

    async def asimilarity_search(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> list[Document]:
        """Do as `similarity_search` does."""
        refuse_unknown(unknown)
        vector = await self._embedder.aquery(query)
        return await self.asimilarity_search_by_vector(vector, k, filter=filter)

    def similarity_search_by_vector(
        self,
        embedding: Iterable[float],
        k: int = 4,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Return the Documents closest to a vector, closest first."""
        refuse_unknown(unknown)
        return self.run(self._each(self._near(embedding, k, filter), alone))

    async def asimilarity_search_by_vector(
        self,
        embedding: Iterable[float],
        k: int = 4,
        *,
        filter: Filter | None = None,
        **unknown: Any,
    ) -> list[Document]:
        """Do as `similarity_search_by_vector` does."""
        refuse_unknown(unknown)
        return await self.arun(self._each(self._near(embedding, k, filter), alone))

    def similarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> Scored:
        """Return the Documents closest to a text, each with its distance."""
        refuse_unknown(unknown)
        vector = self._embedder.query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter=filter)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, *, filter: Filter | None = None, **unknown: Any
    ) -> Scored:
        """Do as `similarity_search_with_score` does."""
        refuse_unknown(unknown)
        vector = await self._embedder.aquery(query)
        return await self.asimilarity_search_with_score_by_vector(vector, k, filter=filter)

    def similarity_search_with_score_by_vector(
        self, embedding: Iterable[float], k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Return the Documents closest to a vector, each with its distance."""
        return self.run(self._each(self._near(embedding, k, filter), _scored))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Iterable[float], k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Do as `similarity_search_with_score_by_vector` does."""
        return await self.arun(self._each(self._near(embedding, k, filter), _scored))

    def similarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> list[Document]:
        """Return the Documents closest to a stored one, itself left out; no embedding call.

        Raises:
            MissingKeysError: there is no such id.
        """
        return self.run(self._each(self._near_key(id, k, filter), alone))

    async def asimilarity_search_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> list[Document]:
        """Do as `similarity_search_by_id` does."""
        return await self.arun(self._each(self._near_key(id, k, filter), alone))

    def similarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Return the Documents closest to a stored one, each with its distance.

        Raises:
            MissingKeysError: there is no such id.
        """
        return self.run(self._each(self._near_key(id, k, filter), _scored))

    async def asimilarity_search_with_score_by_id(
        self, id: str, k: int = 4, *, filter: Filter | None = None
    ) -> Scored:
        """Do as `similarity_search_with_score_by_id` does."""
        return await self.arun(self._each(self._near_key(id, k, filter), _scored))

    def similarity_search_with_embeddings(
        self, query: str, k: int = 4, *, filter: Filter | None = None
    ) -> WithEmbeddings:
        """Return the Documents closest to a text, each with its stored embedding."""
        vector = self._embedder.query(query)
        return self.run(self._each(self._near(vector, k, filter, return_data=True), _paired))

    async def asimilarity_search_with_embeddings(
        self, query: str, k: int = 4, *, filter: Filter | None = None
    ) -> WithEmbeddings:
        """Do as `similarity_search_with_embeddings` does."""
        vector = await self._embedder.aquery(query)
        near = self._near(vector, k, filter, return_data=True)
        return await self.arun(self._each(near, _paired))

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return partial(relevance, self.run(self._records.metric()))

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> Scored:
        scored = self.similarity_search_with_score(query, k, **options)
        metric = self.run(self._records.metric())
        return [(document, relevance(metric, distance)) for document, distance in scored]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **options: Any
    ) -> Scored:
        scored = await self.asimilarity_search_with_score(query, k, **options)
        metric = await self.arun(self._records.metric())
        return [(document, relevance(metric, distance)) for document, distance in scored]

    def _near(
        self,
        embedding: Iterable[float],
        k: int,
        filter: Filter | None,
        *,
        return_data: bool = False,
    ) -> Start[list[Hit]]:
        wanted = return_data or self.embedding_key is not None
        return search(self._records, embedding, k, filter=filter, return_data=wanted)

    def _near_key(self, key: str, k: int, filter: Filter | None) -> Start[list[Hit]]:
        wanted = self.embedding_key is not None
        return search_by_key(self._records, key, k, filter=filter, return_data=wanted)

    def _each(self, found: Start[list[Hit]], make: Callable[[Document, Hit], T]) -> Start[list[T]]:
        """Return the flow that makes something of each hit and its Document."""

        def start(context: Context) -> Flow[list[T]]:
            hits = yield from found(context)
            scores: list[float | None] = [None] * len(hits)
            if hits and self.score_key is not None:
                metric = yield from self._records.metric()(context)
                scores = [relevance(metric, hit.distance) for hit in hits]
            return [
                make(self._document(hit.record, score), hit)
                for hit, score in zip(hits, scores, strict=True)
            ]

        return start


def alone(document: Document, _: Hit) -> Document:
    """Return the Document of a hit, without its distance."""
    return document


def _scored(document: Document, hit: Hit) -> tuple[Document, float]:
    return document, hit.distance


def _paired(document: Document, hit: Hit) -> tuple[Document, list[float]]:
    return document, embedding_of(hit.record)


# ruff: noqa: A002 - `filter` is LangChain's own name for it


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


class StoreWriting(StoreBase):
    """Add, change and delete."""

    def add_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Add Documents, or replace those with the same ids; return the ids in order.

        Everything is checked, and every embedding made, before anything is written. The Documents
        are left as they are.

        Args:
            documents: what to add.
            ids: an id or None for each; it wins over `Document.id`, and one is made up where there
                is neither.
            embeddings: one for each, in place of the model's.
            batch_size: texts for each call of the embedding model; all at once by default.
            unknown: refused.

        Raises:
            InvalidRequestError: an id twice, or something that the index cannot hold; nothing was
                written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        refuse_unknown(unknown)
        new = Additions.of_documents(self._records, documents, ids, self._filled)
        return self._add(new, embeddings, batch_size)

    async def aadd_documents(
        self,
        documents: list[Document],
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Do as `add_documents` does."""
        refuse_unknown(unknown)
        new = Additions.of_documents(self._records, documents, ids, self._filled)
        return await self._aadd(new, embeddings, batch_size)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Add texts with their metadata, as `add_documents` adds Documents; return the ids."""
        refuse_unknown(unknown)
        new = Additions(self._records, texts, metadatas, ids, self._filled)
        return self._add(new, embeddings, batch_size)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **unknown: Any,
    ) -> list[str]:
        """Do as `add_texts` does."""
        refuse_unknown(unknown)
        new = Additions(self._records, texts, metadatas, ids, self._filled)
        return await self._aadd(new, embeddings, batch_size)

    def delete(
        self, ids: Sequence[str] | None = None, *, delete_all: bool = False, **unknown: Any
    ) -> bool:
        """Delete by id; an id that does not exist is no error. The index itself always stays.

        Args:
            ids: what to delete.
            delete_all: delete every vector of the index; then there are no `ids`.
            unknown: refused.

        Raises:
            InvalidRequestError: neither `ids` nor `delete_all`, or both.
            PartialWriteError: calls failed; its `report` says what is gone.
        """
        refuse_unknown(unknown)
        self.run(self._deletion(ids, delete_all))
        return True

    async def adelete(
        self, ids: Sequence[str] | None = None, *, delete_all: bool = False, **unknown: Any
    ) -> bool:
        """Do as `delete` does."""
        refuse_unknown(unknown)
        await self.arun(self._deletion(ids, delete_all))
        return True

    def update_metadata(
        self, ids: Iterable[str], patch: Mapping[str, Any], *, remove: Collection[str] = ()
    ) -> list[str]:
        """Merge a patch into the metadata of stored Documents; no embedding call.

        Args:
            ids: which; those that do not exist are passed over.
            patch: fields and their new values; the other fields stay.
            remove: fields to take away.

        Returns:
            The ids that were there, in order.

        Raises:
            InvalidRequestError: a record would pass a limit; nothing was written.
            PartialWriteError: calls failed; its `report` says which records are changed.
        """
        return list(self.run(update_metadata(self._records, ids, patch, remove=remove)))

    async def aupdate_metadata(
        self, ids: Iterable[str], patch: Mapping[str, Any], *, remove: Collection[str] = ()
    ) -> list[str]:
        """Do as `update_metadata` does."""
        return list(await self.arun(update_metadata(self._records, ids, patch, remove=remove)))

    def _add(
        self, new: Additions, embeddings: Iterable[Embedding] | None, batch_size: int | None
    ) -> list[str]:
        if embeddings is None:
            embeddings = self._embedder.documents(new.texts, batch_size)
        self.run(self._records.write(new.vectors(embeddings)))
        return new.ids

    async def _aadd(
        self, new: Additions, embeddings: Iterable[Embedding] | None, batch_size: int | None
    ) -> list[str]:
        if embeddings is None:
            embeddings = await self._embedder.adocuments(new.texts, batch_size)
        await self.arun(self._records.write(new.vectors(embeddings)))
        return new.ids

    def _deletion(self, ids: Sequence[str] | None, everything: bool) -> Start[object]:
        if (ids is None) is not everything:
            raise InvalidRequestError(
                "delete takes ids, or delete_all=True for every vector of the index; not both."
            )
        return delete_all(self._records) if ids is None else delete(self._records, ids)


class OSSVectorStore(StoreWriting, StoreDiversity):
    """Store Documents with their embeddings, search them, and fetch them by id.

    Every async method is native: no call blocks the event loop. Text and typed metadata come back
    exactly as they were given; `Document.id` is the key.

    Args:
        embedding: the embedding model; without one, give embeddings and search by vector or id.
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        distance_metric: "cosine" or "euclidean", of the index that the first write makes; one that
            is there must have it. None takes what is there, and makes cosine.
        create_index: make the index on the first write, and read one that is not there as empty.
        filterable: metadata fields that searches can filter on, at most 10 with 2 KB together.
            None: not known, for an index that others write; then nothing is checked.
        non_filterable: further fields that an index made here keeps out of its filters.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        native_scalars: keep numbers and booleans as they are for filters, so that ranges work.
        embedding_key: the metadata field that receives the stored embedding, as a list of floats,
            in every Document read; when Documents are written the field is left out.
        score_key: the metadata field that receives the relevance, from 0 to 1, in every Document
            that a search finds; when Documents are written the field is left out.
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
        skip_rows: leave out of searches the rows of key-value stores in the same index.

    Raises:
        ConfigurationError: `embedding` or `client` is of another type.
        InvalidRequestError: a setting is impossible.
    """

    def __init__(
        self,
        embedding: Embeddings | None = None,
        *,
        client: Client | None = None,
        index: str | None = None,
        distance_metric: DistanceMetric | None = "cosine",
        create_index: bool = True,
        filterable: Sequence[str] | None = (),
        non_filterable: Sequence[str] = (),
        text_key: str | None = None,
        native_scalars: bool = False,
        embedding_key: str | None = None,
        score_key: str | None = None,
        on_decode_error: DecodePolicy = "raise",
        skip_rows: bool = False,
    ) -> None:
        settings = StoreSettings(
            index=index,
            distance_metric=distance_metric,
            create_index=create_index,
            filterable=filterable,
            non_filterable=non_filterable,
            text_key=text_key,
            native_scalars=native_scalars,
            on_decode_error=on_decode_error,
            skip_rows=skip_rows,
            limits=limits_of(client),
        )
        super().__init__(embedding, client, settings, embedding_key, score_key)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return Documents by id, in the order asked, a repeated id answered each time.

        Ids that do not exist are left out. No ids: no call.
        """
        return self.run(self._by_ids(ids)).made

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Do as `get_by_ids` does."""
        return (await self.arun(self._by_ids(ids))).made

    def get_by_ids_with_embeddings(self, ids: Sequence[str], /) -> WithEmbeddings:
        """Return Documents by id, each with its stored embedding; as `get_by_ids` otherwise."""
        return self.run(self._records.found(ids, self._pair, return_data=True)).made

    async def aget_by_ids_with_embeddings(self, ids: Sequence[str], /) -> WithEmbeddings:
        """Do as `get_by_ids_with_embeddings` does."""
        return (await self.arun(self._records.found(ids, self._pair, return_data=True))).made

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Self:
        """Return a store with these texts in it; `options` are those of the constructor."""
        store = cls(embedding, **options)
        store.add_texts(texts, metadatas, ids=ids, embeddings=embeddings, batch_size=batch_size)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: Iterable[str],
        embedding: Embeddings | None = None,
        metadatas: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        embeddings: Iterable[Embedding] | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Self:
        """Do as `from_texts` does."""
        store = cls(embedding, **options)
        await store.aadd_texts(
            texts, metadatas, ids=ids, embeddings=embeddings, batch_size=batch_size
        )
        return store

    def __repr__(self) -> str:
        model = type(self.embeddings).__name__ if self.embeddings else None
        return f"{type(self).__name__}(index={self.settings.index!r}, embedding={model})"

    def _by_ids(self, ids: Sequence[str]) -> Start[Found[Document]]:
        wanted = self.embedding_key is not None
        make = self._document if wanted else document_from
        return self._records.found(ids, make, return_data=wanted)
