"""From text, typed metadata and a framework's object to a `Vector` that holds them losslessly."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.client.models.sizes import dump
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records.envelope import (
    ENVELOPE_FIELD,
    ENVELOPE_KEYS,
    TEXT_FIELD,
    VERSION,
    WIDE_MARK,
)
from oss_vector_retriever.records.nodes import SOURCE_ID_FIELD, source_id
from oss_vector_retriever.records.sizes import check_copies, check_key, check_total
from oss_vector_retriever.records.typed import check_plain, check_text

_MAYBE_WIDE = re.compile(r"\d{19}", re.ASCII)
_EXACT_INTEGERS = 2**53
_WIDEST = 2**63


def encode(
    key: str,
    data: Iterable[float] | None,
    *,
    text: str,
    metadata: Mapping[str, Any] | None = None,
    node: Mapping[str, Any] | None = None,
    filterable: Iterable[str] = (),
    native_scalars: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Vector:
    """Return a vector from which `decode` gives back key, text, metadata, node and data exactly.

    The text is stored beside the envelope: a node that repeats text or metadata pays for it twice.

    Args:
        key: the primary key, 1 to 1,024 characters.
        data: float32 values, shape (dimension,); whether they are finite, and as many as the index
            wants, is for the client to check.
        text: the text; may be empty.
        metadata: str, int, float, bool, None, lists and dicts of them; comes back with its types.
        node: a framework's serialised object, of the same types.
        filterable: top-level metadata fields to copy where the service's filters see them, as
            `filterable_value` writes them; fields that the metadata lacks are passed over.
            `ref_doc_id`, if named, is the id of the node's source document.
        native_scalars: copy numbers and booleans as they are, for range filters. The service's
            newest pages know them; the older ones store strings alone.
        limits: the service's limits, for an account that has others.

    Raises:
        InvalidRequestError: a value that would not come back, a field named like the envelope's, a
            field that cannot be filtered on, or a limit passed; naming key, field and remedy.
    """
    check_key(key, limits)
    check_text(text, key, "text")
    parts = {"metadata": _plain(metadata, key, "metadata"), "node": _plain(node, key, "node")}
    _refuse_collisions(key, parts["metadata"])
    source = source_id(parts["node"])
    seen = {**parts["metadata"], SOURCE_ID_FIELD: source} if source else parts["metadata"]
    copies = _copies(key, seen, filterable, native_scalars)
    check_copies(key, copies, limits)
    stored = {TEXT_FIELD: text, ENVELOPE_FIELD: _envelope(parts, node is not None), **copies}
    check_total(key, stored, {"text": text, **_named(parts)}, limits)
    return _vector(key, data, stored)


def filterable_value(value: object, *, native_scalars: bool = False) -> object:
    """Return the form in which a value's filterable copy is stored; filters compare with it.

    A string stays, a list becomes a list of strings. A number or a boolean becomes the string that
    JSON would write, whole floats as integers: equal numbers have one form (2024 and 2024.0 are
    "2024"). None and an empty list have no copy, so that `$exists` is false: the form is None.

    Args:
        value: a metadata value, or an operand of a filter.
        native_scalars: keep a boolean, a float, an integer of 64 bits as it is, outside of lists.

    Raises:
        TypeError: a dict, a nested list or a list with None; no filter can see into these.
        ValueError: a float that is not finite.
    """
    if isinstance(value, list):
        return [_scalar(item) for item in value] or None
    if value is None or (native_scalars and _fits(value)):
        return value
    return _scalar(value)


def _fits(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and -_WIDEST <= value < _WIDEST)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_INTEGERS:
        return dump(int(value))
    if isinstance(value, int | float):
        return dump(value)
    raise TypeError(f"filters cannot see into {type(value).__name__}")


def _plain(value: Mapping[str, Any] | None, key: str, path: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRequestError(
            f"record {shown(key)}: {path} is of type {type(value).__name__}, not a dict"
        )
    plain = dict(value or {})
    check_plain(plain, key, path)
    return plain


def _refuse_collisions(key: str, metadata: Mapping[str, Any]) -> None:
    for name in ENVELOPE_KEYS:
        if name in metadata:
            raise InvalidRequestError(
                f"record {shown(key)}: metadata[{name!r}] has the name of a field of the record's "
                "envelope; give it another name"
            )


def _copies(
    key: str, metadata: Mapping[str, Any], filterable: Iterable[str], native_scalars: bool
) -> dict[str, object]:
    if isinstance(filterable, str):
        raise InvalidRequestError("filterable takes several names; put a single one into a list")
    copies = {}
    for name in filterable:
        try:
            form = filterable_value(metadata.get(name), native_scalars=native_scalars)
        except TypeError as error:
            raise InvalidRequestError(
                f"record {shown(key)}: metadata[{shown(name)}] cannot be filterable: {error}. "
                "Leave it out of filterable=, or add a field with a string or a list of strings"
            ) from error
        if form is not None:
            copies[name] = form
    return copies


def _envelope(parts: Mapping[str, dict[str, Any]], with_node: bool) -> str:
    envelope: dict[str, Any] = {"v": VERSION, "metadata": parts["metadata"]}
    if with_node:
        envelope["node"] = parts["node"]
    written = dump(envelope)
    # Digits inside a string match too: then the slower, exact reader is chosen for nothing.
    return WIDE_MARK + written[1:] if _MAYBE_WIDE.search(written) else written


def _named(parts: Mapping[str, dict[str, Any]]) -> dict[str, object]:
    fields = {f"metadata[{shown(name)}]": value for name, value in parts["metadata"].items()}
    return {**fields, "node": parts["node"]}


def _vector(key: str, data: Iterable[float] | None, stored: dict[str, Any]) -> Vector:
    try:
        return Vector(key, data, stored)
    except (TypeError, OverflowError) as error:
        raise InvalidRequestError(
            f"record {shown(key)}: its data is not float32: {error}"
        ) from error
