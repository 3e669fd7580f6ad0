"""Nodes by key: what every adapter of this folder begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.schema import BaseNode

from oss_vector_retriever.client.both import BothClients
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import MissingKeysError
from oss_vector_retriever.client.steps import Call, Flow
from oss_vector_retriever.llama_index.events import MissingKeysEvent
from oss_vector_retriever.llama_index.node_classes import NodeClasses
from oss_vector_retriever.llama_index.nodes import node_from
from oss_vector_retriever.llama_index.text_nodes import as_text_node
from oss_vector_retriever.records import Record
from oss_vector_retriever.records.keys import is_key
from oss_vector_retriever.records.lookup import Found, Lookup

T = TypeVar("T")
_dispatcher = get_dispatcher(__name__)


@dataclass(frozen=True, slots=True)
class NodeSource:
    """Say where nodes come from and as what.

    Attributes:
        clients: the client, for blocking calls and for each event loop.
        lookup: how keys become records.
        classes: the node classes, by stored name.
        text_nodes: make a TextNode, or an ImageNode, of a Document or a Node.
    """

    clients: BothClients
    lookup: Lookup
    classes: NodeClasses
    text_nodes: bool = False

    def node(self, record: Record) -> BaseNode:
        """Make a node of a record."""
        node = node_from(record, self.classes)
        return as_text_node(node) if self.text_nodes else node

    def found(
        self, context: Context, keys: Iterable[str], make: Callable[[Record], T]
    ) -> Flow[Found[T]]:
        """Fetch records and make something of each, in the order asked, duplicates kept."""
        return self.lookup.of(keys, make)(context)

    def nodes(self, context: Context, keys: Iterable[str]) -> Flow[Found[BaseNode]]:
        """Fetch nodes in the order asked, duplicates kept."""
        return self.found(context, keys, self.node)

    def by_id(self, context: Context, keys: Iterable[str]) -> Flow[dict[str, BaseNode]]:
        """Fetch each distinct key once, and tell of those that are missing; no keys, no call.

        Ids that nodes name themselves may be none that a record can have: those are missing too.

        Raises:
            MissingKeysError: keys are missing, under "raise".
        """
        unique = list(dict.fromkeys(keys))
        legal = [key for key in unique if is_key(key)]
        found: Found[BaseNode] = Found([], ())
        if legal:
            found = yield from self.nodes(context, legal)
        nodes = {node.node_id: node for node in found.made}
        there = {*legal} - {*found.missing}
        missing = [key for key in unique if key not in there]
        if missing and self.lookup.on_missing == "raise":
            raise MissingKeysError(missing)
        self.tell(missing)
        return nodes

    def tell(self, missing: Iterable[str]) -> None:
        """Send a `MissingKeysEvent` to LlamaIndex's instrumentation, if any key is missing."""
        tell_missing(self.lookup.index or self.clients.config.index, missing)


def tell_missing(index: str | None, missing: Iterable[str]) -> None:
    """Send a `MissingKeysEvent` to LlamaIndex's instrumentation, if any key is missing."""
    if names := list(missing):
        _dispatcher.event(MissingKeysEvent(index=index, missing=names))


def called(function: Callable[..., Any], *arguments: Any) -> Flow[Any]:
    """Call a function that may block, or that returns an awaitable where the flow is awaited."""
    return (yield Call(lambda: function(*arguments)))
