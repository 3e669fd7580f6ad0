"""What the serialisable components share: a client, an index, and how records are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Self, TypeVar, get_args

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseComponent, BaseNode, NodeWithScore, QueryBundle
from pydantic import ConfigDict, Field, PrivateAttr

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.pair import Client, ClientPair
from oss_vector_retriever.client.steps import Call, Flow
from oss_vector_retriever.embeddings import similarities
from oss_vector_retriever.llama_index.nodes import (
    NodeClasses,
    OwnClasses,
    as_text_node,
    node_classes,
    node_from,
)
from oss_vector_retriever.llama_index.nodes import node_classes as classes_of
from oss_vector_retriever.records import DecodePolicy, Record
from oss_vector_retriever.records.keys import is_key
from oss_vector_retriever.records.lookup import Found, Lookup, MissingPolicy

_NOT_PICKLED = {"client", "callback_manager"}


class WithClients(BaseComponent):
    """Share with copies the client, and what else stays out of dicts; leave it out of pickles."""

    # a secret given under a wrong name must not come back in the error that says so
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    _clients: ClientPair = PrivateAttr()

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
        self._clients = ClientPair(self.client)

    def _both(self) -> ClientPair:
        if self._clients.given is not self.client:  # assigned, or changed in a copy
            self._clients = ClientPair(self.client)
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


class MissingKeysEvent(BaseEvent):
    """Say which of the keys asked for do not exist in an index."""

    index: str | None
    missing: list[str]

    @classmethod
    def class_name(cls) -> str:
        """Return the event's stable name."""
        return "OSSVectorsMissingKeysEvent"


@dataclass(frozen=True, slots=True)
class Question:
    """Hold the query that hits were found by, if any, and what embeds its text, if anything."""

    bundle: QueryBundle | None
    embed: Embed | None

    def embedding(self) -> Flow[list[float]]:
        """Return the query's embedding.

        Raises:
            InvalidRequestError: there is none, and nothing to make it of.
        """
        return query_embedding(self.bundle, self.embed)


class FetchingPostprocessor(Fetching, BaseNodePostprocessor):
    """Be a postprocessor that fetches; what it does is `_flow`."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        question = Question(query_bundle, blocking(self._model()))
        return self._both().run(partial(self._flow, hits=nodes, question=question))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        question = Question(query_bundle, awaited(self._model()))
        return await self._both().arun(partial(self._flow, hits=nodes, question=question))

    def _model(self) -> BaseEmbedding | None:
        """Return what embeds the query where its bundle has no embedding."""
        return None

    def _flow(
        self, context: Context, hits: list[NodeWithScore], question: Question
    ) -> Flow[list[NodeWithScore]]:
        raise NotImplementedError


class WithClient:
    """Share the client with copies, and leave it out of pickles: it holds credentials.

    What is made of a pickle takes a client of its own, configured by the environment.
    """

    _clients: ClientPair

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
        self._clients = ClientPair()


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
        self._clients = ClientPair(client)
        self._lookup = lookup
        self._node_classes = tuple(node_classes)
        self._text_nodes = text_nodes
        classes_of(self._node_classes)

    def _source(self) -> NodeSource:
        classes = classes_of(self._node_classes)
        return NodeSource(self._clients, self._lookup, classes, self._text_nodes)


ScoreMode = Literal["constant", "rank", "none", "similarity"]
SCORE_MODES: Final[tuple[str, ...]] = get_args(ScoreMode)
Embed = Callable[[list[str]], Any]


def check_scoring(mode: str, score: object) -> None:
    """Refuse a score mode that is unknown, and a score that is none.

    Raises:
        InvalidRequestError: naming what is possible.
    """
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise InvalidRequestError(f"score must be a number or None, not {score!r}.")
    if mode not in SCORE_MODES:
        raise InvalidRequestError(
            f"score_mode must be one of {', '.join(SCORE_MODES)}, not {mode!r}."
        )


def ranked(count: int) -> list[float]:
    """Return the scores of ranks: 1, 1/2, 1/3, ..."""
    return [1 / (place + 1) for place in range(count)]


def similar(query: Sequence[float], stored: Sequence[Float32Array | None]) -> list[float | None]:
    """Return the cosine similarity of each stored vector, None where there is none."""
    rows = [vector for vector in stored if vector is not None]
    scores = iter(similarities(query, rows).tolist())
    return [None if vector is None else next(scores) for vector in stored]


def query_embedding(bundle: QueryBundle | None, embed: Embed | None) -> Flow[list[float]]:
    """Return the query's own embedding, or the model's of its text.

    Args:
        bundle: the query.
        embed: the model's method for queries, blocking or to be awaited as the flow is; or None.

    Raises:
        InvalidRequestError: there is neither an embedding, nor a model and a text.
    """
    if bundle is not None and bundle.embedding is not None:
        return bundle.embedding
    if bundle is None or embed is None or not bundle.embedding_strs:
        raise InvalidRequestError(
            "similarity to the query needs its embedding: set QueryBundle.embedding, or give "
            "embed_model= and a query with text."
        )
    found: list[float] = yield from called(embed, bundle.embedding_strs)
    return found


def blocking(model: BaseEmbedding | None) -> Embed | None:
    """Return what embeds a query, blocking."""
    return None if model is None else model.get_agg_embedding_from_queries


def awaited(model: BaseEmbedding | None) -> Embed | None:
    """Return what embeds a query, to be awaited."""
    return None if model is None else model.aget_agg_embedding_from_queries


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

    clients: ClientPair
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
