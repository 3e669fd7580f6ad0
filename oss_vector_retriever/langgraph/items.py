"""Items of memory as records: names, namespaces and values, there and back."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from langgraph.store.base import GetOp, Item, PutOp

from ..client.errors import InvalidRequestError, quote
from ..client.models import DEFAULT_LIMITS, Vector, metadata_bytes
from ..records.decode import DecodeError
from ..records.settings import ROW_FIELD
from ..records.store import RecordStore
from ..records.typed import as_python

KIND = "memory"
WITHIN_FIELD = "_within"
EMBEDDED_FIELD = "_embedded"
# what an item is made of, as JSON has it
_PARTS = {"value": dict, "key": str, "namespace": list, "created_at": str, "updated_at": str}
_MOMENTS = ("created_at", "updated_at")
MAX_COPIES = DEFAULT_LIMITS.filterable_keys - 4  # next to row, namespace, embedded field and mark
_MAX_PATH_BYTES = DEFAULT_LIMITS.filterable_bytes - 64  # of which the other copies take some
Namespace = tuple[str, ...]
Address = tuple[Namespace, str]


def name_of(namespace: Namespace, key: str) -> str:
    """Return the key of the record: `a.b..key` for the namespace `("a", "b")`.

    No label is empty or holds a period, so the first two periods end the namespace.

    Raises:
        InvalidRequestError: a label is no such label, or the key is no string.
    """
    if not isinstance(key, str):
        raise InvalidRequestError(f"a key must be a string, not {type(key).__name__}.")
    return f"{path_of(namespace)}..{key}"


def address_of(op: GetOp | PutOp) -> Address:
    """Return where an operation reads or writes.

    Raises:
        InvalidRequestError: the namespace or the key is no such thing.
    """
    name_of(op.namespace, op.key)
    return tuple(op.namespace), op.key


def path_of(namespace: Sequence[str]) -> str:
    """Return a namespace as one string, its labels joined by periods.

    Raises:
        InvalidRequestError: a label is empty, holds a period or is no string.
    """
    if isinstance(namespace, str | bytes) or not hasattr(namespace, "__iter__"):
        raise InvalidRequestError(
            f"a namespace is a tuple of labels, not {quote(namespace)}; put a single one into a "
            'tuple, as in ("users",).'
        )
    for label in namespace:
        if not isinstance(label, str) or not label or "." in label:
            raise InvalidRequestError(
                f"a label of a namespace is a string without periods, not {quote(label)}."
            )
    return ".".join(namespace)


def is_label(label: str) -> bool:
    """Tell whether part of a condition is a label as it stands, and no wildcard."""
    return bool(label) and label != "*" and "." not in label


def copy_of(field: str) -> str:
    """Return the metadata field in which a filterable field of a value is copied."""
    return f"_value_{field}"


def vector_of(
    records: RecordStore,
    item: Item,
    embedding: Sequence[float] | None,
    dimension: int,
    copied: Sequence[str] | None = None,
) -> Vector:
    """Return the vector that holds an item; without an embedding it has a placeholder.

    `copied` names fields of the value that are copied where the service's filters see them; None
    copies all that fit. Only texts, numbers, booleans, dates, UUIDs and lists of texts are.

    Raises:
        InvalidRequestError: a value that JSON cannot hold, or a limit passed.
    """
    # The service tests membership, not prefixes: each namespace around an item is written out.
    path = item.namespace
    paths = [path_of(path[:depth]) for depth in range(1, len(path) + 1)]
    if (size := metadata_bytes({WITHIN_FIELD: paths})) > _MAX_PATH_BYTES:
        raise InvalidRequestError(
            f"namespace {quote(paths[-1])}: it and those it lies in take {size:,} bytes, and "
            f"{_MAX_PATH_BYTES:,} are possible; use fewer labels, or shorter ones."
        )
    marks = {
        ROW_FIELD: KIND,
        WITHIN_FIELD: paths,
        EMBEDDED_FIELD: "no" if embedding is None else "yes",  # so that searches pass it over
    }
    copies = {copy_of(field): value for field, value in item.value.items()}
    named = {copy_of(field) for field in copied or ()}
    own = [*marks, *(name for name, value in copies.items() if name in named and _is_plain(value))]
    if embedding is None:  # an index holds no record without data, and cosine takes no zeros
        embedding = [1.0] + [0.0] * (dimension - 1)
    name, metadata = name_of(item.namespace, item.key), {**marks, **item.dict()}
    seen = {**marks, **copies}
    return records.encode(name, embedding, text="", metadata=metadata, own=own, visible=seen)


def is_embedded(vector: Vector) -> bool:
    """Tell whether the item in a vector is to be found by its embedding."""
    return (vector.metadata or {}).get(EMBEDDED_FIELD) != "no"


def _is_plain(value: object) -> bool:
    value = as_python(value)
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return texts or isinstance(value, str | int | float | date | Decimal | UUID)


def item_of(records: RecordStore, vector: Vector | None) -> Item | None:
    """Return the item in a vector; None for a record that is no item of memory.

    Raises:
        DecodeError: it says that it is one, and a part of an item is absent or another thing.
    """
    record = None if vector is None else records.decode(vector)
    if record is None or record.metadata.get(ROW_FIELD) != KIND:
        return None
    parts: dict[str, Any] = {}
    for name, kind in _PARTS.items():
        parts[name] = record.metadata.get(name)
        if not isinstance(parts[name], kind):
            raise DecodeError(record.key, name, f"it is absent, or not of type {kind.__name__}")
        if name in _MOMENTS:
            try:
                parts[name] = datetime.fromisoformat(parts[name])
            except ValueError:
                raise DecodeError(record.key, name, "it is no moment") from None
    if not all(isinstance(label, str) for label in parts["namespace"]):
        raise DecodeError(record.key, "namespace", "a label of it is no string")
    return Item(**parts)


def items_of(records: RecordStore, vectors: Sequence[Vector]) -> Iterator[Item]:
    """Yield the items in vectors; other records are passed over."""
    for vector in vectors:
        if (item := item_of(records, vector)) is not None:
            yield item


def new_item(address: Address, value: dict[str, Any], earlier: Item | None) -> Item:
    """Return an item as it is now; the moment of its making is that of the earlier one."""
    now = datetime.now(UTC)
    made = now if earlier is None else earlier.created_at
    return Item(value=value, key=address[1], namespace=address[0], created_at=made, updated_at=now)
