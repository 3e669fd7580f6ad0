"""PutVectors, GetVectors and DeleteVectors; reference sections 4.1, 4.2 and 4.5."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from oss_vector_retriever.emulator import floats, json_text, metadata
from oss_vector_retriever.emulator.operations.call import Answer, Call
from oss_vector_retriever.emulator.parameters import check_key
from oss_vector_retriever.emulator.refusals import Refusal, invalid
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
        shown["data"] = {"float32": floats.jsonable(vector.data, shortest=shortest)}
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
        return floats.pack(values)
    except ValueError as error:
        raise invalid(f"{where}.float32 {error}.") from None


def check_float32(packed: bytes, index: Index, where: str) -> None:
    """Refuse another dimension than the index's, and under cosine a zero vector."""
    count = len(packed) // floats.WIDTH
    if count != index.dimension:
        raise invalid(f"{where}.float32 has {count} values; the index has {index.dimension}.")
    if index.metric == "cosine" and floats.is_zero(packed):
        raise invalid(f"{where}.float32 is all zero, which has no cosine.")


def _row(call: Call, index: Index, vector: tuple[str, bytes, object], place: int) -> NewVector:
    key, packed, members = vector
    where = f"vectors[{place}]"
    if call.behaviour.unstorable_fails and index.metric == "cosine" and floats.is_zero(packed):
        raise Refusal("InternalError")
    check_float32(packed, index, f"{where}.data")
    try:
        text = metadata.encode(
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
