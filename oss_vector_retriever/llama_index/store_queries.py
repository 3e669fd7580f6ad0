"""Queries of a LlamaIndex store: the nearest nodes, or near ones with variety, as flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from llama_index.core.vector_stores.types import VectorStoreQueryResult

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.operations.checks import check_whole
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import as_matrix, maximal_marginal_relevance, similarities
from oss_vector_retriever.llama_index.source import called
from oss_vector_retriever.llama_index.store_records import NodeStore
from oss_vector_retriever.llama_index.store_selection import Selection
from oss_vector_retriever.records import Record
from oss_vector_retriever.records.filters import Filter
from oss_vector_retriever.records.searching import Hit, search
from oss_vector_retriever.records.storing import Start


@dataclass(frozen=True, slots=True)
class Variety:
    """Say how far nodes should differ from one another: 1 not at all; and of how many to choose."""

    threshold: float
    prefetch: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold what a query asks for; `only` are the ids that it is restricted to."""

    vector: Float32Array
    k: int
    chosen: Selection
    only: Sequence[str] | None = None
    variety: Variety | None = None
    fields: Sequence[str] | None = None
    filter: Filter | None = None

    @property
    def candidates(self) -> int:
        """Return how many records to choose from."""
        return self.k if self.variety is None else max(self.k, self.variety.prefetch)


@dataclass(frozen=True, slots=True)
class Queries:
    """Answer queries from a store's records."""

    store: NodeStore

    def run(self, wanted: Wanted) -> Start[VectorStoreQueryResult]:
        """Return nodes, ids and similarities, one of each for every hit."""

        def start(context: Context) -> Flow[VectorStoreQueryResult]:
            check_whole("similarity_top_k", wanted.k, 1, context.config.limits.top_k)
            metric = yield from self.store.records.metric()(context)
            if wanted.only:
                hits = yield from self._among(context, wanted, metric)
            elif wanted.chosen.restricts:
                hits = yield from self._chosen(context, wanted)
            else:
                hits = yield from self._nearest(context, wanted)
            if wanted.variety is not None:
                hits = yield from called(_varied, wanted, wanted.variety, hits)
            return self._result(hits, metric, wanted.fields)

        return start

    def _needs_data(self, wanted: Wanted) -> bool:
        return self.store.return_data or wanted.variety is not None

    def _nearest(self, context: Context, wanted: Wanted) -> Flow[list[Hit]]:
        return search(
            self.store.records,
            wanted.vector,
            min(wanted.candidates, context.config.limits.top_k),
            filter=wanted.filter,
            return_data=self._needs_data(wanted),
        )(context)

    def _chosen(self, context: Context, wanted: Wanted) -> Flow[list[Hit]]:
        """Search with what the service can check, evaluate the whole, and ask on where it fell."""
        most = context.config.limits.top_k
        pushed, complete = yield from self._pushed(context, wanted)
        asked = min(wanted.candidates, most) if complete else most
        hits = yield from self._passing(context, wanted, asked, pushed)
        if len(hits) < wanted.candidates and asked < most:
            hits = yield from self._passing(context, wanted, most, pushed)
        hits = hits[: wanted.candidates]
        return (yield from self._with_data(context, hits)) if self._needs_data(wanted) else hits

    def _pushed(self, context: Context, wanted: Wanted) -> Flow[tuple[Filter | None, bool]]:
        settings = self.store.records.settings
        index = yield from self.store.records.description()(context)
        hidden = index.non_filterable_metadata_keys if index else ()
        pushed = wanted.chosen.pushed(
            [name for name in settings.filterable or () if name not in hidden],
            native_scalars=settings.native_scalars,
            limits=context.config.limits,
        )
        given = [one for one in (pushed.filter, wanted.filter) if one]
        return ({"$and": given} if len(given) > 1 else next(iter(given), None)), pushed.complete

    def _passing(
        self, context: Context, wanted: Wanted, count: int, pushed: Filter | None
    ) -> Flow[list[Hit]]:
        store = self.store.records
        hits = yield from search(store, wanted.vector, count, filter=pushed)(context)
        return [hit for hit in hits if wanted.chosen.passes(hit.record)]

    def _with_data(self, context: Context, hits: Sequence[Hit]) -> Flow[list[Hit]]:
        distances = {hit.record.key: hit.distance for hit in hits}
        records = yield from self.store.with_data(context, [hit.record for hit in hits])
        return [Hit(record, distances[record.key]) for record in records]

    def _among(self, context: Context, wanted: Wanted, metric: str) -> Flow[list[Hit]]:
        """Fetch the records asked for and measure them here: the service cannot search by key."""
        if wanted.filter:
            raise InvalidRequestError(
                "filter= is checked by the service's search, which cannot be restricted to "
                "node_ids; use filters of MetadataFilters."
            )
        ids = list(dict.fromkeys(wanted.only or ()))
        found = yield from self.store.records.found(ids, _itself, return_data=True)(context)
        records = [record for record in found.made if wanted.chosen.passes(record)]
        hits: list[Hit] = yield from called(_ranked, wanted, records, metric)
        return hits

    def _result(
        self, hits: Sequence[Hit], metric: str, fields: Sequence[str] | None
    ) -> VectorStoreQueryResult:
        pairs = [(self.store.node(self._shown(hit.record, fields)), hit.distance) for hit in hits]
        made = [(node, distance) for node, distance in pairs if node is not None]
        return VectorStoreQueryResult(
            nodes=[node for node, _ in made],
            ids=[node.node_id for node, _ in made],
            similarities=[similarity(metric, distance) for _, distance in made],
        )

    def _shown(self, record: Record, fields: Sequence[str] | None) -> Record:
        changes: dict[str, Any] = {}
        if fields:
            changes["metadata"] = {k: v for k, v in record.metadata.items() if k in fields}
        if not self.store.return_data:
            changes["embedding"] = None
        return replace(record, **changes) if changes else record


def similarity(metric: str, distance: float) -> float:
    """Return a distance as a similarity that keeps the order: the larger, the closer.

    Cosine: the cosine, from -1 to 1. Euclidean: 1 / (1 + distance), from 0 to 1.

    Raises:
        InvalidRequestError: the index has another metric.
    """
    if metric == "cosine":
        return 1.0 - distance
    if metric == "euclidean":
        return 1.0 / (1.0 + distance)
    raise InvalidRequestError(f"the index has the metric {shown(metric)}, which is not known here.")


def _itself(record: Record) -> Record:
    return record


def _ranked(wanted: Wanted, records: Sequence[Record], metric: str) -> list[Hit]:
    rows = [record.embedding for record in records if record.embedding is not None]
    if not rows:
        return []
    if metric == "euclidean":
        matrix = as_matrix("the embeddings", [*rows, wanted.vector])
        distances = np.linalg.norm(matrix[:-1] - matrix[-1], axis=1)
    else:
        distances = 1.0 - similarities(wanted.vector, rows)
    nearest = np.argsort(distances, kind="stable")[: wanted.candidates]
    return [Hit(records[place], float(distances[place])) for place in nearest]


def _varied(wanted: Wanted, variety: Variety, hits: Sequence[Hit]) -> list[Hit]:
    rows = [hit.record.embedding for hit in hits if hit.record.embedding is not None]
    picked = maximal_marginal_relevance(wanted.vector, rows, wanted.k, variety.threshold)
    return [hits[place] for place in picked]
