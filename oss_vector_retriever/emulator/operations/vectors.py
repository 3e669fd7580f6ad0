"""PutVectors, GetVectors, ListVectors, QueryVectors and DeleteVectors; reference section 4."""

import base64
import itertools
import random
import sqlite3
import struct
from typing import Any, get_args

import orjson

from ..behaviour import Behaviour, TopKLimit
from ..rules import parameters
from ..rules.filters import Filter
from ..rules.refusals import Refusal, invalid
from ..storage import indexes
from ..storage import vectors as table
from ..storage.vectors import NewVector, StoredVector
from .call import Answer, Call

# Index and row go into a page token, and a mark by which a token of this kind is recognised.
_TOKEN = struct.Struct(">3sQQ")
_MARK = b"ov1"


def get_vectors(call: Call) -> Answer:
    """Return the vectors that exist among the keys."""
    members, behaviour = call.parameters, call.core.behaviour
    name = members.index_name()
    limit = call.core.limits.keys_per_get
    keys = members.keys(limit, count_distinct=behaviour.count_distinct_keys)
    data, metadata = members.boolean("returnData"), members.boolean("returnMetadata")
    at = call.past(behaviour.get_delay_seconds)
    with call.core.database.read() as db:
        index = call.index(db, name)
        found = table.get(db, index.id, keys, data=data, metadata=metadata, at=at)
    arranged = _arrange(behaviour, keys, found)
    vectors = [_to_json(behaviour, vector, metadata=metadata) for vector in arranged]
    omitted = not vectors and behaviour.omit_empty_vectors
    return Answer.of({} if omitted else {"vectors": vectors})


def _arrange(
    behaviour: Behaviour, keys: list[str], found: list[StoredVector]
) -> list[StoredVector]:
    """Put the vectors found into the order, and as often, as the behaviour says."""
    by_key = {vector.key: vector for vector in found}
    requested = keys if behaviour.duplicates == "each" else list(dict.fromkeys(keys))
    vectors = [by_key[key] for key in requested if key in by_key]
    if behaviour.order == "storage":
        vectors.sort(key=lambda vector: vector.id)
    elif behaviour.order == "shuffled":
        random.Random(behaviour.seed).shuffle(vectors)  # noqa: S311 - a test's order, not a secret
    return vectors


def _to_json(behaviour: Behaviour, vector: StoredVector, *, metadata: bool) -> dict[str, Any]:
    """Return a vector as the API shows it, with its numbers where they were read."""
    _, key, stored, packed = vector
    members: dict[str, Any] = {"key": key}
    if packed is not None:
        shortest = behaviour.float_text == "shortest"
        members["data"] = {"float32": parameters.to_json(packed, shortest=shortest)}
    if stored is not None:
        # Stored as JSON text, and sent as it stands: parsing it again would cost more than reading.
        members["metadata"] = orjson.Fragment(stored)
    elif metadata and behaviour.show_empty_metadata:
        members["metadata"] = {}
    return members


def put_vectors(call: Call) -> Answer:
    """Write vectors, all of them or none."""
    name = call.parameters.index_name()
    items = call.parameters.items("vectors", call.core.limits.vectors_per_put)
    # Form is checked before the index is looked up: NoSuchVectorIndex comes after it.
    vectors = [_read(call, item, f"vectors[{position}]") for position, item in enumerate(items)]
    if len({key for key, _, _ in vectors}) != len(vectors):
        raise invalid("vectors must not hold a key twice.")
    with call.core.database.read() as db:
        index = call.index(db, name)
    if call.refuses_writes(index):
        raise Refusal("InternalError")
    # Worked out before the transaction begins, so that writers hold one another up no longer
    # than SQLite needs.
    now = call.milliseconds
    rows = [_row(call, index, v, f"vectors[{place}]", now) for place, v in enumerate(vectors)]
    with call.core.database.write() as db:
        writes = indexes.note_write(db, index.id)
        if writes is None:  # the index was deleted meanwhile
            raise Refusal("NoSuchVectorIndex")
        keys = [row.key for row in rows]
        call.core.changes.note(index.id, writes, keys)
        _keep_former(call, db, index, keys)
        table.put(db, index.id, rows)
    return Answer()


def _keep_former(call: Call, db: sqlite3.Connection, index: indexes.Index, keys: list[str]) -> None:
    """Keep what vectors are before they change, for reads to which the change is yet to come."""
    behaviour = call.core.behaviour
    since = call.past(max(behaviour.get_delay_seconds, behaviour.query_delay_seconds))
    if since is not None:
        table.keep_former(db, index.id, keys, now=call.milliseconds, since=since)


def _read(call: Call, item: object, where: str) -> tuple[str, bytes, object]:
    """Return key, packed numbers and unchecked metadata: what can be read without the index."""
    if not isinstance(item, dict):
        raise invalid(f"{where} must be an object.")
    key = parameters.check_key(item.get("key"), f"{where}.key", call.core.limits)
    return key, _read_float32(item.get("data"), f"{where}.data"), item.get("metadata")


def _read_float32(holder: object, where: str) -> bytes:
    values = holder.get("float32") if isinstance(holder, dict) else None
    try:
        return parameters.pack(values)
    except ValueError as error:
        raise invalid(f"{where}.float32 {error}.") from None


def _check_float32(packed: bytes, index: indexes.Index, where: str) -> None:
    """Refuse another dimension than the index's, and under cosine a zero vector."""
    count = len(packed) // parameters.FLOAT32_BYTES
    if count != index.dimension:
        raise invalid(f"{where}.float32 has {count} values; the index has {index.dimension}.")
    if index.metric == "cosine" and parameters.is_zero(packed):
        raise invalid(f"{where}.float32 is all zero, which has no cosine.")


def _row(
    call: Call, index: indexes.Index, vector: tuple[str, bytes, object], where: str, now: int
) -> NewVector:
    key, packed, metadata = vector
    behaviour = call.core.behaviour
    if behaviour.unstorable_fails and index.metric == "cosine" and parameters.is_zero(packed):
        raise Refusal("InternalError")
    _check_float32(packed, index, f"{where}.data")
    try:
        whole, filterable = parameters.encode_metadata(
            metadata, index.non_filterable, call.core.limits, behaviour
        )
    except ValueError as error:
        raise invalid(f"{where}.metadata {error}.") from None
    return NewVector(key, now, filterable, whole, packed)


def delete_vectors(call: Call) -> Answer:
    """Delete the vectors that exist among the keys."""
    name = call.parameters.index_name()
    # Counted without repetitions, as the page says (section 4.5).
    keys = call.parameters.keys(call.core.limits.keys_per_delete, count_distinct=True)
    with call.core.database.write() as db:
        index = call.index(db, name)
        writes = indexes.note_write(db, index.id)
        if writes is not None:
            call.core.changes.note(index.id, writes, keys)
        _keep_former(call, db, index, keys)
        table.delete(db, index.id, keys)
    return Answer()


def list_vectors(call: Call) -> Answer:
    """Return a page of an index's vectors, and a page token where more remain."""
    members = call.parameters
    name, limits = members.index_name(), call.core.limits
    limit = members.integer("maxResults", 1, limits.list_page, limits.list_page_default)
    token = members.text("nextToken", limits.vector_token_bytes)
    segments = members.integer("segmentCount", 1, limits.list_segments, 1)
    segment = segments, members.integer("segmentIndex", 0, segments - 1, 0)
    metadata_filter = _list_filter(call)
    data, metadata = members.boolean("returnData"), members.boolean("returnMetadata")
    at = call.past(call.core.behaviour.get_delay_seconds)
    with call.core.database.read() as db:
        index = call.index(db, name)
        call.check_filterable(index, metadata_filter)
        after = _read_token(token, index)
        # One vector more than the page holds tells whether another page follows.
        if metadata_filter is None:
            found = table.page(
                db, index.id, after, limit + 1, segment, data=data, metadata=metadata, at=at
            )
        else:
            rows = table.filterables(db, index.id, after, segment, at=at)
            matching = (row for row, text in rows if metadata_filter.matches_text(text))
            # Only those that pass are read whole.
            ids = list(itertools.islice(matching, limit + 1))
            rows.close()  # else the connection would go back with its snapshot still open
            by_id = table.by_id(db, ids, data=data, metadata=metadata, at=at)
            found = [by_id[row] for row in ids]
    behaviour = call.core.behaviour
    vectors = [_to_json(behaviour, vector, metadata=metadata) for vector in found[:limit]]
    answer: dict[str, Any] = {"vectors": vectors}
    if len(found) > limit:
        answer["nextToken"] = _token(index, found[limit - 1].id)
    return Answer.of(answer)


def _list_filter(call: Call) -> Filter | None:
    reading = call.core.behaviour.list_filter
    if reading == "refused" and call.members.get("filter") is not None:
        raise invalid("filter is not a parameter of ListVectors.")
    return call.filter() if reading == "honoured" else None


def _token(index: indexes.Index, row: int) -> str:
    # Letters, digits, - and _ alone, so that a token survives a URL, a shell and a log.
    return base64.urlsafe_b64encode(_TOKEN.pack(_MARK, index.id, row)).decode().rstrip("=")


def _read_token(token: str, index: indexes.Index) -> int:
    if not token:
        return 0
    try:
        raw = base64.b64decode(f"{token}{'=' * (-len(token) % 4)}", b"-_", validate=True)
        mark, index_id, row = _TOKEN.unpack(raw)
    except (struct.error, ValueError):
        raise invalid("nextToken is not one that this service gave.") from None
    if mark != _MARK or index_id != index.id:
        raise invalid("nextToken belongs to another listing.")
    return int(row)


def query_vectors(call: Call) -> Answer:
    """Return the `topK` vectors nearest to the query, the closest first."""
    members, behaviour = call.parameters, call.core.behaviour
    name = members.index_name()
    top_k = members.integer("topK", 1, _most_results(call))
    distance, metadata = members.boolean("returnDistance"), members.boolean("returnMetadata")
    query = _read_float32(call.members.get("queryVector"), "queryVector")
    metadata_filter = call.filter()
    at = call.past(behaviour.query_delay_seconds)
    search = call.core.search
    with call.core.database.read() as db:
        index = call.index(db, name)
        call.check_filterable(index, metadata_filter)
        _check_float32(query, index, "queryVector")
        hits = search.nearest(
            db,
            index,
            query,
            top_k,
            metadata_filter=metadata_filter,
            at=at,
            rank_first=behaviour.filter_after_ranking,
        )
        # In the same snapshot: a vector deleted meanwhile is still there to be shown.
        found = table.by_id(db, [hit.id for hit in hits], data=False, metadata=metadata, at=at)
    vectors = [_to_json(behaviour, found[hit.id], metadata=metadata) for hit in hits]
    if distance:
        squared = behaviour.squared_euclidean and index.metric == "euclidean"
        for vector, hit in zip(vectors, hits, strict=True):
            vector["distance"] = hit.distance * hit.distance if squared else hit.distance
    return Answer.of({"vectors": vectors})


def _most_results(call: Call) -> int:
    most, limit = call.core.limits.top_k, call.core.behaviour.top_k_limit
    # The largest leaves it to the limits, where an account's own quota may be more.
    return most if limit == max(get_args(TopKLimit)) else min(most, limit)
