"""`Changes`: which keys the last writes changed, so that search need not read an index anew."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

_KEPT_KEYS = 10_000  # of an index; where more changed, reading it anew is as fast


@dataclass(slots=True)
class _Log:
    """Keys by the number of the write that changed them, the oldest first."""

    entries: OrderedDict[int, Sequence[str]] = field(default_factory=OrderedDict)
    keys: int = 0

    def add(self, writes: int, keys: Sequence[str]) -> None:
        # A transaction that failed has left its entry: its number is given out again.
        self.keys += len(keys) - len(self.entries.pop(writes, ()))
        self.entries[writes] = keys
        while self.keys > _KEPT_KEYS:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        _, keys = self.entries.popitem(last=False)
        self.keys -= len(keys)


class Changes:
    """The last changes of the indexes that are watched; safe for threads.

    No other process has the database open, so there are no others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: dict[int, _Log] = {}

    def watch(self, index_id: int, writes: int) -> None:
        """Remember changes of an index from now on; those up to `writes` are of no more use."""
        with self._lock:
            log = self._logs.setdefault(index_id, _Log())
            while log.entries and next(iter(log.entries)) <= writes:
                log.drop_oldest()

    def forget(self, index_id: int) -> None:
        """Remember no more changes of an index."""
        with self._lock:
            self._logs.pop(index_id, None)

    def note(self, index_id: int, writes: int, keys: Sequence[str]) -> None:
        """Note what a write changes, inside its transaction: readers may see it right after."""
        with self._lock:
            log = self._logs.get(index_id)
            if log is not None:
                log.add(writes, keys)

    def keys_between(self, index_id: int, before: int, until: int) -> set[str] | None:
        """Return the keys changed by the writes after `before` up to `until`; None if unknown."""
        with self._lock:
            log = self._logs.get(index_id)
            if log is None or until - before > len(log.entries):
                return None
            numbers = range(before + 1, until + 1)
            if any(number not in log.entries for number in numbers):
                return None
            return {key for number in numbers for key in log.entries[number]}
