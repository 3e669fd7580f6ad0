"""What the parts of `OSSVectorStore` share: settings, client and embedding model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from oss_vector_retriever.client.both import BothClients, Client
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.langchain.connection import SharesClient
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.embedder import Embedder
from oss_vector_retriever.records import Record
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.storing import RecordStore, Start

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
        self._clients = BothClients(client)
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
