"""`PartsKeeper`: the parts of a store's large values, before and after their heads are written.

Parts are in order (`parts`) at each moment: they stand before their head does, and go after it.
Which parts no head names can be seen at any time; so whatever fails here but the writing itself is
left to `sweep`.
"""

import base64
import hashlib
import itertools
import json
import logging
import math
import re
import secrets
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..client import errors, known_indexes
from ..client.config import check_seconds
from ..client.context import Context, Deadline, Flow, PerIndex
from ..client.errors import (
    BatchReport,
    DeadlineExceededError,
    InvalidRequestError,
    NoSuchVectorIndexError,
    OSSVectorError,
    WriteReport,
    quote,
)
from ..client.fetch import fetch
from ..client.flow import may_have_acted
from ..client.holds import Hold, run_with
from ..client.models import DEFAULT_LIMITS, Vector, VectorIndex, dump, metadata_bytes
from ..client.operations.checks import check_keys
from ..client.operations.vectors import list_vectors
from ..client.steps import Call, run_all
from ..client.writes import delete, upsert
from .decode import ENVELOPE_FIELD, HEAD_MARK, TEXT_FIELD, is_head
from .indexing import IndexKeeper
from .parts import LARGEST_VALUE, PART, VERSION, Parts, limit_time, read_head
from .settings import ROW_FIELD, StoreSettings, side_name, side_settings
from .writing import put_records

_KEPT_SHARE: Final = 0.9  # of the service's limit; what is larger is cut: 36 KB
_PART_SHARE: Final = 0.75  # of the limit; a part has its record's key beside it
_LEAST: Final = 256  # bytes of a part
_PARTS_PER_PUT: Final = 100  # no page says how large a body may be; so many are 3 MB
_BELIEVED: Final = 300.0  # seconds that a side index counts as not there
_MOMENT: Final = 14  # hexadecimal digits of a version (`parts.VERSION`): microseconds
_RANDOM: Final = 6  # bytes after them
_PART_KEY: Final = re.compile(
    rf"{PART}/(?P<index>[A-Za-z0-9]+)/"
    rf"(?P<version>{VERSION.pattern})/[0-9]+(?:/(?P<key>.+)|#[0-9a-f]{{64}})",
    re.DOTALL,
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _KnownSide:
    """What this process knows of a side index: when it was seen not to be, and whether it is used.

    `absent_at` is of `context.monotonic`. What all processes share, an index tells at a look.
    """

    absent_at: float = -math.inf
    is_used: bool = False


_known_sides: PerIndex[_KnownSide] = PerIndex()


@dataclass(frozen=True, slots=True)
class _Cut:
    """A record whose value was cut: its head, and its parts."""

    head: Vector
    parts: Parts
    rows: list[Vector]


class PartsKeeper:
    """The parts of the values of one store: written before their heads, removed after them."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings

    def put_records(
        self,
        context: Context,
        vectors: Sequence[Vector],
        index: VectorIndex | None,
        hold: Hold | None,
        *,
        fresh: bool = False,
    ) -> Flow[WriteReport]:
        """Put vectors as `writing.put_records` does; those that are too large are cut.

        Args:
            context: the client's.
            vectors: what `encode` has made, or vectors in the form of other programs.
            index: the description of the index, where it is known.
            hold: what the caller has on the keys already.
            fresh: nothing stands under the keys.

        Raises:
            InvalidRequestError: copies that were asked for have no room, or a value is larger than
                any may be; no record was written.
        """
        large = [vector for vector in vectors if self.is_large(context, vector)]
        may_replace = not fresh and bool(vectors) and (yield from self.is_there(context))
        if not (large or may_replace):
            return (yield from _put(context, self._settings, vectors, index, hold))
        keys, deadline = tuple(vector.key for vector in vectors), context.deadline()
        # what a head names is to stay true until its parts are removed
        own = hold or self._hold(context, keys)
        putting = self._put_cut(
            context, vectors, large, index, hold=own, deadline=deadline, may_replace=may_replace
        )
        try:
            return (yield from (putting if hold else run_with(own, putting, deadline)))
        except DeadlineExceededError as error:  # others held a key, or reading lasted too long
            return WriteReport((BatchReport(keys, error=error),))

    def _put_cut(
        self,
        context: Context,
        vectors: Sequence[Vector],
        large: Sequence[Vector],
        index: VectorIndex | None,
        *,
        hold: Hold,
        deadline: Deadline,
        may_replace: bool,
    ) -> Flow[WriteReport]:
        in_time, keys = limit_time(context, deadline), [vector.key for vector in vectors]
        old = (yield from self._read_old(in_time, keys)) if may_replace else {}
        # off the event loop: megabytes take some ten milliseconds
        cuts: list[_Cut] = yield Call(lambda: [self._cut(context, one) for one in large])
        if cuts:
            yield from self.prepare(limit_time(context, deadline))
        lost = yield from self._put_parts(context, cuts, deadline)
        heads = {cut.head.key: cut.head for cut in cuts}
        kept = [heads.get(vector.key, vector) for vector in vectors if vector.key not in lost]
        in_time = limit_time(context, deadline)
        new = {cut.head.key: cut.parts for cut in cuts}
        try:
            report = yield from _put(in_time, self._settings, kept, index, hold)
        except InvalidRequestError:  # before any head was sent
            yield from self._remove(context, new.values(), deadline)
            raise
        yield from self._settle(context, new, old, report, deadline)
        batches = (BatchReport((key,), error=error) for key, error in lost.items())
        return WriteReport((*report.batches, *batches))

    def delete(
        self,
        context: Context,
        keys: Iterable[str],
        *,
        hold: Hold | None = None,
        read: Iterable[Vector] | None = None,
    ) -> Flow[WriteReport]:
        """Delete keys, and then the parts that their heads named.

        Args:
            context: the client's.
            keys: the keys.
            hold: what the caller has on the keys already.
            read: what stands under the keys, with its metadata, where the caller has read it.
        """
        given, index = check_keys(keys, context.config.limits), self._settings.index
        old = {} if read is None else self._read_heads(context, read)
        unread = read is None and bool(given) and (yield from self.is_there(context))
        if not (old or unread):
            deleting = delete(context, given, index=index, on_error="report", hold=hold)
            return (yield from deleting)
        deadline = context.deadline()
        own = hold or self._hold(context, given)
        deleting = self._delete_cut(context, given, None if unread else old, own, deadline)
        try:
            return (yield from (deleting if hold else run_with(own, deleting, deadline)))
        except DeadlineExceededError as error:
            return WriteReport((BatchReport(tuple(given), error=error),))

    def _delete_cut(
        self,
        context: Context,
        keys: list[str],
        old: Mapping[str, Parts] | None,
        hold: Hold,
        deadline: Deadline,
    ) -> Flow[WriteReport]:
        if old is None:
            old = yield from self._read_old(limit_time(context, deadline), keys)
        in_time, index = limit_time(context, deadline), self._settings.index
        report = yield from delete(in_time, keys, index=index, on_error="report", hold=hold)
        there = set(report.failed)
        gone = [parts for key, parts in old.items() if key not in there]
        yield from self._remove(context, gone, deadline)
        return report

    def _hold(self, context: Context, keys: Iterable[str]) -> Hold:
        return Hold(context, context.config.index_or(self._settings.index), keys, alone=True)

    def side(self, context: Context) -> str:
        """Return the name of the side index."""
        return side_name(self._settings, context.config.index_or(self._settings.index))

    def is_large(self, context: Context, vector: Vector) -> bool:
        """Tell whether a record is to be cut."""
        stored = vector.metadata or {}
        if self._settings.side_index is False or not may_be_large(vector, self._limit(context)):
            return False
        return metadata_bytes(stored) > int(self._limit(context) * _KEPT_SHARE)

    def _limit(self, context: Context) -> int:
        return min(self._settings.limits.metadata_bytes, context.config.limits.metadata_bytes)

    def is_there(self, context: Context, *, certain: bool = False) -> Flow[bool]:
        """Tell whether there is a side index; that there is none is believed for five minutes.

        With `certain` also where the index itself has just been made.
        """
        if self._settings.side_index is False:
            return False
        name, known = self.side(context), self._known_side(context)
        if known_indexes.peek(context, name) is not None:  # made by a row, maybe
            return True
        # in an index that was made a moment ago nothing has parts, unless it was written from here
        made_at = -math.inf
        if not certain:
            made_at = known_indexes.made_at(context, self._settings.index)
        if not known.is_used and context.monotonic() < max(known.absent_at, made_at) + _BELIEVED:
            return False
        try:
            yield from known_indexes.describe(context, name)
        except NoSuchVectorIndexError:
            known.absent_at, known.is_used = context.monotonic(), False
            return False
        return True

    def prepare(self, context: Context) -> Flow[VectorIndex]:
        """Make the side index, where it is not there; refuse one of another form.

        Raises:
            InvalidRequestError: an index of that name has another dimension or metric, or there is
                none, and `create_index` is off.
        """
        try:
            found = yield from self._side_keeper(context).prepare(context, 1, lambda _: None)
        except NoSuchVectorIndexError as error:
            raise self._absence_error(context) from error
        self._known_side(context).is_used = True
        return found

    def _absence_error(self, context: Context) -> InvalidRequestError:
        return absence_error(self.side(context), "parts of values over 36 KB")

    def _side_keeper(self, context: Context) -> IndexKeeper:
        return IndexKeeper(side_settings(self._settings, self.side(context)), is_side=True)

    def _known_side(self, context: Context) -> _KnownSide:
        return _known_sides.find(context, self.side(context), _KnownSide)

    def _cut(self, context: Context, vector: Vector) -> _Cut:
        """Return a record cut into its head and parts of a new version.

        Raises:
            InvalidRequestError: it is larger than any value may be.
        """
        stored = dict(vector.metadata or {})
        payload = dump([stored.pop(TEXT_FIELD, None), stored.pop(ENVELOPE_FIELD)]).encode()
        if len(payload) > LARGEST_VALUE:
            raise InvalidRequestError(
                "record {key}: the value takes {size:,} bytes, over the limit of {limit:,}.",
                argument="metadata",
                limit=LARGEST_VALUE,
                remedy="Keep it elsewhere (an OSS object) and store where it is",
                fields={"key": quote(vector.key), "size": len(payload)},
            )
        # in base64 nothing needs an escape, which would double with each level of JSON
        written = base64.b64encode(zlib.compress(payload, 1)).decode()
        size = int(self._limit(context) * _PART_SHARE) - _part_overhead(vector.key)
        size = max(size, _LEAST)  # of an account with limits so low that nothing fits
        pieces = [written[at : at + size] for at in range(0, len(written), size)]
        index = context.config.index_or(self._settings.index)
        moment = int(context.clock.now().timestamp() * 1_000_000)
        version = f"{moment:0{_MOMENT}x}{secrets.token_hex(_RANDOM)}"
        digest = hashlib.sha256(payload).hexdigest()
        side = self.side(context)
        parts = Parts(index, vector.key, side, version, len(pieces), digest, len(payload))
        said = dump({"v": 3, "part_of": [index, vector.key]})
        rows = [
            Vector(key, (0.0,), {TEXT_FIELD: piece, ENVELOPE_FIELD: said, ROW_FIELD: PART})
            for key, piece in zip(parts.keys, pieces, strict=True)
        ]
        about = {
            "side": side,
            "version": version,
            "count": len(pieces),
            "digest": digest,
            "size": len(payload),
        }
        head = {ENVELOPE_FIELD: f"{HEAD_MARK}{dump(about)}}}", **stored}
        return _Cut(Vector(vector.key, vector.data, head), parts, rows)

    def _put_parts(
        self, context: Context, cuts: Sequence[_Cut], deadline: Deadline
    ) -> Flow[dict[str, OSSVectorError]]:
        """Put the parts of records, and return by key what failed: the others' are all there."""
        rows = [row for cut in cuts for row in cut.rows]
        failed = yield from self._put_rows(context, rows, deadline)
        gone = [row for row in rows if isinstance(failed.get(row.key), NoSuchVectorIndexError)]
        if gone and self._settings.create_index:  # others have deleted it since it was looked at
            yield from self._side_keeper(context).make(limit_time(context, deadline), 1)
            again = {row.key for row in gone}
            failed = {key: error for key, error in failed.items() if key not in again}
            failed |= yield from self._put_rows(context, gone, deadline)
        lost: dict[str, OSSVectorError] = {}
        for cut in cuts:
            error = next((failed[row.key] for row in cut.rows if row.key in failed), None)
            # of the store's own index the same error says that nothing is there
            if isinstance(error, NoSuchVectorIndexError):
                error = self._absence_error(context)
            if error is not None:
                lost[cut.head.key] = error
        return lost

    def _put_rows(
        self, context: Context, rows: Sequence[Vector], deadline: Deadline
    ) -> Flow[dict[str, OSSVectorError]]:
        """Put parts, and return what failed by the key of the part."""
        batches = [rows[at : at + _PARTS_PER_PUT] for at in range(0, len(rows), _PARTS_PER_PUT)]
        in_time, side = limit_time(context, deadline), self.side(context)
        flows = [upsert(in_time, batch, index=side, on_error="report") for batch in batches]
        reports = yield from run_all(flows)
        return {
            key: batch.error
            for report in reports
            for batch in report.batches
            if batch.error is not None
            for key in batch.keys
        }

    def _settle(
        self,
        context: Context,
        new: Mapping[str, Parts],
        old: Mapping[str, Parts],
        report: WriteReport,
        deadline: Deadline,
    ) -> Flow[None]:
        """Remove the parts that the heads do not name any more, after these were written.

        What fails here is left to `sweep`: the values are written.

        Args:
            context: the client's.
            new: what was written, by the head's key.
            old: what the heads named before.
            report: what became of the heads.
            deadline: of the whole.
        """
        doubtful = {
            key
            for batch in report.batches
            if batch.error is not None and _may_have_acted(batch.error)
            for key in batch.keys
        }
        keys = dict.fromkeys([*new, *old])
        try:
            index = self._settings.index
            found = yield from self._find(limit_time(context, deadline), keys, index)
            now = {key: parts.version for key, parts in found.items()}
            gone = [
                one
                for parts in (new, old)
                for key, one in parts.items()
                # a head that is still on its way may name its parts yet
                if one.version != now.get(key) and not (parts is new and key in doubtful)
            ]
            yield from self._remove(context, gone, deadline)
        except OSSVectorError as error:
            _log.info("parts of old values are left to sweep(): %s", type(error).__name__)

    def _read_old(self, context: Context, keys: Iterable[str]) -> Flow[dict[str, Parts]]:
        """Return what the heads among stored records name, by key; nothing where that is denied."""
        try:
            return (yield from self._find(context, keys, self._settings.index))
        except errors.AccessDeniedError as error:
            if type(error) is not errors.AccessDeniedError:  # of credentials that do not hold
                raise
            return {}  # who may write need not be allowed to read: parts are left to `sweep`

    def _find(
        self, context: Context, keys: Iterable[str], index: str | None
    ) -> Flow[dict[str, Parts]]:
        try:
            found = yield from fetch(context, list(keys), index=index, return_data=False)
        except NoSuchVectorIndexError:
            return {}
        return self._read_heads(context, found)

    def _read_heads(self, context: Context, vectors: Iterable[Vector]) -> dict[str, Parts]:
        """Return what the heads among vectors name, by key."""
        index = context.config.index_or(self._settings.index)
        named = {one.key: read_head(index, one) for one in vectors if is_head(one)}
        return {key: parts for key, parts in named.items() if isinstance(parts, Parts)}

    def _remove(self, context: Context, gone: Iterable[Parts], deadline: Deadline) -> Flow[None]:
        """Delete parts; what fails is left to `sweep`."""
        keys: dict[str, list[str]] = {}
        for parts in gone:
            keys.setdefault(parts.side, []).extend(parts.keys)
        for side, of_side in keys.items():
            report = yield from delete(
                limit_time(context, deadline), of_side, index=side, on_error="report"
            )
            if not report.ok:
                _log.info("%d parts of old values are left to sweep()", len(report.failed))

    def sweep(
        self, context: Context, older_than: float, *, removes: bool = True, pages: int | None = None
    ) -> Flow[int]:
        """Remove parts that no head of the index names, and return how many there were.

        Where it does not remove them it counts them only; of so many pages of the side index.
        """
        if older_than != 0:
            check_seconds("older_than", older_than)
        if self._settings.side_index is False:
            return 0
        side, index = self.side(context), context.config.index_or(self._settings.index)
        moment = int((context.clock.now().timestamp() - older_than) * 1_000_000)
        found, token = 0, None
        for _ in itertools.count() if pages is None else range(pages):
            listing = list_vectors(
                context, index=side, next_token=token, max_results=context.config.limits.list_page
            )
            try:
                page = yield from listing
            except NoSuchVectorIndexError:
                return found
            ends = {one.key: end for one in page if (end := _read_part_key(one.key))}
            for heads in (index, side):  # rows beside the index may have been cut too
                old = {
                    key: end
                    for key, end in ends.items()
                    if end.index == heads and end.written_at <= moment
                }
                gone = yield from self._find_orphans(context, side, heads, old)
                if gone and removes:
                    yield from delete(context, gone, index=side)
                found += len(gone)
            if (token := page.next_token) is None:
                break
        return found

    def _find_orphans(
        self, context: Context, side: str, index: str, parts: Mapping[str, "_PartKey"]
    ) -> Flow[list[str]]:
        """Return the keys of the parts that no head names."""
        nameless = [key for key, end in parts.items() if end.key is None]
        heads = {key: end.key for key, end in parts.items() if end.key is not None}
        if nameless:  # of a key so long that it stands beside the part
            result = yield from fetch(context, nameless, index=side, return_data=False)
            heads |= {one.key: key for one in result if (key := _head_key(one)) is not None}
        # what may not be read is not unnamed: then this fails
        named = yield from self._find(context, dict.fromkeys(heads.values()), index)
        versions = {key: one.version for key, one in named.items()}
        return [key for key, head in heads.items() if versions.get(head) != parts[key].version]


def may_be_large(vector: Vector, limit: int = DEFAULT_LIMITS.metadata_bytes) -> bool:
    """Tell whether a record may have to be cut, at one look."""
    stored = vector.metadata or {}
    if not isinstance(stored.get(ENVELOPE_FIELD), str):
        return False
    # a character takes six bytes at most, and what is no string is a copy
    written = sum(len(value) for value in stored.values() if isinstance(value, str))
    return 6 * written + DEFAULT_LIMITS.filterable_bytes > int(limit * _KEPT_SHARE)


def _put(
    context: Context,
    settings: StoreSettings,
    vectors: Sequence[Vector],
    index: VectorIndex | None,
    hold: Hold | None,
) -> Flow[WriteReport]:
    try:
        return (yield from put_records(context, settings, vectors, index, hold))
    except NoSuchVectorIndexError as error:  # large metadata: the index was asked first
        keys = tuple(vector.key for vector in vectors)
        return WriteReport((BatchReport(keys, error=error),))


@dataclass(frozen=True, slots=True)
class _PartKey:
    """What the key of a part tells: its head, unless that key is too long, and its version."""

    index: str
    key: str | None
    version: str

    @property
    def written_at(self) -> int:
        """Return when its writing began, in microseconds."""
        return int(self.version[:_MOMENT], 16)


def absence_error(side: str, what: str) -> InvalidRequestError:
    """Return the error of a write that needs a side index, which is not there and is not made."""
    return InvalidRequestError(
        "the side index {value} is not there, where {what} are to stand",
        argument="side_index",
        value=side,
        remedy="make it (dimension 1, euclidean), or pass {create_index=True}",
        fields={"what": what},
    )


def _read_part_key(key: str) -> _PartKey | None:
    """Return what the key of a part tells; None for any other key."""
    found = _PART_KEY.fullmatch(key)
    return None if found is None else _PartKey(found["index"], found["key"], found["version"])


def _head_key(part: Vector) -> str | None:
    """Return the key of the head of a part, which stands in it."""
    try:
        _, key = json.loads((part.metadata or {})[ENVELOPE_FIELD])["part_of"]
    except (ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, str) else None


def _may_have_acted(error: OSSVectorError) -> bool:
    return any(may_have_acted(one) for one in (error, *error.errors))


def _part_overhead(key: str) -> int:
    """Return the bytes of a part beside its piece."""
    return metadata_bytes(key) + 200
