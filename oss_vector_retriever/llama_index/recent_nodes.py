"""What this process has just read or deleted of an index, for ingestion that embeds little.

Core deletes a document that has changed before it ingests it again, and its embeddings with it.
What a deletion takes away is kept until the nodes are written anew, or ten minutes, so that
`ReuseStoredEmbeddings` finds it. And what was read, and is still the same when it is to be written,
need not be written.
"""

import hashlib
import json
import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

from llama_index.core.schema import BaseNode, MetadataMode

from ..client import fork
from ..client.context import Context, PerIndex
from ..client.models.vector import Float32Array, Vector

_KEPT_SECONDS: Final = 600.0
_BELIEVED_SECONDS: Final = 30.0  # of what others may have overwritten or deleted
_MOST_BYTES: Final = 64 * 2**20  # of one index
_BYTES_BESIDE: Final = 300  # of an entry, beside its numbers
_MOST_NOTED: Final = 200_000


class DeletedUser:
    """A mark of something that uses what is deleted, as long as it lives; copies share it."""

    def use(self, context: Context, index: str | None) -> None:
        """Have what is deleted of an index kept."""
        recent_nodes(context, index).users.add(self)

    def use_named(self, bucket: str | None, index: str | None) -> None:
        """Do so by the names alone, as long as there is no client."""
        with _lock:
            _users.setdefault((bucket, index), WeakSet()).add(self)

    def __deepcopy__(self, memo: dict[int, object]) -> "DeletedUser":
        return self


_lock = threading.Lock()
# By the names: an index of the same name elsewhere has its embeddings kept for nothing.
_users: dict[tuple[str | None, str | None], WeakSet[DeletedUser]] = {}


def is_deleted_used(context: Context, index: str | None) -> bool:
    """Tell whether what is deleted of an index is of use to anything in this process."""
    named = _users.get((context.config.bucket, context.config.index_or(index)))
    return bool(named or recent_nodes(context, index).users)


@dataclass(frozen=True, slots=True)
class _Deleted:
    """The embedding of a node that was deleted, and the hash of what was embedded."""

    content: str
    embedding: Float32Array
    at: float

    @property
    def size(self) -> int:
        return len(self.embedding) * self.embedding.itemsize + _BYTES_BESIDE


class RecentNodes:
    """The nodes of one index that this process has just read or deleted."""

    def __init__(self) -> None:
        self.users: WeakSet[DeletedUser] = WeakSet()
        self._deleted: OrderedDict[str, _Deleted] = OrderedDict()
        self._size = 0
        self._stored: OrderedDict[str, tuple[bytes, int, float]] = OrderedDict()
        self._gone: OrderedDict[str, float] = OrderedDict()
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Begin with a lock that no thread of the parent holds."""
        self._lock = threading.Lock()

    def keep(self, key: str, content: str, embedding: Float32Array, now: float) -> None:
        """Keep the embedding of a node that is deleted."""
        with self._lock:
            self._forget(key)
            self._deleted[key] = kept = _Deleted(content, embedding, now)
            self._size += kept.size
            while self._size > _MOST_BYTES or self._is_old(now):
                self._forget(next(iter(self._deleted)))

    def deleted_embeddings(
        self, keys: Iterable[str], now: float
    ) -> dict[str, tuple[str, list[float]]]:
        """Return of deleted nodes the hash of what was embedded, and the embedding."""
        with self._lock:
            found = {key: self._deleted[key] for key in keys if key in self._deleted}
        return {
            key: (kept.content, kept.embedding.tolist())
            for key, kept in found.items()
            if now - kept.at <= _KEPT_SECONDS
        }

    def note_stored(self, vector: Vector, count: int, now: float) -> None:
        """Remember what stands under a key; `count` is of the writes to the index until then."""
        digest = _digest_of(vector)
        with self._lock:
            self._stored[vector.key] = (digest, count, now)
            if len(self._stored) > _MOST_NOTED:
                self._stored.popitem(last=False)

    def is_stored(self, vector: Vector, count: int, now: float) -> bool:
        """Tell whether exactly this was read a moment ago, and nothing was written since.

        What other processes have written since is not seen, so it is believed half a minute only.
        """
        with self._lock:
            digest, read_at, noted_at = self._stored.get(vector.key, (b"", 0, -math.inf))
        is_new = now - noted_at <= _BELIEVED_SECONDS
        return is_new and read_at == count and digest == _digest_of(vector)

    def forget_stored(self, keys: Iterable[str]) -> None:
        """Forget what was read under keys that are about to be read again, or are gone."""
        with self._lock:
            for key in keys:
                self._stored.pop(key, None)

    def note_gone(self, keys: Iterable[str], now: float) -> None:
        """Remember keys under which this process has deleted everything."""
        with self._lock:
            self._gone.update(dict.fromkeys(keys, now))
            while len(self._gone) > _MOST_NOTED:
                self._gone.popitem(last=False)

    def are_gone(self, keys: Iterable[str], now: float) -> bool:
        """Tell whether this process has deleted all of some keys a while ago, and not since."""
        with self._lock:
            return all(now - self._gone.get(key, -math.inf) <= _KEPT_SECONDS for key in keys)

    def forget(self, keys: Iterable[str]) -> None:
        """Forget what was deleted under keys that are written."""
        with self._lock:
            for key in keys:
                self._forget(key)
                self._gone.pop(key, None)

    def _forget(self, key: str) -> None:
        if (kept := self._deleted.pop(key, None)) is not None:
            self._size -= kept.size

    def _is_old(self, now: float) -> bool:
        oldest = next(iter(self._deleted.values()), None)
        return oldest is not None and now - oldest.at > _KEPT_SECONDS


_of_indexes: PerIndex[RecentNodes] = PerIndex()


def recent_nodes(context: Context, index: str | None) -> RecentNodes:
    """Return those of an index, the same object to all that ask in this process."""
    return _of_indexes.find(context, index, RecentNodes)


def content_hash(node: BaseNode) -> str:
    """Return the hash of what a node gives to the embedding model."""
    # not the node's own hash, which also covers metadata that no model sees
    content = node.get_content(MetadataMode.EMBED)
    # text taken from PDF files may hold half of a surrogate pair
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _digest_of(vector: Vector) -> bytes:
    # the service may send the fields in another order
    written = json.dumps(vector.metadata, sort_keys=True)
    data = b"" if vector.data is None else vector.data.tobytes()
    return hashlib.sha256(written.encode() + b"\0" + data).digest()
