"""`OSSVectorStore`: LlamaIndex's vector store on OSS Vectors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypedDict, Unpack

import numpy as np
from llama_index.core.schema import BaseNode, ImageNode, IndexNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import ConfigDict, PrivateAttr, SecretStr, model_validator

from ..client.context import Context, Flow
from ..client.errors import ConfigurationError, InvalidRequestError
from ..client.models.vector import Float32Array
from ..client.operations.checks import check_data, check_top_k, check_unicode, check_whole, each_of
from ..client.pair import CONNECTION, Client, connect, context_of, limits_of, unknown_argument
from ..client.settings import ClientSettings
from ..embeddings import maximal_marginal_relevance
from ..embeddings.mathematics import check_share
from ..records import BadRecordPolicy, BadRecordsReport, DecodePolicy, Record, WrittenIds
from ..records.completion import known_formula, measure
from ..records.conditions import Condition, Group, Operator, Test, can_pass, restricts
from ..records.decode import SOURCE_ID_FIELD, UNSURE_FIELD
from ..records.filters import Filter, read_filter
from ..records.lookup import MissingPolicy
from ..records.search import Hit, nearness, restriction_of, search
from ..records.settings import (
    Completion,
    DistanceMetric,
    Exhaustive,
    IncompletePolicy,
    ListFields,
    Scalars,
    SideIndexName,
    StoreSettings,
)
from ..records.store import RecordStore
from ..records.traits import Formula
from .component import _hide, _SavedComponent, call_function, report_incomplete, report_missing
from .documents import DocumentRows
from .filters import check_filters, has_empty_group, read_filters
from .node_store import NodeStore, list_nodes
from .nodes import MetadataValues, classes_by_name

_DEFAULT_MMR_THRESHOLD: Final = 0.5
_DEFAULT_PREFETCH_FACTOR: Final = 4
_ANY_NUMBER: Final = "; get_nodes(filters=...) returns any number of nodes, without a search"
_COMPLETION_OPTIONS: Final = frozenset({"exhaustive", "scan_limit", "on_incomplete"})
NodeIds = Sequence[str] | None


class QueryOptions(TypedDict, total=False):
    """Options of `OSSVectorStore.query`, as of a retriever's `vector_store_kwargs`.

    Attributes:
        filter: a filter in the service's own grammar.
        honour_node_ids: False ignores `node_ids`, True never does. By default they are ignored
            where they are those of all image and index nodes added through this object, which
            `VectorStoreIndex.as_retriever` puts into each query. An index that was loaded again
            does so too, and the store does not know them: there pass
            `as_retriever(vector_store_kwargs={"honour_node_ids": False})`.
        mmr_threshold: 0 all variety, 1 none; by default the query's own, or 0.5.
        mmr_prefetch_factor: of how many times `similarity_top_k` nodes MMR chooses; 4.
        mmr_prefetch_k: of how many nodes MMR chooses, in place of the factor.
        exhaustive: in place of the store's own: "auto", True or False.
        scan_limit: in place of the store's own.
        on_incomplete: in place of the store's own: "warn", "raise" or "ignore".
    """

    filter: Filter | None
    honour_node_ids: bool | None
    mmr_threshold: float | None
    mmr_prefetch_factor: float | None
    mmr_prefetch_k: int | None
    exhaustive: Exhaustive
    scan_limit: int
    on_incomplete: IncompletePolicy


class OSSVectorStore(_SavedComponent, BasePydanticVectorStore):
    """Nodes with their embeddings in an index: kept, queried, and got by id.

    Every async method is native: no call blocks the event loop. Nodes of core's classes come back
    as what they were, relationships included; the key of a record is the node's id.

    Filters work with all operators and conditions, nested, and are exact: what the service can
    check of them narrows its search, and the whole is evaluated on the metadata that come back.
    Where too few of those pass, the index is listed and ranked here, or a warning says that nodes
    may be lacking.

    Args:
        client: either client; or give the arguments of one, those of `ConnectionOptions`.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data; a query then takes a get for
            each 100 hits, since the service's search returns no data.
        on_missing: what `get_nodes` does with ids that do not exist: "omit" leaves them out and
            sends a `MissingKeysEvent`, "raise" raises `MissingKeysError`.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        on_bad_record: of nodes that cannot be stored, when several are written: "raise" names them
            all, and nothing is written; "skip" writes the others, with a warning in the log;
            "report" writes the others, and says it in `bad_records` alone.
        create_index: make the index on the first write, and read one that is not there as empty.
        distance_metric: "cosine" or "euclidean", of the index that the first write makes; one that
            is there must have it. None takes what is there, and makes cosine.
        filterable: metadata fields to copy where the service's filters, and other programs, see
            them: at most 8 with 2 KB together, or a record is refused. None: all that the service
            can hold (strings, numbers, booleans, lists of strings) and that fit, 6 of them beside
            the id of the node's document. What has no copy can be filtered by all the same, more
            slowly.
        metadata_values: how metadata that JSON lacks are kept. "json": as core and its other stores
            do, a date or UUID as its text, a set or tuple as a list, NaN as None. "typed": dates,
            times, decimals, UUIDs, sets and tuples come back as they were.
        non_filterable: further fields that an index made here keeps out of its filters.
        scalars: how numbers and booleans are copied: "native", as they are; "strings"; or "auto",
            as they are unless the service refuses them or turns them into strings.
        list_fields: whether a list passes EQ and IN if "any" of its items does, as the service sees
            it, or as a whole, "exact", as in core's SimpleVectorStore.
        skip_rows: leave out of searches the rows of key-value stores in the same index.
        exhaustive: where the service's own search finds too few, list the index and rank here what
            matches: "auto", as far as `scan_limit`; True, to its end; False, never.
        scan_limit: list so many records at most, under "auto".
        on_incomplete: where an answer may lack nodes: "warn", an `IncompleteSearchWarning` and an
            `IncompleteSearchEvent`; "raise" the same; or "ignore".
        filters_first: whether the service filters before it ranks; None finds out.
        read_your_writes: have queries find what this process has just written, and no longer
            what it has deleted, though the service shows it some seconds late. True: writes of the
            last 10 seconds count, of 30 in an index that this process has made; a number: of so
            many seconds; False: none do. Each query then gets by key what may be near enough.
        side_index: the index beside this one for the parts of values over 36 KB, made by the first
            of them. None: its name is that of the index and "side". False: there is none, and what
            is larger is refused.
        node_classes: your own node classes, so that their nodes come back as what they were.
        stores_text: core's mark of a store that keeps text; True, as this one does.
        is_embedding_query: core's mark of a store that is queried by embedding; True likewise.

    Raises:
        ConfigurationError: the client is of another type, or a node class has another's name.
        ValueError: a setting is impossible.

    Examples:
        >>> from llama_index.core.schema import TextNode
        >>> client = OSSVectorClient.local()
        >>> store = OSSVectorStore(client)
        >>> _ = store.add([TextNode(id_="tea", text="Green tea.", embedding=[1.0, 0.0])])
        >>> store.get_nodes(["tea"])[0].text
        'Green tea.'
    """

    # what reads and writes below is made of the settings once; model_copy takes others
    model_config = ConfigDict(frozen=True)

    # core's convention for stores that take strings and numbers alone; metadata here are any JSON
    flat_metadata: ClassVar[bool] = False

    stores_text: bool = True
    return_data: bool = True
    on_missing: MissingPolicy = "omit"
    on_bad_record: BadRecordPolicy = "raise"
    create_index: bool = True
    distance_metric: DistanceMetric | None = "cosine"
    filterable: tuple[str, ...] | None = None
    metadata_values: MetadataValues = "json"
    non_filterable: tuple[str, ...] = ()
    scalars: Scalars = "auto"
    list_fields: ListFields = "any"
    skip_rows: bool = False
    exhaustive: Exhaustive = "auto"
    scan_limit: int = 20_000
    on_incomplete: IncompletePolicy = "warn"
    filters_first: bool | None = None
    read_your_writes: bool | float = True
    side_index: SideIndexName = None

    _store: NodeStore = PrivateAttr()
    _bad_records: BadRecordsReport = PrivateAttr(default=BadRecordsReport())
    # the image and index nodes that were added, whose ids core puts into queries: `restriction`
    _non_text_ids: dict[str, None] = PrivateAttr(default_factory=dict)

    if not TYPE_CHECKING:  # type checkers take the arguments from below

        def __new__(cls, *_: Any, **arguments: Any) -> Self:  # noqa: D102 - as below
            if problem := unknown_argument(cls, arguments):
                del arguments, _  # an error shows what its frames hold
                raise TypeError(problem)
            return super().__new__(cls)

    def __init__(
        self,
        client: Client | None = None,
        *,
        bucket: str | None = None,
        account_id: str | None = None,
        region: str | None = None,
        endpoint: str | None = None,
        internal: bool = False,
        access_key_id: SecretStr | str | None = None,
        access_key_secret: SecretStr | str | None = None,
        session_token: SecretStr | str | None = None,
        index: str | None = None,
        text_key: str | None = None,
        return_data: bool = True,
        on_missing: MissingPolicy = "omit",
        on_decode_error: DecodePolicy = "raise",
        on_bad_record: BadRecordPolicy = "raise",
        create_index: bool = True,
        distance_metric: DistanceMetric | None = "cosine",
        filterable: Sequence[str] | None = None,
        metadata_values: MetadataValues = "json",
        non_filterable: Sequence[str] = (),
        scalars: Scalars = "auto",
        list_fields: ListFields = "any",
        skip_rows: bool = False,
        exhaustive: Exhaustive = "auto",
        scan_limit: int = 20_000,
        on_incomplete: IncompletePolicy = "warn",
        filters_first: bool | None = None,
        read_your_writes: bool | float = True,
        side_index: SideIndexName = None,
        node_classes: Sequence[type[BaseNode]] = (),
        stores_text: bool = True,
        is_embedding_query: bool = True,
    ) -> None:
        # before anything that can fail: an error shows this frame, with what has a name in it
        access_key_id, access_key_secret = _hide(access_key_id), _hide(access_key_secret)
        session_token = _hide(session_token)
        # spelt out for editors and type checkers; the arguments are the fields, but for the client
        fields = {
            name: value for name, value in locals().items() if name in type(self).model_fields
        }
        pair = connect(client, {name: fields[name] for name in CONNECTION})
        super().__init__(**fields)
        self._pair = pair  # the client is no field: core declares it as a property
        self._store = self._make_store()

    @model_validator(mode="after")
    def _keeps_text(self) -> Self:
        if not self.stores_text or not self.is_embedding_query:
            raise ValueError("this store keeps text and is queried by embedding")
        return self

    @property
    def client(self) -> Client:
        """Return the client: the one that was given, or the one that the environment configures."""
        return self._clients.given or self._clients.blocking()

    @client.setter
    def client(self, client: Client) -> None:
        self._pair, self._saved = connect(client, {}), None
        self._store = self._make_store()

    def __setattr__(self, name: str, value: Any) -> None:
        # frozen but for this: what comes out of a pickle may need a client with credentials
        if name == "client":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @classmethod
    def class_name(cls) -> str:
        """Return the class's stable name."""
        return "OSSVectorsVectorStore"

    @property
    def bad_records(self) -> BadRecordsReport:
        """Return what the latest `add` through this object has left out, as after `insert_nodes`.

        Where threads or tasks share the store, look at the `report` of what each `add` returns.
        """
        return self._bad_records

    def add(
        self, nodes: Sequence[BaseNode], *, on_bad_record: BadRecordPolicy | None = None, **_: Any
    ) -> WrittenIds:
        """Write nodes under their ids, 500 a call; make the index if it is not there.

        A node replaces what is stored under its id; of nodes with one id the last one stands.

        Args:
            nodes: nodes with embeddings.
            on_bad_record: in place of the store's own: "raise", "skip" or "report".

        Returns:
            The ids of all nodes given, in order, as core expects them; their `report` says which
            were left out.

        Raises:
            InvalidRequestError: an embedding is absent, not finite, or of another dimension than
                the index; or a node passes a limit; of several nodes a `BadRecordsError` with all
                of them. Nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        return self._clients.run(self._add, list_nodes(nodes), on_bad_record)

    async def async_add(
        self, nodes: Sequence[BaseNode], *, on_bad_record: BadRecordPolicy | None = None, **_: Any
    ) -> WrittenIds:
        """Do as `add` does."""
        return await self._clients.arun(self._add, list_nodes(nodes), on_bad_record)

    def query(  # type: ignore[override]  # core's takes any option
        self, query: VectorStoreQuery, **options: Unpack[QueryOptions]
    ) -> VectorStoreQueryResult:
        """Find the nodes closest to an embedding, or with mode MMR close ones that differ.

        `similarities` are cosines, or 1 / (1 + distance) in a euclidean index.

        Args:
            query: `node_ids`, where they are not empty, and `doc_ids` restrict it; with `filters`
                all must hold. Nodes asked for by `node_ids` are fetched and measured here.
                `output_fields` are the metadata that nodes come back with.
            options: what a `VectorStoreQuery` has no field for: see `QueryOptions`.

        Raises:
            InvalidRequestError: the mode is another, there is no embedding, or an argument is
                impossible.
        """
        return self._clients.run(self._query, query, options)

    async def aquery(  # type: ignore[override]  # the same
        self, query: VectorStoreQuery, **options: Unpack[QueryOptions]
    ) -> VectorStoreQueryResult:
        """Do as `query` does."""
        return await self._clients.arun(self._query, query, options)

    def get_nodes(
        self, node_ids: NodeIds = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return nodes by id, in the order asked, a repeated id answered each time.

        Args:
            node_ids: any number of ids; none of them ([]), no nodes and no call. None: all nodes of
                the index, page by page.
            filters: keep the nodes that pass.

        Raises:
            MissingKeysError: ids do not exist, under `on_missing="raise"`.
        """
        return self._clients.run(self._get_nodes, node_ids, filters)

    async def aget_nodes(
        self, node_ids: NodeIds = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Do as `get_nodes` does."""
        return await self._clients.arun(self._get_nodes, node_ids, filters)

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document; all pages of the index are read for them.

        Raises:
            PartialWriteError: calls failed; its `report` says which nodes are gone.
        """
        self._clients.run(self._store.delete_document, ref_doc_id)

    async def adelete(self, ref_doc_id: str, **_: Any) -> None:
        """Do as `delete` does."""
        await self._clients.arun(self._store.delete_document, ref_doc_id)

    def delete_nodes(
        self, node_ids: NodeIds = None, filters: MetadataFilters | None = None, **_: Any
    ) -> None:
        """Delete nodes by id, by filters, or those for which both hold; `clear` deletes all.

        Raises:
            InvalidRequestError: nothing is said, or filters that everything passes.
            PartialWriteError: calls failed; its `report` says which nodes are gone.
        """
        self._clients.run(self._delete_nodes, node_ids, filters)

    async def adelete_nodes(
        self, node_ids: NodeIds = None, filters: MetadataFilters | None = None, **_: Any
    ) -> None:
        """Do as `delete_nodes` does."""
        await self._clients.arun(self._delete_nodes, node_ids, filters)

    def clear(self) -> None:
        """Delete every vector of the index; the index stays."""
        self._clients.run(self._store.clear)

    async def aclear(self) -> None:
        """Do as `clear` does."""
        await self._clients.arun(self._store.clear)

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove parts of large values that no record names, and return how many there were.

        A writer that was killed, or that another process has overtaken, leaves such parts.

        Args:
            older_than: leave what was written within so many seconds, since its record may be
                written yet; 0 only where nobody writes.
        """
        return self._clients.run(self._store.records.sweep, older_than)

    async def asweep(self, older_than: float = 3600.0) -> int:
        """Do as `sweep` does."""
        return await self._clients.arun(self._store.records.sweep, older_than)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy that shares the client, with other settings where `update` says so."""
        copied = super().model_copy(update=update, deep=deep)
        copied._store = copied._make_store()  # noqa: SLF001 - one of its own class
        return copied

    def _add(
        self, context: Context, nodes: Sequence[BaseNode], policy: BadRecordPolicy | None
    ) -> Flow[WrittenIds]:
        ids = yield from self._store.add(context, nodes, policy or self.on_bad_record)
        self._bad_records = ids.report
        others = [node.node_id for node in nodes if isinstance(node, ImageNode | IndexNode)]
        self._non_text_ids.update(dict.fromkeys(others))
        return ids

    def _get_nodes(
        self, context: Context, node_ids: NodeIds, filters: MetadataFilters | None
    ) -> Flow[list[BaseNode]]:
        condition = read_filters(filters)
        if node_ids is None:
            return (yield from self._store.list_all(context, condition))
        found = yield from self._store.get(context, list(each_of(node_ids)), condition)
        report_missing(context, self.index, found.missing)
        return found.made

    def _delete_nodes(
        self, context: Context, node_ids: NodeIds, filters: MetadataFilters | None
    ) -> Flow[None]:
        if node_ids is None and filters is None:
            raise InvalidRequestError("delete_nodes takes node_ids or filters; clear() deletes all")
        condition = read_filters(filters)
        if filters is not None and (has_empty_group(filters) or not restricts(condition)):
            raise InvalidRequestError(
                "delete_nodes does not take filters that every node passes, or with an empty group "
                "as a part; leave them out, or clear() deletes all"
            )
        if node_ids is None:
            return (yield from self._store.delete_passing(context, condition))
        return (yield from self._store.delete(context, list(each_of(node_ids)), condition))

    def _query(
        self, context: Context, asked: VectorStoreQuery, options: QueryOptions
    ) -> Flow[VectorStoreQueryResult]:
        query, candidates = check_query(asked, self._non_text_ids, **options)
        # by the limits of this account, which the client knows
        check_top_k("similarity_top_k", query.similarity_top_k, context.config.limits, _ANY_NUMBER)
        vector = check_data("query_embedding", query.query_embedding or ())
        condition = _condition_of(query, options.get("filter"))
        if not can_pass(condition):
            return VectorStoreQueryResult(nodes=[], ids=[], similarities=[])
        metric = yield from self._store.records.metric(context)
        if query.node_ids is not None:
            hits = yield from self._measure(context, query.node_ids, condition, vector, candidates)
        else:
            found = yield from search(
                context,
                self._store.records,
                vector,
                # MMR may ask for more to choose from than the service gives
                min(candidates, context.config.limits.top_k),
                condition=condition,
                return_data=self.return_data or query.mode is VectorStoreQueryMode.MMR,
                completion=self._completion(options),
            )
            report_incomplete(found.incomplete)
            hits = found.hits
        if query.mode is VectorStoreQueryMode.MMR:
            # some hundred rows of a thousand numbers: off the event loop
            hits = yield from call_function(_diversify, query, vector, hits)
        return self._result(hits, metric, query.output_fields)

    def _completion(self, options: QueryOptions) -> Completion:
        given: dict[str, Any] = {n: v for n, v in options.items() if n in _COMPLETION_OPTIONS}
        return replace(self._store.records.settings.completion, **given)

    def _measure(
        self,
        context: Context,
        node_ids: Sequence[str],
        condition: Condition | None,
        vector: Float32Array,
        limit: int,
    ) -> Flow[list[Hit[Record]]]:
        """Fetch the records asked for and measure them here: the service cannot search by key."""
        records = self._store.records
        # a hit once each, whatever the list repeats
        keys = list(dict.fromkeys(node_ids))
        found = yield from records.fetch(context, keys, return_data=True)
        read = restriction_of(context, records, condition).read
        passing = [record for one in found.by_key.values() if (record := read(one)) is not None]
        metric = yield from records.metric(context)
        formula = known_formula(context, self.index, metric)
        hits: list[Hit[Record]] = yield from call_function(_rank, vector, passing, formula, limit)
        return hits

    def _result(
        self, hits: Sequence[Hit[Record]], metric: str, fields: Sequence[str] | None
    ) -> VectorStoreQueryResult:
        changes: dict[str, Any] = {} if self.return_data else {"embedding": None}
        made = []
        for hit in hits:
            if fields:
                kept = {name: v for name, v in hit.record.metadata.items() if name in fields}
                changes["metadata"] = kept
            record = replace(hit.record, **changes) if changes else hit.record
            # under "skip" a record that can be no node is left out
            if (node := self._store.node(record)) is not None:
                made.append((node, hit))
        return VectorStoreQueryResult(
            nodes=[node for node, _ in made],
            ids=[node.node_id for node, _ in made],
            similarities=[nearness(metric, hit.distance) for _, hit in made],
        )

    def _make_store(self) -> NodeStore:
        given, saved = self._clients.given, self._saved
        limits = saved.limits if given is None and saved is not None else limits_of(given)
        limit = limits.filterable_keys - 2
        # two fields are ours: by one a document's nodes are deleted
        named = None if self.filterable is None else tuple(self.filterable)
        if named is not None and len({*named} - {SOURCE_ID_FIELD}) > limit:
            raise ConfigurationError(
                f"filterable names more than {limit} fields; the service takes two more, which are "
                f"{SOURCE_ID_FIELD}, the id of a node's document, and {UNSURE_FIELD}, the list of "
                "fields that it cannot judge."
            )
        settings = StoreSettings(
            index=self.index,
            distance_metric=self.distance_metric,
            create_index=self.create_index,
            filterable=None if named is None else (*named, SOURCE_ID_FIELD),
            non_filterable=self.non_filterable,
            text_key=self.text_key,
            scalars=self.scalars,
            list_fields=self.list_fields,
            on_decode_error=self.on_decode_error,
            on_bad_record=self.on_bad_record,
            skip_rows=self.skip_rows,
            limits=limits,
            exhaustive=self.exhaustive,
            scan_limit=self.scan_limit,
            on_incomplete=self.on_incomplete,
            filters_first=self.filters_first,
            read_your_writes=self.read_your_writes,
            side_index=self.side_index,
        )
        classes = classes_by_name(self.node_classes)
        records = RecordStore(settings, context_of(given, self.index))
        return NodeStore(
            records,
            DocumentRows(records),
            classes,
            self.return_data,
            self.on_missing,
            metadata_values=self.metadata_values,
        )

    def _point_to(self, saved: ClientSettings | None) -> None:
        super()._point_to(saved)
        self._store = self._make_store()


def check_query(
    query: VectorStoreQuery, non_text_ids: Collection[str], **options: Unpack[QueryOptions]
) -> tuple[VectorStoreQuery, int]:
    """Return a query that can be answered, and how many records to choose from.

    What restricts nothing is None in it: `filters`, `doc_ids` and `node_ids`.
    """
    if query.mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
        raise InvalidRequestError(
            f"mode {query.mode.value!r} is not possible: the service searches by vector. Use "
            "DEFAULT or MMR."
        )
    if query.query_embedding is None:
        raise InvalidRequestError(
            "the query has no query_embedding, and a search needs one; get_nodes(filters=...) "
            "returns the nodes that pass filters, without one."
        )
    # core has it for stores that keep several embeddings of one node
    if query.embedding_field is not None:
        raise InvalidRequestError("embedding_field: a record of this store has one embedding.")
    if unknown := options.keys() - QueryOptions.__annotations__.keys():
        raise TypeError(f"query() got an unexpected keyword argument {min(unknown)!r}")
    candidates = query.similarity_top_k
    threshold = options.get("mmr_threshold")
    threshold = query.mmr_threshold if threshold is None else threshold
    if query.mode is VectorStoreQueryMode.MMR:
        threshold = _DEFAULT_MMR_THRESHOLD if threshold is None else threshold
        check_share("mmr_threshold", threshold, 0, 1)
        candidates = max(candidates, _prefetch(candidates, options))
    for document in query.doc_ids or ():
        check_unicode("doc_ids", document, "the id of a document")
    # a copy: retrievers use one query object again
    checked = replace(
        query,
        filters=check_filters(query.filters),
        doc_ids=None if query.doc_ids is None else list(dict.fromkeys(query.doc_ids)),
        node_ids=restriction(query.node_ids, non_text_ids, honour=options.get("honour_node_ids")),
        mmr_threshold=threshold,
    )
    return checked, candidates


def _prefetch(k: int, options: QueryOptions) -> int:
    factor, prefetch = options.get("mmr_prefetch_factor"), options.get("mmr_prefetch_k")
    if factor is not None and prefetch is not None:
        raise InvalidRequestError("give mmr_prefetch_factor or mmr_prefetch_k, not both.")
    if prefetch is not None:
        return check_whole("mmr_prefetch_k", prefetch, 1, 2**31)
    return int(k * (_DEFAULT_PREFETCH_FACTOR if factor is None else factor))


def restriction(
    node_ids: NodeIds, non_text_ids: Collection[str], *, honour: bool | None
) -> list[str] | None:
    """Return the ids that a query is restricted to, or None.

    `honour` True takes any list at its word, False none. `VectorStoreIndex.as_retriever` puts the
    ids of all image and index nodes that were inserted through it into each query, and of no
    others: taken at its word, that would hide all text. So by default a list of exactly those,
    `non_text_ids`, is no restriction.
    """
    if not node_ids or honour is False:
        return None
    ids = list(each_of(node_ids))
    return None if honour is None and set(ids) == set(non_text_ids) else ids


def _condition_of(query: VectorStoreQuery, given: Filter | None) -> Condition | None:
    """Return what a query restricts its answer to: filters of both grammars, and documents."""
    documents = None
    if query.doc_ids is not None:
        documents = Test(SOURCE_ID_FIELD, Operator.IN, query.doc_ids)
    parts = [read_filters(query.filters), documents, read_filter(given)]
    restricting = [part for part in parts if part is not None]
    return (
        Group("and", tuple(restricting)) if len(restricting) > 1 else next(iter(restricting), None)
    )


def _rank(
    vector: Float32Array, records: Sequence[Record], formula: Formula, limit: int
) -> list[Hit[Record]]:
    known = [record for record in records if record.embedding is not None]
    rows = [record.embedding for record in known if record.embedding is not None]
    distances = measure(vector, rows, formula)
    # stable: of records that are equally far the first one asked for comes first
    nearest = np.argsort(distances, kind="stable")[:limit]
    return [Hit(known[position], float(distances[position])) for position in nearest]


def _diversify(
    query: VectorStoreQuery, vector: Float32Array, hits: Sequence[Hit[Record]]
) -> list[Hit[Record]]:
    rows = [hit.record.embedding for hit in hits if hit.record.embedding is not None]
    share = _DEFAULT_MMR_THRESHOLD if query.mmr_threshold is None else query.mmr_threshold
    picked = maximal_marginal_relevance(vector, rows, query.similarity_top_k, share)
    return [hits[position] for position in picked]
