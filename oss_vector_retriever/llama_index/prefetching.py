"""`OSSVectorPrefetchingRetriever`: what index nodes point at, brought before it is asked for."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle

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
            expand: put these in the place of the index nodes.
            options: those of `BaseRetriever`: `callback_manager`, `verbose`.
        """
        if expand:
            options["object_map"] = mapping
        super().__init__(**options)
        self._retriever = retriever
        self._mapping = mapping

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._retriever.retrieve(query_bundle)
        self._mapping.prefetch(_targets(hits))
        return hits

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self._retriever.aretrieve(query_bundle)
        await self._mapping.aprefetch(_targets(hits))
        return hits


def _targets(hits: list[NodeWithScore]) -> list[str]:
    named = [hit.node.index_id for hit in hits if isinstance(hit.node, IndexNode)]
    return [key for key in named if is_key(key)]
