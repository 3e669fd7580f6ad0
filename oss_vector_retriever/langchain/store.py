"""`OSSVectorStore`: LangChain's vector store on OSS Vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from oss_vector_retriever.client.both import Client, limits_of
from oss_vector_retriever.langchain.additions import Embedding
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.store_base import WithEmbeddings
from oss_vector_retriever.langchain.store_diversity import StoreDiversity
from oss_vector_retriever.langchain.store_writing import StoreWriting
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Found
from oss_vector_retriever.records.settings import DistanceMetric, StoreSettings
from oss_vector_retriever.records.storing import Start


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
