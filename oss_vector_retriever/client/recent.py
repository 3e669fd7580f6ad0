"""What this process has written lately, which the service's search may not show yet.

The service shows to GetVectors and ListVectors at once what was written, and to QueryVectors some
seconds later. So a search proposes what stands here, and GetVectors decides: what another process
has written or deleted meanwhile is never hidden by an older value of this one.

All clients of a process that reach an index share what is known of it. Nothing is kept of an index
unless somebody reads it: a store that is to find its own writes (`watch`).
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from . import errors, fork
from .context import Context, PerIndex
from .flow import may_have_acted
from .models import Float32Array

_SECONDS: Final = 10.0  # the pages say that a search shows a write after 2 to 3
_SECONDS_IF_NEW: Final = 30.0  # in an index made here: of a new one less is known
_MOST_BYTES: Final = 64 * 1024 * 1024
_BYTES_BESIDE: Final = 400  # of an entry: its key, the objects, its place in a table


class Mark(Enum):
    """What stands for a key in place of its embedding."""

    DELETED = "deleted"
    UNKNOWN = "unknown"  # it was written twice at once, or nobody knows whether it was


# Not `None` for a deletion: what is not there is one thing, what is known to be gone another.
Written = Mapping[str, "Float32Array | Mark"]


@dataclass(frozen=True, slots=True)
class RecentWrites:
    """The latest writes to one index, as one search finds them.

    Attributes:
        seconds: how far they go back.
        written: by key the embedding, or that the key is gone, or that nobody knows.
        lost: whether more was written than could be kept.
    """

    seconds: float
    written: dict[str, Float32Array | Mark] = field(default_factory=dict)
    lost: bool = False


def watch(context: Context, index: str | None, watcher: object, seconds: bool | float) -> None:
    """Remember writes to an index from now on, for as long as the watcher lives.

    `seconds` is how long: True for as long as is usual, False for not at all.
    """
    if seconds is not False:
        _table.watch(context, index, watcher, seconds)


def recent_writes(context: Context, index: str | None, seconds: bool | float) -> RecentWrites:
    """Return what was written to an index within so many seconds, as `watch` takes them."""
    return RecentWrites(0.0) if seconds is False else _table.recent(context, index, seconds)


def count_writes(context: Context, index: str | None) -> int:
    """Return how often this process has written to an index, or made or deleted it, until now."""
    return _table.count(context, index)


def forget_writes(context: Context, index: str | None, *, is_made: bool = False) -> None:
    """Forget what was written to an index that is gone, or that was made a moment ago."""
    _table.forget(context, index, is_made=is_made)


class Writing:
    """One write in progress, a context manager: what comes of it is remembered.

    Args:
        context: the client's.
        index: where it writes.
        written: what it puts, by key, and what it deletes.
    """

    def __init__(self, context: Context, index: str | None, written: Written) -> None:
        self._context = context
        self._index = index
        self._written = written
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._context.monotonic()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or _may_be_done(error):
            _table.note(
                self._context, self._index, self._written, self._began, is_certain=error is None
            )


def _may_be_done(error: BaseException) -> bool:
    if not isinstance(error, errors.OSSVectorError):  # Ctrl-C, or a task that was cancelled
        return True
    return any(may_have_acted(one) for one in (error, *error.errors))


@dataclass(slots=True)
class _Entry:
    """One key that was written, and when that was acknowledged."""

    value: Float32Array | Mark
    at: float
    size: int


@dataclass(eq=False)
class _Memory:
    """The latest writes to one index, the oldest first."""

    monotonic: Callable[[], float]
    count: int = 0  # of writes, of its making and deletion
    is_made: bool = False  # by this process
    entries: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)
    size: int = 0  # bytes
    lost_at: float = -math.inf  # when the latest was written of what had no room
    seconds: float = 0.0  # how long the longest watcher wants to look back
    watchers: WeakKeyDictionary[object, bool | float] = field(default_factory=WeakKeyDictionary)
    dimension: int = 0

    def window(self, seconds: bool | float) -> float:
        if seconds is not True:
            return seconds
        return _SECONDS_IF_NEW if self.is_made else _SECONDS

    def clear(self) -> None:
        self.entries.clear()
        self.size, self.lost_at, self.dimension = 0, -math.inf, 0

    def put(self, key: str, value: Float32Array | Mark, at: float) -> None:
        earlier = self.entries.pop(key, None)
        size = _BYTES_BESIDE + (
            len(value) * value.itemsize if isinstance(value, Float32Array) else 0
        )
        self.entries[key] = _Entry(value, at, size)  # the last one now
        self.size += size - (earlier.size if earlier else 0)

    def drop_oldest(self) -> _Entry:
        _, entry = self.entries.popitem(last=False)
        self.size -= entry.size
        return entry

    def drop_expired(self) -> None:
        oldest = self.monotonic() - self.seconds
        while self.entries and next(iter(self.entries.values())).at < oldest:
            self.drop_oldest()


class _Table:
    """The latest writes of a process, by index."""

    def __init__(self) -> None:
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Know nothing: what the parent has written shows by the time a child searches, or soon."""
        # reentrant: a write that is dropped is noted wherever its memory is freed
        self._lock = threading.RLock()
        self._of_indexes: PerIndex[_Memory] = PerIndex()
        self._filled: WeakSet[_Memory] = WeakSet()

    def _memory(self, context: Context, index: str | None) -> _Memory:
        return self._of_indexes.find(context, index, lambda: _Memory(context.monotonic))

    def watch(
        self, context: Context, index: str | None, watcher: object, seconds: bool | float
    ) -> None:
        with self._lock:
            memory = self._memory(context, index)
            memory.watchers[watcher] = seconds
            memory.seconds = max(map(memory.window, memory.watchers.values()))

    def forget(self, context: Context, index: str | None, *, is_made: bool) -> None:
        with self._lock:
            memory = self._memory(context, index)
            memory.clear()
            memory.count += 1
            memory.is_made = is_made
            self._filled.discard(memory)

    def count(self, context: Context, index: str | None) -> int:
        with self._lock:
            return self._memory(context, index).count

    def recent(self, context: Context, index: str | None, seconds: bool | float) -> RecentWrites:
        with self._lock:
            self._drop_expired()
            memory = self._memory(context, index)
            window = memory.window(seconds)
            since = context.monotonic() - window
            written = {key: one.value for key, one in memory.entries.items() if one.at >= since}
            return RecentWrites(window, written, memory.lost_at >= since)

    def note(
        self,
        context: Context,
        index: str | None,
        written: Written,
        began: float,
        *,
        is_certain: bool,
    ) -> None:
        with self._lock:
            memory = self._memory(context, index)
            memory.count += 1
            if not memory.watchers:
                return
            memory.seconds = max(map(memory.window, memory.watchers.values()))
            memory.monotonic, now = context.monotonic, context.monotonic()
            for key, value in written.items():
                if isinstance(value, Float32Array):
                    if memory.dimension not in {0, len(value)}:
                        memory.clear()  # the index was made again, by others
                    memory.dimension = len(value)
                earlier = memory.entries.get(key)
                # of two writes at once nobody knows which came first
                is_last = is_certain and (earlier is None or earlier.at < began)
                stands = value if earlier is None or is_last else _either(earlier.value, value)
                memory.put(key, stands, now)
            self._filled.add(memory)
            self._drop_expired()
            self._drop_excess()

    def _drop_expired(self) -> None:
        for memory in list(self._filled):
            memory.drop_expired()
            if not memory.entries:
                self._filled.discard(memory)

    def _drop_excess(self) -> None:
        filled = list(self._filled)
        size = sum(memory.size for memory in filled)
        while size > _MOST_BYTES:
            memory = min(filled, key=_age_of_oldest)
            dropped = memory.drop_oldest()
            memory.lost_at = max(memory.lost_at, dropped.at)
            size -= dropped.size


def _age_of_oldest(memory: _Memory) -> float:
    return next(iter(memory.entries.values())).at if memory.entries else math.inf


def _either(earlier: Float32Array | Mark, later: Float32Array | Mark) -> Float32Array | Mark:
    """Return what may stand where one of two writes has won: a deletion shows nothing anyway."""
    if Mark.DELETED in (earlier, later):
        return later if earlier is Mark.DELETED else earlier
    return Mark.UNKNOWN


_table = _Table()
