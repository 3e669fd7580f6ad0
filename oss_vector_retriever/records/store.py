"""`RecordStore`: the flows that every store is made of, whatever its framework.

An index that is not there reads as empty, unless `create_index` is off.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ..client import errors
from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, WriteReport, quote
from ..client.fetch import fetch
from ..client.models import FetchResult, ListVectorsResult, Vector, VectorIndex, dump
from ..client.operations.checks import as_vector, each_of, refuse_repeated
from ..client.operations.vectors import list_vectors
from ..client.writes import delete, upsert
from .decode import ENVELOPE_KEYS, NODE_FIELD, decode, deep_copy, load_object
from .encode import encode, filterable_value
from .indexing import IndexKeeper, warn_of_absence
from .lookup import Found, Lookup, MissingPolicy, fetch_records
from .record import Record
from .settings import StoreSettings

T = TypeVar("T")

_PASSES = 3  # a list may skip what moved up while its earlier pages were deleted


@dataclass(frozen=True, slots=True)
class Deleted:
    """The keys of a deletion that were there and are gone, and those that were not there."""

    deleted: tuple[str, ...]
    missing: tuple[str, ...]


class RecordStore:
    """The records of one index: written, read by key, changed and deleted.

    `keeper` is what is known of the index. Nothing is called before the first flow runs.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.keeper = IndexKeeper(settings)

    def encode(
        self,
        key: str,
        data: Iterable[float] | None,
        *,
        text: str,
        metadata: Mapping[str, Any] | None = None,
        node: Mapping[str, Any] | None = None,
        also_filterable: Iterable[str] = (),
    ) -> Vector:
        """Return the vector that holds a record, as `encode` makes it, with its copies."""
        return encode(
            key,
            data,
            text=text,
            metadata=metadata,
            node=node,
            # a field named twice is one copy; the order is that of the settings
            filterable=dict.fromkeys((*(self.settings.filterable or ()), *also_filterable)),
            native_scalars=self.settings.native_scalars,
            limits=self.settings.limits,
        )

    def decode(self, vector: Vector) -> Record | None:
        """Return the record in a vector, as `decode` does; None for a broken one, under "skip"."""
        return decode(
            vector, text_key=self.settings.text_key, on_decode_error=self.settings.on_decode_error
        )

    def fetch(
        self,
        context: Context,
        keys: Iterable[str],
        *,
        return_data: bool = False,
        return_metadata: bool = True,
    ) -> Flow[FetchResult]:
        """Fetch any number of vectors by key, in the order asked; never an error for missing."""
        asked = tuple(each_of(keys))
        fetched = fetch(
            context,
            asked,
            index=self.settings.index,
            return_data=return_data,
            return_metadata=return_metadata,
        )
        return self.or_empty(
            context, fetched, lambda: FetchResult(asked, {}, tuple(dict.fromkeys(asked)), (), 1)
        )

    def fetch_records(
        self,
        context: Context,
        keys: Iterable[str],
        make: Callable[[Record], T],
        *,
        return_data: bool = False,
        on_missing: MissingPolicy = "omit",
    ) -> Flow[Found[T]]:
        """Fetch records by key and make something of each, as `lookup.fetch_records` does."""
        lookup = Lookup(
            index=self.settings.index,
            text_key=self.settings.text_key,
            return_data=return_data,
            on_missing=on_missing,
            on_decode_error=self.settings.on_decode_error,
        )
        wanted = list(each_of(keys))
        found: Found[T] = yield from self.or_empty(
            context,
            fetch_records(context, lookup, wanted, make),
            lambda: Found([], tuple(dict.fromkeys(wanted))),
        )
        if found.missing and on_missing == "raise":
            raise errors.MissingKeysError(found.missing)
        return found

    def list_page(
        self,
        context: Context,
        next_token: str | None = None,
        *,
        return_data: bool = False,
        return_metadata: bool = False,
    ) -> Flow[ListVectorsResult]:
        """List one page of what the index holds, as large as the service makes it."""
        page = list_vectors(
            context,
            index=self.settings.index,
            next_token=next_token,
            max_results=context.config.limits.list_page,
            return_data=return_data,
            return_metadata=return_metadata,
        )
        return self.or_empty(context, page, lambda: ListVectorsResult(()))

    def describe(self, context: Context) -> Flow[VectorIndex | None]:
        """Return the description of the index, asked for once; None where it is not there."""
        return self.or_empty(context, self.keeper.describe(context), lambda: None)

    def metric(self, context: Context) -> Flow[str]:
        """Return the metric of the index, asked for once; of one to be made, the settings'."""
        found = yield from self.describe(context)
        return (found.distance_metric if found else "") or self.settings.metric_made

    def or_empty(self, context: Context, flow: Flow[Any], empty: Callable[[], T]) -> Flow[T]:
        """Return what a flow gives, or `empty()` where there is no index and it would be made."""
        try:
            return cast("T", (yield from flow))
        except errors.NoSuchVectorIndexError:
            # Who makes the index on the first write must be able to read before it.
            if not self.settings.create_index:
                raise
            warn_of_absence(context, self.settings.index)
            return empty()

    def write(self, context: Context, vectors: Iterable[Vector]) -> Flow[WriteReport]:
        """Put vectors, 500 a call; make the index if it is not there. No vectors: no call.

        Raises:
            InvalidRequestError: a vector breaks a rule, a key stands twice, or the index has
                another dimension or metric; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        # Everything is checked before the first call: half a write is worse than none.
        checked = [as_vector(vector, context.config.limits) for vector in vectors]
        if not checked:
            return WriteReport(())
        refuse_repeated(vector.key for vector in checked)
        dimension = _one_dimension(checked)
        index = yield from self.keeper.prepare(context, dimension)
        if (index.distance_metric or self.settings.metric_made) == "cosine":
            _refuse_zeros(checked)
        report = yield from self._put(context, checked)
        lost = [b for b in report.batches if isinstance(b.error, errors.NoSuchVectorIndexError)]
        if lost and self.settings.create_index:
            # The index was deleted after it was asked for; it is made again, once.
            yield from self.keeper.make(context, dimension)
            unwritten = {key for batch in lost for key in batch.keys}
            left = [vector for vector in checked if vector.key in unwritten]
            again = yield from self._put(context, left)
            kept = [batch for batch in report.batches if batch not in lost]
            report = WriteReport((*kept, *again.batches))
        if report.ok:
            return report
        # The service says only that a parameter is invalid, also where the index is another by now.
        invalid = errors.VectorIndexParameterInvalidError
        if not report.written and any(isinstance(b.error, invalid) for b in report.batches):
            yield from self.keeper.check_writes(context, dimension)
        raise errors.PartialWriteError(report)

    def _put(self, context: Context, vectors: list[Vector]) -> Flow[WriteReport]:
        index = self.settings.index
        try:
            return (yield from upsert(context, vectors, index=index, on_error="report"))
        except errors.NoSuchVectorIndexError as error:  # large metadata: the index was asked first
            keys = tuple(vector.key for vector in vectors)
            return WriteReport((errors.BatchReport(keys, error=error),))

    def delete(self, context: Context, keys: Iterable[str]) -> Flow[WriteReport]:
        """Delete by key, 500 a call; a key that does not exist is no error. No keys: no call.

        Raises:
            PartialWriteError: calls failed; its `report` says which keys are gone.
        """
        index = self.settings.index
        report = yield from delete(context, list(each_of(keys)), index=index, on_error="report")
        failed = [batch.error for batch in report.batches if batch.error is not None]
        if not failed:
            return report
        # Without an index nothing is there to delete, which is what was asked for.
        if not all(isinstance(error, errors.NoSuchVectorIndexError) for error in failed):
            raise errors.PartialWriteError(report)
        if not self.settings.create_index:
            raise failed[0]
        warn_of_absence(context, index)
        return WriteReport(())

    def delete_counted(self, context: Context, keys: Iterable[str]) -> Flow[Deleted]:
        """Delete as `delete` does and say which keys were there, for a keys-only get each 100."""
        result = yield from self.fetch(context, keys, return_metadata=False)
        # DeleteVectors answers the same whether a key was there or not.
        there = [key for key in dict.fromkeys(result.keys) if key in result.by_key]
        yield from self.delete(context, there)
        return Deleted(tuple(there), result.missing)

    def delete_all(self, context: Context) -> Flow[int]:
        """Delete every vector of the index, page by page, and return how many; the index stays."""
        total = 0
        for _ in range(_PASSES):
            before, token, more = total, None, True
            while more:
                page = yield from self.list_page(context, token)
                yield from self.delete(context, [vector.key for vector in page])
                total += len(page)
                token = page.next_token
                more = token is not None
            if total == before:
                break
        return total

    def update_metadata(
        self,
        context: Context,
        keys: Iterable[str],
        patch: Mapping[str, Any],
        *,
        remove: Collection[str] = (),
    ) -> Flow[tuple[str, ...]]:
        """Merge a patch into the metadata of stored records; return the keys that were there.

        Text, embedding and all other fields stay as they are. A record of this package keeps its
        types and gets its filterable copies anew; one that others wrote stays in their form, which
        has strings alone: a number is written as `filterable_value` says, None removes.

        `patch` holds top-level fields and their new values, `remove` names those to take away. Keys
        that do not exist are passed over.

        Raises:
            InvalidRequestError: a record would pass a limit, or a field is not metadata; nothing
                was written.
            DecodeError: a record cannot be read; nothing was written.
            PartialWriteError: calls failed; its `report` says which records are changed.
        """
        if isinstance(remove, str):
            raise InvalidRequestError(
                "{argument} takes several names",
                argument="remove",
                remedy="put a single one into a list",
            )
        if not isinstance(patch, Mapping):
            raise InvalidRequestError(
                "{argument} must be a dict, not {a_kind}.", argument="patch", value=patch
            )
        result = yield from self.fetch(context, keys, return_data=True)
        changed = [self._patch(vector, patch, remove) for vector in result.by_key.values()]
        written = set((yield from self.write(context, changed)).written)
        return tuple(key for key in dict.fromkeys(result.keys) if key in written)

    def _patch(self, vector: Vector, patch: Mapping[str, Any], remove: Collection[str]) -> Vector:
        record = decode(vector, text_key=self.settings.text_key)
        stored = vector.metadata or {}
        if record.source == "envelope":
            return self.encode(
                vector.key,
                vector.data,
                text=record.text,
                metadata=_merge(record.metadata, patch, remove),
                node=record.node,
                # copies that another store, with other settings, made filterable stay so
                also_filterable=[name for name in stored if name not in ENVELOPE_KEYS],
            )
        for name in (*patch, *remove):
            if name in stored and name not in record.metadata:
                raise InvalidRequestError(
                    f"record {quote(record.key)}: {quote(name)} is not metadata there: it holds "
                    "the text, or bookkeeping of the program that wrote it."
                )
        # Another program's record stays in that program's form, for it reads it too.
        plain = {name: self._plain_value(record, name, value) for name, value in patch.items()}
        gone = (*remove, *(name for name, value in plain.items() if value is None))
        changed = _merge(deep_copy(stored), plain, gone)
        if record.source == "llama_index":
            # LlamaIndex reads metadata from inside its node, and filters on the fields beside it.
            node = load_object(stored[NODE_FIELD], vector.key, NODE_FIELD)
            node["metadata"] = _merge(node.get("metadata") or {}, patch, remove)
            changed[NODE_FIELD] = dump(node)
        return Vector(vector.key, vector.data, changed)

    def _plain_value(self, record: Record, name: str, value: object) -> object:
        try:
            return filterable_value(value, native_scalars=self.settings.native_scalars)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(
                f"record {quote(record.key)}: metadata[{quote(name)}] cannot be written, since "
                "another program wrote this record, as plain fields: "
                f"{error}. Write the whole record anew."
            ) from error


def _one_dimension(vectors: list[Vector]) -> int:
    first, *others = vectors
    dimension = len(first.data or ())
    for vector in others:
        if len(vector.data or ()) != dimension:
            raise InvalidRequestError(
                f"the embedding of {quote(vector.key)} has {len(vector.data or ())} numbers, that "
                f"of {quote(first.key)} {dimension}; an index has one dimension. Nothing was "
                "written."
            )
    return dimension


def _refuse_zeros(vectors: list[Vector]) -> None:
    # zeros have no direction to compare
    for vector in vectors:
        if not any(vector.data or ()):
            raise InvalidRequestError(
                f"the embedding of {quote(vector.key)} is all zeros, which an index with the "
                "metric cosine does not take. Nothing was written."
            )


def _merge(
    metadata: dict[str, Any], patch: Mapping[str, Any], remove: Collection[str]
) -> dict[str, Any]:
    return {name: v for name, v in {**metadata, **patch}.items() if name not in remove}
