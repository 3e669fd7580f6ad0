"""`OSSVectorPrefetchingRetriever`: what index nodes point at, brought before it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import BaseNode, IndexNode, NodeWithScore, QueryBundle

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.llama_index.mapping import OSSVectorNodeMapping
from oss_vector_retriever.records.keys import is_key


class OSSVectorPrefetchingRetriever(BaseRetriever):
    """Retrieve as another retriever does, and prefetch what the index nodes point at.

    Put it at the root of a `RecursiveRetriever` whose `node_dict` is the mapping. Used by itself
    it can put the nodes pointed at in the place of the index nodes: `expand`.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        mapping: OSSVectorNodeMapping,
        *,
        expand: bool = False,
        **options: Any,
    ) -> None:
        """Take the settings.

        Args:
            retriever: finds the index nodes, among others.
            mapping: where the nodes that they point at are looked up.
            expand: put these in the place of the index nodes, with their scores; an index node
                whose target does not exist stays.
            options: those of `BaseRetriever`: `callback_manager`, `object_map`, `objects`,
                `verbose`.

        Raises:
            ConfigurationError: the mapping is of another kind.
        """
        super().__init__(**options)
        if not isinstance(mapping, OSSVectorNodeMapping):
            raise ConfigurationError(
                f"mapping must be an OSSVectorNodeMapping, not {type(mapping).__name__}."
            )
        self._retriever = retriever
        self._mapping = mapping
        self._expand = expand

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._retriever.retrieve(query_bundle)
        return self._with(hits, self._mapping.get_many(_targets(hits)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self._retriever.aretrieve(query_bundle)
        return self._with(hits, await self._mapping.aget_many(_targets(hits)))

    def _with(
        self, hits: list[NodeWithScore], targets: Mapping[str, BaseNode]
    ) -> list[NodeWithScore]:
        # not by core's object_map, which takes a score of 0 for none, and makes it 1
        return [_pointed_at(hit, targets) for hit in hits] if self._expand else hits


def _targets(hits: list[NodeWithScore]) -> list[str]:
    named = [hit.node.index_id for hit in hits if isinstance(hit.node, IndexNode)]
    return [key for key in named if is_key(key)]


def _pointed_at(hit: NodeWithScore, targets: Mapping[str, BaseNode]) -> NodeWithScore:
    node = hit.node
    if not isinstance(node, IndexNode) or node.obj is not None or node.index_id not in targets:
        return hit
    return hit.model_copy(update={"node": targets[node.index_id]})
