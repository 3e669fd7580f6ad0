"""JSON to values and back: how replies are read, and how float32 is written without loss."""

import base64
import contextlib
import importlib
import importlib.util
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cache
from itertools import repeat
from operator import itemgetter, methodcaller
from typing import Any

from ..lazy import load_scan
from . import fork
from .errors import OSSVectorError, ResponseError, quote, service_error_class
from .models import Float32Array, Reply, Vector, pack_float32, printable

_HAS_ORJSON = importlib.util.find_spec("orjson") is not None
_HAS_NUMPY = importlib.util.find_spec("numpy") is not None
# The bits of 7.038531e-26, the shortest text of a float32. The double next to it lies in the middle
# between it and the next float32, so that who reads it as a double rounds twice.
_DOUBLE_ROUNDED = 0x15AE43FD
_SIGNLESS = 0x7FFFFFFF
_IN_THE_MIDDLE = 7.038531e-26
# the byte of each packed float32 that holds its sign and most of its exponent
FLOAT32_TOPS = slice(3 if sys.byteorder == "little" else 0, None, 4)
_SHORT_ITEM = 700  # bytes of a reply for each of its arrays
# bytes of a reply and of an array; to take out less than that costs more than it saves
_LONG_TEXT = 500_000
_LONG_ARRAY = 4_000
# what stands before an array, as JSON is usually written: without blanks, or with one
_OPENINGS = (b'"float32":[', b'"float32": [')
_ZERO, _ONE = pack_float32([0.0]), pack_float32([1.0])
_KEY, _METADATA = itemgetter("key"), methodcaller("get", "metadata")
# of an error reply: a gateway's page can be as long as it likes
_READ_AT_MOST = 64 * 1024
_SHORTEST_SECRET = 8  # no real one is shorter, and words hold short ones
_SHORTEST_PART = 4  # what of a secret is left where a text was cut
_UNREADABLE: Any = object()
# what may be a number over 64 bits, or one that no double holds; it may stand in a string as well
_LARGE_NUMBER = re.compile(rb"\d{19}|[eE]\+?\d{3}")
_TITLE = re.compile(rb"<title[^>]*>(.{0,200}?)</title>", re.IGNORECASE | re.DOTALL)


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, is nested too deep, or holds NaN or an infinite number.
    """
    if _HAS_ORJSON:
        return _orjson().loads(text)
    from pydantic_core import from_json  # noqa: PLC0415 - only without orjson

    value = from_json(text, allow_inf_nan=False)
    if _LARGE_NUMBER.search(text) is None:
        return value
    # read as orjson reads them: pydantic_core takes 1e400 for infinite, and integers of any size
    return json.loads(text, parse_int=_integer, parse_float=_finite)


@cache
def _compiled_scan() -> Callable[[bytes], tuple[bytes, list[bytes]] | None] | None:
    with fork.gate:
        return load_scan()


def decoder() -> str:
    """Return what reads the vectors out of a reply: `scan` or `pure`, as `ClientStats` has it."""
    return "pure" if _compiled_scan() is None else "scan"


def _integer(digits: str) -> int | float:
    try:
        value = int(digits)
    except ValueError:  # more digits than Python turns into an integer
        return _finite(digits)
    return value if -(2**63) <= value < 2**64 else _finite(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is infinite as a double")
    return value


def dump_json(value: object) -> bytes:
    """Return a value as compact JSON."""
    if _HAS_ORJSON:
        orjson = _orjson()
        option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS
        try:
            # it loads numpy at the first vector: see `_orjson`
            with fork.gate:
                text: bytes = orjson.dumps(value, default=_plain_value, option=option)
        except TypeError as error:
            # Ctrl-C within `default`, or in what it imports, is no matter of the value
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise error.__cause__ from None
            raise
        return text
    options: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}
    return json.dumps(value, default=_plain_value, **options).encode()


@cache
def _orjson() -> Any:
    # absent outside CPython, and loaded by the first call: a fork in the midst of that would leave
    # the child with a lock on the module which nobody opens
    with fork.gate:
        return importlib.import_module("orjson")


def _plain_value(value: object) -> object:
    if isinstance(value, Float32Array):
        return _numbers(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def _numbers(data: Float32Array) -> object:
    # Numbers that read back as the same float32. numpy's are written as the shortest text, half the
    # size; of all finite values only _DOUBLE_ROUNDED and its negative do not survive that where the
    # reader goes through double precision: a vector that holds them is written in full.
    if not (_HAS_NUMPY and _HAS_ORJSON):
        return data.tolist()
    import numpy as np  # noqa: PLC0415 - optional

    view = data.numpy()
    if (
        _may_be_rounded_twice(data.tobytes())
        and ((view.view(np.uint32) & _SIGNLESS) == _DOUBLE_ROUNDED).any()
    ):
        return data.tolist()
    return view


def reply_object(reply: Reply, operation: str) -> dict[str, Any]:
    """Return the JSON object in a reply's body; null stands for an empty one.

    Raises:
        ResponseError: the body is no JSON object. So it is without a byte, whatever its headers
            say: the service answers each reading with JSON, a proxy or a fault may not. Or it is
            an error that came with a status of success, which would be read as "nothing".
    """
    value: Any = _UNREADABLE
    with contextlib.suppress(ValueError):
        value = parse_json(reply.body)
    if value is _UNREADABLE:  # not raised while the parser's error is handled, which holds the body
        kind = printable(reply.headers.get("content-type", "no content type"), 80)
        error = refuse(reply, operation, f"not whole JSON ({len(reply.body)} bytes, {kind})")
        error.unreadable = True
        raise error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(reply, operation, f"a JSON {type(value).__name__}, not an object")
    if "Error" in value and isinstance(value["Error"], dict):
        code = quote(value["Error"].get("Code"))
        raise refuse(reply, operation, f"an error, {code}, in spite of its status {reply.status}")
    return value


def reply_list(reply: Reply, operation: str, members: Mapping[str, Any], name: str) -> list[Any]:
    """Return the list that is a member of a reply; absent means none.

    Raises:
        ResponseError: it is no list.
    """
    items = members.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        what = f"with a {type(items).__name__} in the place of the list {name}"
        raise refuse(reply, operation, what)
    return items


def reply_member(
    reply: Reply, operation: str, members: Mapping[str, Any], name: str
) -> dict[str, Any]:
    """Return the object that is a member of a reply; absent, null or "" means an empty one.

    Raises:
        ResponseError: it is something else.
    """
    value = members.get(name)
    # "" is what an empty XML element becomes where XML is turned into JSON (reference 1)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        what = f"with a {type(value).__name__} in the place of the object {name}"
        raise refuse(reply, operation, what)
    return value


def reply_token(
    reply: Reply,
    operation: str,
    members: Mapping[str, Any],
    name: str = "nextToken",
    *,
    asked: str | None = None,
) -> str | None:
    """Return the token of the next page, or None after the last; `asked` brought this page.

    Raises:
        ResponseError: it is no string, or one that has brought a page of this listing: whoever
            lists would never come to the end.
    """
    token = members.get(name)
    # an empty token is none: it would bring the first page again
    if token is None or token == "":
        return None
    if not isinstance(token, str):
        raise refuse(reply, operation, f"with a {name} that is no string")
    if token == asked:
        raise refuse(reply, operation, f"with the {name} that brought it, so that no page is last")
    following = PageToken(token)
    if asked and not following.follow(asked):
        raise refuse(reply, operation, f"with a {name} that came before, so that no page is last")
    return following


class PageToken(str):
    """A page token that knows of its listing whether the service leads round in a circle.

    It carries one earlier token, which is replaced after 1, 2, 4, 8, ... pages: a circle, however
    it is entered, is seen within three rounds or so. The memory is that of one token.
    """

    __slots__ = ("earlier", "most", "since")

    def __init__(self, _: str) -> None:
        self.earlier, self.since, self.most = str(self), 0, 1

    def follow(self, asked: str) -> bool:
        """Take on what the token before knows; False where this one came before."""
        if not isinstance(asked, PageToken):  # one that was kept elsewhere begins a listing
            self.earlier = asked
            return True
        if self == asked.earlier:
            return False
        self.earlier, self.since, self.most = asked.earlier, asked.since + 1, asked.most
        if self.since == self.most:
            self.earlier, self.since, self.most = str(self), 0, 2 * self.most
        return True


def refuse(reply: Reply, operation: str, what: str) -> ResponseError:
    """Return the error for a reply that breaks the service's promise."""
    return ResponseError(
        f"{operation}: the reply is {what}; nothing of it was used.", reply.status, reply.request_id
    )


def _may_hold_booleans(text: bytes, count: int) -> bool:
    """Tell whether one of so many arrays of numbers in a JSON text may hold true or false.

    True is no answer.

    It looks from each bracket for the next "e", which both of these have. Where the array was
    closed before it, there was neither: nearly always, for few numbers have an exponent. Of a text
    with many more brackets than arrays that would take long.
    """
    # of short arrays, among metadata with brackets of their own, this takes less
    if len(text) < count * _SHORT_ITEM and b"true" not in text and b"false" not in text:
        return False
    # A search for one character goes over a block of bytes at a time: the whole takes 0.09 ms for
    # 1.2 MB, where one for "true" takes 0.7.
    find, rfind = text.find, text.rfind
    start = find(b"[")
    for _ in range(64 + 16 * count):
        letter = find(b"e", start) if start >= 0 else -1
        if letter < 0:
            return False
        opened = rfind(b"[", start, letter)
        if rfind(b"]", opened, letter) < 0:
            end = find(b"]", letter) + 1 or len(text)
            for initial, word in ((b"u", b"true"), (b"l", b"false")):
                if find(initial, opened, end) >= 0 and find(word, opened, end) >= 0:
                    return True
            letter = end
        start = find(b"[", letter)
    return True


@dataclass(slots=True)
class VectorReader:
    """A reader of the `vectors` of one reply: each value is checked.

    `requested` counts the keys that were asked for, and so may appear; None allows any, once.
    `with_data` and `with_metadata` say what was asked for.
    """

    reply: Reply
    operation: str
    requested: Mapping[str, int] | None = None
    _: KW_ONLY
    with_data: bool = False
    with_metadata: bool = False
    _dimension: int | None = field(default=None, init=False)
    _looks_for_booleans: bool = field(default=True, init=False)

    def read(self) -> tuple[dict[str, Any], list[Vector]]:
        """Return the object in the reply's body, and its vectors in the service's order."""
        if self.with_data:
            scan = _compiled_scan()
            taken = None
            if scan is not None:
                taken = scan(self.reply.body)
            elif len(self.reply.body) >= _LONG_TEXT:
                taken = self._take_arrays()
            if taken is not None:
                # what is wrong with a reply is found again, and worded, where all of it is read
                with contextlib.suppress(ResponseError, TypeError, KeyError):
                    return self._read_rest(*taken, None if scan else _secret_mark())
        # Not one at a time, in threads: with a lock around this 20,000 x 1,024 had the same peak,
        # and took up to a tenth more CPU.
        body = reply_object(self.reply, self.operation)
        return body, self.vectors(body)

    def _take_arrays(self) -> tuple[bytes, list[bytes]] | None:
        """Return a long reply with a mark in the place of each array, and these, packed.

        None where any of it is not certainly plain. Numbers that are packed and freed before the
        next array is read stay in the processor's cache: of 100 x 1,024 this saves a tenth of all
        that a fetch takes, and 3 MB.
        """
        # The quote and the colon before an array make it a value of the text, if that is JSON; and
        # it is JSON if it is with the mark in the array's place, and the array by itself.
        text, find = self.reply.body, self.reply.body.find
        name = find(b'"float32":')
        opening = text[name : find(b"[", name, name + len(_OPENINGS[-1])) + 1]
        length = find(b"]", name) - name
        if name < 0 or opening not in _OPENINGS or length < _LONG_ARRAY:
            return None
        rest: list[bytes] = []
        arrays: list[bytes] = []
        behind = 0
        while name >= 0:
            start = name + len(opening) - 1
            rest.append(text[behind:start])
            behind = find(b"]", start) + 1
            packed = self._pack_text(text[start:behind])
            if packed is None or len(packed) != len(arrays[0] if arrays else packed):
                return None
            arrays.append(packed)
            name = find(opening, behind)
        rest.append(text[behind:])
        return f'"{_secret_mark()}"'.encode().join(rest), arrays

    def _pack_text(self, array: bytes) -> bytes | None:
        self._look_at_time()
        # both booleans have an "e", as few numbers do
        if b"e" in array and (b"true" in array or b"false" in array):
            return None
        try:
            packed = pack_float32(parse_json(array))
        except (ValueError, TypeError, OverflowError):
            return None
        return None if not packed or _may_be_rounded_twice(packed) else packed

    def _read_rest(
        self, rest: bytes, arrays: list[bytes], mark: str | None
    ) -> tuple[dict[str, Any], list[Vector]]:
        # All arrays have the same length. In the place of each stands in `rest` its number, which
        # nothing else can stand for: the compiled scan has seen to that. Or a mark that no reply
        # can hold of itself; where there are no more of them than items, none stands elsewhere.
        body = reply_object(replace(self.reply, body=rest), self.operation)
        items = self.items(body)
        places: Sequence[Any] = [item["data"]["float32"] for item in items]
        if mark is not None:
            if places != [mark] * len(arrays):
                raise KeyError
            places = range(len(arrays))
        data: list[Float32Array | None] = []
        for place in places:
            data.append(Float32Array.from_bytes(arrays[place]))
            arrays[place] = b""  # the whole of it need not stand twice
        self._look_at_time()
        return body, self._join(items, data)

    def items(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the objects under `vectors` with their keys checked; absent means none."""
        items = reply_list(self.reply, self.operation, body, "vectors")
        if not self._has_only_asked_keys(items):
            self._check_keys(items)
        return items

    def _has_only_asked_keys(self, items: list[Any]) -> bool:
        # so it is for nearly all replies; a look at each key, which tells what is wrong, takes
        # three times as long (11 and 34 microseconds for 100 keys)
        if self.requested is None:
            return False
        try:
            keys = set(map(_KEY, items))
        except (TypeError, KeyError):
            return False
        return len(keys) == len(items) and keys <= self.requested.keys()

    def _check_keys(self, items: list[Any]) -> None:
        allowed: dict[str, int] = dict(self.requested or ())
        unasked = 1 if self.requested is None else 0
        for item in items:
            key: Any = item.get("key") if type(item) is dict else None
            if type(key) is not str or not key:
                raise self._refuse("with a vector that has no key")
            left = allowed.get(key, unasked)
            if not left:
                known = self.requested is None or key in self.requested
                why = " more often than asked for" if known else ", which was not asked for"
                raise self._refuse(f"with the key {quote(key)}{why}")
            allowed[key] = left - 1

    def vectors(self, body: Mapping[str, Any]) -> list[Vector]:
        """Return the vectors of a reply, in the service's order."""
        items = self.items(body)
        if not self.with_data:
            return self._join(items, repeat(None))
        self._looks_for_booleans = _may_hold_booleans(self.reply.body, len(items))
        packed = [self._pack_item(item) for item in items]
        # of all at once: of small vectors each look takes its time
        if _may_be_rounded_twice(b"".join(packed)):
            packed = list(map(_pack_rounded_once, items, packed))
        return self._join(items, map(Float32Array.from_bytes, packed))

    def _join(
        self, items: list[dict[str, Any]], data: Iterable[Float32Array | None]
    ) -> list[Vector]:
        metadata: Iterable[dict[str, Any] | None] = repeat(None)
        if self.with_metadata:
            # what is no plain dict is looked at by itself, which costs a call for each
            found = list(map(_METADATA, items))
            metadata = found if {*map(type, found)} <= {dict} else map(self.metadata, items)
        return list(map(Vector, map(_KEY, items), data, metadata))

    def metadata(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the metadata of one item: a dict where it was asked for, else None."""
        if not self.with_metadata:
            return None
        metadata = item.get("metadata")
        if type(metadata) is dict:
            return metadata
        if metadata is None:
            return {}
        raise self._refuse(f"with metadata of {quote(item['key'])} that is no object")

    def number(self, item: Mapping[str, Any], name: str) -> float | None:
        """Return a finite number of one item, or None where it is absent."""
        value = item.get(name)
        if value is None:
            return None
        # an integer may be too large for a float: pydantic_core reads those of any size
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            raise self._refuse(f"with a {name} of {quote(item['key'])} that is no number")
        return float(value)

    def _pack_item(self, item: Mapping[str, Any]) -> bytes:
        if self.reply.check_time is not None:
            self.reply.check_time(self.operation)
        data = item.get("data")
        values = data.get("float32") if isinstance(data, dict) else None
        if not isinstance(values, list) or not values:
            raise self._refuse(f"without float32 data of {quote(item['key'])}")
        dimension = self._dimension = self._dimension or len(values)
        if len(values) != dimension:
            others = f"{dimension} and, for {quote(item['key'])}, {len(values)} values"
            raise self._refuse(f"with vectors of {others}")
        try:
            packed = pack_float32(values)
        except (TypeError, OverflowError):
            what = f"with data of {quote(item['key'])} that are not all float32 numbers"
            raise self._refuse(what) from None
        # struct packs true as 1.0 and false as 0.0
        if self._looks_for_booleans and (_ONE in packed or _ZERO in packed):  # noqa: SIM102
            if bool in {*map(type, values)}:
                raise self._refuse(f"with a boolean in the data of {quote(item['key'])}")
        return packed

    def _look_at_time(self) -> None:
        if self.reply.check_time is not None:
            self.reply.check_time(self.operation)

    def _refuse(self, what: str) -> ResponseError:
        return refuse(self.reply, self.operation, what)


@cache
def _secret_mark() -> str:
    # who could guess it could pass a string for an array
    return os.urandom(16).hex()


def _may_be_rounded_twice(packed: bytes) -> bool:
    # a quarter of the bytes is quickly looked at, and few numbers are so small
    tops = packed[FLOAT32_TOPS]
    return b"\x15" in tops or b"\x95" in tops


def _pack_rounded_once(item: Mapping[str, Any], packed: bytes) -> bytes:
    if not _may_be_rounded_twice(packed):
        return packed
    return pack_float32([_lower(value) for value in item["data"]["float32"]])


def _lower(value: float) -> float:
    # a double in the middle is rounded to the even neighbour, which is the higher one here
    return math.nextafter(value, 0.0) if abs(value) == _IN_THE_MIDDLE else value


def error_from(reply: Reply, secrets: Iterable[str] = ()) -> OSSVectorError:
    """Return the error for a reply whose status is not 2xx; `secrets` are cut out of its words."""
    request_id = _clean(reply.request_id or "", secrets) or None
    if reply.status in range(300, 400):
        text = (
            "the reply is a redirection, which is never followed: a signed request belongs to one "
            "host. Check the endpoint and the region."
        )
        return ResponseError(text, reply.status, request_id)
    fields = _fields(reply)
    if not fields.get("Code"):
        fields |= {"Code": "BadErrorResponse", "Message": _describe(reply)}
    texts = {name: _clean(value, secrets) for name, value in fields.items()}
    code, message = texts["Code"], texts.get("Message", "")
    request_id = texts.get("RequestId") or request_id
    ec = texts.get("EC") or _clean(reply.headers.get("x-oss-ec", ""), secrets) or None
    error_class = service_error_class(code, reply.status)
    return error_class(code, reply.status, message, request_id, ec)


def _fields(reply: Reply) -> dict[str, str]:
    body = reply.body
    if not body:
        with contextlib.suppress(ValueError):  # binascii.Error is one
            body = base64.b64decode(reply.headers.get("x-oss-err", ""), validate=True)
    body = body[:_READ_AT_MOST].strip()
    if body.startswith(b"{"):
        return _json_fields(body)
    if body.startswith(b"<") and b"<Error>" in body:
        return _xml_fields(body)
    return {}


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        value: Any = parse_json(body)
    except ValueError:
        return {}
    inner = value.get("Error", value) if isinstance(value, dict) else None
    found: Mapping[str, Any] = inner if isinstance(inner, dict) else {}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _xml_fields(body: bytes) -> dict[str, str]:
    import html  # noqa: PLC0415 - its table of entities, for errors alone

    text = body.decode(errors="replace")
    names = ("Code", "Message", "RequestId", "EC")
    found = {name: re.search(rf"<{name}>([^<]*)</{name}>", text) for name in names}
    return {name: html.unescape(match[1]) for name, match in found.items() if match}


def _describe(reply: Reply) -> str:
    if not reply.body:
        return f"HTTP {reply.status} with an empty body"
    kind = reply.headers.get("content-type", "no content type")
    title = _TITLE.search(reply.body[:_READ_AT_MOST])
    headed = f" titled {title[1].decode(errors='replace').strip()!r}" if title else ""
    text = f"the error reply is no OSS error but {kind}{headed}"
    if not reply.request_id:
        text += "; it comes from a proxy or gateway on the way, not from OSS"
    return text


def _clean(text: str, secrets: Iterable[str]) -> str:
    return printable(_redact(text, secrets), 500)


def hide_secrets(error: ResponseError, secrets: Iterable[str]) -> None:
    """Cut secrets out of what an error quotes of a reply: the peer may have echoed them.

    Its frames go too: they hold the reply.
    """
    secrets = tuple(secrets)
    error.reword(lambda text: _redact(text, secrets))
    error.request_id = error.request_id and _redact(error.request_id, secrets)
    error.__traceback__ = None


def _redact(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret) < _SHORTEST_SECRET:
            continue
        # as it is, and as it is quoted
        for form in {secret, repr(secret)[1:-1]}:
            text = text.replace(form, "***")
            # a text that is cut may end within it
            for length in range(len(form) - 1, _SHORTEST_PART - 1, -1):
                text = text.replace(f"{form[:length]}...", "***...")
    return text
