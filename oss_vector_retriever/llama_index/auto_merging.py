"""`OSSVectorAutoMergingRetriever`: chunks give way to their parents, one fetch a level."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle

from oss_vector_retriever.client.both import Client
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings.arrays import check_share
from oss_vector_retriever.llama_index import merging
from oss_vector_retriever.llama_index.reading import Reading
from oss_vector_retriever.llama_index.source import NodeSource
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Lookup, MissingPolicy


class OSSVectorAutoMergingRetriever(Reading, BaseRetriever):
    """Replace hits by their parent where most of its children were hit, level after level.

    It does what core's `AutoMergingRetriever` does, with one fetch for all parents of a level, and
    awaited where it is asynchronous. A parent that does not exist leaves its children as they are.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        client: Client | None = None,
        *,
        index: str | None = None,
        simple_ratio_thresh: float = 0.5,
        text_key: str | None = None,
        on_missing: MissingPolicy = "omit",
        on_decode_error: DecodePolicy = "raise",
        node_classes: Sequence[type[BaseNode]] = (),
        **options: Any,
    ) -> None:
        """Take the settings.

        Args:
            retriever: finds the first hits.
            client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is
                configured by the environment.
            index: where parents and neighbours are, if not in the client's own index.
            simple_ratio_thresh: a parent is taken when more than this share of its children is hit.
            text_key: a further metadata field to look for text in, of records that others wrote.
            on_missing: "omit", or "raise" for a parent or neighbour that does not exist.
            on_decode_error: what becomes of a record that cannot be read: "raise" an error, "skip"
                it with a warning in the log, or "raw", a TextNode with the metadata as stored.
            node_classes: your own node classes, so that their nodes come back as what they were.
            options: those of `BaseRetriever`: `callback_manager`, `object_map`, `objects`,
                `verbose`.

        Raises:
            InvalidRequestError: the share is not from 0 to 1.
        """
        super().__init__(**options)
        self._retriever = retriever
        self._share = check_share("simple_ratio_thresh", simple_ratio_thresh, 0, 1)
        lookup = Lookup(
            index=index, text_key=text_key, on_missing=on_missing, on_decode_error=on_decode_error
        )
        self._read_with(client, lookup, node_classes)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._retriever.retrieve(query_bundle)
        return self._clients.run(partial(self._flow, hits=hits))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = await self._retriever.aretrieve(query_bundle)
        return await self._clients.arun(partial(self._flow, hits=hits))

    def _flow(self, context: Context, hits: list[NodeWithScore]) -> Flow[list[NodeWithScore]]:
        source = self._source()
        known = merging.Known()
        changed = True
        while changed:
            yield from _learn(context, source, known, merging.gaps(hits) + merging.parents(hits))
            hits, filled = merging.fill_in(hits, known)
            yield from _learn(context, source, known, merging.parents(hits))
            hits, merged = merging.merge(hits, known, self._share)
            changed = filled or merged
        return sorted(hits, key=lambda hit: hit.get_score(), reverse=True)


def _learn(
    context: Context, source: NodeSource, known: merging.Known, ids: list[str]
) -> Flow[None]:
    """Fetch what is not known yet, all at once; nothing, where all is known."""
    unknown = [key for key in dict.fromkeys(ids) if key not in known.asked]
    known.asked.update(unknown)
    known.nodes |= yield from source.by_id(context, unknown)
