"""What a request's JSON members may be: names, keys, counts, float32 values and metadata.

Mistakes in `Parameters` are VectorIndexParameterInvalid; the functions below it raise ValueError
with the reason, for whoever knows which member it is.
"""

import re
import struct
import sys
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Any, TypeVar

from ...client.models.limits import Limits
from .. import json_text
from ..behaviour import Behaviour
from .refusals import invalid

_INDEX_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

T = TypeVar("T")

FLOAT32_BYTES = 4
# Read as float64 and rounded, the shortest text of 7.038531e-26 (0x15ae43fd, either sign) gives
# its neighbour. It is the only such float32; its bytes, little-endian, without the top one:
ROUNDS_TWICE = b"\xfd\x43\xae"
_ONE = struct.pack("<f", 1.0)


class Parameters:
    """Typed access to the members of a request's JSON object; others are ignored (section 15).

    A member that is null is as one that is absent.
    """

    def __init__(self, members: Mapping[str, Any], limits: Limits) -> None:
        self._members = {name: x for name, x in members.items() if x is not None}
        self._limits = limits

    def index_name(self) -> str:
        """Return `indexName`, checked by the rule of section 7.1."""
        name = self._members.get("indexName")
        longest = self._limits.index_name_characters
        if not isinstance(name, str) or not _INDEX_NAME.fullmatch(name) or len(name) > longest:
            raise invalid(
                f"indexName must be 1 to {longest} letters and digits, the first a letter."
            )
        return name

    def keys(self, limit: int, *, count_distinct: bool = False) -> list[str]:
        """Return `keys`: 1 to `limit` strings, or so many distinct ones (section 4.1)."""
        keys = self.items("keys", sys.maxsize if count_distinct else limit)
        # A few passes in C tell that nothing is wrong; a look at each key tells what is.
        lengths = set(map(len, keys)) if set(map(type, keys)) == {str} else {0}
        if min(lengths) < 1 or max(lengths) > self._limits.key_characters:
            for position, key in enumerate(keys):
                check_key(key, f"keys[{position}]", self._limits)
        if len(keys) > limit and len(set(keys)) > limit:
            raise invalid(f"keys must be an array of 1 to {limit} elements.")
        return keys

    def items(self, name: str, limit: int) -> list[Any]:
        """Return an array of 1 to `limit` elements."""
        items = self._members.get(name)
        if not isinstance(items, list) or not 1 <= len(items) <= limit:
            raise invalid(f"{name} must be an array of 1 to {limit} elements.")
        return items

    def boolean(self, name: str) -> bool:
        """Return a boolean that defaults to false."""
        value = self._members.get(name, False)
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false.")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer from `low` to `high`; without a default it is required."""
        value = self._members.get(name, default)
        # type(), for isinstance() takes true and false for integers.
        if type(value) is not int or not low <= value <= high:
            raise invalid(f"{name} must be an integer from {low} to {high}.")
        return value

    def text(self, name: str, limit: int) -> str:
        """Return a string of at most `limit` bytes of UTF-8 that defaults to the empty one."""
        value = self._members.get(name, "")
        if not isinstance(value, str) or len(value.encode()) > limit:
            raise invalid(f"{name} must be a string of at most {limit} bytes.")
        return value

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a required string that is one of `choices`."""
        value = self._members.get(name)
        if value not in choices:
            raise invalid(f"{name} must be {' or '.join(choices)}.")
        return str(value)

    def non_filterable(self) -> tuple[str, ...]:
        """Return `metadata.nonFilterableMetadataKeys`, or nothing (section 7.1)."""
        metadata = self._members.get("metadata")
        if metadata is None:
            return ()
        if not isinstance(metadata, dict):
            raise invalid("metadata must be an object.")
        inner = Parameters(metadata, self._limits)
        if "nonFilterableMetadataKeys" not in inner._members:
            return ()
        names = inner.items("nonFilterableMetadataKeys", self._limits.non_filterable_keys)
        longest = self._limits.metadata_name_bytes
        for name in names:
            match = isinstance(name, str) and _METADATA_NAME.fullmatch(name)
            if not match or len(name) > longest:
                raise invalid(
                    f"A non-filterable key must be 1 to {longest} letters, digits and underscores,"
                    " and not start with a digit."
                )
        if len(set(names)) != len(names):
            raise invalid("nonFilterableMetadataKeys must not hold a name twice.")
        return tuple(names)


def check_key(key: object, where: str, limits: Limits) -> str:
    """Return a key, refusing anything but a string of 1 to 1,024 characters."""
    if not isinstance(key, str) or not 1 <= len(key) <= limits.key_characters:
        raise invalid(f"{where} must be a string of 1 to {limits.key_characters} characters.")
    return key


def pack(values: object) -> bytes:
    """Return the parsed `float32` member, JSON numbers, as little-endian float32, 4 bytes each.

    Packed bytes, which `rules.arrays` leaves there, are returned as they are.

    Raises:
        ValueError: not a list of numbers that float32 can hold, with the reason.
    """
    if isinstance(values, bytes):
        return values
    if not isinstance(values, list):
        raise ValueError("must be an array of numbers")  # noqa: TRY004 - one kind for all
    try:
        packed = _packer(len(values)).pack(*values)
    except struct.error:
        raise ValueError("holds a value that is not a number") from None
    except OverflowError:
        raise ValueError("holds a number too large for float32") from None
    # Packed booleans are ones and zeros: the types need no look where there are neither. Zeros have
    # a top byte of zero, as few numbers have, and a quarter of the bytes is quickly looked at.
    may_hold = _ONE in packed or b"\x00" in packed[3::FLOAT32_BYTES]
    if may_hold and bool in set(map(type, values)):
        raise ValueError("holds a boolean")
    return packed


@lru_cache(maxsize=64)
def _packer(count: int) -> struct.Struct:
    # struct.pack() copies the numbers once more, to put its format before them.
    return struct.Struct(f"<{count}f")


def is_zero(packed: bytes) -> bool:
    """Tell whether every value is zero, of either sign."""
    # Most vectors end here, at the speed of C; the sign's bit alone (0x80) may be set in a zero.
    if packed.strip(b"\x00\x80"):
        return False
    return not any(value for (value,) in struct.iter_unpack("<f", packed))


def to_json(packed: bytes, *, shortest: bool = True) -> Any:
    """Return what `json_text.dumps` writes so that a reader gets the same float32 back.

    numpy float32 is written in its shortest form; without numpy, where that form is not wanted, or
    where it would be read back as another float32, the values are written as float64.
    """
    numpy = _numpy() if shortest else None
    if numpy is None or ROUNDS_TWICE in packed:
        return list(struct.unpack(f"<{len(packed) // FLOAT32_BYTES}f", packed))
    return numpy.frombuffer(packed, dtype="<f4").astype("f4", copy=False)


@cache
def _numpy() -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - optional: only speed and shortness depend on it
    except ImportError:
        return None
    return np


def encode_metadata(
    metadata: object, non_filterable: Collection[str], limits: Limits, behaviour: Behaviour
) -> tuple[str | None, str | None]:
    """Return metadata as JSON text, and its filterable part, None where that is the whole.

    Sizes are bytes of that text, which is compact UTF-8.

    Raises:
        ValueError: the metadata breaks a rule, with the reason.
    """
    if metadata is None or metadata == {}:
        return None, None
    if not isinstance(metadata, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - one kind for all
    for name, value in metadata.items():
        if type(value) is not str:  # no call for what most values are
            _check_value(name, value, strings_only=behaviour.scalars == "refused")
    if behaviour.scalars == "strings":
        metadata = {name: as_text(value) for name, value in metadata.items()}
    whole = json_text.dumps(metadata)
    check_at_most(limits.metadata_bytes, len(whole), "bytes")
    filterable = metadata
    if not metadata.keys().isdisjoint(non_filterable):
        filterable = {name: metadata[name] for name in metadata if name not in non_filterable}
    # Most metadata is filterable altogether: it is then neither written nor kept twice.
    text = whole if filterable is metadata else json_text.dumps(filterable)
    if behaviour.metadata_names == "all":
        check_at_most(limits.filterable_keys, len(metadata), "names")
    check_at_most(limits.filterable_keys, len(filterable), "filterable keys")
    check_at_most(limits.filterable_bytes, len(text), "filterable bytes")
    return whole.decode(), None if text is whole else text.decode()


def _check_value(name: str, value: Any, *, strings_only: bool) -> None:
    if isinstance(value, list):
        if not all(isinstance(item, str) for item in value):
            raise ValueError(f"{name!r} must be an array of strings only")
    elif strings_only or not isinstance(value, bool | int | float):
        # Objects and null are documented nowhere, and clients avoid them (section 5.1).
        allowed = "a string" if strings_only else "a string, a number, a boolean"
        raise ValueError(f"{name!r} must be {allowed} or an array of strings")


def as_text(value: T) -> T | str:
    """Return a number or a boolean as JSON writes it, and anything else as it is."""
    return json_text.dumps(value).decode() if isinstance(value, bool | int | float) else value


def check_at_most(limit: int, count: int, what: str) -> None:
    """Refuse more than a limit, by a ValueError."""
    if count > limit:
        raise ValueError(f"has {count} {what}; at most {limit} are allowed")
