"""`RecordStore`: the flows that every store is made of, whatever its framework.

Each method returns the start of a flow, for `run_flow` of either client: sync and async share every
decision. An index that is not there reads as empty, unless `create_index` is off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, cast, get_args

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.endpoint import check_index
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    BatchReport,
    InvalidRequestError,
    MissingKeysError,
    NoSuchVectorIndexError,
    PartialWriteError,
    VectorIndexAlreadyExistsError,
    VectorIndexParameterInvalidError,
    WriteReport,
    shown,
)
from oss_vector_retriever.client.fetch import fetch, plan_fetch
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits, dump
from oss_vector_retriever.client.models.results import FetchResult, ListVectorsResult, VectorIndex
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import (
    as_vector,
    check_choice,
    check_field_names,
    each_of,
)
from oss_vector_retriever.client.operations.indexes import get_vector_index, put_vector_index
from oss_vector_retriever.client.operations.vectors import list_vectors, refuse_repeated
from oss_vector_retriever.client.steps import Flow, Sleep
from oss_vector_retriever.client.writes import delete as delete_flow
from oss_vector_retriever.client.writes import upsert
from oss_vector_retriever.records.decode import (
    DECODE_POLICIES,
    ENVELOPE_KEYS,
    NODE_FIELD,
    DecodePolicy,
    decode,
    fresh,
    load_object,
)
from oss_vector_retriever.records.encode import encode, filterable_value
from oss_vector_retriever.records.lookup import Found, Lookup, MissingPolicy
from oss_vector_retriever.records.record import Record

T = TypeVar("T")
Made = TypeVar("Made")
Start = Callable[[Context], Flow[T]]


class RecordStore:
    """Write records to an index, and read them by key.

    Args:
        settings: how; nothing is called before the first flow runs.

    Attributes:
        keeper: what is known of the index.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.keeper = IndexKeeper(settings)

    def encoded(
        self,
        key: str,
        data: Iterable[float] | None,
        *,
        text: str,
        metadata: Mapping[str, Any] | None = None,
        node: Mapping[str, Any] | None = None,
        also_filterable: Iterable[str] = (),
    ) -> Vector:
        """Return the vector that holds a record losslessly, with its filterable copies.

        Raises:
            InvalidRequestError: something that would not come back, or a limit passed.
        """
        return encode(
            key,
            data,
            text=text,
            metadata=metadata,
            node=node,
            filterable=dict.fromkeys((*(self.settings.filterable or ()), *also_filterable)),
            native_scalars=self.settings.native_scalars,
            limits=self.settings.limits,
        )

    def decoded(self, vector: Vector) -> Record | None:
        """Return the record in a vector; None for one that is broken, under "skip".

        Raises:
            DecodeError: it is broken, under "raise".
        """
        return decode(
            vector,
            text_key=self.settings.text_key,
            on_decode_error=self.settings.on_decode_error,
        )

    def write(self, vectors: Iterable[Vector]) -> Start[WriteReport]:
        """Put vectors, 500 a call; make the index if it is not there. No vectors: no call.

        Raises:
            InvalidRequestError: a vector breaks a rule, a key stands twice, or the index has
                another dimension or metric; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        return lambda context: self._write(context, list(vectors))

    def fetch(
        self, keys: Iterable[str], *, return_data: bool = False, return_metadata: bool = True
    ) -> Start[FetchResult]:
        """Fetch any number of vectors by key, in the order asked; never an error for missing."""
        asked = list(each_of(keys))
        return lambda context: self._fetch(context, asked, return_data, return_metadata)

    def found(
        self,
        keys: Iterable[str],
        make: Callable[[Record], Made],
        *,
        return_data: bool = False,
        on_missing: MissingPolicy = "omit",
    ) -> Start[Found[Made]]:
        """Fetch records by key and make something of each, in the order asked."""
        lookup = Lookup(
            index=self.settings.index,
            text_key=self.settings.text_key,
            return_data=return_data,
            on_missing=on_missing,
            on_decode_error=self.settings.on_decode_error,
        )
        asked = list(each_of(keys))
        return lambda context: self._found(context, lookup, asked, make)

    def page(
        self, next_token: str | None = None, *, return_data: bool = False, metadata: bool = False
    ) -> Start[ListVectorsResult]:
        """List one page of what the index holds, as large as the service makes it."""
        return lambda context: self._page(context, next_token, return_data, metadata)

    def metric(self) -> Start[str]:
        """Return the metric of the index, asked for once; of one to be made, the settings'."""
        return self._metric

    def description(self) -> Start[VectorIndex | None]:
        """Return the description of the index, asked for once; None where it is not there."""
        return self._description

    def or_empty(self, flow: Flow[Any], empty: Callable[[], T]) -> Flow[T]:
        """Return what a flow gives, or `empty()` where there is no index and it would be made."""
        try:
            return cast("T", (yield from flow))
        except NoSuchVectorIndexError:
            if not self.settings.create_index:
                raise
            return empty()

    def _write(self, context: Context, vectors: list[Vector]) -> Flow[WriteReport]:
        if not vectors:
            return WriteReport(())
        checked = [as_vector(vector, context.config.limits) for vector in vectors]
        refuse_repeated(vector.key for vector in checked)
        dimension = one_dimension(checked)
        index = yield from self.keeper.ready(context, dimension)
        if (index.distance_metric or self.settings.metric_made) == "cosine":
            refuse_zeros(checked)
        report = yield from self._put(context, checked)
        if self.settings.create_index and (gone := without_index(report)):
            yield from self.keeper.make(context, dimension)
            left = [vector for vector in checked if vector.key in gone]
            report = written_again(report, (yield from self._put(context, left)))
        if not report.ok:
            if was_refused(report):  # perhaps the index is another by now
                yield from self.keeper.check_again(context, dimension)
            raise PartialWriteError(report)
        return report

    def _put(self, context: Context, vectors: list[Vector]) -> Flow[WriteReport]:
        try:
            return (
                yield from upsert(context, vectors, index=self.settings.index, on_error="report")
            )
        except NoSuchVectorIndexError as error:  # large metadata: the index was asked first
            keys = tuple(vector.key for vector in vectors)
            return WriteReport((BatchReport(keys, error=error),))

    def _fetch(
        self, context: Context, keys: list[str], return_data: bool, return_metadata: bool
    ) -> Flow[FetchResult]:
        fetched = fetch(
            context,
            keys,
            index=self.settings.index,
            return_data=return_data,
            return_metadata=return_metadata,
        )
        return self.or_empty(fetched, lambda: _nothing(context, keys))

    def _found(
        self, context: Context, lookup: Lookup, keys: list[str], make: Callable[[Record], Made]
    ) -> Flow[Found[Made]]:
        found: Found[Made] = yield from self.or_empty(
            lookup.of(keys, make)(context), lambda: Found([], tuple(dict.fromkeys(keys)))
        )
        if found.missing and lookup.on_missing == "raise":
            raise MissingKeysError(found.missing)
        return found

    def _page(
        self, context: Context, next_token: str | None, return_data: bool, metadata: bool
    ) -> Flow[ListVectorsResult]:
        listed = list_vectors(
            context,
            index=self.settings.index,
            next_token=next_token,
            max_results=context.config.limits.list_page,
            return_data=return_data,
            return_metadata=metadata,
        )
        return self.or_empty(listed, lambda: ListVectorsResult(()))

    def _description(self, context: Context) -> Flow[VectorIndex | None]:
        return self.or_empty(self.keeper.described(context), lambda: None)

    def _metric(self, context: Context) -> Flow[str]:
        found = yield from self._description(context)
        return (found.distance_metric if found else "") or self.settings.metric_made


def _nothing(context: Context, keys: list[str]) -> FetchResult:
    plan = plan_fetch(context, keys)
    return FetchResult(plan.keys, {}, plan.unique, (), 1)


def is_row(stored: Mapping[str, Any] | None) -> bool:
    """Tell whether stored metadata are those of a row of a key-value store."""
    return stored is not None and ROW_FIELD in stored


def one_dimension(vectors: list[Vector]) -> int:
    """Return the dimension that all vectors share.

    Raises:
        InvalidRequestError: one has another.
    """
    first, *others = vectors
    dimension = len(first.data or ())
    for vector in others:
        if len(vector.data or ()) != dimension:
            raise InvalidRequestError(
                f"the embedding of {shown(vector.key)} has {len(vector.data or ())} numbers, that "
                f"of {shown(first.key)} {dimension}; an index has one dimension. Nothing was "
                "written."
            )
    return dimension


def refuse_zeros(vectors: list[Vector]) -> None:
    """Refuse embeddings of zeros alone, which have no direction to compare.

    Raises:
        InvalidRequestError: naming the key.
    """
    for vector in vectors:
        if not any(vector.data or ()):
            raise InvalidRequestError(
                f"the embedding of {shown(vector.key)} is all zeros, which an index with the "
                "metric cosine does not take. Nothing was written."
            )


def without_index(report: WriteReport) -> set[str]:
    """Return the keys that were not written because the index is not there."""
    return {
        key
        for batch in report.batches
        if isinstance(batch.error, NoSuchVectorIndexError)
        for key in batch.keys
    }


def was_refused(report: WriteReport) -> bool:
    """Tell whether nothing was written because the service refused the vectors themselves."""
    refused = [isinstance(b.error, VectorIndexParameterInvalidError) for b in report.batches]
    return not report.written and any(refused)


def written_again(report: WriteReport, again: WriteReport) -> WriteReport:
    """Return the report of a write whose batches without an index were written again."""
    kept = [b for b in report.batches if not isinstance(b.error, NoSuchVectorIndexError)]
    return WriteReport((*kept, *again.batches))


_BETWEEN_LOOKS = 0.5  # seconds, while a new index is being made ready


class IndexKeeper:
    """Know the index of a store: asked for once, made when it is first written to.

    Where the caller may not ask, the description has dimension 0 and no metric, and nothing is
    checked by it.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._known: dict[tuple[str | None, str], VectorIndex] = {}

    def known(self, context: Context) -> VectorIndex | None:
        """Return the description if it was asked for already; no call."""
        return self._known.get(self._place(context))

    def forget(self, context: Context) -> None:
        """Ask again next time, since the index is not what it was."""
        self._known.pop(self._place(context), None)

    def described(self, context: Context) -> Flow[VectorIndex]:
        """Return the description of the index, asked for once.

        Raises:
            NoSuchVectorIndexError: it is not there.
        """
        found = self.known(context)
        return found or (yield from self._look(context))

    def ready(self, context: Context, dimension: int) -> Flow[VectorIndex]:
        """Return the description of an index that takes vectors of a dimension; make it if needed.

        Raises:
            InvalidRequestError: the index has another dimension or metric.
            NoSuchVectorIndexError: it is not there, and `create_index` is off.
        """
        try:
            found = yield from self.described(context)
        except NoSuchVectorIndexError:
            if not self._settings.create_index:
                raise
            found = yield from self.make(context, dimension)
        self._check(found, dimension)
        return found

    def make(self, context: Context, dimension: int) -> Flow[VectorIndex]:
        """Make the index, or take the one that another has just made, and wait until it is ready.

        The wait ends with the client's timeout: then the service says what it thinks of a write.
        """
        self.forget(context)
        with suppress(VectorIndexAlreadyExistsError):
            yield from put_vector_index(
                context,
                index=self._settings.index,
                dimension=dimension,
                distance_metric=self._settings.metric_made,
                non_filterable_metadata_keys=self._settings.hidden_fields,
            )
        end = context.deadline().moment
        found = yield from self._look(context)
        while found.status == "creating" and (left := end - context.monotonic()) > 0:
            yield Sleep(min(_BETWEEN_LOOKS, left))
            found = yield from self._look(context)
        return found

    def check_query(self, context: Context, dimension: int) -> Flow[None]:
        """Say by name that a query has another dimension than the index, where that is so.

        Raises:
            InvalidRequestError: it has.
        """
        self.forget(context)
        found = yield from self.described(context)
        _check_dimension(found, dimension, "the query")

    def check_again(self, context: Context, dimension: int) -> Flow[None]:
        """Say by name that the index has another dimension or metric by now, where that is so.

        Raises:
            InvalidRequestError: it has.
        """
        self.forget(context)
        self._check((yield from self.described(context)), dimension)

    def _look(self, context: Context) -> Flow[VectorIndex]:
        try:
            found = yield from get_vector_index(context, index=self._settings.index)
        except AccessDeniedError:
            found = VectorIndex(index_name=self._place(context)[1])
        if found.status != "creating":
            self._known[self._place(context)] = found
        return found

    def _place(self, context: Context) -> tuple[str | None, str]:
        return context.config.bucket, context.config.index_or(self._settings.index)

    def _check(self, found: VectorIndex, dimension: int) -> None:
        _check_dimension(found, dimension, "the embeddings")
        wanted = self._settings.distance_metric
        if wanted and found.distance_metric and found.distance_metric != wanted:
            raise InvalidRequestError(
                f"index {found.index_name!r} has the metric {found.distance_metric}, and this "
                f'store was made for {wanted}; pass distance_metric="{found.distance_metric}", or '
                "another index."
            )


def _check_dimension(found: VectorIndex, dimension: int, what: str) -> None:
    if found.dimension and found.dimension != dimension:
        raise InvalidRequestError(
            f"index {found.index_name!r} has dimension {found.dimension}, and {what} "
            f"{'have' if what.endswith('s') else 'has'} {dimension} numbers: another embedding "
            "model was used. Use that model, or another index."
        )


_PASSES = 3  # a list may skip what moved up while its earlier pages were deleted


@dataclass(frozen=True, slots=True)
class Deleted:
    """Say which keys were there and are gone, and which were not there."""

    deleted: tuple[str, ...]
    missing: tuple[str, ...]


def delete(store: RecordStore, keys: Iterable[str]) -> Start[WriteReport]:
    """Delete by key, 500 a call; a key that does not exist is no error. No keys: no call.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys are gone.
    """
    asked = list(each_of(keys))
    return lambda context: _delete(context, store, asked)


def delete_counted(store: RecordStore, keys: Iterable[str]) -> Start[Deleted]:
    """Delete by key and say which keys were there, for a keys-only get for each 100.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys are gone.
    """
    wanted = store.fetch(keys, return_metadata=False)

    def start(context: Context) -> Flow[Deleted]:
        result = yield from wanted(context)
        there = tuple(
            result.by_key[key].key for key in dict.fromkeys(result.keys) if key in result.by_key
        )
        yield from _delete(context, store, list(there))
        return Deleted(there, result.missing)

    return start


def delete_all(store: RecordStore) -> Start[int]:
    """Delete every vector of the index, page by page, and return how many; the index stays.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys of that page are gone.
    """

    def start(context: Context) -> Flow[int]:
        total = 0
        for _ in range(_PASSES):
            gone = yield from _one_pass(context, store)
            total += gone
            if not gone:
                break
        return total

    return start


def _one_pass(context: Context, store: RecordStore) -> Flow[int]:
    gone, token, more = 0, None, True
    while more:
        page = yield from store.page(token)(context)
        yield from _delete(context, store, [vector.key for vector in page])
        gone += len(page)
        token = page.next_token
        more = token is not None
    return gone


def _delete(context: Context, store: RecordStore, keys: list[str]) -> Flow[WriteReport]:
    index = store.settings.index
    report = yield from delete_flow(context, keys, index=index, on_error="report")
    failed = [batch.error for batch in report.batches if batch.error is not None]
    if not failed:
        return report
    absent = all(isinstance(error, NoSuchVectorIndexError) for error in failed)
    if not absent:
        raise PartialWriteError(report)
    if not store.settings.create_index:
        raise failed[0]
    return WriteReport(())


DistanceMetric = Literal["cosine", "euclidean"]
_METRICS: Final[tuple[str, ...]] = get_args(DistanceMetric)

# A row of a key-value store, which no search for documents should meet; its value says which kind.
ROW_FIELD: Final = "_row"
# The id that a value of such a row has of its own, beside the key.
ROW_ID_FIELD: Final = "_row_id"


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Say how records are written and read; the names are the adapters' own arguments.

    Attributes:
        index: another index than the client's own.
        distance_metric: of the index that a first write makes; one that is there must have it.
            None: any that is there will do, and one is made with cosine.
        create_index: make the index on the first write, and read one that is not there as empty.
        filterable: metadata fields that searches can filter on, copied beside the record when it is
            written. None: not known, so that nothing is copied and no filter's fields are checked.
        non_filterable: further fields that an index made here keeps out of its filters, for those
            who put large fields beside the records.
        text_key: a further metadata field to look for text in.
        native_scalars: copy numbers and booleans as they are, for range filters.
        on_decode_error: "raise", "skip" or "raw", for records that cannot be read.
        skip_rows: leave out of searches the rows of key-value stores in the same index.
        limits: the service's limits on a record, for an account that has others.

    Raises:
        InvalidRequestError: a setting is none of its choices, a name is not legal, a field is both
            filterable and not, or one is named like the envelope's.
    """

    index: str | None = None
    distance_metric: DistanceMetric | None = "cosine"
    create_index: bool = True
    filterable: Sequence[str] | None = ()
    non_filterable: Sequence[str] = ()
    text_key: str | None = None
    native_scalars: bool = False
    on_decode_error: DecodePolicy = "raise"
    skip_rows: bool = False
    limits: Limits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        if self.index is not None:
            check_index(self.index)
        check_choice("distance_metric", self.metric_made, _METRICS)
        check_choice("on_decode_error", self.on_decode_error, DECODE_POLICIES)
        if self.filterable is not None:
            object.__setattr__(self, "filterable", _names("filterable", self.filterable))
        hidden = _names("non_filterable", self.non_filterable)
        object.__setattr__(self, "non_filterable", hidden)
        _refuse_both(self.filterable or (), hidden)

    @property
    def metric_made(self) -> DistanceMetric:
        """Return the metric of an index made here."""
        return self.distance_metric or "cosine"

    @property
    def hidden_fields(self) -> tuple[str, ...]:
        """Return the fields that an index made here declares non-filterable."""
        return (*ENVELOPE_KEYS, *self.non_filterable)


def _names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(check_field_names(what, names, DEFAULT_LIMITS)))
    most = DEFAULT_LIMITS.filterable_keys
    reserved = len(ENVELOPE_KEYS) if what == "non_filterable" else 0
    if len(unique) > most - reserved:
        raise InvalidRequestError(
            f"{what} names {len(unique)} fields; at most {most - reserved} are possible."
        )
    if taken := [name for name in unique if name in ENVELOPE_KEYS]:
        raise InvalidRequestError(
            f"{what} must not name {shown(taken[0])}, a field of the record's envelope."
        )
    return unique


def _refuse_both(filterable: Collection[str], hidden: Collection[str]) -> None:
    if both := [name for name in filterable if name in hidden]:
        raise InvalidRequestError(
            f"{shown(both[0])} cannot be both filterable and non_filterable; name it in one."
        )


def update_metadata(
    store: RecordStore,
    keys: Iterable[str],
    patch: Mapping[str, Any],
    *,
    remove: Collection[str] = (),
) -> Start[tuple[str, ...]]:
    """Merge a patch into the metadata of stored records; return the keys that were there.

    Text, embedding and all other fields stay as they are. A record of this package keeps its types
    and gets its filterable copies anew; one that others wrote stays in their form, which has
    strings alone: a number is written as `filterable_value` says, None removes.

    Args:
        store: the store.
        keys: of the records; those that do not exist are passed over.
        patch: top-level fields and their new values.
        remove: top-level fields to take away.

    Raises:
        InvalidRequestError: a record would pass a limit, or a field is not metadata; nothing was
            written.
        DecodeError: a record cannot be read; nothing was written.
        PartialWriteError: calls failed; its `report` says which records are changed.
    """
    if isinstance(remove, str):
        raise InvalidRequestError("remove takes several names; put a single one into a list.")
    if not isinstance(patch, Mapping):
        raise InvalidRequestError(f"patch must be a dict, not a {type(patch).__name__}.")

    wanted = store.fetch(keys, return_data=True)

    def start(context: Context) -> Flow[tuple[str, ...]]:
        result = yield from wanted(context)
        changed = [_patched(store, vector, patch, remove) for vector in result.by_key.values()]
        report = yield from store.write(changed)(context)
        written = set(report.written)
        return tuple(key for key in dict.fromkeys(result.keys) if key in written)

    return start


def _patched(
    store: RecordStore, vector: Vector, patch: Mapping[str, Any], remove: Collection[str]
) -> Vector:
    record = decode(vector, text_key=store.settings.text_key)
    stored = vector.metadata or {}
    if record.source == "envelope":
        metadata = _merged(record.metadata, patch, remove)
        beside = [name for name in stored if name not in ENVELOPE_KEYS]
        return store.encoded(
            vector.key,
            vector.data,
            text=record.text,
            metadata=metadata,
            node=record.node,
            also_filterable=beside,
        )
    _refuse_text(record, stored, (*patch, *remove))
    plain = {name: _form(store, record, name, value) for name, value in patch.items()}
    gone = (*remove, *(name for name, value in plain.items() if value is None))
    changed = _merged(fresh(stored), plain, gone)
    if record.source == "llama_index":
        changed[NODE_FIELD] = _node(vector.key, stored, patch, remove)
    return Vector(vector.key, vector.data, changed)


def _merged(
    metadata: dict[str, Any], patch: Mapping[str, Any], remove: Collection[str]
) -> dict[str, Any]:
    return {name: v for name, v in {**metadata, **patch}.items() if name not in remove}


def _form(store: RecordStore, record: Record, name: str, value: object) -> object:
    try:
        return filterable_value(value, native_scalars=store.settings.native_scalars)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"record {shown(record.key)}: metadata[{shown(name)}] cannot be written, since another "
            f"program wrote this record, as plain fields: {error}. Write the whole record anew."
        ) from error


def _refuse_text(record: Record, stored: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if name in stored and name not in record.metadata:
            raise InvalidRequestError(
                f"record {shown(record.key)}: {shown(name)} is not metadata there: it holds the "
                "text, or bookkeeping of the program that wrote it."
            )


def _node(
    key: str, stored: Mapping[str, Any], patch: Mapping[str, Any], remove: Collection[str]
) -> str:
    node = load_object(stored[NODE_FIELD], key, NODE_FIELD)
    node["metadata"] = _merged(node.get("metadata") or {}, patch, remove)
    return dump(node)
