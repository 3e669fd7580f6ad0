"""JSON text, read strictly: no NaN, no member twice, no bottomless nesting; and written."""

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

import orjson

from .rules.refusals import Refusal

_ESCAPED_COLON = b"\\u003"  # its last digit may be a or A
_NUMBERS = (float, int)
_SCAN_PROTOCOL = 1
_WORTH_SCANNING = 8 * 1024  # bytes: shorter are most requests without vectors
# The bytes of 0x15ae43fd, little-endian, without the top one: see `rules.parameters`. A double that
# is rounded once more becomes its neighbour.
_ROUNDS_TWICE = b"\xfd\x43\xae"


def _load_scan() -> Callable[[bytes], tuple[bytes, list[bytes]] | None] | None:
    """Return the compiled scan (extra `fast`), or None: what is read then is the same."""
    try:
        module = importlib.import_module("oss_vector_scan")
    except Exception:  # noqa: BLE001 - one for another interpreter may fail in any way
        return None
    # It packs numbers in the machine's order, and the service keeps them little-endian.
    usable = getattr(module, "PROTOCOL", None) == _SCAN_PROTOCOL and sys.byteorder == "little"
    return module.scan if usable else None


_scan = _load_scan()


def parse_object(body: bytes, *, numbers_fail: bool = False) -> dict[str, Any]:
    """Return the JSON object in a request body.

    The compiled scan, where there is one, leaves packed bytes in the place of each array at
    `vectors[i].data.float32`; JSON itself has no bytes.

    Raises:
        Refusal: MalformedJson for anything but one well-formed object with distinct members; with
            `numbers_fail` InternalError for NaN and infinity in an otherwise well-formed text.
    """
    # Whatever is not certainly plain is read, and what is wrong with it worded, below.
    if _scan is not None and len(body) >= _WORTH_SCANNING and (scanned := _scan(body)) is not None:
        members = _read_scanned(*scanned)
        if members is not None:
            return members
    # orjson refuses NaN, lone surrogates and deep nesting, but of a member twice it keeps the last.
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Python's own reader knows NaN and infinity.
        if numbers_fail and _is_readable(body):
            raise Refusal("InternalError") from None
        raise Refusal("MalformedJson", f"At position {error.pos}.") from None
    if not isinstance(parsed, dict):
        raise Refusal("MalformedJson", "The body must be a JSON object.")
    # float, for int() refuses thousands of digits; the numbers are of no interest here.
    hooks = {"object_pairs_hook": _read_object, "parse_int": float}
    if _may_repeat_members(body, parsed) and not _is_readable(body, **hooks):
        raise Refusal("MalformedJson", "An object names a member twice.")
    return parsed


def _read_scanned(rest: bytes, arrays: list[bytes]) -> dict[str, Any] | None:
    """Return the object in what the scan has left of a body, or None where anything is unusual.

    In `rest` a number stands in the place of each array, and counts them: the scan has seen to it
    that no other number can stand there.
    """
    try:
        parsed: dict[str, Any] = orjson.loads(rest)
        if _may_repeat_members(rest, parsed):
            return None
        for item in parsed["vectors"]:
            data = item["data"]
            packed = arrays[data["float32"]]
            if _ROUNDS_TWICE in packed:
                return None
            data["float32"] = packed
    except (ValueError, TypeError, LookupError):
        return None
    return parsed


def _may_repeat_members(text: bytes, parsed: dict[str, Any]) -> bool:
    """Tell whether an object in a JSON text may name a member twice, which the parser passes over.

    A lost member loses some of the colons written. They are counted, for a parser with a hook for
    pairs is ten times slower on a body of floats.
    """
    return text.count(b":") != _colons(parsed) or (b"\\" in text and _ESCAPED_COLON in text)


def dumps(value: object) -> bytes:
    """Return compact JSON text, UTF-8; packed float32 arrays of numpy are written in short form."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _colons(value: object) -> int:
    """Count the colons that a value's JSON text holds; lists of numbers are passed over."""
    count = 0
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        kind = type(item)  # the parser makes no subclasses
        if kind is str:
            count += item.count(":")
        elif kind is dict:
            count += len(item) + "".join(item).count(":")
            pending += item.values()
        # A list that begins with a number is taken for one of numbers. If it holds objects all the
        # same, their colons are missing from the count, and the slow parser decides.
        elif kind is list and item and type(item[0]) not in _NUMBERS:
            pending += item
    return count


def _is_readable(body: bytes, **hooks: Any) -> bool:
    """Tell whether Python's own reader takes a text."""
    try:
        json.loads(body, **hooks)
    except (ValueError, RecursionError):
        return False
    return True


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members
