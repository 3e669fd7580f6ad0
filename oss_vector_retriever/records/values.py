"""Small readers that every rung of the ladder shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from pydantic_core import from_json

from oss_vector_retriever.records.errors import DecodeError

JsonReader = Callable[[str], Any]

# from_json keeps integers of any size; orjson is faster, and turns those over 64 bits into floats.
exact_json: JsonReader = from_json
try:
    from orjson import loads as _loads
except ImportError:  # orjson is for CPython alone
    fast_json = exact_json
else:
    fast_json = _loads

_CONTAINERS = (dict, list)


def fresh(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that shares no dict and no list with the original, at any depth."""
    return cast("dict[str, Any]", _fresh(metadata))


def _fresh(value: dict[str, Any] | list[Any]) -> dict[str, Any] | list[Any]:
    # A loop, not recursion: metadata may be nested deeper than the interpreter's stack.
    copied = value.copy()
    pending: list[Any] = [copied]
    while pending:
        container = pending.pop()
        for place, item in _places(container):
            if item.__class__ in _CONTAINERS:
                container[place] = inner = item.copy()
                pending.append(inner)
    return copied


def _places(container: dict[str, Any] | list[Any]) -> Iterable[tuple[Any, Any]]:
    return container.items() if container.__class__ is dict else enumerate(container)


def text_of(value: object) -> str | None:
    r"""Return a field's value as text, or None where it holds none.

    A string is the text; strings in an array are joined with "\n"; a number or a boolean is written
    as JSON writes it. None, objects and other arrays hold no text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    return None


def load_object(
    value: object, key: str, field: str, read: JsonReader = exact_json
) -> dict[str, Any]:
    """Return the JSON object in a field, fresh, whether it is JSON text or an object already.

    Raises:
        DecodeError: it is not JSON, or not an object.
    """
    if isinstance(value, str):
        try:
            loaded = read(value)
        except (ValueError, TypeError) as error:
            raise DecodeError(key, field, f"it is not JSON ({error})") from error
        if isinstance(loaded, dict):
            return loaded
        raise not_an_object(loaded, key, field)
    if isinstance(value, dict):
        return fresh(value)
    raise DecodeError(key, field, f"it is {_kind(value)}, not JSON text")


def as_object(value: object, key: str, field: str) -> dict[str, Any]:
    """Return `value` if it is a JSON object.

    Raises:
        DecodeError: it is something else.
    """
    if isinstance(value, dict):
        return value
    raise not_an_object(value, key, field)


def not_an_object(value: object, key: str, field: str) -> DecodeError:
    """Return the error for a field that should hold a JSON object."""
    return DecodeError(key, field, f"it is {_kind(value)}, not an object")


def _kind(value: object) -> str:
    return f"of type {type(value).__name__}"
