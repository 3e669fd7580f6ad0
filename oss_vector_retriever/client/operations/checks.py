"""Checks of arguments that the service would refuse anyway: before any call, with the mend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.client.models.vector import Float32Array, Vector


def check_key(key: object, limits: Limits) -> str:
    """Return a primary key: 1 to 1,024 characters (pages GetVectors and PutVectors)."""
    if not isinstance(key, str):
        raise InvalidRequestError(
            f"a key must be a string, not {type(key).__name__} {_short(key)}; use str(key) if "
            "that is how it was stored."
        )
    if not 1 <= len(key) <= limits.key_characters:
        raise InvalidRequestError(
            f"a key has 1 to {limits.key_characters} characters; {_short(key)} has {len(key)}."
        )
    if not key.isascii():
        _check_unicode(key)
    return key


def _check_unicode(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"key {_short(key)} holds half of a surrogate pair, which UTF-8 cannot carry."
        ) from None


def check_keys(keys: Iterable[str], limits: Limits) -> list[str]:
    """Return keys as a list, each checked; a lone string is refused, it would be its letters."""
    if isinstance(keys, str | bytes | Mapping):
        raise InvalidRequestError(
            f"keys must be a list of strings, not a {type(keys).__name__}; for one key pass [key]."
        )
    try:
        return [check_key(key, limits) for key in keys]
    except TypeError as error:
        raise InvalidRequestError(
            f"keys must be a list of strings, not a {type(keys).__name__}."
        ) from error


def check_count(what: str, count: int, most: int, remedy: str) -> None:
    """Check that a list for one call has 1 to `most` items."""
    if not 1 <= count <= most:
        raise InvalidRequestError(f"{what} takes 1 to {most}, not {count}; {remedy}.")


def check_whole(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number in a range."""
    if type(value) is not int or not least <= value <= most:
        raise InvalidRequestError(
            f"{name} must be a whole number from {least} to {most}, not {_short(value)}."
        )
    return value


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of a few words."""
    if value not in choices:
        raise InvalidRequestError(f"{name} must be {' or '.join(choices)}, not {_short(value)}.")
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
        raise InvalidRequestError(f"vector {_short(key)} has no data.")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequestError(f"metadata of {_short(key)} must be a dict.")
    return Vector(key, check_data(f"data of {_short(key)}", data), metadata)


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
