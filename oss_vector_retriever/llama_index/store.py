"""`OSSVectorStore`: LlamaIndex's vector store on OSS Vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from llama_index.core.schema import BaseNode, ImageNode, IndexNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import ConfigurationError, InvalidRequestError, shown
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.operations.checks import check_data, check_whole, each_of
from oss_vector_retriever.client.pair import Client, ClientPair, limits_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import as_matrix, maximal_marginal_relevance, similarities
from oss_vector_retriever.embeddings.mathematics import check_share
from oss_vector_retriever.llama_index.component import NodeSource, WithClients, called
from oss_vector_retriever.llama_index.filters import Selection, has_gap, selection
from oss_vector_retriever.llama_index.nodes import OwnClasses, node_classes
from oss_vector_retriever.llama_index.store_records import NodeStore, listed
from oss_vector_retriever.records import DecodePolicy, Record
from oss_vector_retriever.records.decode import SOURCE_ID_FIELD
from oss_vector_retriever.records.filters import Filter
from oss_vector_retriever.records.lookup import Lookup, MissingPolicy
from oss_vector_retriever.records.search import Hit, search
from oss_vector_retriever.records.store import (
    DistanceMetric,
    RecordStore,
    Start,
    StoreSettings,
    delete_all,
)


class StoreBase(WithClients, BasePydanticVectorStore):
    """Hold the settings; the client stays out of `to_dict`, repr and pickles.

    What is made of those takes a client of its own, configured by the environment, unless one is
    given: `OSSVectorStore.from_dict(saved, client=client)`.
    """

    model_config = ConfigDict(frozen=True)

    stores_text: bool = True
    index: str | None = None
    text_key: str | None = None
    return_data: bool = True
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    create_index: bool = True
    distance_metric: DistanceMetric | None = "cosine"
    filterable: tuple[str, ...] | None = ()
    non_filterable: tuple[str, ...] = ()
    native_scalars: bool = False
    skip_rows: bool = False
    node_classes: OwnClasses = Field(default=(), repr=False)

    _store: NodeStore = PrivateAttr()

    def __init__(self, client: Client | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._clients = ClientPair(client)
        self._store = self._made()

    @model_validator(mode="after")
    def _stores_text(self) -> Self:
        if not self.stores_text or not self.is_embedding_query:
            raise ValueError("this store keeps text and is queried by embedding")
        return self

    @property
    def client(self) -> Client:
        """Return the client: the one that was given, or the one that the environment configures."""
        return self._clients.given or self._clients.blocking()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy that shares the client, with other settings where `update` says so."""
        copied = super().model_copy(update=update, deep=deep)
        copied._store = copied._made()  # noqa: SLF001 - one of its own class
        return copied

    def _shared(self) -> list[Any]:
        return [*super()._shared(), self._store]

    def _made(self) -> NodeStore:
        return NodeStore(
            RecordStore(self._settings()),
            node_classes(self.node_classes),
            return_data=self.return_data,
            on_missing=self.on_missing,
        )

    def _settings(self) -> StoreSettings:
        limits = limits_of(self._clients.given)
        most = limits.filterable_keys - 1
        named = None if self.filterable is None else tuple(self.filterable)
        if named is not None and len({*named} - {SOURCE_ID_FIELD}) > most:
            raise ConfigurationError(
                f"filterable names more than {most} fields; the service takes one more, and that "
                f"is {SOURCE_ID_FIELD}, the id of a node's document."
            )
        return StoreSettings(
            index=self.index,
            distance_metric=self.distance_metric,
            create_index=self.create_index,
            filterable=None if named is None else (*named, SOURCE_ID_FIELD),
            non_filterable=self.non_filterable,
            text_key=self.text_key,
            native_scalars=self.native_scalars,
            on_decode_error=self.on_decode_error,
            skip_rows=self.skip_rows,
            limits=limits,
        )

    def _tell(self, missing: tuple[str, ...]) -> None:
        NodeSource(self._clients, Lookup(index=self.index), self._store.classes).tell(missing)


class OSSVectorStore(StoreBase):
    """Keep nodes with their embeddings in an index, query them, and get them by id.

    Every async method is native: no call blocks the event loop. Nodes of core's classes come back
    as what they were, relationships included; the key of a record is the node's id.

    Filters work with all operators and conditions, nested, and are exact: what the service can
    check of them narrows its search, and the whole is evaluated on the metadata that come back. For
    what it cannot check a query asks for as many hits as the service gives (500), of which those
    that pass are kept: nodes farther away than that are not seen. Name the fields that you filter
    by in `filterable` before you write: a record that was written without, or by another program
    with numbers as numbers, has no copy that the service's filters would find.

    Args:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured by
            the environment.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data; a query then takes a get for
            each 100 hits, since the service's search returns no data.
        on_missing: what `get_nodes` does with ids that do not exist: "omit" leaves them out and
            sends a `MissingKeysEvent`, "raise" raises `MissingKeysError`.
        on_decode_error: what becomes of a record that cannot be read: "raise" an error, "skip"
            it with a warning in the log, or "raw", a TextNode with the metadata as stored.
        create_index: make the index on the first write, and read one that is not there as empty.
        distance_metric: "cosine" or "euclidean", of the index that the first write makes; one that
            is there must have it. None takes what is there, and makes cosine.
        filterable: metadata fields that the service can check, at most 9 with 2 KB together. None:
            not known, for an index that others write; then all filters are evaluated here.
        non_filterable: further fields that an index made here keeps out of its filters.
        native_scalars: keep numbers and booleans as they are for filters, so that ranges can be
            checked by the service.
        skip_rows: leave out of searches the rows of key-value stores in the same index.
        node_classes: your own node classes, so that their nodes come back as what they were.

    Raises:
        ConfigurationError: the client is of another type, or a node class has another's name.
        ValueError: a setting is impossible.
    """

    # what core takes for a restriction of the next query; see store_arguments.restriction
    _beside_text: dict[str, None] = PrivateAttr(default_factory=dict)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsVectorStore"

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Write nodes under their ids, 500 a call; make the index if it is not there.

        A node replaces what is stored under its id; of nodes with one id the last one stands.

        Args:
            nodes: nodes with embeddings.

        Returns:
            The ids of the nodes, in order.

        Raises:
            InvalidRequestError: an embedding is absent, not finite, or of another dimension than
                the index; or a node passes a limit. Nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        given = listed(nodes)
        return self._added(given, self._clients.run(self._store.add(given)))

    async def async_add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Do as `add` does."""
        given = listed(nodes)
        return self._added(given, await self._clients.arun(self._store.add(given)))

    def query(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Find the nodes closest to an embedding, or with mode MMR close ones that differ.

        `similarities` are cosines, or 1 / (1 + distance) in a euclidean index.

        Args:
            query: `node_ids` and `doc_ids` restrict it, where they are not empty; with `filters`
                all must hold. Nodes asked for by `node_ids` are fetched and measured here.
                `output_fields` are the metadata that nodes come back with.
            options: `mmr_threshold` (0 all variety, 1 none; by default 0.5), `mmr_prefetch_factor`
                (4) or `mmr_prefetch_k`: of how many nodes MMR chooses. `filter`: a filter in the
                service's own grammar. `honour_node_ids`: False ignores `node_ids`, True never
                does; see `restriction` in `store_arguments`.

        Raises:
            InvalidRequestError: the mode is another, there is no embedding, or an argument is
                impossible.
        """
        return self._clients.run(self._queried(query, options))

    async def aquery(self, query: VectorStoreQuery, **options: Any) -> VectorStoreQueryResult:
        """Do as `query` does."""
        return await self._clients.arun(self._queried(query, options))

    def get_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return nodes by id, in the order asked, a repeated id answered each time.

        Args:
            node_ids: any number of ids; none of them ([]), no nodes and no call. None: all nodes of
                the index, page by page.
            filters: keep the nodes that pass.

        Raises:
            MissingKeysError: ids do not exist, under `on_missing="raise"`.
        """
        found = self._clients.run(self._store.get(_listed(node_ids), selection(filters)))
        self._tell(found.missing)
        return found.made

    async def aget_nodes(
        self, node_ids: Sequence[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Do as `get_nodes` does."""
        found = await self._clients.arun(self._store.get(_listed(node_ids), selection(filters)))
        self._tell(found.missing)
        return found.made

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document; all pages of the index are read for them.

        Raises:
            PartialWriteError: calls failed; its `report` says which nodes are gone.
        """
        self._clients.run(self._store.delete_document(ref_doc_id))

    async def adelete(self, ref_doc_id: str, **_: Any) -> None:
        """Do as `delete` does."""
        await self._clients.arun(self._store.delete_document(ref_doc_id))

    def delete_nodes(
        self,
        node_ids: Sequence[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Delete nodes by id, by filters, or those for which both hold; `clear` deletes all.

        Raises:
            InvalidRequestError: nothing is said, or filters that everything passes.
            PartialWriteError: calls failed; its `report` says which nodes are gone.
        """
        self._clients.run(self._chosen_away(node_ids, filters))

    async def adelete_nodes(
        self,
        node_ids: Sequence[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Do as `delete_nodes` does."""
        await self._clients.arun(self._chosen_away(node_ids, filters))

    def clear(self) -> None:
        """Delete every vector of the index; the index stays."""
        self._clients.run(delete_all(self._store.records))

    async def aclear(self) -> None:
        """Do as `clear` does."""
        await self._clients.arun(delete_all(self._store.records))

    def _added(self, nodes: Sequence[BaseNode], ids: list[str]) -> list[str]:
        beside = [node.node_id for node in nodes if isinstance(node, ImageNode | IndexNode)]
        self._beside_text.update(dict.fromkeys(beside))
        return ids

    def _queried(
        self, query: VectorStoreQuery, options: dict[str, Any]
    ) -> Start[VectorStoreQueryResult]:
        return Queries(self._store).run(wanted(query, self._beside_text.keys(), **options))

    def _chosen_away(
        self, node_ids: Sequence[str] | None, filters: MetadataFilters | None
    ) -> Start[Any]:
        if node_ids is None and filters is None:
            raise InvalidRequestError("delete_nodes takes node_ids or filters; clear() deletes all")
        chosen = selection(filters)
        if filters is not None and has_gap(filters):
            raise InvalidRequestError(
                "delete_nodes does not take filters with an empty group, which every node passes; "
                "leave it out, or clear() deletes all"
            )
        return self._store.delete_chosen(_listed(node_ids), chosen)


def _listed(node_ids: Sequence[str] | None) -> list[str] | None:
    return None if node_ids is None else list(each_of(node_ids))


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


_THRESHOLD = 0.5
_FACTOR = 4
_MOST = 2**31


def wanted(
    query: VectorStoreQuery,
    beside_text: Collection[str],
    *,
    filter: Filter | None = None,  # noqa: A002 - the other framework's name for it
    honour_node_ids: bool | None = None,
    mmr_threshold: float | None = None,
    mmr_prefetch_factor: float | None = None,
    mmr_prefetch_k: int | None = None,
) -> Wanted:
    """Return what a query asks for; `OSSVectorStore.query` describes the options.

    Raises:
        InvalidRequestError: the mode is not DEFAULT or MMR, there is no embedding, or an argument
            is impossible.
    """
    if query.mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
        raise InvalidRequestError(
            f"mode {query.mode.value!r} is not possible: the service searches by vector. Use "
            "DEFAULT or MMR."
        )
    if query.query_embedding is None:
        raise InvalidRequestError("the query has no query_embedding; the service needs one.")
    if query.embedding_field is not None:
        raise InvalidRequestError("embedding_field: a record of this store has one embedding.")
    variety = None
    if query.mode is VectorStoreQueryMode.MMR:
        threshold = query.mmr_threshold if mmr_threshold is None else mmr_threshold
        prefetch = _prefetch(query.similarity_top_k, mmr_prefetch_factor, mmr_prefetch_k)
        share = check_share("mmr_threshold", _THRESHOLD if threshold is None else threshold, 0, 1)
        variety = Variety(share, prefetch)
    return Wanted(
        check_data("query_embedding", query.query_embedding),
        query.similarity_top_k,
        selection(query.filters, query.doc_ids),
        restriction(query.node_ids, beside_text, honour=honour_node_ids),
        variety,
        query.output_fields,
        filter,
    )


def restriction(
    node_ids: Sequence[str] | None, beside_text: Collection[str], *, honour: bool | None
) -> Sequence[str] | None:
    """Return the ids that a query is restricted to, or None.

    `VectorStoreIndex.as_retriever` puts the ids of all image and index nodes that were inserted
    through it into each query, and of no others: taken at its word, that would hide all text. So a
    list of exactly those that this store was given is no restriction. An index that was loaded
    again has them too, where the store has not: there pass
    `as_retriever(vector_store_kwargs={"honour_node_ids": False})`.

    Args:
        node_ids: of the query; none of them is no restriction.
        beside_text: the image and index nodes that the store was given.
        honour: True takes any list at its word, False none.
    """
    if not node_ids or honour is False:
        return None
    ids = list(each_of(node_ids))
    return None if honour is None and set(ids) == set(beside_text) else ids


def _prefetch(k: int, factor: float | None, prefetch: int | None) -> int:
    if factor is not None and prefetch is not None:
        raise InvalidRequestError("give mmr_prefetch_factor or mmr_prefetch_k, not both.")
    if prefetch is not None:
        return check_whole("mmr_prefetch_k", prefetch, 1, _MOST)
    return int(k * (_FACTOR if factor is None else factor))
