"""The order in which neighbours are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llama_index.core.schema import NodeWithScore


def in_reading_order(
    first: Iterable[str], scored: Mapping[str, NodeWithScore]
) -> list[NodeWithScore]:
    """Return nodes chain by chain, each in reading order, the chains in the order of `first`.

    Args:
        first: the ids whose chains are wanted.
        scored: the nodes there are, by id; those that no chain reaches are left out.
    """
    after = _links(scored)
    before = {following: key for key, following in after.items()}
    ordered: dict[str, NodeWithScore] = {}
    for key in first:
        if key in ordered:
            continue
        place: str | None = _head(key, before)
        while place is not None and place not in ordered:
            ordered[place] = scored[place]
            place = after.get(place)
    return list(ordered.values())


def _links(scored: Mapping[str, NodeWithScore]) -> dict[str, str]:
    """Return for each node the one that follows it, whichever of the two says so."""
    links: dict[str, str] = {}
    taken: set[str] = set()
    for key, hit in scored.items():
        following = hit.node.next_node
        if following is not None and following.node_id in scored and following.node_id not in taken:
            links[key] = following.node_id
            taken.add(following.node_id)
    for key, hit in scored.items():
        previous = hit.node.prev_node
        if previous is not None and previous.node_id in scored and key not in taken:
            links.setdefault(previous.node_id, key)
    return links


def _head(key: str, before: Mapping[str, str]) -> str:
    seen = {key}
    while (previous := before.get(key)) is not None and previous not in seen:
        seen.add(previous)
        key = previous
    return key
