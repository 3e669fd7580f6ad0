"""`OSSVectorRehydrationPostprocessor`: hits that carry only ids become whole nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore
from pydantic import Field

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index.postprocessing import FetchingPostprocessor, Question

HydratedFields = Literal["all", "text", "metadata", "embedding"]


class OSSVectorRehydrationPostprocessor(FetchingPostprocessor):
    """Put stored nodes in the place of hits, or what hits lack into copies of them.

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
        on_missing: what becomes of a hit whose record does not exist: "keep", "drop" or "raise".
    """

    fields: HydratedFields = "all"
    id_key: str | None = None
    key_of: Callable[[BaseNode], str | None] | None = Field(default=None, exclude=True, repr=False)
    only_incomplete: bool = True
    return_data: bool = False
    on_missing: Literal["keep", "drop", "raise"] = "keep"

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsRehydrationPostprocessor"

    def _flow(
        self,
        context: Context,
        hits: list[NodeWithScore],
        question: Question,  # noqa: ARG002 - it plays no part
    ) -> Flow[list[NodeWithScore]]:
        keys = [self._wanted(hit.node) for hit in hits]
        source = self._source(
            return_data=self.return_data or self.fields == "embedding",
            on_missing="raise" if self.on_missing == "raise" else "omit",
        )
        stored = yield from source.by_id(context, [key for key in keys if key is not None])
        whole: list[NodeWithScore] = []
        used: set[str] = set()
        for hit, key in zip(hits, keys, strict=True):
            if key is None or key not in stored:
                whole += [] if key is not None and self.on_missing == "drop" else [hit]
                continue
            node = stored[key].model_copy(deep=True) if key in used else stored[key]
            used.add(key)
            whole.append(hit.model_copy(update={"node": self._hydrated(hit.node, node)}))
        return whole

    def _wanted(self, node: BaseNode) -> str | None:
        """Return the key to fetch for a node, or None where there is no need."""
        key = self._key(node)
        if key is None or (self.only_incomplete and key == node.node_id and self._complete(node)):
            return None
        return key

    def _key(self, node: BaseNode) -> str | None:
        if self.key_of is not None:
            return _text_or_none(self.key_of(node))
        if self.id_key is None:
            return node.node_id
        key = node.metadata.get(self.id_key)
        return None if key is None else str(key)

    def _complete(self, node: BaseNode) -> bool:
        if self.fields == "metadata":
            return bool(node.metadata)
        if self.fields == "embedding":
            return node.embedding is not None
        return bool(node.get_content(MetadataMode.NONE))

    def _hydrated(self, node: BaseNode, stored: BaseNode) -> BaseNode:
        if self.fields == "all":
            return stored
        if self.fields == "text":
            copied = node.model_copy()
            copied.set_content(stored.get_content(MetadataMode.NONE))
            return copied
        return node.model_copy(update={self.fields: getattr(stored, self.fields)})


def _text_or_none(key: object) -> str | None:
    if key is None or isinstance(key, str):
        return key
    raise InvalidRequestError(f"key_of must return a string or None, not {shown(key)}.")
