"""What the serialisable components share: a client, an index, and how records are read."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

from llama_index.core.schema import BaseComponent
from pydantic import ConfigDict, Field, PrivateAttr

from oss_vector_retriever.client.both import BothClients, Client
from oss_vector_retriever.llama_index.node_classes import OwnClasses, node_classes
from oss_vector_retriever.llama_index.source import NodeSource
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Lookup, MissingPolicy

_NOT_PICKLED = {"client", "callback_manager"}


class WithClients(BaseComponent):
    """Share with copies the client, and what else stays out of dicts; leave it out of pickles."""

    # a secret given under a wrong name must not come back in the error that says so
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    _clients: BothClients = PrivateAttr()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other settings where `update` says so."""
        # one after the other: pydantic's own way of both does not ask what is shared
        copied: Self = super(WithClients, deepcopy(self) if deep else self).model_copy(
            update=update
        )
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        shared = {id(thing): thing for thing in self._shared()}
        return super().__deepcopy__({**(memo or {}), **shared})

    def _shared(self) -> list[Any]:
        excluded = [name for name, field in type(self).model_fields.items() if field.exclude]
        return [self._clients, *(getattr(self, name) for name in excluded)]

    def __getstate__(self) -> dict[str, Any]:
        # core's own takes what it cannot pickle out of the live object
        kept = {name: value for name, value in self.__dict__.items() if name not in _NOT_PICKLED}
        return {
            "__dict__": kept,
            "__pydantic_extra__": None,
            "__pydantic_fields_set__": self.__pydantic_fields_set__ - _NOT_PICKLED,
            "__pydantic_private__": None,
        }


class Fetching(WithClients):
    """Be a component that fetches by key.

    Clients hold credentials and connections: they stay out of `to_dict`, repr and pickles. What is
    made of those takes a client of its own, configured by the environment, unless one is given:
    `from_dict(saved, client=client)`. A copy shares the client, and what else stays out of dicts.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        on_decode_error: what becomes of a record that cannot be read: "raise" an error, "skip"
            it with a warning in the log, or "raw", a TextNode with the metadata as stored.
        node_classes: your own node classes, so that their nodes come back as what they were. A dict
            holds their names; what is made of it finds those that are imported.
    """

    client: Client | None = Field(default=None, exclude=True, repr=False)
    index: str | None = None
    text_key: str | None = None
    on_decode_error: DecodePolicy = "raise"
    node_classes: OwnClasses = Field(default=(), repr=False)

    def model_post_init(self, context: Any, /) -> None:
        """Prepare the client for both kinds of call."""
        super().model_post_init(context)
        node_classes(self.node_classes)
        self._clients = BothClients(self.client)

    def _both(self) -> BothClients:
        if self._clients.given is not self.client:  # assigned, or changed in a copy
            self._clients = BothClients(self.client)
        return self._clients

    def _source(
        self, *, return_data: bool = False, on_missing: MissingPolicy = "omit"
    ) -> NodeSource:
        lookup = Lookup(
            index=self.index,
            text_key=self.text_key,
            return_data=return_data,
            on_missing=on_missing,
            on_decode_error=self.on_decode_error,
        )
        return NodeSource(self._both(), lookup, node_classes(self.node_classes))
