"""From text, typed metadata and a framework's object to a `Vector` that holds them losslessly."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ..client.errors import InvalidRequestError, quote
from ..client.models import DEFAULT_LIMITS, Limits, Vector, dump, largest, metadata_bytes
from ..client.operations.checks import check_key
from .copies import Form, make_copies
from .decode import (
    ENVELOPE_FIELD,
    RESERVED_FIELDS,
    SOURCE_ID_FIELD,
    TEXT_FIELD,
    VERSION,
    WIDE_MARK,
    source_id,
)

_MAYBE_WIDE = re.compile(r"\d{19}", re.ASCII)  # 2**63 has 19 digits
_DEEPEST = 100  # the JSON reader of the way back stops at 200
_INTEGER_BITS = 2000  # below every setting of sys.set_int_max_str_digits
_FIXES = {
    "tuple": "make it a list",
    **dict.fromkeys(("set", "frozenset"), "make it a sorted list"),
    **dict.fromkeys(("datetime", "date", "time"), "store value.isoformat()"),
    "timedelta": "store value.total_seconds()",
    **dict.fromkeys(("UUID", "Decimal"), "store str(value)"),
    **dict.fromkeys(("bytes", "bytearray"), "store it as base64 text"),
    "ndarray": "store value.tolist()",
}
_FIX = "make it a str, int, float, bool, None, list or dict first"


def encode(
    key: str,
    data: Iterable[float] | None,
    *,
    text: str,
    metadata: Mapping[str, Any] | None = None,
    node: Mapping[str, Any] | None = None,
    filterable: Iterable[str] | None = (),
    own: Iterable[str] = (),
    kept: Iterable[str] = (),
    visible: Mapping[str, Any] | None = None,
    scalars: Form = "strings",
    limits: Limits = DEFAULT_LIMITS,
) -> Vector:
    """Return a vector from which `decode` gives back key, text, metadata, node and data exactly.

    The text is stored beside the envelope: a node that repeats text or metadata pays for it twice.
    Beside both stands `_unsure`, a list of the fields that the service's filters cannot judge.

    Args:
        key: the primary key, 1 to 1,024 characters.
        data: float32 values, shape (dimension,); whether they are finite, and as many as the index
            wants, is for the client to check.
        text: the text; may be empty.
        metadata: str, int, float, bool, None, lists and dicts of them; comes back with its types.
        node: a framework's serialised object, of the same types.
        filterable: top-level metadata fields to copy where the service's filters see them, as
            `filterable_value` writes them; fields that the metadata lacks are passed over.
            `ref_doc_id`, if named, is the id of the node's source document. None: all that the
            service can hold, in order, as far as they fit: `ref_doc_id`, strings, numbers,
            booleans and lists of strings, seven of them and 2 KB by default.
        own: fields of the writer's bookkeeping, copied before all others.
        kept: further fields to copy where they fit, before those that nobody named.
        visible: what filters see, in place of the metadata.
        scalars: "native" copies numbers and booleans as they are, for range filters; the service's
            newest pages know them, the older ones store strings alone.
        limits: the service's limits, for an account that has others.

    Raises:
        InvalidRequestError: a value that would not come back, a field named like the envelope's, a
            field that cannot be filtered on, or a limit passed; naming key, field and remedy.
    """
    check_key(key, limits)
    _check_text(text, key, "text")
    parts = {"metadata": _plain(metadata, key, "metadata"), "node": _plain(node, key, "node")}
    if taken := [name for name in RESERVED_FIELDS if name in parts["metadata"]]:
        reason = f"metadata[{taken[0]!r}] has the name of a field of the record's envelope"
        raise _record_error(key, reason, remedy="give it another name")
    if isinstance(filterable, str):
        raise InvalidRequestError(
            "{argument} takes several names",
            argument="filterable",
            remedy="put a single one into a list",
        )
    # LlamaIndex deletes and filters by a node's source document, which stands deep in the node.
    source = source_id(parts["node"])
    about = {SOURCE_ID_FIELD: source} if source else {}
    seen = {**parts["metadata"], **about} if visible is None else visible
    copies = make_copies(
        key,
        seen,
        required=(*own, *(filterable or ())),
        wanted=(*about, *kept, *seen) if filterable is None else kept,
        # to filters a field of the user's own comes before the document's id
        inexact=[name for name in about if parts["metadata"].get(name, source) != source],
        scalars=scalars,
        limits=limits,
    )
    # The text stands by itself, so that other programs can read it, and a search can leave it out.
    stored = {TEXT_FIELD: text, ENVELOPE_FIELD: _envelope(parts, node is not None), **copies}
    _check_total(key, stored, parts, limits)
    return _vector(key, data, stored)


def _plain(value: Mapping[str, Any] | None, key: str, path: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise _record_error(key, f"{path} is of type {type(value).__name__}, not a dict")
    # a copy: what is checked is what is written, whatever another thread does to the dict
    plain = dict(value or {})
    _check_plain(plain, key, path)
    return plain


def _check_plain(value: object, key: str, path: str, depth: int = 0) -> None:
    """Refuse what JSON would not give back as it was, naming key and path.

    Plain are str, int, float, bool, None, and lists and dicts (string keys) of them. A subclass of
    these is stored as its plain value, and comes back equal to it, of the plain type.
    """
    if isinstance(value, str):
        _check_text(value, key, path)
    elif isinstance(value, dict | list):
        _check_container(value, key, path, depth + 1)
    elif isinstance(value, int | float):
        _check_number(value, key, path)
    elif value is not None:
        name = type(value).__name__
        fix = _FIXES.get(name, "store value.item()" if hasattr(value, "item") else _FIX)
        _refuse(key, path, f"is of type {name}, which would not come back as it was; {fix}")


def _check_container(
    value: dict[object, object] | list[object], key: str, path: str, depth: int
) -> None:
    if depth > _DEEPEST:
        _refuse(key, path, f"is nested over {_DEEPEST} levels deep; flatten it")
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                _refuse(key, path, f"has a key that is not a string: {quote(name)}; use str")
            _check_text(name, key, f"a name in {path}")
            _check_plain(item, key, f"{path}[{quote(name)}]", depth)
    else:
        for position, item in enumerate(value):
            _check_plain(item, key, f"{path}[{position}]", depth)


def _check_number(value: float, key: str, path: str) -> None:
    if isinstance(value, int):
        # Python may refuse to read longer ones back (sys.set_int_max_str_digits)
        if value.bit_length() > _INTEGER_BITS:
            _refuse(key, path, "is an integer over 2,000 bits; store it as text")
    elif not math.isfinite(value):
        _refuse(key, path, f"is {float(value)}, which JSON cannot hold; leave it out or store None")


def _check_text(text: object, key: str, path: str) -> None:
    if not isinstance(text, str):
        _refuse(key, path, f"is of type {type(text).__name__}, not a string")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            _refuse(key, path, f"holds a lone surrogate at character {error.start}; UTF-8 has none")


def _refuse(key: str, path: str, reason: str) -> NoReturn:
    raise _record_error(key, f"{path} {reason}")


def _envelope(parts: Mapping[str, dict[str, Any]], with_node: bool) -> str:
    envelope: dict[str, Any] = {"v": VERSION, "metadata": parts["metadata"]}
    if with_node:
        envelope["node"] = parts["node"]
    written = dump(envelope)
    # Digits inside a string match too: then the slower, exact reader is chosen for nothing.
    return WIDE_MARK + written[1:] if _MAYBE_WIDE.search(written) else written


def _check_total(
    key: str, stored: Mapping[str, object], parts: Mapping[str, dict[str, Any]], limits: Limits
) -> None:
    if (size := metadata_bytes(dict(stored))) > limits.metadata_bytes:
        fields = {f"metadata[{quote(name)}]": value for name, value in parts["metadata"].items()}
        fields |= {"text": stored[TEXT_FIELD], "node": parts["node"]}
        raise _record_error(
            key,
            f"metadata and text take {size:,} bytes, over the limit of "
            f"{limits.metadata_bytes:,}; {largest(fields)}.",
            limit=limits.metadata_bytes,
            remedy="Split the record into several, or keep the large part elsewhere (an OSS "
            "object) and store where it is",
        )


def _vector(key: str, data: Iterable[float] | None, stored: dict[str, Any]) -> Vector:
    try:
        return Vector(key, data, stored)
    except (TypeError, OverflowError) as error:
        raise _record_error(
            key, f"its data is not float32: {error}", argument="embedding"
        ) from error


def _record_error(
    key: str, reason: str, *, argument: str = "metadata", limit: int | None = None, remedy: str = ""
) -> InvalidRequestError:
    return InvalidRequestError(
        "record {key}: {reason}" if reason[-1:] != "." else "record {key}: {reason}.",
        argument=argument,
        limit=limit,
        remedy=remedy,
        fields={"key": quote(key), "reason": reason.removesuffix(".")},
    )
