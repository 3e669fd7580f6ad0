"""Where a fetched node came from, kept apart from the node."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from llama_index.core.schema import BaseNode, NodeWithScore, TextNode

from oss_vector_retriever.llama_index.node_classes import node_classes as classes_of


class NodeWithProvenance(NodeWithScore):
    """Be a scored node that says where it came from.

    It is said here, and not in the node: what stands in a node's metadata changes its hash, by
    which retrievers and pipelines compare nodes, and can end up in prompts.

    Attributes:
        bucket: the vector bucket.
        index: the index in it.
        key: the key, which is the node's id.
        format: who wrote the record, as `records.Record.source` names it.
        position: its place among the keys asked for that were found, counted from 0.
    """

    bucket: str | None = None
    index: str | None = None
    key: str = ""
    format: str = ""
    position: int = 0

    @classmethod
    def from_dict(
        cls, data: dict[str, Any], *, node_classes: Iterable[type[BaseNode]] = (), **changes: Any
    ) -> Self:
        """Return what `to_dict` wrote, the node as what it was; core's own knows no node's class.

        Args:
            data: the dict.
            node_classes: your own node classes, that the node may be of.
            changes: fields to set otherwise.
        """
        node = data.get("node")
        if isinstance(node, dict):
            kind = classes_of(node_classes).get(node.get("class_name", ""), TextNode)
            data = {**data, "node": kind.from_dict(node)}
        return super().from_dict(data, **changes)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsNodeWithProvenance"
