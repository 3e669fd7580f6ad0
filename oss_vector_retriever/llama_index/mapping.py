"""`OSSVectorNodeMapping`: the nodes of an index by id, fetched when they are asked for."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Unpack

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError
from ..client.fetch import fetch
from ..client.models.vector import Vector
from ..client.operations.checks import check_whole, each_of
from ..client.pair import Client
from ..records import DecodePolicy
from ..records.keys import is_key
from ..records.lookup import make_each
from ..records.parts import restore_fetched
from .component import ConnectionOptions, NodeLookup, _Connected
from .nodes import classes_by_name


class OSSVectorNodeMapping(_Connected, Mapping[str, BaseNode]):
    """`RecursiveRetriever`'s `node_dict`, or any retriever's `object_map`, without loading all.

    A node is fetched when it is first asked for, unless `prefetch` has brought it with others in
    one call; `OSSVectorPrefetchingRetriever` does that for the index nodes of another retriever.
    What was fetched is remembered, and so is what is not there. Each answer is a node of its own.

    The keys are not listed: iteration and `len` are refused.

    A lookup cannot be awaited, so one that must fetch blocks, and with it the event loop, if it is
    made on one: that is what `RecursiveRetriever.aretrieve` does, which has no asynchronous form
    of its own. On a loop, `aprefetch` first, or take `aget_many`, or put an
    `OSSVectorPrefetchingRetriever` with `expand=True` in the place of a `RecursiveRetriever`.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were.
        text_nodes: make a TextNode or ImageNode of a Document or Node.
        reserved: ids of retrievers and query engines, which are no keys: `RecursiveRetriever` asks
            for those here too, its root first of all, and no call is made for them.
        remember: how many keys to remember at most, those found and those not there.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> mapping = OSSVectorNodeMapping(client)
        >>> mapping["tea"].text, mapping.get("coffee")
        ('Green tea.', None)
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        text_key: str | None = None,
        return_data: bool = False,
        on_decode_error: DecodePolicy = "raise",
        node_classes: Sequence[type[BaseNode]] = (),
        text_nodes: bool = False,
        reserved: Iterable[str] = (),
        remember: int = 10_000,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self._connect(client, connection)
        self._lookup = NodeLookup(
            index=index,
            text_key=text_key,
            return_data=return_data,
            on_decode_error=on_decode_error,
            classes=classes_by_name(node_classes),
            text_nodes=text_nodes,
        )
        self._reserved = frozenset(each_of(reserved))
        self._remember = check_whole("remember", remember, 0, 10**9)
        # vectors and no nodes: each answer is a node of its own, which its caller may change
        self._seen: dict[str, Vector | None] = {}

    def prefetch(self, keys: Iterable[str]) -> None:
        """Fetch what is not remembered yet, all at once."""
        self._clients.run(self._remember_all, keys)

    async def aprefetch(self, keys: Iterable[str]) -> None:
        """Fetch what is not remembered yet, all at once."""
        await self._clients.arun(self._remember_all, keys)

    def get_many(self, keys: Iterable[str]) -> dict[str, BaseNode]:
        """Return those of several nodes that exist, by key; what is not remembered in one fetch."""
        asked = list(each_of(keys))
        return self._nodes(asked, self._clients.run(self._remember_all, asked))

    async def aget_many(self, keys: Iterable[str]) -> dict[str, BaseNode]:
        """Do what `get_many` does, and never block: a single lookup cannot be awaited."""
        asked = list(each_of(keys))
        return self._nodes(asked, await self._clients.arun(self._remember_all, asked))

    def forget(self) -> None:
        """Forget what was fetched and what was not there."""
        self._seen = {}

    def _forget_index(self, client: Client) -> None:  # noqa: ARG002 - whichever it is
        self.forget()

    def __getitem__(self, key: str) -> BaseNode:
        # core asks for every id that it meets, with get(), which takes a KeyError for "none"
        if not is_key(key) or key in self._reserved:
            raise KeyError(key)
        seen = self._seen
        if key not in seen:
            seen = self._clients.run(self._remember_all, [key])
        return self._nodes([key], seen)[key]

    def __bool__(self) -> bool:
        # core writes `node_dict or {}`
        return True

    def __iter__(self) -> Iterator[str]:
        self._refuse_listing()

    def __len__(self) -> int:  # noqa: PLE0303 - refused
        self._refuse_listing()

    def __eq__(self, other: object) -> bool:
        # a Mapping's own would list the keys
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(index={self._lookup.index!r}, remembered={len(self._seen)})"

    def _remember_all(
        self, context: Context, keys: Iterable[str]
    ) -> Flow[dict[str, Vector | None]]:
        seen = self._seen
        asked = dict.fromkeys(each_of(keys))
        unknown = [key for key in asked if key not in seen and key not in self._reserved]
        if not unknown:
            return seen
        index, data = self._lookup.index, self._lookup.return_data
        fetching = fetch(context, unknown, index=index, return_data=data)
        found = yield from restore_fetched(context, fetching, index, return_data=data)
        # replaced, not changed: other threads may be reading it
        known = {**seen, **{key: found.by_key.get(key) for key in unknown}}
        # the oldest go first
        kept = list(known)[-self._remember :] if self._remember else []
        self._seen = {key: known[key] for key in kept}
        return known

    def _nodes(self, keys: Iterable[str], seen: Mapping[str, Vector | None]) -> dict[str, BaseNode]:
        known = [seen.get(key) for key in dict.fromkeys(keys) if key not in self._reserved]
        vectors = [vector for vector in known if vector is not None]
        return {node.node_id: node for node in make_each(self._lookup, vectors, self._lookup.node)}

    def _refuse_listing(self) -> NoReturn:
        raise TypeError(
            "the keys of an index are not listed; ask for a node by key, or use client.iter_vectors"
        )


class OSSVectorPrefetchingRetriever(BaseRetriever):
    """Another retriever, with what its index nodes point at prefetched.

    Put it at the root of a `RecursiveRetriever` whose `node_dict` is the mapping. Used by itself
    it can put the nodes pointed at in the place of the index nodes: `expand`.

    Args:
        retriever: finds the index nodes, among others.
        mapping: where the nodes that they point at are looked up.
        expand: put these in the place of the index nodes, with their scores; an index node whose
            target does not exist stays.
        callback_manager, object_map, objects, verbose: core's own.

    Raises:
        ConfigurationError: the mapping is of another kind.

    Examples:
        >>> from llama_index.core.schema import IndexNode, TextNode
        >>> client = OSSVectorClient.local()
        >>> card = IndexNode(id_="card", text="A card.", index_id="book", embedding=[1.0, 0.0])
        >>> book = TextNode(id_="book", text="The whole book.", embedding=[0.0, 1.0])
        >>> _ = OSSVectorStore(client).add([card, book])
        >>> cards, mapping = OSSVectorRetriever(client), OSSVectorNodeMapping(client)
        >>> OSSVectorPrefetchingRetriever(cards, mapping, expand=True).retrieve("card")[0].text
        'The whole book.'
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        mapping: OSSVectorNodeMapping,
        *,
        expand: bool = False,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(callback_manager, object_map, objects, verbose)
        if not isinstance(mapping, OSSVectorNodeMapping):
            raise ConfigurationError(
                f"mapping must be an OSSVectorNodeMapping, not {type(mapping).__name__}."
            )
        self.retriever = retriever
        self.mapping = mapping
        self._expand = expand

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.retriever.retrieve(query_bundle)
        return self._expand_hits(hits, self.mapping.get_many(_targets(hits)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self.retriever.aretrieve(query_bundle)
        return self._expand_hits(hits, await self.mapping.aget_many(_targets(hits)))

    def _expand_hits(
        self, hits: list[NodeWithScore], targets: Mapping[str, BaseNode]
    ) -> list[NodeWithScore]:
        # not by core's object_map, which takes a score of 0 for none, and makes it 1
        return [_follow(hit, targets) for hit in hits] if self._expand else hits


def _targets(hits: list[NodeWithScore]) -> list[str]:
    # an index node may point at a retriever, whose id need be no key
    named = [hit.node.index_id for hit in hits if isinstance(hit.node, IndexNode)]
    return [key for key in named if is_key(key)]


def _follow(hit: NodeWithScore, targets: Mapping[str, BaseNode]) -> NodeWithScore:
    node = hit.node
    if not isinstance(node, IndexNode) or node.obj is not None or node.index_id not in targets:
        return hit
    return hit.model_copy(update={"node": targets[node.index_id]})
