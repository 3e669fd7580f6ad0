"""JSON text, read strictly: no NaN, no member twice, no bottomless nesting; and written."""

import json
from typing import Any

import orjson

from .rules.refusals import Refusal

_ESCAPED_COLON = b"\\u003"  # its last digit may be a or A
_NUMBERS = (float, int)


def parse_object(body: bytes, *, numbers_fail: bool = False) -> dict[str, Any]:
    """Return the JSON object in a request body.

    Raises:
        Refusal: MalformedJson for anything but one well-formed object with distinct members; with
            `numbers_fail` InternalError for NaN and infinity in an otherwise well-formed text.
    """
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
    if may_repeat_members(body, parsed) and not _is_readable(body, **hooks):
        raise Refusal("MalformedJson", "An object names a member twice.")
    return parsed


def dumps(value: object) -> bytes:
    """Return compact JSON text, UTF-8; packed float32 arrays of numpy are written in short form."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def may_repeat_members(text: bytes, parsed: dict[str, Any]) -> bool:
    """Tell whether an object in a JSON text may name a member twice, which the parser passes over.

    A lost member loses some of the colons written. They are counted, for a parser with a hook for
    pairs is ten times slower on a body of floats.
    """
    return text.count(b":") != _colons(parsed) or (b"\\" in text and _ESCAPED_COLON in text)


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
            try:  # of keys, which are many and one string then
                count += "".join(item).count(":")
            except TypeError:
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
