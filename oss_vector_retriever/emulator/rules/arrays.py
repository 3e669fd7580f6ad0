"""The arrays of a PutVectors body, packed one after another, with no list of all their numbers.

A parser that makes all numbers of a body of megabytes takes twice the time, for they do not stay in
the processor's cache, and four times the memory. So each array at `vectors[i].data.float32` is
taken out and packed: by the compiled scan (extra `fast`), or here. Both may only ever be too
careful: of whatever is not certainly plain they return nothing, and the whole is parsed by
`json_text`, which alone words errors.
"""

import re
import secrets
import sys
from typing import Any

import orjson

from ...lazy import load_scan
from .. import json_text
from .parameters import ROUNDS_TWICE, pack

_NAME = b'"float32"'
_OPENING = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*\[")
# What stands in the place of an array is no text that a client could have sent.
_MARK = secrets.token_hex(16)


def parse_plain(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body, its arrays packed, or None where it is not plain.

    Plain is what `json_text.parse_object` returns the same of, but for the arrays: each vector has
    one, and all that are numbers in the reach of float32.
    """
    try:
        scanned = None if _scan is None else _scan(body)
        # The scan rounds each number once, where others round the double to float32: they differ
        # in this value of its shortest text, and in that of one number of 500 million.
        if scanned is None or any(ROUNDS_TWICE in array for array in scanned[1]):
            return _put_back(*_take_arrays(body))
        rest, arrays = scanned
        return _put_back(rest, dict(enumerate(arrays)))
    except (ValueError, TypeError, LookupError):
        return None


# It packs numbers in the machine's order, and the service keeps them little-endian.
_scan = load_scan() if sys.byteorder == "little" else None


def _take_arrays(body: bytes) -> tuple[bytes, dict[object, bytes]]:
    """Return a body with a mark in the place of each array, and the packed array of each mark.

    An array is what follows that name up to the next bracket. It may stand anywhere, even in a
    string: that no mark is where it belongs is found when they are put back.

    Raises:
        ValueError: an array is not one of float32 numbers alone.
    """
    arrays: dict[object, bytes] = {}
    parts: list[bytes] = []
    start = 0
    while (name := body.find(_NAME, start)) >= 0:
        opening = _OPENING.match(body, name + len(_NAME))
        if opening is None:
            raise ValueError("no array")
        bracket = opening.end() - 1
        end = body.index(b"]", bracket) + 1
        mark = f"{_MARK}-{len(arrays)}"
        arrays[mark] = pack(orjson.loads(body[bracket:end]))
        parts += body[start:bracket], b'"', mark.encode(), b'"'
        start = end
    return b"".join([*parts, body[start:]]), arrays


def _put_back(rest: bytes, arrays: dict[object, bytes]) -> dict[str, Any] | None:
    """Return the object in what is left of a body, each array in its place.

    Raises:
        ValueError, TypeError, LookupError: it is not plain.
    """
    parsed: dict[str, Any] = orjson.loads(rest)
    vectors = parsed["vectors"]
    if len(vectors) != len(arrays) or json_text.may_repeat_members(rest, parsed):
        return None
    for item in vectors:
        data = item["data"]
        data["float32"] = arrays.pop(data["float32"])
    return parsed
