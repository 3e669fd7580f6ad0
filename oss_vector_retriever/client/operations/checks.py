"""Checks of arguments that the service would refuse anyway: before any call, with the mend."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.client.models.vector import Float32Array, Vector
from oss_vector_retriever.client.wire import dump_json

_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_key(key: object, limits: Limits) -> str:
    """Return a primary key: 1 to 1,024 characters (pages GetVectors and PutVectors)."""
    if not isinstance(key, str):
        raise InvalidRequestError(
            f"a key must be a string, not {type(key).__name__} {shown(key)}; use str(key) if "
            "that is how it was stored."
        )
    if not 1 <= len(key) <= limits.key_characters:
        raise InvalidRequestError(
            f"a key has 1 to {limits.key_characters} characters; {shown(key)} has {len(key)}."
        )
    if not key.isascii():
        _check_unicode(key)
    return key


def _check_unicode(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"key {shown(key)} holds half of a surrogate pair, which UTF-8 cannot carry."
        ) from None


def check_keys(keys: Iterable[str], limits: Limits) -> list[str]:
    """Return keys as a list, each checked."""
    given = list(each_of(keys))
    if given and not _plainly_good(given, limits):
        for key in given:
            check_key(key, limits)
    return given


def _plainly_good(keys: list[str], limits: Limits) -> bool:
    """Tell at once, for nearly all lists, that there is nothing to look at in any key."""
    try:
        ascii_only = "".join(keys).isascii()
    except TypeError:
        return False
    return ascii_only and min(map(len, keys)) > 0 and max(map(len, keys)) <= limits.key_characters


def each_of(keys: Iterable[str]) -> Iterator[str]:
    """Return an iterator over keys; a lone string is refused, it would be its letters."""
    if isinstance(keys, list | tuple):
        return iter(keys)
    if isinstance(keys, str | bytes | Mapping) or not hasattr(keys, "__iter__"):
        raise InvalidRequestError(
            f"keys must be a list of strings, not a {type(keys).__name__}; for one key pass [key]."
        )
    return iter(keys)


def check_count(what: str, count: int, most: int, remedy: str) -> None:
    """Check that a list for one call has 1 to `most` items."""
    if not 1 <= count <= most:
        raise InvalidRequestError(f"{what} takes 1 to {most}, not {count}; {remedy}.")


def check_whole(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number in a range."""
    if type(value) is not int or not least <= value <= most:
        raise InvalidRequestError(
            f"{name} must be a whole number from {least} to {most}, not {shown(value)}."
        )
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of a few words."""
    if value not in choices:
        raise InvalidRequestError(f"{name} must be {' or '.join(choices)}, not {shown(value)}.")
    return str(value)


def check_data(name: str, values: Iterable[float]) -> Float32Array:
    """Return numbers as packed float32, all finite."""
    try:
        data = values if isinstance(values, Float32Array) else Float32Array(values)
    except (TypeError, OverflowError) as error:
        raise InvalidRequestError(f"{name} must be numbers that float32 can hold.") from error
    if not math.isfinite(sum(data)):
        raise InvalidRequestError(f"{name} holds NaN or an infinite number.")
    if not data:
        raise InvalidRequestError(f"{name} holds no numbers.")
    return data


def check_filter(given: object) -> Mapping[str, Any] | None:
    """Return a filter: a dict without NaN or infinity, or None."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise InvalidRequestError(f"filter must be a dict, not a {type(given).__name__}.")
    check_numbers("filter", given)
    return given


def check_numbers(what: str, value: object) -> None:
    """Refuse NaN and infinity anywhere in a value: JSON has neither, and writers put null."""
    try:
        where = _not_finite(value)
    except RecursionError:
        raise InvalidRequestError(f"{what} is nested too deep.") from None
    if where is not None:
        raise InvalidRequestError(f"{what}{where} is NaN or infinite, which JSON cannot carry.")


def _not_finite(value: Any) -> str | None:
    """Return where in a value a NaN or infinite number stands, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    if isinstance(value, Mapping):
        members: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list | tuple):
        members = enumerate(value)
    else:  # numpy's arrays and scalars become what they hold
        return _not_finite(value.tolist()) if hasattr(value, "tolist") else None
    for name, item in members:
        where = None if type(item) is str else _not_finite(item)
        if where is not None:
            return f"[{shown(name)}]{where}"
    return None


def check_field_names(what: str, names: Iterable[str], limits: Limits) -> list[str]:
    """Return names of metadata fields (page PutVectorIndex); a lone string is refused."""
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        good = isinstance(name, str) and _FIELD.fullmatch(name)
        if isinstance(names, str) or not good or len(name) > limits.metadata_name_bytes:
            raise InvalidRequestError(
                f"{what} must be a list of names of 1 to {limits.metadata_name_bytes} letters, "
                f"digits and underscores, no digit first, not {shown(names)}."
            )
    return listed


def as_vector(item: Any, limits: Limits) -> Vector:
    """Return what may stand for a vector to put: a Vector, or a mapping with key, data, metadata.

    `data` in a mapping may be numbers, or `{"float32": numbers}` as in the API.
    """
    if isinstance(item, Mapping):
        data = item.get("data")
        data = data.get("float32") if isinstance(data, Mapping) else data
        key, metadata = item.get("key"), item.get("metadata")
    elif isinstance(item, Vector):
        key, data, metadata = item.key, item.data, item.metadata
    else:
        raise InvalidRequestError(
            f"a vector to put is a Vector or a dict with key, data and metadata, not "
            f"{type(item).__name__}."
        )
    key = check_key(key, limits)
    if data is None:
        raise InvalidRequestError(f"vector {shown(key)} has no data.")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequestError(f"metadata of {shown(key)} must be a dict.")
    if metadata:
        check_numbers(f"metadata of {shown(key)}", metadata)
    return Vector(key, check_data(f"data of {shown(key)}", data), metadata)


def json_body(**members: Any) -> bytes:
    """Return a request body of the members that are not None.

    Raises:
        InvalidRequestError: a value cannot be written as JSON.
    """
    given: Mapping[str, Any] = {n: value for n, value in members.items() if value is not None}
    try:
        return dump_json(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the request cannot be written as JSON: {error}.") from None
