"""What the key-value stores share: rows of an index, read and written by key."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.stores import BaseStore

from oss_vector_retriever.client.both import BothClients, Client, limits_of
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.fetched import FetchResult
from oss_vector_retriever.client.models.reports import WriteReport
from oss_vector_retriever.client.models.results import ListVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import check_whole, each_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import SharesClient
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.removing import delete
from oss_vector_retriever.records.settings import ROW_FIELD, DistanceMetric, StoreSettings
from oss_vector_retriever.records.storing import RecordStore, Start

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
        self._clients = BothClients(client)
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
