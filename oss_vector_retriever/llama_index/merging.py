"""How hits become their parents: decisions alone, on nodes that are known already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from llama_index.core.schema import BaseNode, NodeWithScore


@dataclass(slots=True)
class Known:
    """Hold the nodes fetched so far, and what was asked for.

    Attributes:
        nodes: by id.
        asked: the ids asked for, whether they exist or not.
        merged: the parents that have taken their children's place once.
    """

    nodes: dict[str, BaseNode] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    merged: set[str] = field(default_factory=set)


def gaps(hits: list[NodeWithScore]) -> list[str]:
    """Return the ids of the nodes that stand alone between two hits that follow one another."""
    return [key for _, key in _gaps(hits)]


def parents(hits: list[NodeWithScore]) -> list[str]:
    """Return the ids of the hits' parents, one for each hit that has one."""
    return [hit.node.parent_node.node_id for hit in hits if hit.node.parent_node is not None]


def fill_in(hits: list[NodeWithScore], known: Known) -> tuple[list[NodeWithScore], bool]:
    """Return the hits with the gaps between them filled, and whether there were any."""
    between = {place: known.nodes[key] for place, key in _gaps(hits) if key in known.nodes}
    filled: list[NodeWithScore] = []
    for place, hit in enumerate(hits):
        filled.append(hit)
        if place in between:
            score = (hit.get_score() + hits[place + 1].get_score()) / 2
            filled.append(NodeWithScore(node=between[place], score=score))
    return filled, bool(between)


def merge(
    hits: list[NodeWithScore], known: Known, share: float
) -> tuple[list[NodeWithScore], bool]:
    """Return the hits with parents in place of children, and whether there were any.

    A parent that is a hit itself has the better of the two scores. One that took its children's
    place once does not do so again: relationships may go in circles.
    """
    present = {hit.node.node_id for hit in hits}
    gone: set[str] = set()
    scores: dict[str, float] = {}
    added: list[NodeWithScore] = []
    for key, children in _families(hits).items():
        parent = known.nodes.get(key)
        if parent is None or key in known.merged or not _enough(parent, children, share):
            continue
        known.merged.add(key)
        gone |= {child.node.node_id for child in children} - {key}
        scores[key] = sum(child.get_score() for child in children) / len(children)
        if key not in present:
            added.append(NodeWithScore(node=parent, score=scores[key]))
    kept = [_at_least(hit, scores) for hit in hits if hit.node.node_id not in gone]
    return [*kept, *added], bool(gone)


def _at_least(hit: NodeWithScore, scores: Mapping[str, float]) -> NodeWithScore:
    score = scores.get(hit.node.node_id)
    if score is None or score <= hit.get_score():
        return hit
    return hit.model_copy(update={"score": score})


def _gaps(hits: list[NodeWithScore]) -> list[tuple[int, str]]:
    present = {hit.node.node_id for hit in hits}
    found: dict[str, int] = {}
    for place, (hit, after) in enumerate(pairwise(hits)):
        middle, same = hit.node.next_node, after.node.prev_node
        if middle is None or same is None or middle.node_id != same.node_id:
            continue
        if middle.node_id not in present:
            found.setdefault(middle.node_id, place)
    return [(place, key) for key, place in found.items()]


def _families(hits: list[NodeWithScore]) -> dict[str, list[NodeWithScore]]:
    families: dict[str, list[NodeWithScore]] = {}
    for hit in hits:
        if hit.node.parent_node is not None:
            families.setdefault(hit.node.parent_node.node_id, []).append(hit)
    return families


def _enough(parent: BaseNode, children: list[NodeWithScore], share: float) -> bool:
    return len(children) / len(parent.child_nodes or [None]) > share
