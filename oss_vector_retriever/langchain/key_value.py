"""What the key-value stores share: rows of an index, read and written by key."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from langchain_core.documents import Document
from langchain_core.stores import BaseStore

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, WriteReport, shown
from oss_vector_retriever.client.models.results import FetchResult, ListVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import check_whole, each_of
from oss_vector_retriever.client.pair import Client, ClientPair, limits_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import SharesClient
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.records import DecodeError, DecodePolicy
from oss_vector_retriever.records.decode import TEXT_FIELD
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.store import (
    ROW_FIELD,
    ROW_ID_FIELD,
    DistanceMetric,
    RecordStore,
    Start,
    StoreSettings,
    delete,
)

V = TypeVar("V")


class KeyValueStore(SharesClient, BaseStore[str, V]):
    """Keep values under keys in an index, as rows that no search for documents meets.

    `mget` of any number of keys is one fetch. A row without an embedding of its own gets a
    placeholder: 1.0 and zeros, as many as the index has dimensions.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index, so that rows can lie beside other records.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        text_key: a further metadata field to look for text in, in records that others wrote.
        on_decode_error: what to do with records that cannot be read.

    Raises:
        ConfigurationError: `client` is of another type.
        InvalidRequestError: a setting is impossible.
    """

    return_data = False
    return_metadata = True

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        prefix: str = "",
        dimension: int = 1,
        distance_metric: DistanceMetric | None = None,
        create_index: bool = True,
        text_key: str | None = None,
        on_decode_error: DecodePolicy = "raise",
    ) -> None:
        if not isinstance(prefix, str):
            raise InvalidRequestError(f"prefix must be a string, not {type(prefix).__name__}.")
        self.prefix = prefix
        limits = limits_of(client)
        self._dimension = check_whole("dimension", dimension, 1, limits.dimension)
        self._clients = ClientPair(client)
        self._records = RecordStore(
            StoreSettings(
                index=index,
                distance_metric=distance_metric,
                create_index=create_index,
                text_key=text_key,
                on_decode_error=on_decode_error,
                limits=limits,
            )
        )

    @abstractmethod
    def _row(self, key: str, value: V, placeholder: list[float]) -> Vector:
        """Return the vector that holds a value."""

    @abstractmethod
    def _value(self, vector: Vector) -> V | None:
        """Return the value in a vector; None for one that cannot be read, under "skip"."""

    def mget(self, keys: Sequence[str]) -> list[V | None]:
        """Return the value of each key, in order; None for a key that does not exist."""
        return self._aligned(self._clients.run(self._fetched(keys)))

    async def amget(self, keys: Sequence[str]) -> list[V | None]:
        """Do as `mget` does."""
        return self._aligned(await self._clients.arun(self._fetched(keys)))

    def mset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        """Set values; of a key that stands twice the last one counts.

        Raises:
            InvalidRequestError: a key or value that the index cannot hold; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        self._clients.run(self._written(_pairs(key_value_pairs)))

    async def amset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        """Do as `mset` does."""
        await self._clients.arun(self._written(_pairs(key_value_pairs)))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete keys; one that does not exist is no error.

        Raises:
            PartialWriteError: calls failed; its `report` says what is gone.
        """
        self._clients.run(delete(self._records, self._stored(keys)))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Do as `mdelete` does."""
        await self._clients.arun(delete(self._records, self._stored(keys)))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys that begin with a prefix; the whole index is listed, page by page."""
        token: str | None = None
        while True:
            page = self._clients.run(self._records.page(token))
            yield from self._names(page, prefix)
            if (token := page.next_token) is None:
                return

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """Do as `yield_keys` does."""
        token: str | None = None
        while True:
            page = await self._clients.arun(self._records.page(token))
            for name in self._names(page, prefix):
                yield name
            if (token := page.next_token) is None:
                return

    def _key(self, key: str) -> str:
        if not isinstance(key, str):
            raise InvalidRequestError(
                f"a key must be a string, not {type(key).__name__}; use str(key)."
            )
        return self.prefix + key

    def _stored(self, keys: Sequence[str]) -> list[str]:
        return [self._key(key) for key in each_of(keys)]

    def _fetched(self, keys: Sequence[str]) -> Start[FetchResult]:
        return self._records.fetch(
            self._stored(keys),
            return_data=self.return_data,
            return_metadata=self.return_metadata,
        )

    def _aligned(self, result: FetchResult) -> list[V | None]:
        return [None if v is None else self._value(v) for v in result.aligned()]

    def _names(self, page: ListVectorsResult, prefix: str | None) -> Iterator[str]:
        begins = self._key(prefix or "")
        kept = (vector.key for vector in page if vector.key.startswith(begins))
        return (key[len(self.prefix) :] for key in kept if len(key) > len(self.prefix))

    def _written(self, values: Mapping[str, V]) -> Start[WriteReport]:
        def start(context: Context) -> Flow[WriteReport]:
            found = (yield from self._records.description()(context)) if values else None
            dimension = (found.dimension if found else 0) or self._dimension
            placeholder = [1.0] + [0.0] * (dimension - 1)
            rows = [self._row(self._key(k), value, placeholder) for k, value in values.items()]
            return (yield from self._records.write(rows)(context))

        return start

    def _encoded(
        self,
        key: str,
        data: list[float],
        kind: str,
        text: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> Vector:
        fields = {**(metadata or {}), ROW_FIELD: kind}
        return self._records.encoded(
            key, data, text=text, metadata=fields, also_filterable=[ROW_FIELD]
        )


def _pairs(given: Any) -> dict[str, Any]:
    """Return pairs of a key and a value as a dict.

    Raises:
        InvalidRequestError: they are no such pairs.
    """
    try:
        return dict(given)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            "mset takes a list of pairs of a key, a string, and a value, such as "
            f'[("key", value)]: {error}. Nothing was written.'
        ) from error


_KIND: Final = "bytes"

_log = logging.getLogger(__name__)


class OSSVectorByteStore(KeyValueStore[bytes]):
    """Keep bytes under keys: a ByteStore, for whatever LangChain caches or serialises.

    The service's metadata hold strings, so bytes are kept as base64: about 30 KB a value, at most.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        on_decode_error: for records that hold no bytes of this store: "raise", or "skip" (None
            comes back, with a warning in the log).
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        prefix: str = "",
        dimension: int = 1,
        distance_metric: DistanceMetric | None = None,
        create_index: bool = True,
        on_decode_error: DecodePolicy = "raise",
    ) -> None:
        if on_decode_error == "raw":
            raise InvalidRequestError('on_decode_error is "raise" or "skip" for bytes.')
        super().__init__(
            client,
            index=index,
            prefix=prefix,
            dimension=dimension,
            distance_metric=distance_metric,
            create_index=create_index,
            on_decode_error=on_decode_error,
        )

    def _row(self, key: str, value: bytes, placeholder: list[float]) -> Vector:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"a value must be bytes, not {type(value).__name__}.")
        text = base64.b64encode(value).decode("ascii")
        return self._encoded(key, placeholder, _KIND, text)

    def _value(self, vector: Vector) -> bytes | None:
        record = self._records.decoded(vector)
        if record is None:
            return None
        try:
            return _bytes_of(record)
        except DecodeError as error:
            if self._records.settings.on_decode_error == "raise":
                raise
            _log.warning("skipped: %s", error)
            return None


def _bytes_of(record: Record) -> bytes:
    if record.metadata.get(ROW_FIELD) != _KIND:
        raise DecodeError(record.key, ROW_FIELD, "it is no row of a store of bytes")
    try:
        return base64.b64decode(record.text, validate=True)
    except binascii.Error as error:
        raise DecodeError(record.key, TEXT_FIELD, f"it is not base64 ({error})") from error


_DOCUMENT_KIND: Final = "document"


class OSSVectorDocStore(KeyValueStore[Document]):
    """Keep Documents under keys: the docstore of a MultiVectorRetriever or ParentDocumentRetriever.

    A Document comes back as it was given, its own id included, which need not be the key. A record
    that others wrote comes as a Document whose id is the key. Any number of parents up to 100 is
    one call.

    Parents lie in an index of their own, or beside their children. For the latter give a `prefix`,
    make the children's store with `skip_rows=True`, so that searches pass over parents, and, where
    parents are written first, say the `dimension` of the children's embeddings.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        on_decode_error: for records that cannot be read: "raise", "skip" (None comes back, with a
            warning in the log) or "raw" (their metadata as they are stored).
    """

    def _row(self, key: str, value: Document, placeholder: list[float]) -> Vector:
        if not isinstance(value, Document):
            raise InvalidRequestError(f"a value must be a Document, not {type(value).__name__}.")
        if taken := {ROW_FIELD, ROW_ID_FIELD} & value.metadata.keys():
            raise InvalidRequestError(
                f"record {key!r}: metadata[{min(taken)!r}] has a name that the store needs itself; "
                "give it another."
            )
        own = {} if value.id is None else {ROW_ID_FIELD: value.id}
        return self._encoded(
            key, placeholder, _DOCUMENT_KIND, value.page_content, {**value.metadata, **own}
        )

    def _value(self, vector: Vector) -> Document | None:
        record = self._records.decoded(vector)
        if record is None:
            return None
        a_row, own_id = ROW_FIELD in record.metadata, record.metadata.get(ROW_ID_FIELD)
        document = document_from(record)
        document.id = own_id if a_row else vector.key.removeprefix(self.prefix)
        return document


_EMBEDDING_KIND: Final = "embedding"


class OSSVectorEmbeddingStore(KeyValueStore[list[float]]):
    """Keep embeddings under keys: the cache of a CacheBackedEmbeddings, without serialising.

    The vector is the value, float32 as the service stores it: numbers come back rounded to that.
    An index holds embeddings of one dimension, so of one model; give each model an index.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: another index than the client's own.
        prefix: stands before every key in the index.
        hash_keys: keep each value under the SHA-256 of its key: CacheBackedEmbeddings uses whole
            texts as keys, and the service takes 1,024 characters. `yield_keys` yields the hashes.
        distance_metric: of the index that a first write makes; euclidean takes zeros, cosine not.
            None takes any that is there, and makes cosine.
        create_index: make the index on the first write, and read one that is not there as empty.
    """

    return_data = True
    return_metadata = False

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        prefix: str = "",
        hash_keys: bool = False,
        distance_metric: DistanceMetric | None = "euclidean",
        create_index: bool = True,
    ) -> None:
        super().__init__(
            client,
            index=index,
            prefix=prefix,
            distance_metric=distance_metric,
            create_index=create_index,
        )
        self.hash_keys = hash_keys

    def _key(self, key: str) -> str:
        if not self.hash_keys or not isinstance(key, str):
            return self._short(super()._key(key))
        return super()._key(hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest())

    def _short(self, key: str) -> str:
        most = self._records.settings.limits.key_characters
        if len(key) > most:
            raise InvalidRequestError(
                f"the key {shown(key)} has {len(key):,} characters, and the service takes "
                f"{most:,}; with hash_keys=True each value is kept under the SHA-256 of its key."
            )
        return key

    def _row(self, key: str, value: list[float], placeholder: list[float]) -> Vector:  # noqa: ARG002 - a value is its own vector
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            raise InvalidRequestError(
                f"a value must be a list of numbers, not {type(value).__name__}."
            )
        return self._encoded(key, value, _EMBEDDING_KIND)

    def _value(self, vector: Vector) -> list[float] | None:
        return None if vector.data is None else vector.data.tolist()
