"""`RecordStore`: the flows that every store is made of, whatever its framework.

An index that is not there reads as empty, unless `create_index` is off.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from ..client import errors
from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, WriteReport, quote
from ..client.fetch import fetch
from ..client.holds import Hold, run_with
from ..client.known_indexes import delete_vector_index, forget, look
from ..client.models import FetchResult, Limits, ListVectorsResult, Vector, VectorIndex, dump
from ..client.operations.checks import as_vector, check_keys, each_of, refuse_repeated
from ..client.operations.vectors import list_vectors
from ..client.recent import watch
from .conditions import Condition, Pushed, passes, push, visible_fields
from .copies import filterable_value, is_scalar
from .cutting import PartsKeeper
from .decode import NODE_FIELD, RESERVED_FIELDS, decode, deep_copy, has_head, load_object
from .encode import encode
from .indexing import IndexKeeper, warn_of_absence
from .lookup import Found, Lookup, MissingPolicy, fetch_records
from .parts import LARGEST_VALUE, restore, restore_result
from .record import Record
from .settings import StoreSettings, side_name
from .traits import traits_of
from .typed import json_form
from .writing import hidden_fields

T = TypeVar("T")

_PASSES = 3  # a list may skip what moved up while its earlier pages were deleted


@dataclass(frozen=True, slots=True)
class Deleted:
    """The keys of a deletion that were there and are gone, and those that were not there."""

    deleted: tuple[str, ...]
    missing: tuple[str, ...]


class RecordStore:
    """The records of one index: written, read by key, changed and deleted.

    `keeper` is what is known of the index. Nothing is called before the first flow runs. What
    others write to the index by the client of `context` is remembered from now on, where that is
    known; else from the first flow. One `is_side` whose index is not there is nothing to warn of.
    """

    def __init__(
        self, settings: StoreSettings, context: Context | None = None, *, is_side: bool = False
    ) -> None:
        self.settings = settings
        self._is_side = is_side
        self.keeper = IndexKeeper(settings, is_side=is_side)
        self._parts = PartsKeeper(settings)
        self._has_numbers = False
        if context is not None:
            self.watch(context)

    def encode(
        self,
        key: str,
        data: Iterable[float] | None,
        *,
        text: str,
        metadata: Mapping[str, Any] | None = None,
        node: Mapping[str, Any] | None = None,
        own: Iterable[str] = (),
        kept: Iterable[str] = (),
        visible: Mapping[str, Any] | None = None,
    ) -> Vector:
        """Return the vector that holds a record, as `encode` makes it, with its copies."""
        return encode(
            key,
            data,
            text=text,
            metadata=metadata,
            node=node,
            filterable=self.settings.filterable,
            own=own,
            kept=kept,
            visible=visible,
            # writing turns them into strings where the index takes no other
            scalars="strings" if self.settings.scalars == "strings" else "native",
            limits=self._encoding_limits,
        )

    @property
    def _encoding_limits(self) -> Limits:
        limits = self.settings.limits
        if self.settings.side_index is False:
            return limits
        return replace(limits, metadata_bytes=LARGEST_VALUE)  # what is too large is cut

    def decode(self, vector: Vector) -> Record | None:
        """Return the record in a vector, as `decode` does; None for a broken one, under "skip"."""
        # a number that is stored tells what writing would find out
        if not self._has_numbers and vector.metadata is not None:
            self._has_numbers = any(map(is_scalar, vector.metadata.values()))
        return decode(
            vector, text_key=self.settings.text_key, on_decode_error=self.settings.on_decode_error
        )

    def passes(
        self, record: Record | None, stored: Mapping[str, Any] | None, condition: Condition | None
    ) -> bool:
        """Tell whether a record passes a condition; `stored` are the metadata it was read from."""
        if record is None or condition is None:
            return record is not None
        exact_lists = self.settings.list_fields == "exact"
        return passes(visible_fields(record, stored), condition, exact_lists)

    def push(self, context: Context, condition: Condition | None) -> Pushed:
        """Return what the service can check of a condition, by what is known of the index."""
        settings = self.settings
        native = traits_of(context, settings.index).native
        if native is None:
            native = self._has_numbers
        return push(
            condition,
            hidden=hidden_fields(settings, self.keeper.peek(context)),
            native=settings.scalars == "native" or (native and settings.scalars == "auto"),
            exact_lists=settings.list_fields == "exact",
            limits=context.config.limits,
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
            context,
            self._fetch_whole(context, fetched, return_data=return_data),
            lambda: _nothing_of(asked),
        )

    def _fetch_whole(
        self, context: Context, fetching: Flow[FetchResult], *, return_data: bool
    ) -> Flow[FetchResult]:
        deadline = context.deadline()
        result = yield from fetching
        if not has_head(result.by_key.values()):
            return result
        index = self.settings.index
        whole = restore_result(context, index, result, return_data=return_data, deadline=deadline)
        return (yield from whole)

    def fetch_records(
        self,
        context: Context,
        keys: Iterable[str],
        make: Callable[[Record], T],
        *,
        return_data: bool = False,
        on_missing: MissingPolicy = "omit",
        condition: Condition | None = None,
    ) -> Flow[Found[T]]:
        """Fetch records by key and make something of each that passes a condition."""
        lookup = Lookup(
            index=self.settings.index,
            text_key=self.settings.text_key,
            return_data=return_data,
            on_missing=on_missing,
            on_decode_error=self.settings.on_decode_error,
        )
        wanted = list(each_of(keys))

        def keeps(record: Record, vector: Vector) -> bool:
            return self.passes(record, vector.metadata, condition)

        found: Found[T] = yield from self.or_empty(
            context,
            fetch_records(context, lookup, wanted, make, None if condition is None else keeps),
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
        page = self._list(context, next_token, return_data, return_metadata)
        whole = self.restore_page(context, page, return_data=return_data)
        return self.or_empty(context, whole, lambda: ListVectorsResult(()))

    def _list(
        self, context: Context, token: str | None, data: bool, metadata: bool
    ) -> Flow[ListVectorsResult]:
        return list_vectors(
            context,
            index=self.settings.index,
            next_token=token,
            max_results=context.config.limits.list_page,
            return_data=data,
            return_metadata=metadata,
        )

    def restore_page(
        self, context: Context, listing: Flow[ListVectorsResult], *, return_data: bool = False
    ) -> Flow[ListVectorsResult]:
        """Return a page of a listing with the whole metadata of what was cut."""
        page = yield from listing
        if not has_head(page):
            return page
        index = self.settings.index
        vectors = yield from restore(context, index, list(page), return_data=return_data)
        return ListVectorsResult(tuple(vectors), page.next_token, page.request_id)

    def describe(self, context: Context) -> Flow[VectorIndex | None]:
        """Return the description of the index, or None where it is not there."""
        return self.or_empty(context, self.keeper.describe(context), lambda: None)

    def metric(self, context: Context) -> Flow[str]:
        """Return the metric of the index; of one to be made, the settings'."""
        found = yield from self.describe(context)
        return (found.distance_metric if found else "") or self.settings.metric_made

    def or_empty(self, context: Context, flow: Flow[Any], empty: Callable[[], T]) -> Flow[T]:
        """Return what a flow gives, or `empty()` where there is no index and it would be made."""
        began = context.monotonic()
        try:
            return cast("T", (yield from flow))
        except errors.NoSuchVectorIndexError:
            forget(context, self.settings.index, began)
            # Who makes the index on the first write must be able to read before it.
            if not (self.settings.create_index or self._is_side):
                raise
            self._warn_of_absence(context)
            return empty()

    def _warn_of_absence(self, context: Context) -> None:
        if not self._is_side:  # many stores never need one
            warn_of_absence(context, self.settings.index)

    def watch(self, context: Context) -> None:
        """Have what is written to the index remembered from now on, for this store's searches."""
        watch(context, self.settings.index, self, self.settings.read_your_writes)

    def hold(self, context: Context, keys: Iterable[str]) -> Hold:
        """Return a hold for what reads records and writes them back, which passes it on."""
        index = context.config.index_or(self.settings.index)
        return Hold(context, index, keys, alone=True)

    def write(
        self,
        context: Context,
        vectors: Iterable[Vector],
        *,
        hold: Hold | None = None,
        fresh: bool = False,
    ) -> Flow[WriteReport]:
        """Put vectors, 500 a call; make the index if it is not there. No vectors: no call.

        What is over 36 KB is cut, its parts into the side index. `hold` is what the caller has on
        the keys already. With `fresh` nothing stands under these keys: nobody has used them before.

        Raises:
            InvalidRequestError: a vector breaks a rule, a key stands twice, or the index has
                another dimension or metric; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        self.watch(context)
        # Everything is checked before the first call: half a write is worse than none.
        checked = [as_vector(vector, context.config.limits) for vector in vectors]
        if not checked:
            return WriteReport(())
        refuse_repeated(vector.key for vector in checked)
        dimension = _one_dimension(checked)

        def check(index: VectorIndex) -> None:
            if (index.distance_metric or self.settings.metric_made) == "cosine":
                _refuse_zeros(checked)

        # whoever makes both makes the side index first: what is known of rows is whole then
        if any(self._parts.is_large(context, vector) for vector in checked):
            yield from self._parts.prepare(context)
        index = yield from self.keeper.prepare(context, dimension, check)
        report = yield from self._parts.put_records(context, checked, index, hold, fresh=fresh)
        lost = [b for b in report.batches if isinstance(b.error, errors.NoSuchVectorIndexError)]
        if lost and self.settings.create_index:
            # The index was deleted after it was asked for; it is made again, once.
            index = yield from self.keeper.make(context, dimension)
            unwritten = {key for batch in lost for key in batch.keys}
            left = [vector for vector in checked if vector.key in unwritten]
            again = yield from self._parts.put_records(context, left, index, hold, fresh=True)
            kept = [batch for batch in report.batches if batch not in lost]
            report = WriteReport((*kept, *again.batches))
        if report.ok:
            return report
        # The service says only that a parameter is invalid, also where the index is another by now.
        invalid = errors.VectorIndexParameterInvalidError
        if not report.written and any(isinstance(b.error, invalid) for b in report.batches):
            yield from self.keeper.check_writes(context, dimension)
        raise errors.PartialWriteError(report)

    def delete(
        self,
        context: Context,
        keys: Iterable[str],
        *,
        hold: Hold | None = None,
        read: Iterable[Vector] | None = None,
    ) -> Flow[WriteReport]:
        """Delete by key, 500 a call; a key that does not exist is no error. No keys: no call.

        `hold` is what the caller has on the keys already, and `read` what stands under them as it
        is stored, where the caller knows that.

        Raises:
            PartialWriteError: calls failed; its `report` says which keys are gone.
        """
        self.watch(context)
        report = yield from self._parts.delete(context, keys, hold=hold, read=read)
        return self._check_deletion(context, report)

    def has_side(self, context: Context) -> Flow[bool]:
        """Tell whether there is a side index; that there is none is believed for five minutes."""
        return self._parts.is_there(context, certain=True)

    def is_large(self, context: Context, vector: Vector) -> bool:
        """Tell whether a whole record has parts, or would have them."""
        return self._parts.is_large(context, vector)

    def _check_deletion(self, context: Context, report: WriteReport) -> WriteReport:
        if report.ok:
            return report
        if not self._is_index_gone(report):
            raise errors.PartialWriteError(report)
        # Without an index nothing is there to delete, which is what was asked for.
        self._warn_of_absence(context)
        return WriteReport(())

    def _is_index_gone(self, report: WriteReport) -> bool:
        # whether that alone is what failed; who does not make the index is told that it is gone
        failed = [batch.error for batch in report.batches if batch.error is not None]
        if not all(isinstance(error, errors.NoSuchVectorIndexError) for error in failed):
            return False
        if failed and not (self.settings.create_index or self._is_side):
            raise failed[0]
        return True

    def delete_counted(self, context: Context, keys: Iterable[str]) -> Flow[Deleted]:
        """Delete as `delete` does and say which keys were there, for a keys-only get each 100."""
        asked = check_keys(keys, context.config.limits)
        hold = self.hold(context, asked)
        return run_with(hold, self._delete_found(context, asked, hold), context.deadline())

    def _delete_found(self, context: Context, keys: list[str], hold: Hold) -> Flow[Deleted]:
        self.watch(context)
        may_be_cut = bool(keys) and (yield from self._parts.is_there(context))
        fetched = fetch(
            context, keys, index=self.settings.index, return_data=False, return_metadata=may_be_cut
        )
        result = yield from self.or_empty(context, fetched, lambda: _nothing_of(keys))
        # DeleteVectors answers the same whether a key was there or not.
        there = [key for key in dict.fromkeys(result.keys) if key in result.by_key]
        report = yield from self._parts.delete(context, there, hold=hold, read=result)
        self._check_deletion(context, report)
        return Deleted(tuple(there), result.missing)

    def delete_all(self, context: Context) -> Flow[int]:
        """Delete every vector of the index, page by page, and return how many; the index stays."""
        self.watch(context)
        total = 0
        may_be_cut = yield from self._parts.is_there(context)
        for _ in range(_PASSES):
            before, token, more = total, None, True
            while more:
                # as they are stored: a head names the parts that go with it
                listing = self._list(context, token, False, may_be_cut)
                page = yield from self.or_empty(context, listing, lambda: ListVectorsResult(()))
                keys = [vector.key for vector in page]
                report = yield from self._parts.delete(context, keys, read=page)
                self._check_deletion(context, report)
                total += len(page)
                token = page.next_token
                more = token is not None
            if total == before:
                break
        return total

    def delete_index(self, context: Context) -> Flow[None]:
        """Delete the index with all that it holds; one that is not there is no error.

        Its side index goes too, and goes first: what it knows of an index must not outlive it. One
        that was named (`side_index`) stays, since other stores may have theirs there.
        """
        name = context.config.index_or(self.settings.index)
        with suppress(errors.NoSuchVectorIndexError):
            if self.settings.side_index is None:
                side = yield from look(context, side_name(self.settings, name))
                if side.dimension == 1:  # another's index may have this name
                    yield from delete_vector_index(context, side.index_name)
        with suppress(errors.NoSuchVectorIndexError):
            yield from delete_vector_index(context, name)

    def sweep(
        self,
        context: Context,
        older_than: float = 3600.0,
        *,
        removes: bool = True,
        pages: int | None = None,
    ) -> Flow[int]:
        """Remove parts of values that no record names, and return how many there were.

        A writer that was killed, or that another process has overtaken, leaves such parts. Younger
        ones are left: their record may be written yet.

        Args:
            context: the client's.
            older_than: seconds since they were written.
            removes: False only counts them.
            pages: look at so many pages of the side index; None: at all.

        Raises:
            InvalidRequestError: `older_than` is no number of seconds.
            PartialWriteError: calls failed; its `report` says which parts are gone.
        """
        return self._parts.sweep(context, older_than, removes=removes, pages=pages)

    def update_metadata(
        self,
        context: Context,
        keys: Iterable[str] | Mapping[str, Mapping[str, Any]],
        patch: Mapping[str, Any] | None = None,
        *,
        remove: Collection[str] = (),
        verify: bool = False,
    ) -> Flow[tuple[str, ...]]:
        """Merge a patch into the metadata of stored records; return the keys that were there.

        Without `patch`, `keys` is a mapping with a patch for each key.

        Text, embedding and all other fields stay as they are. A record of this package keeps its
        types and gets its filterable copies anew, also by an empty patch; one that others wrote
        stays in their form: a number is written as `filterable_value` says, None removes.

        `patch` holds top-level fields and their new values, `remove` names those to take away. Keys
        that do not exist are passed over.

        No other write of this process, by whatever client, comes between the reading and the
        writing: no update of another thread or task is lost, and nothing that it deletes comes
        back. Other processes are not kept out, for the service has no conditional write: of two
        that update a record at the same moment the later one wins, with all that it had read.
        `verify` reads the records once more before they are written, and raises where another has
        changed them since, and once after, and raises where the update is lost. What it cannot see
        is a write of another that falls between its second reading and its own writing.

        Raises:
            InvalidRequestError: a record would pass a limit, or a field is not metadata; nothing
                was written.
            ConflictError: with `verify`, records that another process has changed meanwhile.
            DeadlineExceededError: other writes of a key lasted longer than the client's `timeout`.
            DecodeError: a record cannot be read; nothing was written.
            PartialWriteError: calls failed; its `report` says which records are changed.
        """
        if isinstance(remove, str):
            raise InvalidRequestError(
                "{argument} takes several names",
                argument="remove",
                remedy="put a single one into a list",
            )
        asked = list(keys) if isinstance(keys, Mapping) else list(each_of(keys))
        patches = _patch_of_each(keys, patch, asked)
        self.watch(context)
        reading = self.fetch(context, asked, return_data=True)  # the keys are checked here
        hold = self.hold(context, asked)
        updating = self._update(context, reading, patches, remove, hold=hold, verify=verify)
        return run_with(hold, updating, context.deadline())

    def _update(
        self,
        context: Context,
        reading: Flow[FetchResult],
        patches: Mapping[str, Mapping[str, Any]],
        remove: Collection[str],
        *,
        hold: Hold,
        verify: bool,
    ) -> Flow[tuple[str, ...]]:
        result = yield from reading
        found = result.by_key.values()
        changed = [self._patch(vector, patches[vector.key], remove) for vector in found]
        if verify and changed:
            yield from self._refuse_changes(context, result.by_key)
        # not `write`: where the index is gone since, so are its records, and it is not made again
        report = yield from self._parts.put_records(
            context, changed, self.keeper.peek(context), hold
        )
        if not report.ok and not self._is_index_gone(report):
            raise errors.PartialWriteError(report)
        if verify and changed:
            yield from self._refuse_losses(context, changed, patches, remove)
        written = set(report.written)
        return tuple(key for key in dict.fromkeys(result.keys) if key in written)

    def _refuse_changes(self, context: Context, read: Mapping[str, Vector]) -> Flow[None]:
        # what another has written since would be overwritten
        found = (yield from self.fetch(context, list(read), return_data=True)).by_key
        changed = [key for key, vector in read.items() if not _is_same(vector, found.get(key))]
        if changed:
            raise errors.ConflictError(changed)

    def _refuse_losses(
        self,
        context: Context,
        written: Sequence[Vector],
        patches: Mapping[str, Mapping[str, Any]],
        remove: Collection[str],
    ) -> Flow[None]:
        # the fields of the update alone: another may have read them and updated others since
        found = (yield from self.fetch(context, [vector.key for vector in written])).by_key
        lost = [
            one.key
            for one in written
            if not self._keeps(found.get(one.key), one, (*patches[one.key], *remove))
        ]
        if lost:
            raise errors.ConflictError(lost, written=True)

    def _keeps(self, found: Vector | None, written: Vector, names: Collection[str]) -> bool:
        if found is None:
            return False
        text_key = self.settings.text_key
        now = decode(found, text_key=text_key, on_decode_error="raw").metadata
        then = decode(written, text_key=text_key).metadata
        # by their texts too: NaN does not equal itself
        return all(
            name in now and (now[name] == then[name] or repr(now[name]) == repr(then[name]))
            for name in names
            if name in then
        ) and (not any(name in now for name in names if name not in then))

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
                kept=[name for name in stored if name not in RESERVED_FIELDS],
            )
        for name in (*patch, *remove):
            if name in stored and name not in record.metadata:
                raise InvalidRequestError(
                    f"record {quote(record.key)}: {quote(name)} is not metadata there: it holds "
                    "the text, or bookkeeping of the program that wrote it."
                )
        # Another program's record stays in that program's form, for it reads it too.
        plain = {name: self._plain_value(vector, name, value) for name, value in patch.items()}
        gone = (*remove, *(name for name, value in plain.items() if value is None))
        changed = _merge(deep_copy(stored), plain, gone)
        if record.source == "llama_index":
            # LlamaIndex reads metadata from inside its node, and filters on the fields beside it.
            node = load_object(stored[NODE_FIELD], vector.key, NODE_FIELD)
            written = {name: json_form(value) for name, value in patch.items()}
            node["metadata"] = _merge(node.get("metadata") or {}, written, remove)
            changed[NODE_FIELD] = dump(node)
        return Vector(vector.key, vector.data, changed)

    def _plain_value(self, vector: Vector, name: str, value: object) -> object:
        strings = self.settings.scalars == "strings"
        try:
            return filterable_value(json_form(value), scalars="strings" if strings else "native")
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(
                f"record {quote(vector.key)}: metadata[{quote(name)}] cannot be written, since "
                "another program wrote this record, as plain fields: "
                f"{error}. Write the whole record anew."
            ) from error


def _patch_of_each(
    keys: Iterable[str] | Mapping[str, Mapping[str, Any]],
    patch: Mapping[str, Any] | None,
    asked: Iterable[str],
) -> Mapping[str, Mapping[str, Any]]:
    if isinstance(keys, Mapping) and patch is not None:
        raise InvalidRequestError(
            "{argument} goes with a list of keys; a dict has a patch for each key.",
            argument="patch",
            value=patch,
        )
    patches = keys if isinstance(keys, Mapping) else dict.fromkeys(asked, patch)
    for each in patches.values():
        if not isinstance(each, Mapping):
            raise InvalidRequestError(
                "{argument} must be a dict, not {a_kind}.", argument="patch", value=each
            )
    return patches  # type: ignore[return-value]  # as was just checked


def _nothing_of(keys: Sequence[str]) -> FetchResult:
    return FetchResult(tuple(keys), {}, tuple(dict.fromkeys(keys)), (), 1)


def _is_same(expected: Vector, found: Vector | None) -> bool:
    if found is None:
        return False
    # no metadata and empty ones are the same to the service
    same_metadata = (expected.metadata or {}) == (found.metadata or {})
    return same_metadata and expected.data == found.data


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
