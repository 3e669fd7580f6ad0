"""Postprocessors that fetch by key: whole nodes, neighbours, and choices by stored embeddings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
)
from pydantic import Field

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote
from ..embeddings import Numbers
from ..embeddings import stored as picking
from ..embeddings.stored import Pick, StoredEmbeddings, WithoutPolicy
from ..records.grouping import HydrationPolicy, pair_with_stored
from ..records.keys import is_key
from ..records.lookup import MissingPolicy
from .component import NodeLookup, _Fetching, query_embedding
from .nodes import linked_id

HydratedFields = Literal["all", "text", "metadata", "embedding"]
_Hits = list[NodeWithScore]


class _FetchingPostprocessor(_Fetching, BaseNodePostprocessor):
    """A postprocessor whose work is one flow, `_process`."""

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return self._clients.run(self._process, nodes, query_bundle, False)

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        return await self._clients.arun(self._process, nodes, query_bundle, True)

    def _process(
        self, context: Context, hits: _Hits, bundle: QueryBundle | None, awaited: bool
    ) -> Flow[_Hits]:
        raise NotImplementedError


class OSSVectorRehydrationPostprocessor(_FetchingPostprocessor):
    """Stored nodes in the place of hits, or copies of the hits with what they lacked.

    Scores and order stay, and the hits given are not changed. All is one fetch, of those that need
    it alone.

    Attributes:
        fields: "all" puts the stored node in the hit's place; "text", "metadata" and "embedding"
            bring that alone.
        id_key: the metadata field that holds the key; by default the key is the node's id.
        key_of: finds a node's key, in place of `id_key`; None leaves the hit as it is.
        only_incomplete: fetch only for hits that lack what is wanted (the text, under "all"), or
            whose key is not their id.
        return_data: under "all", set `node.embedding`.
        on_missing: what becomes of a hit whose record does not exist: "keep" it as it is, "omit"
            it, or "raise" `MissingKeysError`.
        on_decode_error: "raise", "skip" (the hit whose record cannot be read is left out, with a
            warning in the log) or "raw" (a TextNode with the metadata as stored).

    Examples:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> hit = NodeWithScore(node=TextNode(id_="tea"), score=0.5)
        >>> whole = OSSVectorRehydrationPostprocessor(client=client).postprocess_nodes([hit])
        >>> whole[0].text, whole[0].score
        ('Green tea.', 0.5)
    """

    fields: HydratedFields = "all"
    id_key: str | None = None
    key_of: Callable[[BaseNode], str | None] | None = Field(default=None, exclude=True, repr=False)
    only_incomplete: bool = True
    return_data: bool = False
    on_missing: HydrationPolicy = "keep"

    def _process(self, context: Context, hits: _Hits, *_query: object) -> Flow[_Hits]:
        keys = [self._key_to_fetch(hit.node) for hit in hits]
        lookup = self._lookup(
            return_data=self.return_data or self.fields == "embedding",
            on_missing="raise" if self.on_missing == "raise" else "omit",
        )
        wanted = [key for key in keys if key is not None]
        found = yield from lookup.fetch_distinct(context, wanted)
        stored = {node.node_id: node for node in found.made}
        whole: list[NodeWithScore] = []
        used: set[str] = set()
        missing = {*found.missing}
        for hit, node in pair_with_stored(hits, keys, stored, missing, self.on_missing):
            if node is None:
                whole.append(hit)
                continue
            # two hits of one key get a node each: whoever changes one must not change the other
            own = node.model_copy(deep=True) if node.node_id in used else node
            used.add(node.node_id)
            # of the hit a copy as well: the caller may go on with those it gave
            whole.append(hit.model_copy(update={"node": self._hydrate(hit.node, own)}))
        return whole

    def _key_to_fetch(self, node: BaseNode) -> str | None:
        key: str | None = node.node_id
        if self.key_of is not None:
            key = self.key_of(node)
            if key is not None and not isinstance(key, str):
                raise InvalidRequestError(f"key_of must return a string or None, not {quote(key)}.")
        elif self.id_key is not None and (key := node.metadata.get(self.id_key)) is not None:
            key = str(key)
        needless = self.only_incomplete and key == node.node_id and self._has_it_all(node)
        return None if needless else key

    def _has_it_all(self, node: BaseNode) -> bool:
        if self.fields == "metadata":
            return bool(node.metadata)
        if self.fields == "embedding":
            return node.embedding is not None
        return bool(node.get_content(MetadataMode.NONE))

    def _hydrate(self, node: BaseNode, stored: BaseNode) -> BaseNode:
        if self.fields == "all":
            return stored
        # a node's class decides where its text stands
        if self.fields == "text":
            copied = node.model_copy()
            copied.set_content(stored.get_content(MetadataMode.NONE))
            return copied
        return node.model_copy(update={self.fields: getattr(stored, self.fields)})


class OSSVectorPrevNextPostprocessor(_FetchingPostprocessor):
    """Hits with the nodes before and after each, in reading order.

    All hits advance one hop with one fetch, so there are at most `num_nodes` of them. A neighbour
    that does not exist ends its chain. Chains come in the order of the hits.

    Attributes:
        num_nodes: how many hops to go.
        mode: "next", "previous" or "both".
        score_decay: what a hit's score is multiplied with at each hop; 1 hands it on as it is.
        within_document: stop where the neighbour belongs to another source document.
        return_data: set `node.embedding` of the neighbours.
        on_missing: "omit", or "raise" for a neighbour that does not exist.

    Examples:
        >>> from llama_index.core.schema import NodeRelationship, NodeWithScore, TextNode
        >>> first, second = TextNode(id_="1", text="One,"), TextNode(id_="2", text="two.")
        >>> first.relationships[NodeRelationship.NEXT] = second.as_related_node_info()
        >>> client = OSSVectorClient.local()
        >>> second.embedding = [1.0, 0.0]
        >>> _ = OSSVectorStore(client).add([second])
        >>> wider = OSSVectorPrevNextPostprocessor(client=client)
        >>> [hit.text for hit in wider.postprocess_nodes([NodeWithScore(node=first)])]
        ['One,', 'two.']
    """

    num_nodes: int = Field(default=1, ge=0)
    mode: Literal["next", "previous", "both"] = "next"
    score_decay: float = Field(default=1.0, ge=0, le=1)
    within_document: bool = True
    return_data: bool = False
    on_missing: MissingPolicy = "omit"

    def _process(self, context: Context, hits: _Hits, *_query: object) -> Flow[_Hits]:
        lookup = self._lookup(return_data=self.return_data, on_missing=self.on_missing)
        # a neighbour that is a hit takes no fetch
        known = {hit.node.node_id: hit.node for hit in hits}
        scored: dict[str, NodeWithScore] = {}
        for hit in hits:
            # a hit that stands twice counts with its better score
            there = scored.get(hit.node.node_id)
            if there is None or hit.get_score() > there.get_score():
                scored[hit.node.node_id] = hit
        first = list(scored)
        ways = {"next": [True], "previous": [False], "both": [True, False]}[self.mode]
        walks = [
            _Walk(forward, hit.node, _source_of(hit.node), hit.score)
            for hit in hits
            for forward in ways
        ]
        for _ in range(self.num_nodes):
            walks = yield from _walk_on(context, lookup, known, walks, self.within_document)
            for walk in walks:
                self._score(walk, scored, first)
        return _order_for_reading(first, scored)

    def _score(self, walk: "_Walk", scored: dict[str, NodeWithScore], first: list[str]) -> None:
        """Score the node that a walk has come to; of several scores it keeps the best."""
        walk.score = None if walk.score is None else walk.score * self.score_decay
        there = scored.get(walk.node.node_id)
        if there is None:
            scored[walk.node.node_id] = NodeWithScore(node=walk.node, score=walk.score)
        elif walk.node.node_id not in first and (walk.score or 0.0) > there.get_score():
            there.score = walk.score  # not of a hit: those are the caller's own


class _StoredEmbeddingPostprocessor(_FetchingPostprocessor):
    """A choice among hits by their stored embeddings; no document is embedded again.

    Embeddings that the nodes carry are used; the others are fetched by node id, all in one fetch.

    Attributes:
        on_missing: what becomes of a hit without a stored embedding: "keep", "omit" or "raise".
        use_node_embeddings: False fetches the stored embedding of every hit.
        query_key: the key of a stored vector that serves as the query.
        embed_model: embeds the query where neither its bundle nor `query_key` gives an embedding.
    """

    _takes_query: ClassVar[bool] = True
    on_missing: WithoutPolicy = "keep"
    use_node_embeddings: bool = True
    query_key: str | None = None
    embed_model: BaseEmbedding | None = Field(default=None, exclude=True, repr=False)

    def _process(
        self, context: Context, hits: _Hits, bundle: QueryBundle | None, awaited: bool
    ) -> Flow[_Hits]:
        own = [hit.node.embedding if self.use_node_embeddings else None for hit in hits]
        stored = yield from picking.stored_embeddings(
            context,
            # an id that no record can have is one without a stored embedding
            [hit.node.node_id if is_key(hit.node.node_id) else None for hit in hits],
            known=own,
            index=self.index,
            query_key=self.query_key,
            on_missing=self.on_missing,
        )
        query: Numbers | None = None
        if self._takes_query and stored.positions and stored.query is None:
            query = yield from query_embedding(bundle, self.embed_model, awaited=awaited)
        return [
            hits[position] if score is None else hits[position].model_copy(update={"score": score})
            for position, score in self._pick(hits, stored, query)
        ]

    def _pick(self, hits: _Hits, stored: StoredEmbeddings, query: Numbers | None) -> list[Pick]:
        raise NotImplementedError


class StoredEmbeddingDedupPostprocessor(_StoredEmbeddingPostprocessor):
    """Hits without those whose stored embedding is nearly that of an earlier hit, in order.

    A hit that is repeated is dropped too. The query plays no part.

    Attributes:
        similarity_threshold: the cosine from which on two say the same, from -1 to 1.

    Examples:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> rows = {"a": [1, 0], "b": [1, 0.01], "c": [0, 1]}
        >>> _ = client.upsert({"key": key, "data": data} for key, data in rows.items())
        >>> hits = [NodeWithScore(node=TextNode(id_=key), score=0.5) for key in rows]
        >>> dedup = StoredEmbeddingDedupPostprocessor(client=client)
        >>> [hit.node_id for hit in dedup.postprocess_nodes(hits)]
        ['a', 'c']
    """

    _takes_query: ClassVar[bool] = False
    similarity_threshold: float = Field(default=0.95, ge=-1, le=1)

    def _pick(self, hits: _Hits, stored: StoredEmbeddings, query: Numbers | None) -> list[Pick]:  # noqa: ARG002 - the same
        return picking.pick_distinct(stored, self.similarity_threshold)


class StoredEmbeddingMMRPostprocessor(_StoredEmbeddingPostprocessor):
    """Hits picked by maximal marginal relevance of their stored embeddings, in the order picked.

    Scores stay as they are. Hits without an embedding come last, as far as there is room.

    Attributes:
        top_n: how many to pick.
        lambda_mult: from 0, all diversity, to 1, all similarity to the query.

    Examples:
        >>> from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> rows = {"a": [1, 0], "b": [1, 0.01], "c": [0, 1]}
        >>> _ = client.upsert({"key": key, "data": data} for key, data in rows.items())
        >>> hits = [NodeWithScore(node=TextNode(id_=key), score=0.5) for key in rows]
        >>> query = QueryBundle("", embedding=[1, 0.5])
        >>> mmr = StoredEmbeddingMMRPostprocessor(client=client, top_n=2)
        >>> [hit.node_id for hit in mmr.postprocess_nodes(hits, query)]
        ['b', 'c']
    """

    top_n: int = Field(default=10, gt=0, strict=True)
    lambda_mult: float = Field(default=0.5, ge=0, le=1)

    def _pick(self, hits: _Hits, stored: StoredEmbeddings, query: Numbers | None) -> list[Pick]:  # noqa: ARG002 - scores play no part
        picks = picking.pick_diverse(stored, query, self.top_n, self.lambda_mult)
        return [(position, None) for position, _ in picks]


class StoredEmbeddingRescorer(_StoredEmbeddingPostprocessor):
    """Hits scored by the cosine similarity of query and stored embedding, best first.

    Hits without an embedding come last, with the score they had. The hits given are not changed.

    Attributes:
        top_n: keep at most so many.
        weight: the share of the similarity in the new score; the rest is that of the hit's own.

    Examples:
        >>> from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> rows = {"a": [1, 0], "b": [1, 0.01], "c": [0, 1]}
        >>> _ = client.upsert({"key": key, "data": data} for key, data in rows.items())
        >>> hits = [NodeWithScore(node=TextNode(id_=key), score=0.5) for key in rows]
        >>> query = QueryBundle("", embedding=[0, 1])
        >>> rescorer = StoredEmbeddingRescorer(client=client, top_n=1)
        >>> [(hit.node_id, hit.score) for hit in rescorer.postprocess_nodes(hits, query)]
        [('c', 1.0)]
    """

    top_n: int | None = Field(default=None, gt=0, strict=True)
    weight: float = Field(default=1.0, ge=0, le=1)

    def _pick(self, hits: _Hits, stored: StoredEmbeddings, query: Numbers | None) -> list[Pick]:
        earlier = [hits[position].get_score() for position in stored.positions]
        picks = picking.pick_similar(
            stored,
            query,
            k=self.top_n,
            scores=earlier if self.weight < 1 else None,
            weight=self.weight,
        )
        return picks[: self.top_n]


def neighbours(
    context: Context,
    lookup: NodeLookup,
    node: BaseNode,
    hops: tuple[int, int],
    allowed: Callable[[str], bool],
) -> Flow[list[BaseNode]]:
    """Return a node with those before and after it, in reading order, one fetch a hop.

    `hops` is how many before it, and how many after it. `allowed` tells whether a neighbour's key
    may be fetched; the first that may not ends the way.
    """
    known = {node.node_id: node}
    scored = {node.node_id: NodeWithScore(node=node)}
    walks = [_Walk(forward, node, _source_of(node)) for forward in (False, True)]
    for hop in range(max(hops)):
        walks = [
            walk
            for walk in walks
            if hop < hops[walk.forward] and walk.next_key and allowed(walk.next_key)
        ]
        walks = yield from _walk_on(context, lookup, known, walks)
        for walk in walks:
            scored.setdefault(walk.node.node_id, NodeWithScore(node=walk.node))
    return [hit.node for hit in _order_for_reading([node.node_id], scored)]


@dataclass(slots=True)
class _Walk:
    """A way from a hit in one direction; `node` is how far it has come."""

    forward: bool
    node: BaseNode
    document: str | None
    score: float | None = None

    @property
    def next_key(self) -> str | None:
        way = NodeRelationship.NEXT if self.forward else NodeRelationship.PREVIOUS
        return linked_id(self.node, way)


def _walk_on(
    context: Context,
    lookup: NodeLookup,
    known: dict[str, BaseNode],
    walks: list[_Walk],
    within_document: bool = True,
) -> Flow[list[_Walk]]:
    """Take every walk one node further, all with one fetch; return those that could go on."""
    keys = [walk.next_key for walk in walks]
    unknown = [key for key in keys if key and key not in known]
    known |= yield from lookup.fetch_by_id(context, unknown)
    going = []
    for walk, key in zip(walks, keys, strict=True):
        node = known.get(key or "")
        # a record that names no document may be of any: the link between the two is trusted
        if node is not None and (
            not within_document
            or None in (_source_of(node), walk.document)
            or _source_of(node) == walk.document
        ):
            walk.node = node
            going.append(walk)
    return going


def _source_of(node: BaseNode) -> str | None:
    return linked_id(node, NodeRelationship.SOURCE)


def _order_for_reading(
    first: Iterable[str], scored: Mapping[str, NodeWithScore]
) -> list[NodeWithScore]:
    """Return nodes chain by chain, each in reading order, the chains in the order of `first`.

    Of the nodes `scored`, by id, those that no chain reaches are left out.
    """
    # by their links alone: hits come in the order of their scores
    after = _links(scored)
    before = {following: key for key, following in after.items()}
    ordered: dict[str, NodeWithScore] = {}
    for key in first:
        if key in ordered:
            continue
        position: str | None = _head(key, before)
        while position is not None and position not in ordered:
            ordered[position] = scored[position]
            position = after.get(position)
    return list(ordered.values())


def _links(scored: Mapping[str, NodeWithScore]) -> dict[str, str]:
    """Return for each node the one that follows it, whichever of the two says so."""
    links: dict[str, str] = {}
    taken: set[str] = set()
    for key, hit in scored.items():
        following = linked_id(hit.node, NodeRelationship.NEXT)
        # two nodes may claim the same one as their next: the first of them has it
        if following is not None and following in scored and following not in taken:
            links[key] = following
            taken.add(following)
    # then the links that only the later of the two knows
    for key, hit in scored.items():
        previous = linked_id(hit.node, NodeRelationship.PREVIOUS)
        if previous is not None and previous in scored and key not in taken:
            links.setdefault(previous, key)
    return links


def _head(key: str, before: Mapping[str, str]) -> str:
    # links may go in a circle; then the chain begins where the walk closes it
    seen = {key}
    while (previous := before.get(key)) is not None and previous not in seen:
        seen.add(previous)
        key = previous
    return key
