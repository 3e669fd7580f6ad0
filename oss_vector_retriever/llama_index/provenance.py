"""Where a fetched node came from, kept apart from the node."""

from __future__ import annotations

from llama_index.core.schema import NodeWithScore


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
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsNodeWithProvenance"
