"""Values of any size: what passes 36 KB is cut into parts, which stand in the side index.

The stored record of such a value is its head. It keeps what filters see, and says which parts there
are: their version, their number, and a digest of the whole. Parts of a version are never changed:

    writing     parts of a new version, all acknowledged; then the head; then the old version goes
    reading     heads, then all their parts; where one is not there the head is read again
    deleting    heads, then their parts

So nobody reads half a value. Who is killed between two of these steps, or overtaken by another
process, leaves parts that no head names: `sweep` removes them.
"""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..client import errors
from ..client.context import Context, Deadline, Flow
from ..client.endpoint import check_index
from ..client.errors import quote
from ..client.fetch import fetch
from ..client.models import FetchResult, Vector, dump
from ..client.steps import Call, Sleep
from .decode import ENVELOPE_FIELD, TEXT_FIELD, has_head, is_head

_DAMAGED: Final = "its head is damaged"
VERSION: Final = re.compile(r"[0-9a-f]{26}")  # of a value: microseconds (14), and random (12)
PART: Final = "part"  # the kind of rows that parts are
LARGEST_VALUE: Final = 256 * 1024 * 1024  # bytes; beyond it one value fills a machine's memory
_PARTS_AT_ONCE: Final = 1000  # read, and in memory before they are put together: 30 MB
_BYTES_AT_ONCE: Final = 64 * 1024 * 1024  # of values, where somebody looks at all there are
_READINGS: Final = 3  # of a head that stays the same, and whose parts are not there
_PAUSE: Final = 0.1  # seconds between them
_SHORTEST: Final = 0.001  # seconds; a deadline that is over is for the call to report
_LONGEST_KEY: Final = 800  # characters of a record's key that its parts' keys have room for


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one version of a value, as its head names them.

    Attributes:
        index: of the head.
        key: of the head.
        side: the index that they stand in.
        version: a moment and a random number.
        count: how many there are.
        digest: SHA-256 of the payload.
        size: of the payload in bytes.
    """

    index: str
    key: str
    side: str
    version: str
    count: int
    digest: str
    size: int

    @property
    def keys(self) -> list[str]:
        """Return the keys of the parts, in their order."""
        start = f"{PART}/{self.index}/{self.version}"
        # with the head's key in it a listing of keys tells what belongs to what
        end = f"/{self.key}"
        if len(self.key) > _LONGEST_KEY:
            end = f"#{hashlib.sha256(self.key.encode()).hexdigest()}"
        return [f"{start}/{number}{end}" for number in range(self.count)]


def restore(
    context: Context,
    index: str | None,
    vectors: Sequence[Vector],
    *,
    return_data: bool = False,
    deadline: Deadline | None = None,
) -> Flow[list[Vector]]:
    """Return stored records with the whole metadata of those that were cut, in their order.

    A head whose parts are not there is read again, since it may have been overwritten or deleted;
    one that is gone by then is left out. One that stays, and whose parts are not there or are not
    what it says, comes back as it is: with the reason, for decoding to refuse it.

    Args:
        context: the client's.
        index: of the heads.
        vectors: as they are stored.
        return_data: whether they came with their embeddings.
        deadline: of the whole; by default the client's `timeout`.
    """
    if not has_head(vectors):
        return list(vectors)
    deadline = deadline or context.deadline()
    name = context.config.index_or(index)
    found: dict[str, Vector | None] = {one.key: one for one in vectors}
    pending = [one for one in vectors if is_head(one)]
    same: dict[str, tuple[str, int]] = {}  # how often each was read with the same version
    while pending:
        broken: dict[str, str] = {}
        for group in _groups(name, pending):
            whole = yield from _restore_group(context, group, deadline)
            for key, outcome in whole.items():
                if isinstance(outcome, Vector):
                    found[key] = outcome
                else:
                    broken[key] = outcome
        again = []
        for key, reason in broken.items():
            head = found[key]
            version = _version_of(name, head)
            before, times = same.get(key, ("", 0))
            times = times + 1 if before == version else 1
            same[key] = (version, times)
            if times < _READINGS:
                again.append(key)
            elif head is not None:
                found[key] = _with_reason(head, reason)
        if again and max(same[key][1] for key in again) > 1:
            yield Sleep(min(_PAUSE, max(deadline.remaining_seconds, 0.0)))
        now = yield from _read_again(
            limit_time(context, deadline), name, again, return_data=return_data
        )
        found |= now
        pending = [one for one in now.values() if one is not None and is_head(one)]
    return [one for vector in vectors if (one := found[vector.key]) is not None]


def count_at_once(vectors: Sequence[Vector]) -> int:
    """Return how many of the first vectors may be in memory at once, with all their values."""
    size = 0
    for count, vector in enumerate(vectors):
        named = read_head("", vector) if is_head(vector) else ""
        size += named.size if isinstance(named, Parts) else 0
        if size > _BYTES_AT_ONCE and count:
            return count
    return len(vectors)


def restore_fetched(
    context: Context, fetching: Flow[FetchResult], index: str | None, *, return_data: bool
) -> Flow[FetchResult]:
    """Return what a fetch brings as `restore` does; both have the time of one call."""
    deadline = context.deadline()
    result = yield from fetching
    if not has_head(result.by_key.values()):
        return result
    return (
        yield from restore_result(
            context, index, result, return_data=return_data, deadline=deadline
        )
    )


def restore_result(
    context: Context,
    index: str | None,
    result: FetchResult,
    *,
    return_data: bool,
    deadline: Deadline,
) -> Flow[FetchResult]:
    """Return what a fetch has brought as `restore` does; what is gone by then is missing."""
    heads = list(result.by_key.values())
    vectors = yield from restore(context, index, heads, return_data=return_data, deadline=deadline)
    there = {vector.key: vector for vector in vectors}
    missing = tuple(key for key in dict.fromkeys(result.keys) if key not in there)
    return replace(result, by_key=there, missing=missing)


def _read_again(
    context: Context, index: str, keys: Sequence[str], *, return_data: bool
) -> Flow[dict[str, Vector | None]]:
    """Return what stands under some keys now."""
    if not keys:
        return {}
    try:
        result = yield from fetch(context, keys, index=index, return_data=return_data)
    except errors.NoSuchVectorIndexError:
        return dict.fromkeys(keys)
    return {key: result.by_key.get(key) for key in keys}


def _groups(index: str, heads: Iterable[Vector]) -> Iterator[list[tuple[Vector, Parts | str]]]:
    """Yield heads and what they name, so many at a time as may be in memory at once."""
    group: list[tuple[Vector, Parts | str]] = []
    count = 0
    for head in heads:
        named = read_head(index, head)
        parts = named.count if isinstance(named, Parts) else 0
        if group and count + parts > _PARTS_AT_ONCE:
            yield group
            group, count = [], 0
        group.append((head, named))
        count += parts
    yield group


def _restore_group(
    context: Context, group: Sequence[tuple[Vector, Parts | str]], deadline: Deadline
) -> Flow[dict[str, Vector | str]]:
    """Return each head as the whole record, or why it cannot be put together."""
    keys: dict[str, list[str]] = {}
    for _, parts in group:
        if isinstance(parts, Parts):
            keys.setdefault(parts.side, []).extend(parts.keys)
    pieces: dict[str, str] = {}
    absent: set[str] = set()
    for side, of_side in keys.items():
        in_time = limit_time(context, deadline)
        try:
            result = yield from fetch(in_time, of_side, index=side, return_data=False)
        except errors.NoSuchVectorIndexError:
            absent.add(side)
            continue
        for one in result.by_key.values():
            piece = (one.metadata or {}).get(TEXT_FIELD)
            if isinstance(piece, str):
                pieces[one.key] = piece

    def put_together() -> dict[str, Vector | str]:
        return {
            head.key: parts
            if isinstance(parts, str)
            else f"the side index {quote(parts.side)} is not there"
            if parts.side in absent
            else _whole(head, parts, pieces)
            for head, parts in group
        }

    # off the event loop: megabytes take some ten milliseconds
    whole: dict[str, Vector | str] = yield Call(put_together)
    return whole


def _whole(head: Vector, parts: Parts, pieces: Mapping[str, str]) -> Vector | str:
    keys = parts.keys
    if missing := sum(key not in pieces for key in keys):
        return f"{missing} of its {len(keys)} parts are not in index {quote(parts.side)}"
    differs = f"its parts in index {quote(parts.side)} are not what was written"
    try:
        compressed = base64.b64decode("".join(pieces[key] for key in keys), validate=True)
        reader = zlib.decompressobj()
        payload = reader.decompress(compressed, parts.size + 1)
    except (ValueError, zlib.error):
        return differs
    if len(payload) != parts.size or hashlib.sha256(payload).hexdigest() != parts.digest:
        return differs
    try:
        text, envelope = json.loads(payload)
    except (ValueError, TypeError):
        return differs
    others = {n: v for n, v in (head.metadata or {}).items() if n != ENVELOPE_FIELD}
    kept = {} if text is None else {TEXT_FIELD: text}
    return Vector(head.key, head.data, {**kept, ENVELOPE_FIELD: envelope, **others})


def read_head(index: str, head: Vector) -> Parts | str:
    """Return what a head names, or that it cannot be read."""
    names = ("side", "version", "count", "digest", "size")
    try:
        about = json.loads((head.metadata or {})[ENVELOPE_FIELD])["parts"]
        side, version, count, digest, size = (about[name] for name in names)
        check_index(side)
    except (ValueError, TypeError, KeyError):
        return _DAMAGED
    # whoever wrote it: a number must not make this process ask for a million keys, or fill memory
    numbers = all(type(number) is int and number > 0 for number in (count, size))
    if not numbers or count > size or size > LARGEST_VALUE:
        return _DAMAGED
    if not (isinstance(version, str) and isinstance(digest, str) and VERSION.fullmatch(version)):
        return _DAMAGED
    return Parts(index, head.key, side, version, count, digest, size)


def _version_of(index: str, head: Vector | None) -> str:
    named = None if head is None else read_head(index, head)
    return named.version if isinstance(named, Parts) else ""


def _with_reason(head: Vector, reason: str) -> Vector:
    stored = dict(head.metadata or {})
    written = stored[ENVELOPE_FIELD]
    stored[ENVELOPE_FIELD] = f"{written[:-1]},{dump('lost')}:{dump(reason)}}}"
    return Vector(head.key, head.data, stored)


def limit_time(context: Context, deadline: Deadline) -> Context:
    """Return a context whose calls have what is left until a deadline."""
    return context.with_options(timeout=max(deadline.remaining_seconds, _SHORTEST))
