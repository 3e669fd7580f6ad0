"""From text, typed metadata and a framework's object to a `Vector` that holds them losslessly."""

import re
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, NoReturn

from ..client.errors import InvalidRequestError, quote
from ..client.models import DEFAULT_LIMITS, Limits, Vector, dump, largest, metadata_bytes
from ..client.operations.checks import check_key
from .bad_records import InvalidRecordError
from .copies import Form, make_copies
from .decode import (
    ENVELOPE_FIELD,
    RESERVED_FIELDS,
    SOURCE_ID_FIELD,
    TEXT_FIELD,
    TYPES,
    VERSION,
    WIDE_MARK,
    source_id,
)
from .typed import DEEPEST, Types, as_python, container_type, join_types, plain_form

_MAYBE_WIDE = re.compile(r"\d{19}", re.ASCII)  # 2**63 has 19 digits
_INTEGER_BITS = 2000  # below every setting of sys.set_int_max_str_digits
_FIXES = {
    **dict.fromkeys(("bytes", "bytearray"), "store it as base64 text"),
    "ndarray": "store value.tolist()",
    "Series": "store value.to_dict()",
    **dict.fromkeys(("Period", "Interval"), "store str(value)"),
}
_FIX = "make it a str, int, float, bool, None, list or dict first"
_Path = tuple[str | int, ...]


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
        metadata: str, int, float, bool, None, date, datetime (with its time zone), time, timedelta,
            Decimal, UUID, and lists, tuples, sets, frozensets and dicts (string keys) of them;
            comes back with its types. An enum's member comes back as its value, a scalar of numpy
            or pandas as Python's. A row of pandas is taken for a dict.
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

    Examples:
        >>> from datetime import date
        >>> vector = encode("tea", [1, 0], text="Green tea.", metadata={"day": date(2024, 5, 1)})
        >>> decode(vector).metadata
        {'day': datetime.date(2024, 5, 1)}
    """
    check_key(key, limits)
    _check_text(text, key, ("text",))
    given = {"metadata": _as_dict(metadata, key, "metadata"), "node": _as_dict(node, key, "node")}
    split = {part: _split_dict(value, key, (part,)) for part, value in given.items()}
    parts = {part: plain for part, (plain, _) in split.items()}
    types = {part: tree for part, (_, tree) in split.items() if tree}
    if taken := [name for name in RESERVED_FIELDS if name in parts["metadata"]]:
        reason = "has the name of a field of the record's envelope"
        field = f"metadata[{taken[0]!r}]"
        raise InvalidRecordError(key, reason, field=field, remedy="give it another name")
    if isinstance(filterable, str):
        raise InvalidRequestError(
            "{argument} takes several names",
            argument="filterable",
            remedy="put a single one into a list",
        )
    # LlamaIndex deletes and filters by a node's source document, which stands deep in the node.
    source = source_id(parts["node"])
    about = {SOURCE_ID_FIELD: source} if source else {}
    # what has a type of its own is compared as that
    typed = {name: given["metadata"][name] for name in types.get("metadata", ())}
    seen = {**parts["metadata"], **typed} if visible is None else visible
    seen = {**seen, **about}
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
    stored = {TEXT_FIELD: text, ENVELOPE_FIELD: _envelope(parts, types, node is not None), **copies}
    _check_total(key, stored, parts, limits)
    return _vector(key, data, stored)


def _as_dict(value: Any, key: str, part: str) -> dict[str, Any]:
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "to_dict"):
        value = value.to_dict()  # a row of a table
    if value is not None and not isinstance(value, Mapping):
        raise InvalidRecordError(key, f"is of type {type(value).__name__}, not a dict", field=part)
    # a copy: what is checked is what is written, whatever another thread does to the dict
    return dict(value or {})


def _split_value(value: Any, key: str, path: _Path) -> tuple[Any, Types | None]:
    """Return a value in plain JSON, and the type that it comes back with where JSON lacks it.

    Plain are str, int, float, bool, None, and lists and dicts (string keys) of them. A subclass of
    these is stored as its plain value, and comes back equal to it, of the plain type.
    """
    value = as_python(value)
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, key, path)
    elif isinstance(value, dict):
        plain, types = _split_dict(value, key, path)
        return plain, types or None
    elif isinstance(value, list):
        return _split_items(value, key, path)
    elif isinstance(value, int):
        # Python may refuse to read longer ones back (sys.set_int_max_str_digits)
        if value.bit_length() > _INTEGER_BITS:
            _refuse(key, path, "is an integer over 2,000 bits", remedy="store it as text")
    elif value is not None and not (isinstance(value, float) and isfinite(value)):
        return _split_typed(value, key, path)
    return value, None


def _split_dict(
    value: dict[Any, Any], key: str, path: _Path
) -> tuple[dict[str, Any], dict[str, Types]]:
    _check_depth(key, path)
    plain: dict[str, Any] = {}
    types: dict[str, Types] = {}
    for name, item in list(value.items()):
        if not isinstance(name, str):
            _refuse(key, path, f"has a key that is not a string: {quote(name)}", remedy="use str")
        if not name.isascii():
            _check_text(name, key, path, of="a name in ")
        plain[name], inner = _split_value(item, key, (*path, name))
        if inner is not None:
            types[name] = inner
    return plain, types


def _split_items(
    value: Iterable[Any], key: str, path: _Path, own: str | None = None
) -> tuple[Any, Types | None]:
    _check_depth(key, path)
    split = [_split_value(item, key, (*path, at)) for at, item in enumerate(list(value))]
    if isinstance(value, set | frozenset):  # which have no order of their own
        split.sort(key=dump)
    inner = {str(at): types for at, (_, types) in enumerate(split) if types is not None}
    return [plain for plain, _ in split], join_types(own, inner)


def _split_typed(value: Any, key: str, path: _Path) -> tuple[Any, Types | None]:
    if own := container_type(value):
        return _split_items(value, key, path, own)
    if found := plain_form(value):
        return found
    name = type(value).__name__
    fix = _FIXES.get(name, "store value.item()" if hasattr(value, "item") else _FIX)
    reason = f"is of type {name}, which would not come back as it was"
    return _refuse(key, path, reason, remedy=fix)


def _check_depth(key: str, path: _Path) -> None:
    if len(path) > DEEPEST:
        _refuse(key, path, f"is nested over {DEEPEST} levels deep", remedy="flatten it")


def _check_text(text: object, key: str, path: _Path, *, of: str = "") -> None:
    if not isinstance(text, str):
        _refuse(key, path, f"is of type {type(text).__name__}, not a string")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            at = error.start
            _refuse(key, path, f"holds a lone surrogate at character {at}; UTF-8 has none", of=of)


def _refuse(key: str, path: _Path, reason: str, *, remedy: str = "", of: str = "") -> NoReturn:
    part, *steps = path
    shown = "".join(f"[{quote(step) if isinstance(step, str) else step}]" for step in steps)
    raise InvalidRecordError(key, reason, field=f"{of}{part}{shown}", remedy=remedy)


def _envelope(
    parts: Mapping[str, dict[str, Any]], types: Mapping[str, dict[str, Types]], with_node: bool
) -> str:
    envelope: dict[str, Any] = {"v": VERSION, "metadata": parts["metadata"]}
    if with_node:
        envelope["node"] = parts["node"]
    if types:
        envelope[TYPES] = types
    written = dump(envelope)
    # Digits inside a string match too: then the slower, exact reader is chosen for nothing.
    return WIDE_MARK + written[1:] if _MAYBE_WIDE.search(written) else written


def _check_total(
    key: str, stored: Mapping[str, object], parts: Mapping[str, dict[str, Any]], limits: Limits
) -> None:
    if (size := metadata_bytes(dict(stored))) > limits.metadata_bytes:
        fields = {f"metadata[{quote(name)}]": value for name, value in parts["metadata"].items()}
        fields |= {"text": stored[TEXT_FIELD], "node": parts["node"]}
        raise InvalidRecordError(
            key,
            f"take {size:,} bytes, over the limit of {limits.metadata_bytes:,}; {largest(fields)}.",
            field="metadata and text",
            limit=limits.metadata_bytes,
            remedy="Split the record into several, or keep the large part elsewhere (an OSS "
            "object) and store where it is",
        )


def _vector(key: str, data: Iterable[float] | None, stored: dict[str, Any]) -> Vector:
    try:
        return Vector(key, data, stored)
    except (TypeError, OverflowError) as error:
        raise InvalidRecordError(
            key, f"is not float32: {error}", field="its data", argument="embedding"
        ) from error
