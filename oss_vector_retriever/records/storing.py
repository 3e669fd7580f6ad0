"""`RecordStore`: the flows that every store is made of, whatever its framework.

Each method returns the start of a flow, for `run_flow` of either client: sync and async share every
decision. An index that is not there reads as empty, unless `create_index` is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import (
    MissingKeysError,
    NoSuchVectorIndexError,
    PartialWriteError,
)
from oss_vector_retriever.client.fetch import fetch, plan_fetch
from oss_vector_retriever.client.models.descriptions import VectorIndex
from oss_vector_retriever.client.models.fetched import FetchResult
from oss_vector_retriever.client.models.reports import BatchReport, WriteReport
from oss_vector_retriever.client.models.results import ListVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import as_vector, each_of
from oss_vector_retriever.client.operations.vectors import list_vectors, refuse_repeated
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.client.writes import upsert
from oss_vector_retriever.records.batches import (
    one_dimension,
    refuse_zeros,
    was_refused,
    without_index,
    written_again,
)
from oss_vector_retriever.records.decode import decode
from oss_vector_retriever.records.encode import encode
from oss_vector_retriever.records.indexing import IndexKeeper
from oss_vector_retriever.records.lookup import Found, Lookup, MissingPolicy
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.settings import StoreSettings

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
