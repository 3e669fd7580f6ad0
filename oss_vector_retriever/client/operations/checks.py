"""Checks of arguments that the service would refuse anyway: before any call, with the remedy."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import InvalidRequestError, Reference, quote, refer
from ..models import Float32Array, Limits, Vector, largest, metadata_bytes
from ..wire import FLOAT32_TOPS, dump_json

_CAPITAL = re.compile(r"(?<=[a-z])([A-Z])")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_key(key: object, limits: Limits, argument: str = "keys") -> str:
    """Return a primary key: 1 to 1,024 characters (pages GetVectors and PutVectors)."""
    # Not turned into text: only the user knows how it was stored.
    if not isinstance(key, str):
        raise InvalidRequestError(
            "a key must be a string, not {kind} {value}",
            argument=argument,
            value=key,
            remedy="use {text} if that is how it was stored",
        )
    if not 1 <= len(key) <= limits.key_characters:
        raise InvalidRequestError(
            "a key has 1 to {limit} characters; {value} has {count}.",
            argument=argument,
            value=key,
            limit=limits.key_characters,
            fields={"count": len(key)},
        )
    # Python strings can hold halves of surrogate pairs, such as those of undecodable file names.
    try:
        key.encode()
    except UnicodeEncodeError:
        message = "key {value} holds half of a surrogate pair, which UTF-8 cannot carry."
        raise InvalidRequestError(message, argument=argument, value=key) from None
    return key


def check_keys(keys: Iterable[str], limits: Limits) -> list[str]:
    """Return keys as a list, each checked."""
    given = list(keys) if isinstance(keys, list | tuple) else list(each_of(keys))
    # Passes in C see that there is nothing to look at in nearly all lists, in half the time that a
    # call for each key would take.
    try:
        plain = "".join(given).isascii() and min(map(len, given), default=1) > 0
    except TypeError:
        plain = False
    if not plain or max(map(len, given), default=1) > limits.key_characters:
        for key in given:
            check_key(key, limits)
    return given


def each_of(keys: Iterable[str]) -> Iterator[str]:
    """Return an iterator over keys; a lone string is refused, it would be its letters."""
    if isinstance(keys, str | bytes | Mapping) or not hasattr(keys, "__iter__"):
        raise InvalidRequestError(
            "{argument} must be a list of strings, not {a_kind}",
            argument="keys",
            remedy="for one key pass [key]",
            value=keys,
        )
    return iter(keys)


def check_count(method: str, argument: str, count: int, limit: int, unlimited: str) -> None:
    """Check that a list for one call has 1 to `limit` items; `unlimited` is the way for more."""
    if not 1 <= count <= limit:
        raise InvalidRequestError(
            "{method} takes 1 to {limit}, not {count}",
            argument=argument,
            limit=limit,
            remedy="{unlimited} takes any number of {argument}",
            fields={"method": method, "count": count, "unlimited": unlimited},
        )


def check_whole(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number in a range."""
    # Not isinstance: True is an int, and no count.
    if type(value) is not int or not least <= value <= most:
        message = f"{{argument}} must be a whole number from {least} to {{limit}}, not {{value}}."
        raise InvalidRequestError(message, argument=name, value=value, limit=most)
    return value


def check_top_k(name: str, value: object, limits: Limits, instead: str = "") -> int:
    """Return how many vectors a search is to find; `instead` is a way to get more."""
    if type(value) is int and value > limits.top_k:
        raise InvalidRequestError(
            "{argument} must be a whole number from 1 to {limit}, not {value}",
            argument=name,
            value=value,
            limit=limits.top_k,
            remedy="where an account allows more, {higher_top_k} asks for it" + instead,
        )
    return check_whole(name, value, 1, limits.top_k)


def check_choice(name: str, value: object, choices: Sequence[str]) -> str:
    """Return one of a few words."""
    if value not in choices:
        message = f"{{argument}} must be {' or '.join(choices)}, not {{value}}."
        raise InvalidRequestError(message, argument=name, value=value)
    return str(value)


def check_data(argument: str, values: Iterable[float], what: str = "") -> Float32Array:
    """Return numbers as packed float32, all finite; `what` they are, if not the argument itself."""
    try:
        data = values if isinstance(values, Float32Array) else Float32Array(values)
    except (TypeError, OverflowError) as error:
        raise _data_error(argument, what, "must be numbers that float32 can hold") from error
    # All exponent bits are set in these, so that a look at the bytes with most of them spares
    # nearly every vector the sum, which takes ten times as long. One NaN or infinity makes that
    # one; a sum of float32 in double precision cannot overflow.
    tops = data.tobytes()[FLOAT32_TOPS]
    if (b"\x7f" in tops or b"\xff" in tops) and not math.isfinite(sum(data)):
        raise _data_error(argument, what, "holds NaN or an infinite number")
    if not data:
        raise _data_error(argument, what, "holds no numbers")
    return data


def _data_error(argument: str, what: str, reason: str) -> InvalidRequestError:
    fields = {"what": what or refer(argument), "reason": reason}
    return InvalidRequestError("{what} {reason}.", argument=argument, fields=fields)


def check_filter(given: object) -> Mapping[str, Any] | None:
    """Return a filter: a dict without NaN or infinity, or None."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        message = "{argument} must be a dict, not {a_kind}."
        raise InvalidRequestError(message, argument="filter", value=given)
    check_numbers("filter", given)
    return given


def check_unicode(argument: str, text: object, what: str) -> None:
    """Refuse a string with half of a surrogate pair, such as one of an emoji that was cut."""
    try:
        if isinstance(text, str):
            text.encode()
    except UnicodeEncodeError:
        reason = "holds half of a surrogate pair, which UTF-8 cannot carry"
        raise _data_error(argument, f"{what} {quote(text)}", reason) from None


def check_numbers(argument: str, value: object, what: str = "") -> None:
    """Refuse NaN and infinity anywhere in a value: JSON has neither, and writers put null."""
    try:
        where = _not_finite(value)
    except RecursionError:
        raise _data_error(argument, what or argument, "is nested too deep") from None
    if where is not None:
        reason = "is NaN or infinite, which JSON cannot carry"
        raise _data_error(argument, f"{what or argument}{where}", reason)


def _not_finite(value: Any) -> str | None:
    """Return where in a value a NaN or infinite number stands, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    if isinstance(value, Mapping):
        members: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list | tuple):
        members = enumerate(value)  # the position says where, as a name does
    else:  # numpy's arrays and scalars become what they hold
        return _not_finite(value.tolist()) if hasattr(value, "tolist") else None
    for name, item in members:
        # No call for what nearly all members are.
        where = None if type(item) is str else _not_finite(item)
        if where is not None:
            return f"[{quote(name)}]{where}"
    return None


def check_field_names(what: str, names: Iterable[str], limits: Limits) -> list[str]:
    """Return names of metadata fields (page PutVectorIndex); a lone string is refused."""
    listed = [names] if isinstance(names, str) else list(names)
    for name in listed:
        good = isinstance(name, str) and _FIELD.fullmatch(name)
        if isinstance(names, str) or not good or len(name) > limits.metadata_name_bytes:
            raise InvalidRequestError(
                "{argument} must be a list of names of 1 to {limit} letters, digits and "
                "underscores, no digit first, not {value}.",
                argument=what,
                value=names,
                limit=limits.metadata_name_bytes,
            )
    return listed


def as_vector(item: Any, limits: Limits) -> Vector:
    """Return what may stand for a vector to put: a Vector, or a mapping with key, data, metadata.

    `data` in a mapping may be numbers, or `{"float32": numbers}` as in the API.
    """
    if isinstance(item, Mapping):
        # A misspelt "metadata" would be left out without a word, and the vector stored without it.
        if unknown := [name for name in item if name not in {"key", "data", "metadata"}]:
            raise InvalidRequestError(
                "vector {value} has a member {unknown}",
                argument="vectors",
                value=item.get("key"),
                remedy="the members of a vector are key, data and metadata",
                fields={"unknown": quote(unknown[0])},
            )
        data = item.get("data")
        data = data.get("float32") if isinstance(data, Mapping) else data
        key, metadata = item.get("key"), item.get("metadata")
    elif isinstance(item, Vector):
        key, data, metadata = item.key, item.data, item.metadata
    else:
        raise InvalidRequestError(
            "a vector to put is {vector_or_mapping} with key, data and metadata, not {kind}.",
            argument="vectors",
            value=item,
        )
    key = check_key(key, limits, "vectors")
    if data is None:
        raise InvalidRequestError("vector {value} has no data.", argument="vectors", value=key)
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidRequestError(
            "metadata of {value} must be {mapping}.", argument="vectors", value=key
        )
    if metadata:
        check_numbers("vectors", metadata, f"metadata of {quote(key)}")
    return Vector(key, check_data("vectors", data, f"data of {quote(key)}"), metadata)


def check_total(vector: Vector, limits: Limits) -> int:
    """Return the bytes of a vector's metadata, or refuse more than the service takes in all."""
    if not vector.metadata:
        return 0
    # The service refuses the whole call for one vector; here that one is named.
    try:
        size = metadata_bytes(vector.metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            "metadata of {key} cannot be written as JSON: {reason}.",
            argument="vectors",
            fields={"key": quote(vector.key), "reason": str(error)},
        ) from None
    if size > limits.metadata_bytes:
        raise InvalidRequestError(
            "metadata of {key} takes {size:,} bytes, over the limit of {limit:,}; {largest}.",
            argument="vectors",
            limit=limits.metadata_bytes,
            remedy="Split it over several vectors, or keep it elsewhere and store where it is",
            fields={"key": quote(vector.key), "size": size, "largest": largest(vector.metadata)},
        )
    return size


def refuse_repeated(keys: Iterable[str]) -> None:
    """Refuse a key that stands twice among vectors to put: the service refuses the whole call."""
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        raise InvalidRequestError(
            "key {value} stands more than once in one put, which the service refuses as a whole",
            argument="vectors",
            value=repeated[0],
            remedy="keep one vector for each key",
        )


def json_body(**members: Any) -> bytes:
    """Return a request body of the members that are not None.

    Raises:
        InvalidRequestError: a value cannot be written as JSON.
    """
    given: Mapping[str, Any] = {n: value for n, value in members.items() if value is not None}
    try:
        return dump_json(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise _unwritable_error(given, error) from None


def _unwritable_error(members: Mapping[str, Any], error: Exception) -> InvalidRequestError:
    """Return the error that names the member that JSON cannot hold."""
    for name, value in members.items():
        try:
            dump_json(value)
        except (TypeError, ValueError, RecursionError):
            argument = "index" if name == "indexName" else _CAPITAL.sub(r"_\1", name).lower()
            return InvalidRequestError(
                "{argument}: the request cannot be written as JSON: {reason}.",
                argument=argument,
                fields={"reason": Reference("phrase", "unwritable", str(error))},
            )
    return InvalidRequestError(f"the request cannot be written as JSON: {error}.")
