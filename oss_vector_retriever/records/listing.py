"""Records by condition alone: listed, walked through and deleted, with no query.

Each record that a listing brings is looked at here. The service checks what it can of a condition
while it lists, where it does so at all; an account may refuse the filter, or ignore it. Only keys
of records that passed here are deleted.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from ..client.context import Context, Flow
from ..client.errors import (
    InvalidRequestError,
    MalformedJsonError,
    VectorIndexParameterInvalidError,
)
from ..client.holds import Hold, run_with
from ..client.models import FetchResult, ListVectorsResult, Vector
from ..client.operations.checks import check_whole, each_of
from ..client.operations.vectors import list_vectors
from ..client.recent import recent_writes, watch
from ..client.steps import Call, run_all
from .conditions import Condition, Group, Operator, Test, can_pass, passes, restricts
from .decode import has_head, is_head
from .filters import Filter, reduce_filter
from .parts import count_at_once, restore
from .record import Record
from .settings import is_row
from .store import RecordStore
from .traits import traits_of

T = TypeVar("T")
Read = Callable[[Vector], T | None]

SEGMENTS: Final = 4  # listed at once; the service makes up to 16, and others want to be served too
# Keys are kept until a listing has ended, since it may skip what moves up when earlier pages are
# deleted. So many take some ten megabytes.
_KEPT_KEYS: Final = 50_000
_HELD_KEYS: Final = 5_000  # deleted within one deadline, while other writes of them wait
_LONGEST: Final = 24 * 3600.0  # seconds of a deletion, after which it forgets what was written
_SEEN_FAILING: Final = 3
_MOST_PASSES: Final = 20  # each over what the last one may have skipped: half, at worst


def list_passing(
    context: Context,
    store: RecordStore,
    condition: Condition | None,
    *,
    return_data: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> Flow[list[Record]]:
    """Return the records that pass a condition, `limit` at most, without the first `offset`.

    They come in the order of the listing, which has no meaning, and which is the same each time as
    long as nothing is written.
    """
    end = _end_of(limit, offset)
    if end == offset or not can_pass(condition):
        return []
    walk = Walk(store, condition, return_data, segments=1)
    found: list[Record] = []
    passed = 0
    most = end  # at first no more than is asked for, then whole pages where few of them pass
    while passed < end and not walk.is_done:
        records = yield from walk.read_on(context, most)
        found += records[max(0, offset - passed) : end - passed]
        passed += len(records)
        most = end - passed if condition is None else sys.maxsize
    return found


def cut_out(found: Sequence[T], limit: int | None, offset: int) -> list[T]:
    """Return what `list_passing` would return of records that are known already."""
    return list(found[offset : _end_of(limit, offset)])


def _end_of(limit: int | None, offset: int) -> int:
    check_whole("offset", offset, 0, sys.maxsize)
    if limit is None:
        return sys.maxsize
    return offset + check_whole("limit", limit, 0, sys.maxsize)


def delete_passing(
    context: Context, store: RecordStore, condition: Condition | None, instead: str = "delete_all"
) -> Flow[int]:
    """Delete the records that pass a condition, and return how many; see `delete_read`.

    `instead` is what deletes everything, for the error.

    Raises:
        InvalidRequestError: the condition restricts nothing; nothing was deleted.
        PartialWriteError: calls failed; its `report` says which keys are gone.
    """
    if not restricts(condition):
        raise InvalidRequestError(
            "{argument} restricts nothing: every record passes it, and nothing was deleted; "
            "{instead} deletes everything.",
            argument="filter",
            fields={"instead": instead},
        )
    if not can_pass(condition):
        return 0
    pushed = store.push(context, condition).filter
    walk = Walk(store, condition)
    return (yield from delete_read(context, store, walk.read, pushed))


def delete_those_passing(
    context: Context, store: RecordStore, keys: Iterable[str], condition: Condition | None
) -> Flow[object]:
    """Delete by key, of records that pass: they are read first, and held until they are gone."""
    asked = list(each_of(keys))
    if condition is None:
        return store.delete(context, asked)
    reading = store.fetch(context, asked)  # the keys are checked here
    hold = store.hold(context, asked)
    deleting = _delete_those_passing(context, store, reading, condition, hold)
    return run_with(hold, deleting, context.deadline())


def _delete_those_passing(
    context: Context,
    store: RecordStore,
    reading: Flow[FetchResult],
    condition: Condition,
    hold: Hold,
) -> Flow[None]:
    found, read = (yield from reading).by_key, Walk(store, condition).read
    # what the condition does not pass stays, though its key was named
    passing = [key for key, vector in found.items() if read(vector) is not None]
    yield from store.delete(context, passing, hold=hold)


def delete_read(
    context: Context, store: RecordStore, read: Read[Any], pushed: Filter | None
) -> Flow[int]:
    """Delete the vectors of which `read` makes something, whatever page they are on.

    `pushed` is what the service can check of it: all that `read` takes pass it. The rows of
    key-value stores stay. Returns how many keys were deleted, each counted once. What this process
    writes meanwhile is looked at again, and not deleted unless it passes still; of what others
    write between the listing and the deletion nothing is known.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys of these are gone.
    """
    return _Deletion(context, store, read, pushed).run()


class _Deletion:
    """The deletion of what a reading takes, in progress."""

    def __init__(
        self, context: Context, store: RecordStore, read: Read[Any], pushed: Filter | None
    ) -> None:
        self._context = context
        self._store = store
        self._read = read
        self._pushed = pushed
        self._began = context.monotonic()
        self._deleted: set[str] = set()
        self._heads: dict[str, Vector] = {}  # they name the parts that go too
        # whatever this process writes from now on is known until this object is gone
        watch(context, store.settings.index, self, _LONGEST)

    def run(self) -> Flow[int]:
        """List and delete until a listing has ended in which nothing could be skipped."""
        for _ in range(_MOST_PASSES):
            before, has_moved = len(self._deleted), False
            pages, keys = Pages(self._store, self._pushed), set[str]()
            while not pages.is_done:
                keys |= yield from self._keys_in((yield from pages.read(self._context)))
                self._heads |= {one.key: one for one in pages.heads if one.key in keys}
                if len(keys) >= _KEPT_KEYS or pages.is_done:
                    yield from self._delete(sorted(keys))
                    has_moved = has_moved or not pages.is_done
                    keys, self._heads = set(), {}
            # what others write meanwhile under keys that are gone does not keep this going
            if not has_moved or len(self._deleted) == before:
                break
        return len(self._deleted)

    def _keys_in(self, vectors: Iterable[Vector]) -> Flow[set[str]]:
        # off the event loop: a thousand records take some ten milliseconds to decode
        found: set[str] = yield Call(
            lambda: {
                one.key
                for one in vectors
                if not is_row(one.metadata) and self._read(one) is not None
            }
        )
        return found

    def _delete(self, keys: Sequence[str]) -> Flow[None]:
        for start in range(0, len(keys), _HELD_KEYS):
            some = keys[start : start + _HELD_KEYS]
            hold = self._store.hold(self._context, some)
            yield from run_with(hold, self._delete_held(some, hold), self._context.deadline())

    def _delete_held(self, keys: Sequence[str], hold: Hold) -> Flow[None]:
        since = self._context.monotonic() - self._began
        recent = recent_writes(self._context, self._store.settings.index, since)
        changed = [key for key in keys if recent.lost or key in recent.written]
        passing = set(keys)
        heads: list[Vector] | None = [self._heads[key] for key in keys if key in self._heads]
        if changed:
            heads = None  # they are other ones by now
            there = yield from self._store.fetch(self._context, changed)
            passing.difference_update(changed)
            passing |= yield from self._keys_in(there)
        yield from self._store.delete(self._context, passing, hold=hold, read=heads)
        self._deleted |= passing


class Walk:
    """The records of an index that pass a condition, read page by page as they are asked for.

    `is_done` says that no more is to come. In memory are the pages in progress, four at most, and
    the keys of the first. What is there from beginning to end comes exactly once; what others write
    or delete meanwhile may come or not.
    """

    def __init__(
        self,
        store: RecordStore,
        condition: Condition | None,
        return_data: bool = False,
        *,
        segments: int = SEGMENTS,
    ) -> None:
        self._store = store
        self._condition = condition
        self._return_data = return_data
        self._segments = segments
        self._pages: Pages | None = None

    @property
    def is_done(self) -> bool:
        """Tell whether no more is to come."""
        if self._pages is None:
            return not can_pass(self._condition)
        return self._pages.is_done

    def read_on(self, context: Context, most: int = sys.maxsize) -> Flow[list[Record]]:
        """Return the records that pass of what is listed next, `most` vectors at most."""
        # the data of those alone that pass, where not all do
        with_page = self._return_data and self._condition is None
        if self._pages is None:
            pushed = self._store.push(context, self._condition).filter
            self._pages = Pages(self._store, pushed, self._segments, return_data=with_page)
        page = yield from self._pages.read(context, most)
        records: list[Record] = yield Call(
            lambda: [record for one in page if (record := self.read(one)) is not None]
        )
        if self._return_data and not with_page:
            records = yield from _add_data(context, self._store, records)
        return records

    def read(self, vector: Vector) -> Record | None:
        """Return the record in a vector; None for one that does not pass, and for a row."""
        if is_row(vector.metadata):
            return None
        record = self._store.decode(vector)
        return record if self._store.passes(record, vector.metadata, self._condition) else None


def _add_data(
    context: Context, store: RecordStore, records: Sequence[Record]
) -> Flow[list[Record]]:
    """Return records with their embeddings; those deleted in the meantime are left out."""
    keys = [record.key for record in records]
    result = yield from store.fetch(context, keys, return_data=True, return_metadata=False)
    there = result.by_key
    return [replace(one, embedding=there[one.key].data) for one in records if one.key in there]


@dataclass(slots=True)
class Pages:
    """The pages of a listing of vectors with metadata, in progress.

    One page comes first: it is all where the service keeps to the filter and little passes. Where
    there is more, segments are listed at once from their beginnings; what the first page had is
    left out of them.

    Listings with filters are new (Sep 2026). An account may refuse a filter, which is then dropped,
    or ignore it: look at the records again.

    Attributes:
        store: the records listed.
        pushed: a filter for the service; what it does not pass may come all the same.
        segments: how many are listed at once; 1 keeps the order of the listing.
        return_data: whether the vectors come with their data.
        token: where to go on, as `next_token` of another with one segment said.
        heads: of what was read last, the vectors as they are stored whose values stand in parts.
    """

    store: RecordStore
    pushed: Filter | None = None
    segments: int = SEGMENTS
    return_data: bool = False
    token: str | None = None
    heads: list[Vector] = field(default_factory=list)
    _has_ended: bool = False
    _left: list[Vector] = field(default_factory=list)
    _tokens: dict[int, str | None] | None = None
    _seen: frozenset[str] = frozenset()

    @property
    def next_token(self) -> str | None:
        """Return where the next page begins, of one segment; None where no more is to come."""
        return (self._tokens or {}).get(0)

    def read(self, context: Context, most: int = sys.maxsize) -> Flow[list[Vector]]:
        """Return the vectors listed next: `most`, or a few more, or fewer of large values."""
        if not self._left:
            self._left = yield from self._read_pages(context, most)
        # of what was cut no more than may be in memory at once
        count = count_at_once(self._left)
        now, self._left = self._left[:count], self._left[count:]
        self.heads = [one for one in now if is_head(one)] if has_head(now) else []
        index = self.store.settings.index
        return (yield from restore(context, index, now, return_data=self.return_data))

    @property
    def is_done(self) -> bool:
        """Tell whether no more is to come."""
        return self._has_ended and not self._left

    @property
    def is_within_page(self) -> bool:
        """Tell whether more is to come before `next_token`."""
        return bool(self._left)

    def _read_pages(self, context: Context, most: int) -> Flow[list[Vector]]:
        if self._tokens is None:
            return list((yield from self._read_first(context, most)))
        size = min(context.config.limits.list_page, -(-most // len(self._tokens)))
        tokens = self._tokens.items()
        flows = [self._list(context, size, token, self._cut(number)) for number, token in tokens]
        pages = yield from run_all(flows)
        ended = zip(list(self._tokens), pages, strict=True)
        self._tokens = {number: page.next_token for number, page in ended if page.next_token}
        self._has_ended = not self._tokens
        return [one for page in pages for one in page if one.key not in self._seen]

    def _read_first(self, context: Context, most: int) -> Flow[ListVectorsResult]:
        limits = context.config.limits
        page = yield from self._list_first(context, min(limits.list_page, most))
        self._has_ended = page.next_token is None
        self.segments = min(self.segments, limits.list_segments)
        if self.segments > 1:
            self._seen = frozenset(one.key for one in page)
            self._tokens = dict.fromkeys(range(self.segments))
        else:
            self._tokens = {0: page.next_token}
        return page

    def _list_first(self, context: Context, size: int) -> Flow[ListVectorsResult]:
        traits = traits_of(context, self.store.settings.index)
        self.pushed = reduce_filter(self.pushed, traits.forms) if traits.lists_by_filter else None
        if self.pushed is None:
            return (yield from self._list(context, size, self.token))
        try:
            page = yield from self._list(context, size, self.token)
        except (VectorIndexParameterInvalidError, MalformedJsonError):
            self.pushed = None
            page = yield from self._list(context, size, self.token)
            # concluded here, for without the filter the same call is taken
            traits.lists_by_filter = False
        else:
            if _is_ignored(self.pushed, page):
                traits.lists_by_filter = False
        return page

    def _cut(self, number: int) -> dict[str, int]:
        if self.segments == 1:
            return {}
        return {"segment_count": self.segments, "segment_index": number}

    def _list(
        self,
        context: Context,
        size: int,
        token: str | None = None,
        segment: Mapping[str, int] | None = None,
    ) -> Flow[ListVectorsResult]:
        page = list_vectors(
            context,
            index=self.store.settings.index,
            max_results=size,
            next_token=token,
            return_data=self.return_data,
            return_metadata=True,
            filter=self.pushed,
            **(segment or {}),
        )
        return self.store.or_empty(context, page, lambda: ListVectorsResult(()))


def _is_ignored(pushed: Filter, page: ListVectorsResult) -> bool:
    """Tell whether a page says that the service ignores its filter: most of it does not pass.

    One or two records may have been changed a moment ago, or be of a form that the service compares
    in another way. That alone is no reason to list whole indexes from now on.
    """
    condition = _condition_of(pushed)
    failed = sum(not passes(one.metadata or {}, condition) for one in page)
    return failed >= _SEEN_FAILING and failed * 2 > len(page)


def _condition_of(pushed: Filter) -> Condition:
    """Return a filter in the service's explicit grammar as a condition, whatever its fields."""
    [(name, value)] = pushed.items()
    if name in {"$and", "$or"}:
        return Group("and" if name == "$and" else "or", tuple(map(_condition_of, value)))
    [(operator, operand)] = value.items()
    return Test(name, Operator(operator.removeprefix("$")), operand)
