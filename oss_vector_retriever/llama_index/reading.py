"""What the classes that are no components share: a client, and how records are read."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Self

from llama_index.core.schema import BaseNode

from oss_vector_retriever.client.both import BothClients, Client
from oss_vector_retriever.llama_index.node_classes import node_classes as classes_of
from oss_vector_retriever.llama_index.source import NodeSource
from oss_vector_retriever.records.lookup import Lookup


class WithClient:
    """Share the client with copies, and leave it out of pickles: it holds credentials.

    What is made of a pickle takes a client of its own, configured by the environment.
    """

    _clients: BothClients

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self._clients)] = self._clients
        copied = memo[id(self)] = object.__new__(type(self))
        vars(copied).update(deepcopy(vars(self), memo))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_clients"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._clients = BothClients()


class Reading(WithClient):
    """Make nodes of what a lookup finds."""

    _lookup: Lookup
    _node_classes: tuple[type[BaseNode], ...]
    _text_nodes: bool

    def _read_with(
        self,
        client: Client | None,
        lookup: Lookup,
        node_classes: Sequence[type[BaseNode]],
        *,
        text_nodes: bool = False,
    ) -> None:
        self._clients = BothClients(client)
        self._lookup = lookup
        self._node_classes = tuple(node_classes)
        self._text_nodes = text_nodes
        classes_of(self._node_classes)

    def _source(self) -> NodeSource:
        classes = classes_of(self._node_classes)
        return NodeSource(self._clients, self._lookup, classes, self._text_nodes)
