"""New metadata for stored records, their embeddings kept: no embedding call.

Read, change, write: a writer of the same key in between is overwritten, the service has no
condition to stop that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.sizes import dump
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.records.decode import decode
from oss_vector_retriever.records.encode import filterable_value
from oss_vector_retriever.records.envelope import ENVELOPE_KEYS
from oss_vector_retriever.records.nodes import NODE_FIELD
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.storing import RecordStore, Start
from oss_vector_retriever.records.values import fresh, load_object


def update_metadata(
    store: RecordStore,
    keys: Iterable[str],
    patch: Mapping[str, Any],
    *,
    remove: Collection[str] = (),
) -> Start[tuple[str, ...]]:
    """Merge a patch into the metadata of stored records; return the keys that were there.

    Text, embedding and all other fields stay as they are. A record of this package keeps its types
    and gets its filterable copies anew; one that others wrote stays in their form, which has
    strings alone: a number is written as `filterable_value` says, None removes.

    Args:
        store: the store.
        keys: of the records; those that do not exist are passed over.
        patch: top-level fields and their new values.
        remove: top-level fields to take away.

    Raises:
        InvalidRequestError: a record would pass a limit, or a field is not metadata; nothing was
            written.
        DecodeError: a record cannot be read; nothing was written.
        PartialWriteError: calls failed; its `report` says which records are changed.
    """
    if isinstance(remove, str):
        raise InvalidRequestError("remove takes several names; put a single one into a list.")
    if not isinstance(patch, Mapping):
        raise InvalidRequestError(f"patch must be a dict, not a {type(patch).__name__}.")

    wanted = store.fetch(keys, return_data=True)

    def start(context: Context) -> Flow[tuple[str, ...]]:
        result = yield from wanted(context)
        changed = [_patched(store, vector, patch, remove) for vector in result.by_key.values()]
        report = yield from store.write(changed)(context)
        written = set(report.written)
        return tuple(key for key in dict.fromkeys(result.keys) if key in written)

    return start


def _patched(
    store: RecordStore, vector: Vector, patch: Mapping[str, Any], remove: Collection[str]
) -> Vector:
    record = decode(vector, text_key=store.settings.text_key)
    stored = vector.metadata or {}
    if record.source == "envelope":
        metadata = _merged(record.metadata, patch, remove)
        beside = [name for name in stored if name not in ENVELOPE_KEYS]
        return store.encoded(
            vector.key,
            vector.data,
            text=record.text,
            metadata=metadata,
            node=record.node,
            also_filterable=beside,
        )
    _refuse_text(record, stored, (*patch, *remove))
    plain = {name: _form(store, record, name, value) for name, value in patch.items()}
    gone = (*remove, *(name for name, value in plain.items() if value is None))
    changed = _merged(fresh(stored), plain, gone)
    if record.source == "llama_index":
        changed[NODE_FIELD] = _node(vector.key, stored, patch, remove)
    return Vector(vector.key, vector.data, changed)


def _merged(
    metadata: dict[str, Any], patch: Mapping[str, Any], remove: Collection[str]
) -> dict[str, Any]:
    return {name: v for name, v in {**metadata, **patch}.items() if name not in remove}


def _form(store: RecordStore, record: Record, name: str, value: object) -> object:
    try:
        return filterable_value(value, native_scalars=store.settings.native_scalars)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"record {shown(record.key)}: metadata[{shown(name)}] cannot be written, since another "
            f"program wrote this record, as plain fields: {error}. Write the whole record anew."
        ) from error


def _refuse_text(record: Record, stored: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if name in stored and name not in record.metadata:
            raise InvalidRequestError(
                f"record {shown(record.key)}: {shown(name)} is not metadata there: it holds the "
                "text, or bookkeeping of the program that wrote it."
            )


def _node(
    key: str, stored: Mapping[str, Any], patch: Mapping[str, Any], remove: Collection[str]
) -> str:
    node = load_object(stored[NODE_FIELD], key, NODE_FIELD)
    node["metadata"] = _merged(node.get("metadata") or {}, patch, remove)
    return dump(node)
