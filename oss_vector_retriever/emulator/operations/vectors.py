"""PutVectors, GetVectors and DeleteVectors; reference sections 4.1, 4.2 and 4.5."""

from __future__ import annotations

import base64
import binascii
import random
import sqlite3
import struct
from collections.abc import Iterable
from typing import Any

from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.operations.call import Answer, Call
from oss_vector_retriever.emulator.rules import parameters
from oss_vector_retriever.emulator.rules.filters import Filter
from oss_vector_retriever.emulator.rules.parameters import check_key
from oss_vector_retriever.emulator.rules.refusals import Refusal, invalid
from oss_vector_retriever.emulator.storage import indexes
from oss_vector_retriever.emulator.storage import vectors as table
from oss_vector_retriever.emulator.storage.indexes import Index
from oss_vector_retriever.emulator.storage.vectors import NewVector, StoredVector


def get_vectors(call: Call) -> Answer:
    """Return the vectors that exist among the keys."""
    name = call.parameters.index_name()
    keys = call.parameters.keys(
        call.limits.keys_per_get, count_distinct=call.behaviour.count_distinct_keys
    )
    data = call.parameters.boolean("returnData")
    show_metadata = call.parameters.boolean("returnMetadata")
    with call.database.read() as db:
        index = call.index(db, name)
        found = table.get(db, index.id, keys, data=data, metadata=show_metadata)
    chosen = _arrange(call, keys, found)
    vectors = [to_json(call, v, data=data, show_metadata=show_metadata) for v in chosen]
    return Answer({} if not vectors and call.behaviour.omit_empty_vectors else {"vectors": vectors})


def _arrange(call: Call, keys: list[str], found: list[StoredVector]) -> list[StoredVector]:
    """Put the vectors found into the order, and as often, as the behaviour says."""
    behaviour = call.behaviour
    by_key = {vector.key: vector for vector in found}
    asked = keys if behaviour.duplicates == "each" else list(dict.fromkeys(keys))
    chosen = [by_key[key] for key in asked if key in by_key]
    if behaviour.order == "storage":
        chosen.sort(key=lambda vector: vector.id)
    elif behaviour.order == "shuffled":
        random.Random(behaviour.seed).shuffle(chosen)  # noqa: S311 - a test's order, not a secret
    return chosen


def to_json(call: Call, vector: StoredVector, *, data: bool, show_metadata: bool) -> dict[str, Any]:
    """Return a vector as the API shows it."""
    shown: dict[str, Any] = {"key": vector.key}
    shortest = call.behaviour.float_text == "shortest"
    if data and vector.data is not None:
        shown["data"] = {"float32": parameters.jsonable(vector.data, shortest=shortest)}
    if show_metadata and vector.metadata is not None:
        shown["metadata"] = json_text.fragment(vector.metadata)
    elif show_metadata and call.behaviour.show_empty_metadata:
        shown["metadata"] = {}
    return shown


def put_vectors(call: Call) -> Answer:
    """Write vectors, all of them or none."""
    name = call.parameters.index_name()
    items = call.parameters.items("vectors", call.limits.vectors_per_put)
    packed = [_read(call, item, f"vectors[{place}]") for place, item in enumerate(items)]
    if len({key for key, _, _ in packed}) != len(packed):
        raise invalid("vectors must not hold a key twice.")
    with call.database.read() as db:
        index = call.index(db, name)
    if call.behaviour.creating_refuses_writes and call.is_creating(index):
        raise Refusal("InternalError")
    rows = [_row(call, index, vector, place) for place, vector in enumerate(packed)]
    with call.database.write() as db:
        writes = indexes.note_write(db, index.id)
        if writes is None:
            raise Refusal("NoSuchVectorIndex")
        call.core.changes.note(index.id, writes, [row.key for row in rows])
        table.put(db, index.id, rows)
    return Answer()


def _read(call: Call, item: object, where: str) -> tuple[str, bytes, object]:
    """Read a vector as far as that needs no index: key, numbers, metadata still unread."""
    if not isinstance(item, dict):
        raise invalid(f"{where} must be an object.")
    key = check_key(item.get("key"), f"{where}.key", call.limits)
    return key, read_float32(item.get("data"), f"{where}.data"), item.get("metadata")


def read_float32(holder: object, where: str) -> bytes:
    """Return the packed `float32` member of an object."""
    values = holder.get("float32") if isinstance(holder, dict) else None
    try:
        return parameters.pack(values)
    except ValueError as error:
        raise invalid(f"{where}.float32 {error}.") from None


def check_float32(packed: bytes, index: Index, where: str) -> None:
    """Refuse another dimension than the index's, and under cosine a zero vector."""
    count = len(packed) // parameters.WIDTH
    if count != index.dimension:
        raise invalid(f"{where}.float32 has {count} values; the index has {index.dimension}.")
    if index.metric == "cosine" and parameters.is_zero(packed):
        raise invalid(f"{where}.float32 is all zero, which has no cosine.")


def _row(call: Call, index: Index, vector: tuple[str, bytes, object], place: int) -> NewVector:
    key, packed, members = vector
    where = f"vectors[{place}]"
    if call.behaviour.unstorable_fails and index.metric == "cosine" and parameters.is_zero(packed):
        raise Refusal("InternalError")
    check_float32(packed, index, f"{where}.data")
    try:
        text = parameters.encode(
            members,
            index.non_filterable,
            call.limits,
            strings_only=call.behaviour.strings_only,
        )
    except ValueError as error:
        raise invalid(f"{where}.metadata {error}.") from None
    return NewVector(key, call.milliseconds, text.filterable, text.whole, packed)


def delete_vectors(call: Call) -> Answer:
    """Delete the vectors that exist among the keys."""
    name = call.parameters.index_name()
    keys = call.parameters.keys(call.limits.keys_per_delete, unique=True)
    with call.database.write() as db:
        index = call.index(db, name)
        writes = indexes.note_write(db, index.id)
        if writes is not None:
            call.core.changes.note(index.id, writes, keys)
        table.delete(db, index.id, keys)
    return Answer()


def describe(call: Call, vectors: Iterable[StoredVector]) -> list[dict[str, Any]]:
    """Return a page of vectors as the request wants them shown."""
    data = call.parameters.boolean("returnData")
    show_metadata = call.parameters.boolean("returnMetadata")
    return [to_json(call, v, data=data, show_metadata=show_metadata) for v in vectors]


_TOKEN = struct.Struct(">3sQQ")
_MARK = b"ov1"
_AT_ONCE = 500  # SQLite before 3.32 takes no more than 999 parameters


def list_vectors(call: Call) -> Answer:
    """Return a page of an index's vectors, and a token where more remain."""
    wanted = call.parameters
    name = wanted.index_name()
    most = wanted.integer("maxResults", 1, call.limits.list_page, call.limits.list_page_default)
    token = wanted.text("nextToken", call.limits.token_bytes)
    segment = wanted.segment()
    chosen = call.filter()
    with call.database.read() as db:
        index = call.index(db, name)
        call.check_filterable(index, chosen)
        page = _Page(call, db, index, segment)
        after = _read_token(token, index)
        found = page.all(after, most + 1) if chosen is None else page.some(after, most + 1, chosen)
    answer: dict[str, Any] = {"vectors": describe(call, found[:most])}
    if len(found) > most:
        answer["nextToken"] = _token(index, found[most - 1].id)
    return Answer(answer)


class _Page:
    def __init__(
        self, call: Call, db: sqlite3.Connection, index: Index, segment: tuple[int, int]
    ) -> None:
        self._db = db
        self._index = index
        self._segment = segment
        self._columns = {
            "data": call.parameters.boolean("returnData"),
            "metadata": call.parameters.boolean("returnMetadata"),
        }

    def all(self, after: int, most: int) -> list[StoredVector]:
        """Return the next vectors."""
        return table.page(self._db, self._index.id, after, most, self._segment, **self._columns)

    def some(self, after: int, most: int, chosen: Filter) -> list[StoredVector]:
        """Return the next vectors that pass a filter."""
        ids: list[int] = []
        for row, text in table.filterables(self._db, self._index.id, after, self._segment):
            if chosen.matches(json_text.loads(text) if text else {}):
                ids.append(row)
                if len(ids) == most:
                    break
        found: dict[int, StoredVector] = {}
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            found |= table.by_id(self._db, part, **self._columns)
        return [found[row] for row in ids]


def _token(index: Index, row: int) -> str:
    return base64.urlsafe_b64encode(_TOKEN.pack(_MARK, index.id, row)).decode().rstrip("=")


def _read_token(token: str, index: Index) -> int:
    if not token:
        return 0
    try:
        raw = base64.b64decode(f"{token}{'=' * (-len(token) % 4)}", b"-_", validate=True)
        mark, index_id, row = _TOKEN.unpack(raw)
    except (binascii.Error, struct.error, ValueError):
        raise invalid("nextToken is not one that this service gave.") from None
    if mark != _MARK or index_id != index.id:
        raise invalid("nextToken belongs to another listing.")
    return int(row)


def query_vectors(call: Call) -> Answer:
    """Return the `topK` vectors nearest to the query, the closest first."""
    wanted = call.parameters
    name = wanted.index_name()
    top_k = wanted.integer("topK", 1, call.limits.top_k)
    show_distance = wanted.boolean("returnDistance")
    show_metadata = wanted.boolean("returnMetadata")
    query = read_float32(wanted.get("queryVector"), "queryVector")
    chosen = call.filter()
    search = call.core.search()
    with call.database.read() as db:
        index = call.index(db, name)
        call.check_filterable(index, chosen)
        check_float32(query, index, "queryVector")
        hits = search.nearest(
            db,
            index,
            query,
            top_k,
            chosen=chosen,
            written_by=_seen_until(call),
            rank_first=call.behaviour.filter_after_ranking,
        )
        found = table.by_id(db, [hit.id for hit in hits], data=False, metadata=show_metadata)
    vectors: list[dict[str, Any]] = []
    for hit in hits:
        shown = to_json(call, found[hit.id], data=False, show_metadata=show_metadata)
        if show_distance:
            shown["distance"] = _distance(call, index, hit.distance)
        vectors.append(shown)
    return Answer({"vectors": vectors})


def _distance(call: Call, index: Index, distance: float) -> float:
    squared = call.behaviour.squared_euclidean and index.metric == "euclidean"
    return distance * distance if squared else distance


def _seen_until(call: Call) -> int | None:
    """Return until when, in milliseconds, a vector must have been written to be seen."""
    delay = call.behaviour.query_delay_seconds
    return call.milliseconds - int(delay * 1000) if delay else None
