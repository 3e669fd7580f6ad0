"""The writes of LangGraph's memory, as flows: items put and deleted, and what nobody needs swept.

An item is written in this order, so that whoever reads meanwhile finds the old one or the new one:

    1. the row that says when it ends, where it does     (`expiry`)
    2. the vectors of its further texts
    3. its head: from here on it is the new one
    4. the old version's vectors and row go

Who is killed in between leaves what no head names, and what no read takes for anything: `sweep`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from langgraph.store import base
from langgraph.store.base import PutOp

from ..client.context import Context, Flow
from ..client.errors import (
    BatchReport,
    InvalidRequestError,
    OSSVectorError,
    PartialWriteError,
    WriteReport,
    quote,
)
from ..client.holds import Hold, run_with
from ..client.models import Float32Array, Vector
from ..client.operations.checks import as_vector
from ..client.steps import Call
from ..records.decode import DecodeError
from ..records.listing import Pages
from ..records.settings import ROW_FIELD
from ..records.store import RecordStore
from ..records.typed import json_form
from . import items
from .expiry import Ending, Expiry, check_ttl
from .items import Address, Head, address_of, head_of, name_of
from .slots import Slots

EmbedTexts = Callable[[list[str]], Any]  # a model's method, of either kind
Vectors = dict[str, Float32Array]  # by the digest of the text
_SWEPT_AT_ONCE: Final = 100  # items, whose keys are held until they are gone

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Put:
    """One item on its way: what is written, and what it replaces."""

    head: Head
    vectors: list[Vector]
    texts: dict[str, str]  # by digest
    old: Head | None
    old_data: Float32Array | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Writer:
    """What puts and deletes the items of memory.

    Attributes:
        records: where the items are.
        expiry: when they end.
        slots: of the calls in progress.
        dimension: of the index that a first write makes, and of each embedding.
        filterable: fields of values that are copied where the service's filters see them; None for
            all that fit.
        fields: the paths whose texts are embedded, of items that name none themselves.
        model: the name of the embedding model; "" where there is none. What another model has
            embedded is embedded again.
    """

    records: RecordStore
    expiry: Expiry
    slots: Slots
    dimension: int
    filterable: Sequence[str] | None
    fields: Sequence[str]
    model: str

    def put(
        self,
        context: Context,
        ops: Sequence[PutOp],
        embed: EmbedTexts,
        embedded: dict[str, Any] | None = None,
    ) -> Flow[None]:
        """Put and delete items; of two operations on one the last counts.

        Args:
            context: the client's.
            ops: what to put and to delete.
            embed: returns the embeddings of texts; it may return an awaitable.
            embedded: what is known of embeddings from an earlier try, and what comes to it.

        Raises:
            InvalidRequestError: a value or an embedding cannot be written; nothing was.
            PartialWriteError: calls failed; its `report` says by name what was written.
        """
        last = {address_of(op): op for op in ops}
        if not last:
            return
        hold = self.records.hold(context, [name_of(*address) for address in last])
        putting = self._put_with(context, hold, last, embed, {} if embedded is None else embedded)
        yield from run_with(hold, putting, context.deadline())

    def _put_with(
        self,
        context: Context,
        hold: Hold,
        ops: Mapping[Address, PutOp],
        embed: EmbedTexts,
        embedded: dict[str, Any],
    ) -> Flow[None]:
        kept = {address: op for address, op in ops.items() if op.value is not None}
        gone = [name_of(*address) for address, op in ops.items() if op.value is None]
        read = [name_of(*address) for address in kept]
        # of what is deleted the further texts go too; without a model there are none, or few
        old, data = yield from self._read_old(context, [*read, *(gone if self.model else ())])
        puts = yield from self._prepare(context, kept, old, data)
        yield from self._embed(context, puts, embed, embedded)
        batches = yield from self._write(context, puts, hold)
        batches += yield from self._delete(context, gone, old, hold)
        if not (report := WriteReport(tuple(batches))).ok:
            raise PartialWriteError(report)

    def _read_old(
        self, context: Context, names: Sequence[str]
    ) -> Flow[tuple[dict[str, Head], Vectors]]:
        """Return the items that stand under some names, and the embeddings of their heads."""
        size, with_data = context.config.limits.keys_per_get, bool(self.model)
        batches = [names[at : at + size] for at in range(0, len(names), size)]
        flows = [self._fetch(context, batch, with_data=with_data) for batch in batches]
        heads: dict[str, Head] = {}
        data: Vectors = {}
        for found in (yield from self.slots.run_each(context, flows)):
            for vector in found:
                try:
                    head = head_of(self.records, vector)
                except DecodeError:  # whoever replaces it need not be able to read it
                    continue
                if head is not None:
                    heads[vector.key] = head
                    data |= {} if vector.data is None else {vector.key: vector.data}
        return heads, data

    def _fetch(
        self, context: Context, names: Sequence[str], *, with_data: bool, metadata: bool = True
    ) -> Flow[list[Vector]]:
        # a generator, so that the time of the call counts from its turn
        result = yield from self.records.fetch(
            context, names, return_data=with_data, return_metadata=metadata
        )
        return list(result.by_key.values())

    def _prepare(
        self, context: Context, ops: Mapping[Address, PutOp], old: Mapping[str, Head], data: Vectors
    ) -> Flow[list[_Put]]:
        """Return what is to be written; all is checked before anything is paid for or sent."""
        if not ops:
            return []
        # an item keeps the moment of its making, which only the stored one knows
        found = yield from self.records.describe(context)
        dimension = (found.dimension if found else 0) or self.dimension
        now = context.clock.now()

        def encode() -> list[_Put]:
            puts = []
            for address, op in ops.items():
                value, earlier = _check_value(op), old.get(name_of(*address))
                texts = {self._digest(text): text for text in self._texts_of(op, value)}
                item = items.new_item(address, value, earlier, now)
                ttl = check_ttl(op.ttl)
                head = Head(item, items.new_version(now), tuple(texts), ttl)
                vectors = items.vectors_of(self.records, head, dimension, self.filterable)
                puts.append(_Put(head, vectors, texts, earlier, data.get(head.name)))
            return puts

        # off the event loop: a thousand items take some ten milliseconds
        made: list[_Put] = yield Call(encode)
        return made

    def _digest(self, text: str) -> str:
        return items.digest(self.model, text)

    def _texts_of(self, op: PutOp, value: Mapping[str, Any]) -> list[str]:
        """Return the texts of an item that are embedded; none for one that is not to be found."""
        if op.index is False or not self.model:
            return []
        paths = self.fields if op.index is None else check_paths("index", op.index)
        try:
            plain = json_form(value)  # LangGraph reads texts out of JSON
            found = [base.get_text_at_path(plain, read_path(path)) for path in paths]
        except (TypeError, ValueError, RecursionError):
            return []  # there is no such form, and the value's encoding says of what
        return [text for texts in found for text in texts]

    def _embed(
        self, context: Context, puts: Sequence[_Put], embed: EmbedTexts, embedded: dict[str, Any]
    ) -> Flow[None]:
        """Give all vectors their data: stored for texts that were there before, else embedded."""
        known = {**(yield from self._find_stored(context, puts)), **embedded}
        new = {key: text for put in puts for key, text in put.texts.items()}
        if left := {key: text for key, text in new.items() if key not in known}:
            # of equal texts one
            made: Sequence[Any] = yield Call(lambda: embed(list(left.values())))
            for (key, text), vector in zip(left.items(), made, strict=True):
                known[key] = embedded[key] = self._check_dimension(text, vector)
        for put in puts:
            data = [known[key] for key in put.texts] or [put.vectors[0].data]
            put.vectors = [
                as_vector(_with_data(one, row), context.config.limits)
                for one, row in zip(put.vectors, data, strict=True)
            ]

    def _find_stored(self, context: Context, puts: Sequence[_Put]) -> Flow[Vectors]:
        """Return the embeddings of those texts that the replaced items had already."""
        known: Vectors = {}
        keys: dict[str, str] = {}  # of vectors, and the digests of their texts
        for put in puts:
            for number, key in enumerate(put.old.texts if put.old else ()):
                if key in put.texts and number:
                    keys[put.old.text_key(number)] = key  # type: ignore[union-attr]  # it has texts
                elif key in put.texts and put.old_data is not None:
                    known[key] = put.old_data
        size, asked = context.config.limits.keys_per_get, list(keys)
        batches = [asked[at : at + size] for at in range(0, len(asked), size)]
        flows = [self._fetch(context, one, with_data=True, metadata=False) for one in batches]
        for found in (yield from self.slots.run_each(context, flows)):
            known |= {keys[one.key]: one.data for one in found if one.data is not None}
        # of an index that others have made anew with another dimension
        return {key: data for key, data in known.items() if len(data) == self.dimension}

    def _check_dimension(self, text: str, embedding: Sequence[float]) -> Any:
        if len(embedding) != self.dimension:
            raise InvalidRequestError(
                f"the embedding of {quote(text)} has {len(embedding)} numbers, and the store was "
                f'made for {self.dimension}: "dims" of its index. Nothing was written.'
            )
        return embedding

    def _write(self, context: Context, puts: Sequence[_Put], hold: Hold) -> Flow[list[BatchReport]]:
        """Write items in their order, and return what became of their heads."""
        size = context.config.limits.vectors_per_put
        timed = [put for put in puts if put.head.ttl is not None]
        rows = [timed[at : at + size] for at in range(0, len(timed), size)]
        batches = yield from self._each_report(
            context, [self._write_rows(context, batch) for batch in rows]
        )
        texts = {vector.key: put.head.name for put in puts for vector in put.vectors[1:]}
        vectors = [vector for put in puts for vector in put.vectors[1:]]
        reports = yield from self._put_vectors(context, vectors)
        batches += [
            BatchReport(tuple(dict.fromkeys(texts[key] for key in one.keys)), error=one.error)
            for one in reports
            if one.error is not None
        ]
        lost = {name for batch in batches if batch.error is not None for name in batch.keys}
        heads = [put.vectors[0] for put in puts if put.head.name not in lost]
        written = yield from self._put_vectors(context, heads, hold)
        there = {name for batch in written if batch.error is None for name in batch.keys}
        replaced = [put.old for put in puts if put.old is not None and put.head.name in there]
        yield from self._remove_beside(context, replaced)
        failed = [batch for batch in batches if batch.error is not None]
        return [*failed, *written]

    def _write_rows(self, context: Context, puts: Sequence[_Put]) -> Flow[list[BatchReport]]:
        names = tuple(put.head.name for put in puts)
        try:
            yield from self.expiry.write(context, [put.head for put in puts])
        except PartialWriteError as error:  # of one call, whose own error says more
            why = next((one.error for one in error.report.batches if one.error), error)
            return [BatchReport(names, error=why)]
        return [BatchReport(names)]

    def _put_vectors(
        self, context: Context, vectors: Sequence[Vector], hold: Hold | None = None
    ) -> Flow[list[BatchReport]]:
        size = context.config.limits.vectors_per_put
        batches = [vectors[at : at + size] for at in range(0, len(vectors), size)]
        flows = [self._put_batch(context, batch, hold) for batch in batches]
        return (yield from self._each_report(context, flows))

    def _put_batch(
        self, context: Context, vectors: Sequence[Vector], hold: Hold | None
    ) -> Flow[list[BatchReport]]:
        # under the key of a further text nobody has written before: it has a new version in it
        writing = self.records.write(context, vectors, hold=hold, fresh=hold is None)
        return list((yield from _report(writing)).batches)

    def _each_report(
        self, context: Context, flows: Sequence[Flow[list[BatchReport]]]
    ) -> Flow[list[BatchReport]]:
        """Run writes, the first alone: it makes the index and learns what it takes."""
        first = yield from self.slots.run_each(context, flows[:1])
        others = yield from self.slots.run_each(context, flows[1:])
        return [batch for report in (*first, *others) for batch in report]

    def _delete(
        self, context: Context, gone: Sequence[str], old: Mapping[str, Head], hold: Hold
    ) -> Flow[list[BatchReport]]:
        size = context.config.limits.keys_per_delete
        batches = [gone[at : at + size] for at in range(0, len(gone), size)]
        flows = [self._delete_batch(context, batch, hold) for batch in batches]
        reports = yield from self.slots.run_each(context, flows)
        deleted = [batch for report in reports for batch in report]
        there = {name for batch in deleted if batch.error is not None for name in batch.keys}
        heads = [old[name] for name in gone if name in old and name not in there]
        yield from self._remove_beside(context, heads)
        return deleted

    def _delete_batch(
        self, context: Context, names: Sequence[str], hold: Hold
    ) -> Flow[list[BatchReport]]:
        return list((yield from _report(self.records.delete(context, names, hold=hold))).batches)

    def _remove_beside(self, context: Context, heads: Sequence[Head]) -> Flow[None]:
        """Remove what stood beside versions that are gone; what fails is left to the sweeps."""
        try:
            if keys := [key for head in heads for key in head.text_keys]:
                yield from self.slots.run(context, self.records.delete(context, keys))
            yield from self.expiry.remove(context, heads)
        except OSSVectorError as error:
            _log.info("texts of old items are left to sweep(): %s", type(error).__name__)

    def sweep(self, context: Context, older_than: float) -> Flow[int]:
        """Remove parts and vectors of texts that no head names, and return how many there were.

        Those younger than so many seconds are left: their head may be written yet.
        """
        count = yield from self.records.sweep(context, older_than)
        latest = context.clock.now().timestamp() - older_than
        orphans: list[str] = []
        pages = Pages(self.records, {ROW_FIELD: {"$eq": items.TEXT_KIND}})
        while not pages.is_done:
            page = yield from pages.read(context)
            orphans += yield from self._find_orphans(context, page, latest)
        # when the listing has ended: it may skip what moves up
        yield from self.records.delete(context, orphans)
        return count + len(orphans)

    def _find_orphans(
        self, context: Context, page: Sequence[Vector], latest: float
    ) -> Flow[list[str]]:
        of_texts = [one for one in page if (one.metadata or {}).get(ROW_FIELD) == items.TEXT_KIND]
        said = {one.key: items.mention_of(self.records, one) for one in of_texts}
        old = {
            key: one for key, one in said.items() if one and items.written_at(one.version) <= latest
        }
        names = list(dict.fromkeys(one.name for one in old.values()))
        heads, _ = yield from self._read_old(context, names)
        versions = {name: head.version for name, head in heads.items()}
        return [key for key, one in old.items() if versions.get(one.name) != one.version]

    def sweep_expired(self, context: Context) -> Flow[int]:
        """Delete the items that have expired, and return how many there were."""
        past: list[Ending] = []
        token: str | None = None
        while True:
            page, token = yield from self.expiry.list_page(context, token)
            past += page
            if token is None:
                break
        count = 0
        for at in range(0, len(past), _SWEPT_AT_ONCE):
            batch = past[at : at + _SWEPT_AT_ONCE]
            hold = self.records.hold(context, {one.name for one in batch})
            removing = self._remove_expired(context, batch, hold)
            count += yield from run_with(hold, removing, context.deadline())
        return count

    def _remove_expired(self, context: Context, past: Sequence[Ending], hold: Hold) -> Flow[int]:
        # read again under the hold: who has read an item meanwhile has put its end off
        past = yield from self.expiry.confirm(context, past)
        ended = {(one.name, one.version) for one in past}
        heads, _ = yield from self._read_old(context, list(dict.fromkeys(one.name for one in past)))
        now = context.clock.now()
        gone = [
            head
            for name, head in heads.items()
            if (name, head.version) in ended and (head.ends_at() or now) <= now
        ]
        yield from self.records.delete(context, [head.name for head in gone], hold=hold)
        yield from self._remove_beside(context, gone)
        # rows of versions that were replaced go too
        yield from self.expiry.forget(context, past)
        return len(gone)


def read_path(path: str) -> list[str]:
    """Return the parts of a path into a value; none for the whole of it."""
    return [] if path == _WHOLE else base.tokenize_path(path)  # which knows of no path to the whole


def check_paths(argument: str, paths: object) -> list[str]:
    """Return paths into a value; a lone string is refused, which would be taken letter by letter.

    Raises:
        InvalidRequestError: they are no list of strings.
    """
    if isinstance(paths, list | tuple) and all(isinstance(path, str) for path in paths):
        return list(paths)
    raise InvalidRequestError(
        f'{argument} must be a list of paths into the value, such as ["text"], not {quote(paths)}.'
    )


_WHOLE: Final = "$"  # of paths, as LangGraph has it


def _check_value(op: PutOp) -> dict[str, Any]:
    if not isinstance(op.value, Mapping):
        raise InvalidRequestError(
            f"the value of {quote(op.key)} must be a dict, not a {type(op.value).__name__}. "
            "Nothing was written."
        )
    return dict(op.value)


def _with_data(vector: Vector, data: Any) -> Vector:
    try:
        return Vector(vector.key, data, vector.metadata)
    except (TypeError, OverflowError) as error:
        raise InvalidRequestError(
            f"the embedding of {quote(vector.key)} is not float32: {error}. Nothing was written."
        ) from error


def _report(flow: Flow[WriteReport]) -> Flow[WriteReport]:
    try:
        return (yield from flow)
    except PartialWriteError as error:
        return error.report
