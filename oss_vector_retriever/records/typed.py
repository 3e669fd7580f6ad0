"""What the envelope can hold and give back exactly; everything else is refused by name."""

from __future__ import annotations

import math
from typing import Final, NoReturn

from oss_vector_retriever.client.errors import InvalidRequestError, shown

DEEPEST: Final = 100  # the JSON reader of the way back stops at 200
_INTEGER_BITS = 2000  # below every setting of sys.set_int_max_str_digits
_MENDS = {
    "tuple": "make it a list",
    "set": "make it a sorted list",
    "frozenset": "make it a sorted list",
    "datetime": "store value.isoformat()",
    "date": "store value.isoformat()",
    "time": "store value.isoformat()",
    "timedelta": "store value.total_seconds()",
    "UUID": "store str(value)",
    "Decimal": "store str(value)",
    "bytes": "store it as base64 text",
    "bytearray": "store it as base64 text",
    "ndarray": "store value.tolist()",
}
_MEND = "make it a str, int, float, bool, None, list or dict first"


def check_plain(value: object, key: str, path: str, depth: int = 0) -> None:
    """Refuse what JSON would not give back as it was.

    Plain are str, int, float, bool, None, and lists and dicts (string keys) of them. A subclass of
    these is stored as its plain value, and comes back equal to it, of the plain type.

    Args:
        value: what to check.
        key: the record's key, for the message.
        path: where the value stands, such as `metadata['a'][2]`, for the message.
        depth: how many containers it stands in.

    Raises:
        InvalidRequestError: naming key and path: another type, a float that is not finite, an
            integer over 2,000 bits, a lone surrogate, a key that is not a string, over 100 levels.
    """
    if value is None:
        return
    if isinstance(value, str):
        check_text(value, key, path)
    elif isinstance(value, dict | list):
        _check_container(value, key, path, depth + 1)
    elif isinstance(value, int | float):
        _check_number(value, key, path)
    else:
        _refuse_type(value, key, path)


def check_text(text: object, key: str, path: str) -> None:
    """Refuse what is not a string, or cannot be written in UTF-8.

    Raises:
        InvalidRequestError: naming key and path.
    """
    if not isinstance(text, str):
        _refuse(key, path, f"is of type {type(text).__name__}, not a string")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            _refuse(key, path, f"holds a lone surrogate at character {error.start}; UTF-8 has none")


def _check_container(
    value: dict[object, object] | list[object], key: str, path: str, depth: int
) -> None:
    if depth > DEEPEST:
        _refuse(key, path, f"is nested over {DEEPEST} levels deep; flatten it")
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                _refuse(key, path, f"has a key that is not a string: {shown(name)}; use str")
            check_text(name, key, f"a name in {path}")
            check_plain(item, key, f"{path}[{shown(name)}]", depth)
    else:
        for position, item in enumerate(value):
            check_plain(item, key, f"{path}[{position}]", depth)


def _check_number(value: float, key: str, path: str) -> None:
    if isinstance(value, int):
        if value.bit_length() > _INTEGER_BITS:
            _refuse(key, path, "is an integer over 2,000 bits; store it as text")
    elif not math.isfinite(value):
        _refuse(key, path, f"is {float(value)}, which JSON cannot hold; leave it out or store None")


def _refuse_type(value: object, key: str, path: str) -> NoReturn:
    name = type(value).__name__
    mend = _MENDS.get(name, "store value.item()" if hasattr(value, "item") else _MEND)
    _refuse(key, path, f"is of type {name}, which would not come back as it was; {mend}")


def _refuse(key: str, path: str, reason: str) -> NoReturn:
    raise InvalidRequestError(f"record {shown(key)}: {path} {reason}")
