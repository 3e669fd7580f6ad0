"""`OSSVectorPrevNextPostprocessor`: the neighbours of all hits, one fetch a hop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llama_index.core.schema import BaseNode, NodeWithScore
from pydantic import Field

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index.chains import in_reading_order
from oss_vector_retriever.llama_index.postprocessing import FetchingPostprocessor, Question
from oss_vector_retriever.llama_index.source import NodeSource
from oss_vector_retriever.records.lookup import MissingPolicy


@dataclass(slots=True)
class _Walk:
    """Be on the way from a hit in one direction; `node` is where it stands."""

    forward: bool
    node: BaseNode
    score: float | None
    document: str | None

    @property
    def wanted(self) -> str | None:
        neighbour = self.node.next_node if self.forward else self.node.prev_node
        return None if neighbour is None else neighbour.node_id


class OSSVectorPrevNextPostprocessor(FetchingPostprocessor):
    """Add to each hit the nodes before and after it, in reading order.

    All hits advance one hop with one fetch, so there are at most `num_nodes` of them. A neighbour
    that does not exist ends its chain. Chains come in the order of the hits.

    Attributes:
        num_nodes: how many hops to go.
        mode: "next", "previous" or "both".
        score_decay: what a hit's score is multiplied with at each hop; 1 hands it on as it is.
        within_document: stop where the neighbour belongs to another source document.
        return_data: set `node.embedding` of the neighbours.
        on_missing: "omit", or "raise" for a neighbour that does not exist.
    """

    num_nodes: int = Field(default=1, ge=0)
    mode: Literal["next", "previous", "both"] = "next"
    score_decay: float = Field(default=1.0, ge=0, le=1)
    within_document: bool = True
    return_data: bool = False
    on_missing: MissingPolicy = "omit"

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsPrevNextPostprocessor"

    def _flow(
        self,
        context: Context,
        hits: list[NodeWithScore],
        question: Question,  # noqa: ARG002 - it plays no part
    ) -> Flow[list[NodeWithScore]]:
        source = self._source(return_data=self.return_data, on_missing=self.on_missing)
        known = {hit.node.node_id: hit.node for hit in hits}
        scored: dict[str, NodeWithScore] = {}
        for hit in hits:
            there = scored.get(hit.node.node_id)
            if there is None or hit.get_score() > there.get_score():
                scored[hit.node.node_id] = hit
        first = list(scored)
        walks = [walk for hit in hits for walk in self._walks(hit)]
        for _ in range(self.num_nodes):
            yield from _learn(context, source, known, walks)
            walks = [walk for walk in walks if self._stepped(walk, known, scored, first)]
        return in_reading_order(first, scored)

    def _walks(self, hit: NodeWithScore) -> list[_Walk]:
        ways = {"next": [True], "previous": [False], "both": [True, False]}[self.mode]
        return [_Walk(forward, hit.node, hit.score, hit.node.ref_doc_id) for forward in ways]

    def _stepped(
        self,
        walk: _Walk,
        known: dict[str, BaseNode],
        scored: dict[str, NodeWithScore],
        first: list[str],
    ) -> bool:
        """Take one step, and tell whether the walk goes on."""
        node = known.get(walk.wanted) if walk.wanted is not None else None
        if node is None or (self.within_document and _elsewhere(node, walk.document)):
            return False
        walk.node = node
        walk.score = None if walk.score is None else walk.score * self.score_decay
        there = scored.get(node.node_id)
        if there is None:
            scored[node.node_id] = NodeWithScore(node=node, score=walk.score)
        elif node.node_id not in first and (walk.score or 0.0) > there.get_score():
            there.score = walk.score
        return True


def _learn(
    context: Context, source: NodeSource, known: dict[str, BaseNode], walks: list[_Walk]
) -> Flow[None]:
    wanted = [walk.wanted for walk in walks]
    known |= yield from source.by_id(context, [key for key in wanted if key and key not in known])


def _elsewhere(node: BaseNode, document: str | None) -> bool:
    return None not in (node.ref_doc_id, document) and node.ref_doc_id != document


def neighbours(
    context: Context,
    source: NodeSource,
    node: BaseNode,
    hops: tuple[int, int],
    allowed: Callable[[str], bool],
) -> Flow[list[BaseNode]]:
    """Return a node with those before and after it, in reading order, one fetch a hop.

    Args:
        context: the client's.
        source: where nodes come from.
        node: the node in the middle.
        hops: how many before it, and how many after it.
        allowed: tells whether a neighbour's key may be fetched; the first that may not ends it.
    """
    known = {node.node_id: node}
    scored = {node.node_id: NodeWithScore(node=node)}
    before, after = (_Walk(forward, node, None, node.ref_doc_id) for forward in (False, True))
    walks = [(walk, most) for walk, most in zip((before, after), hops, strict=True)]
    for hop in range(max(hops)):
        walks = [(walk, most) for walk, most in walks if hop < most and _may(walk, allowed)]
        yield from _learn(context, source, known, [walk for walk, _ in walks])
        walks = [(walk, most) for walk, most in walks if _moved(walk, known, scored)]
    return [hit.node for hit in in_reading_order([node.node_id], scored)]


def _may(walk: _Walk, allowed: Callable[[str], bool]) -> bool:
    return walk.wanted is not None and allowed(walk.wanted)


def _moved(walk: _Walk, known: dict[str, BaseNode], scored: dict[str, NodeWithScore]) -> bool:
    following = known.get(walk.wanted or "")
    if following is None or _elsewhere(following, walk.document):
        return False
    walk.node = following
    scored.setdefault(following.node_id, NodeWithScore(node=following))
    return True
