"""The settings of a LlamaIndex store, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from llama_index.core.vector_stores.types import BasePydanticVectorStore
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from oss_vector_retriever.client.both import BothClients, Client, limits_of
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.llama_index.component import WithClients
from oss_vector_retriever.llama_index.node_classes import OwnClasses, node_classes
from oss_vector_retriever.llama_index.source import NodeSource
from oss_vector_retriever.llama_index.store_records import NodeStore
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Lookup, MissingPolicy
from oss_vector_retriever.records.nodes import SOURCE_ID_FIELD
from oss_vector_retriever.records.settings import DistanceMetric, StoreSettings
from oss_vector_retriever.records.storing import RecordStore


class StoreBase(WithClients, BasePydanticVectorStore):
    """Hold the settings; the client stays out of `to_dict`, repr and pickles.

    What is made of those takes a client of its own, configured by the environment, unless one is
    given: `OSSVectorStore.from_dict(saved, client=client)`.
    """

    model_config = ConfigDict(frozen=True)

    stores_text: bool = True
    index: str | None = None
    text_key: str | None = None
    return_data: bool = True
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    create_index: bool = True
    distance_metric: DistanceMetric | None = "cosine"
    filterable: tuple[str, ...] | None = ()
    non_filterable: tuple[str, ...] = ()
    native_scalars: bool = False
    skip_rows: bool = False
    node_classes: OwnClasses = Field(default=(), repr=False)

    _store: NodeStore = PrivateAttr()

    def __init__(self, client: Client | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._clients = BothClients(client)
        self._store = self._made()

    @model_validator(mode="after")
    def _stores_text(self) -> Self:
        if not self.stores_text or not self.is_embedding_query:
            raise ValueError("this store keeps text and is queried by embedding")
        return self

    @property
    def client(self) -> Client:
        """Return the client: the one that was given, or the one that the environment configures."""
        return self._clients.given or self._clients.blocking()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy that shares the client, with other settings where `update` says so."""
        copied = super().model_copy(update=update, deep=deep)
        copied._store = copied._made()  # noqa: SLF001 - one of its own class
        return copied

    def _shared(self) -> list[Any]:
        return [*super()._shared(), self._store]

    def _made(self) -> NodeStore:
        return NodeStore(
            RecordStore(self._settings()),
            node_classes(self.node_classes),
            return_data=self.return_data,
            on_missing=self.on_missing,
        )

    def _settings(self) -> StoreSettings:
        limits = limits_of(self._clients.given)
        most = limits.filterable_keys - 1
        named = None if self.filterable is None else tuple(self.filterable)
        if named is not None and len({*named} - {SOURCE_ID_FIELD}) > most:
            raise ConfigurationError(
                f"filterable names more than {most} fields; the service takes one more, and that "
                f"is {SOURCE_ID_FIELD}, the id of a node's document."
            )
        return StoreSettings(
            index=self.index,
            distance_metric=self.distance_metric,
            create_index=self.create_index,
            filterable=None if named is None else (*named, SOURCE_ID_FIELD),
            non_filterable=self.non_filterable,
            text_key=self.text_key,
            native_scalars=self.native_scalars,
            on_decode_error=self.on_decode_error,
            skip_rows=self.skip_rows,
            limits=limits,
        )

    def _tell(self, missing: tuple[str, ...]) -> None:
        NodeSource(self._clients, Lookup(index=self.index), self._store.classes).tell(missing)
