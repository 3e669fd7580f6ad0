"""Items of memory as records: names, namespaces and values, there and back.

An item is one record, its head, in the index that is searched: there alone stand value and text.
The head has the embedding of the item's first text, so that an item of one text, as nearly all are,
is one vector and is written at once. Each further text is a vector beside it, which names the head
and its version; where the head has another version by now, it counts for nothing. Items of earlier
releases are heads without a version, and have one embedding.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from langgraph.store.base import GetOp, Item, PutOp

from ..client.errors import InvalidRequestError, quote
from ..client.models import DEFAULT_LIMITS, Vector, metadata_bytes
from ..records.decode import DecodeError
from ..records.settings import ROW_FIELD
from ..records.store import RecordStore
from ..records.typed import as_python

KIND = "memory"
TEXT_KIND: Final = "memory-text"  # of vectors of the further texts of an item
WITHIN_FIELD = "_within"
EMBEDDED_FIELD = "_embedded"
# what an item is made of, as JSON has it
_PARTS = {"value": dict, "key": str, "namespace": list, "created_at": str, "updated_at": str}
_MOMENTS = ("created_at", "updated_at")
# what a head says beside its item; earlier releases wrote none of it, and pass over it
_VERSION: Final = "version"
_TEXTS: Final = "texts"
_TTL: Final = "ttl"
_HEAD: Final = "head"
_DIGEST: Final = 24  # hexadecimal digits: of a few texts no two are alike by chance
_MOMENT: Final = 14  # hexadecimal digits of a version: microseconds
_RANDOM: Final = 6  # bytes after them
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


@dataclass(frozen=True, slots=True)
class Head:
    """An item as it is stored, and what its head says of it.

    Attributes:
        item: the item.
        version: of this writing of it; "" in a record of an earlier release.
        texts: a digest of each text that has an embedding, the head's own first.
        ttl: in how many minutes it expires that nobody reads; None for never.
    """

    item: Item
    version: str = ""
    texts: tuple[str, ...] = ()
    ttl: float | None = None

    @property
    def name(self) -> str:
        """Return the key of the record."""
        return name_of(self.item.namespace, self.item.key)

    @property
    def text_keys(self) -> list[str]:
        """Return the keys of the vectors of its further texts."""
        return [self.text_key(number) for number in range(1, len(self.texts))]

    def text_key(self, number: int) -> str:
        """Return the key of the vector of a text; the first one is the head's own."""
        if number == 0:
            return self.name
        # no name of an item begins like this: no label is empty
        return f".{digest(self.name)}/{self.version}/{number}"

    def ends_at(self) -> datetime | None:
        """Return when it expires if nobody has read it since it was written."""
        return None if self.ttl is None else self.item.updated_at + timedelta(minutes=self.ttl)


@dataclass(frozen=True, slots=True)
class Mention:
    """What a vector that a search finds says of an item: which, and of what version.

    `head` is the item itself, where the vector is the item's head.
    """

    name: str
    version: str
    head: Head | None = None


def digest(*texts: str) -> str:
    """Return a short name for some texts."""
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:_DIGEST]


def new_version(now: datetime) -> str:
    """Return the version of an item that is written now; it begins with the moment."""
    moment = int(now.timestamp() * 1_000_000)
    return f"{moment:0{_MOMENT}x}{secrets.token_hex(_RANDOM)}"


def written_at(version: str) -> float:
    """Return the moment with which a version begins, as seconds; 0 where it has none."""
    try:
        return int(version[:_MOMENT], 16) / 1_000_000
    except ValueError:
        return 0.0


def vectors_of(
    records: RecordStore, head: Head, dimension: int, copied: Sequence[str] | None = None
) -> list[Vector]:
    """Return the vectors of an item, its head first, each with a placeholder for an embedding.

    `copied` names fields of the value that are copied where the service's filters see them; None
    copies all that fit. Only texts, numbers, booleans, dates, UUIDs and lists of texts are.

    Raises:
        InvalidRequestError: a value that JSON cannot hold, or a limit passed.
    """
    # The service tests membership, not prefixes: each namespace around an item is written out.
    item, path = head.item, head.item.namespace
    paths = [path_of(path[:depth]) for depth in range(1, len(path) + 1)]
    if (size := metadata_bytes({WITHIN_FIELD: paths})) > _MAX_PATH_BYTES:
        raise InvalidRequestError(
            f"namespace {quote(paths[-1])}: it and those it lies in take {size:,} bytes, and "
            f"{_MAX_PATH_BYTES:,} are possible; use fewer labels, or shorter ones."
        )
    marks = {
        ROW_FIELD: KIND,
        WITHIN_FIELD: paths,
        EMBEDDED_FIELD: "yes" if head.texts else "no",  # so that searches pass it over
    }
    copies = {copy_of(field): value for field, value in item.value.items()}
    named = {copy_of(field) for field in copied or ()}
    own = [*marks, *(name for name, value in copies.items() if name in named and _is_plain(value))]
    # an index holds no record without data, and cosine takes no zeros
    data = [1.0] + [0.0] * (dimension - 1)
    about: dict[str, Any] = {_VERSION: head.version}
    if head.texts:
        about[_TEXTS] = list(head.texts)
    if head.ttl is not None:
        about[_TTL] = head.ttl

    def encode(key: str, kind: str, metadata: Mapping[str, Any]) -> Vector:
        of_kind = {**marks, ROW_FIELD: kind}
        visible = {**of_kind, **copies}  # so that filters choose among texts as among heads
        whole = {**of_kind, **metadata}
        return records.encode(key, data, text="", metadata=whole, own=own, visible=visible)

    pointer = {_HEAD: head.name, _VERSION: head.version}
    return [
        encode(head.name, KIND, {**item.dict(), **about}),
        *(encode(key, TEXT_KIND, pointer) for key in head.text_keys),
    ]


def is_embedded(vector: Vector) -> bool:
    """Tell whether the item in a vector is to be found by its embedding."""
    return (vector.metadata or {}).get(EMBEDDED_FIELD) != "no"


def _is_plain(value: object) -> bool:
    value = as_python(value)
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return texts or isinstance(value, str | int | float | date | Decimal | UUID)


def head_of(records: RecordStore, vector: Vector | None) -> Head | None:
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
    version, texts, ttl = (record.metadata.get(name) for name in (_VERSION, _TEXTS, _TTL))
    return Head(
        Item(**parts),
        version if isinstance(version, str) else "",
        tuple(map(str, texts)) if isinstance(texts, list) else (),
        ttl if isinstance(ttl, int | float) else None,
    )


def mention_of(records: RecordStore, vector: Vector) -> Mention | None:
    """Return what a vector says of an item; None for a record that is none of memory's.

    Raises:
        DecodeError: it is a head that cannot be read.
    """
    if (vector.metadata or {}).get(ROW_FIELD) != TEXT_KIND:
        head = head_of(records, vector)
        return None if head is None else Mention(head.name, head.version, head)
    record = records.decode(vector)
    name, version = (record.metadata.get(part) if record else None for part in (_HEAD, _VERSION))
    if not (isinstance(name, str) and isinstance(version, str)):
        return None
    return Mention(name, version)


def heads_of(records: RecordStore, vectors: Sequence[Vector]) -> Iterator[Head]:
    """Yield the items in vectors; other records are passed over."""
    for vector in vectors:
        if (head := head_of(records, vector)) is not None:
            yield head


def new_item(address: Address, value: dict[str, Any], earlier: Head | None, now: datetime) -> Item:
    """Return an item as it is now; the moment of its making is that of the earlier one."""
    made = now if earlier is None else earlier.item.created_at
    return Item(value=value, key=address[1], namespace=address[0], created_at=made, updated_at=now)
