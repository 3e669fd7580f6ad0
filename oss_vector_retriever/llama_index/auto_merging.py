"""`OSSVectorAutoMergingRetriever`: chunks give way to their parents, one fetch a level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Unpack

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import (
    BaseNode,
    IndexNode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
)

from ..client.context import Context, Flow
from ..client.operations.checks import check_choice
from ..client.pair import Client
from ..embeddings.mathematics import check_share
from ..records import DecodePolicy
from ..records.grouping import group_by_parent
from .component import ConnectionOptions, NodeLookup, _Connected
from .nodes import child_ids, classes_by_name, linked_id


class OSSVectorAutoMergingRetriever(_Connected, BaseRetriever):
    """Another retriever's hits, with parents in the place of children where most were hit.

    It does what core's `AutoMergingRetriever` does, level after level, with one fetch for all
    parents of a level, and awaited where it is asynchronous. A parent that does not exist leaves
    its children as they are.

    Args:
        retriever: finds the first hits.
        client: either client; by default one that is configured by the environment.
        index: where parents and neighbours are, if not in the client's own index.
        simple_ratio_thresh: a parent is taken when more than this share of its children is hit.
        text_key: a further metadata field to look for text in, of records that others wrote.
        on_missing: "child" leaves the children of a parent that does not exist as they are; "raise"
            raises `MissingKeysError`, for a neighbour too.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were.
        callback_manager, object_map, objects, verbose: core's own.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Raises:
        InvalidRequestError: the share is not from 0 to 1, or `on_missing` is unknown.

    Examples:
        >>> from llama_index.core.schema import NodeRelationship, TextNode
        >>> page = TextNode(id_="page", text="The whole page.", embedding=[1.0, 0.0])
        >>> line = TextNode(id_="line", text="A line.", embedding=[0.0, 1.0])
        >>> line.relationships[NodeRelationship.PARENT] = page.as_related_node_info()
        >>> page.relationships[NodeRelationship.CHILD] = [line.as_related_node_info()]
        >>> client = OSSVectorClient.local()
        >>> _ = OSSVectorStore(client).add([page, line])
        >>> merging = OSSVectorAutoMergingRetriever(OSSVectorRetriever(client), client)
        >>> merging.retrieve("line")[0].text
        'The whole page.'
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        client: Client | None = None,
        *,
        index: str | None = None,
        simple_ratio_thresh: float = 0.5,
        text_key: str | None = None,
        on_missing: Literal["child", "raise"] = "child",
        on_decode_error: DecodePolicy = "raise",
        node_classes: Sequence[type[BaseNode]] = (),
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(callback_manager, object_map, objects, verbose)
        self.retriever = retriever
        check_choice("on_missing", on_missing, ("child", "raise"))
        self._share = check_share("simple_ratio_thresh", simple_ratio_thresh, 0, 1)
        self._connect(client, connection)
        self._lookup = NodeLookup(
            index=index,
            text_key=text_key,
            on_missing="raise" if on_missing == "raise" else "omit",
            on_decode_error=on_decode_error,
            classes=classes_by_name(node_classes),
        )

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.retriever.retrieve(query_bundle)
        return self._clients.run(self._merge_levels, hits)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self.retriever.aretrieve(query_bundle)
        return await self._clients.arun(self._merge_levels, hits)

    def _merge_levels(
        self, context: Context, hits: list[NodeWithScore]
    ) -> Flow[list[NodeWithScore]]:
        known = _Known()
        # core's order: gaps first, since a gap that is filled may complete a parent's share
        changed = True
        while changed:
            yield from known.learn(context, self._lookup, [*_gaps(hits), *_parents(hits)])
            hits, filled = _fill_in(hits, known)
            yield from known.learn(context, self._lookup, _parents(hits))
            hits, merged = _merge(hits, known, self._share)
            changed = filled or merged
        # core sorts at the end too: gaps and parents stand where they came in
        return sorted(hits, key=lambda hit: hit.get_score(), reverse=True)


@dataclass(slots=True)
class _Known:
    nodes: dict[str, BaseNode] = field(default_factory=dict)  # fetched so far, by id
    asked: set[str] = field(default_factory=set)  # whether they exist or not
    merged: set[str] = field(default_factory=set)  # parents that took their children's place

    def learn(self, context: Context, lookup: NodeLookup, ids: list[str]) -> Flow[None]:
        unknown = [key for key in ids if key not in self.asked]
        # asked for once, also what does not exist: hits come back to the same parents at each level
        self.asked.update(unknown)
        self.nodes |= yield from lookup.fetch_by_id(context, unknown)


def _gaps(hits: list[NodeWithScore]) -> dict[str, int]:
    """Return the ids of nodes that two successive hits leave out, with the first hit's position."""
    present = {hit.node.node_id for hit in hits}
    found: dict[str, int] = {}
    for position, (hit, after) in enumerate(pairwise(hits)):
        middle = linked_id(hit.node, NodeRelationship.NEXT)
        if middle is None or middle != linked_id(after.node, NodeRelationship.PREVIOUS):
            continue
        if middle not in present:
            # once, also where two pairs of hits leave out the same node
            found.setdefault(middle, position)
    return found


def _parents(hits: list[NodeWithScore]) -> list[str]:
    return [key for hit in hits if (key := _parent_id(hit)) is not None]


def _fill_in(hits: list[NodeWithScore], known: _Known) -> tuple[list[NodeWithScore], bool]:
    """Return the hits with the gaps between them filled, and whether there were any."""
    between = {at: known.nodes[key] for key, at in _gaps(hits).items() if key in known.nodes}
    filled: list[NodeWithScore] = []
    for position, hit in enumerate(hits):
        filled.append(hit)
        if position in between:
            score = (hit.get_score() + hits[position + 1].get_score()) / 2
            filled.append(NodeWithScore(node=between[position], score=score))
    return filled, bool(between)


def _merge(
    hits: list[NodeWithScore], known: _Known, share: float
) -> tuple[list[NodeWithScore], bool]:
    """Return the hits with parents in place of children, and whether there were any.

    A parent that is a hit itself has the better of the two scores.
    """
    present = {hit.node.node_id for hit in hits}
    gone: set[str] = set()
    scores: dict[str, float] = {}
    added: list[NodeWithScore] = []
    for group in group_by_parent((hit, _parent_id(hit), hit.get_score()) for hit in hits):
        key, parent = group.parent, known.nodes.get(group.parent or "")
        # once: relationships may go in circles
        if key is None or parent is None or key in known.merged:
            continue
        # a parent that names no children is taken to have one, as core has it
        if len(group.children) / (len(child_ids(parent)) or 1) <= share:
            continue
        known.merged.add(key)
        # a node may name itself as its parent
        gone |= {child.node.node_id for child in group.children} - {key}
        scores[key] = group.mean_score or 0.0
        if key not in present:
            added.append(NodeWithScore(node=parent, score=scores[key]))
    kept = [_raise_score(hit, scores) for hit in hits if hit.node.node_id not in gone]
    return [*kept, *added], bool(gone)


def _raise_score(hit: NodeWithScore, scores: Mapping[str, float]) -> NodeWithScore:
    score = scores.get(hit.node.node_id)
    if score is None or score <= hit.get_score():
        return hit
    # a copy: the hits that the other retriever returned stay as they are
    return hit.model_copy(update={"score": score})


def _parent_id(hit: NodeWithScore) -> str | None:
    return linked_id(hit.node, NodeRelationship.PARENT)
