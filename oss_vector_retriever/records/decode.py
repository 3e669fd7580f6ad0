"""From a stored vector to a `Record`, whoever wrote it: the ladder, record by record.

The first match wins:

    1. our own envelope                        `_record`, with `_record_text`; of version 1 or 2
    2. LlamaIndex                              `_node_content`: JSON text or an object
    3. Alibaba's oss-vectors-embed             `OSSVECTORS-EMBED-SRC-CONTENT`
    4. LangChain                               `_page_content`, then `page_content`
    5. the field that the caller names         `text_key`
    6. anyone's                                `text`, then `content`
    7. else the text is empty, and all is metadata

Rungs 1 and 2 can be broken: what to do then is the caller's choice, and one broken record never
sinks a batch unless the caller wants it to. A field that holds None does not match.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import Any, Final, Literal, get_args, overload

from pydantic_core import from_json

from ..client.errors import OSSVectorError, quote
from ..client.models.vector import Float32Array, Vector
from ..client.operations.checks import check_choice
from .record import EMBED_CONTENT_TYPE, EMBED_LOCATION, Record, Source
from .typed import restore

DecodePolicy = Literal["raise", "skip", "raw"]
DECODE_POLICIES: Final[tuple[str, ...]] = get_args(DecodePolicy)

ENVELOPE_FIELD: Final = "_record"
TEXT_FIELD: Final = "_record_text"
ENVELOPE_KEYS: Final = (ENVELOPE_FIELD, TEXT_FIELD)
# The mark: a list of the fields that the service cannot judge, since they have no copy, or one that
# is not the value itself.
UNSURE_FIELD: Final = "_unsure"
UNSURE_OF_ALL: Final = "*"  # in the mark, where the names do not fit
UNSURE_OF_NONE: Final = "-"  # a list that is empty might be refused
RESERVED_FIELDS: Final = (*ENVELOPE_KEYS, UNSURE_FIELD)
VERSION: Final = 2  # of the envelope; a later one is refused, never guessed at
_VERSIONS: Final = (1, VERSION)  # the first one had no mark
TYPES: Final = "types"  # in an envelope, what of it is of types that JSON lacks: see `typed`
_HEAD_VERSION: Final = 3  # of a record whose value stands in parts elsewhere (`parts`)
HEAD_MARK: Final = f'{{"v":{_HEAD_VERSION},"parts":'
WIDE_MARK: Final = '{"wide":true,'  # begins an envelope with integers over 64 bits

NODE_FIELD: Final = "_node_content"
NODE_TYPE_FIELD: Final = "_node_type"
# LlamaIndex repeats the id of a node's source document under three names beside the node.
SOURCE_ID_FIELD: Final = "ref_doc_id"
SOURCE_ID_FIELDS: Final = ("doc_id", "document_id", SOURCE_ID_FIELD)
_NO_SOURCE = "None"  # str(None), which LlamaIndex writes where a node has no source
_SOURCE_RELATIONSHIP = "1"  # NodeRelationship.SOURCE

_Rungs = tuple[tuple[str, Source], ...]
_BEFORE_TEXT_KEY: _Rungs = (
    ("OSSVECTORS-EMBED-SRC-CONTENT", "embed_cli"),
    ("_page_content", "langchain"),
    ("page_content", "langchain"),
)
_AFTER_TEXT_KEY: _Rungs = (("text", "text"), ("content", "content"))

JsonReader = Callable[[str], Any]

# from_json keeps integers of any size; orjson is faster, and turns those over 64 bits into floats.
exact_json: JsonReader = from_json
fast_json: JsonReader
try:
    from orjson import loads as fast_json
except ImportError:  # orjson is for CPython alone
    fast_json = exact_json

_CONTAINERS = frozenset((dict, list))
_log = logging.getLogger(__name__)


class DecodeError(OSSVectorError, ValueError):
    """A stored record claims a format and does not keep it.

    Attributes:
        key: the key of the record.
        field: the metadata field that cannot be read, such as `_node_content`.
        reason: what is wrong with it.
    """

    def __init__(self, key: str, field: str, reason: str) -> None:
        self.key = key
        self.field = field
        self.reason = reason
        super().__init__(
            f"record {quote(key)}: {field} cannot be read: {reason}. "
            "Write the record again, or delete it; what takes on_decode_error= can read past it, "
            'with "skip" or "raw".'
        )


@overload
def decode(
    vector: Vector, *, text_key: str | None = ..., on_decode_error: Literal["raise", "raw"] = ...
) -> Record: ...


@overload
def decode(
    vector: Vector, *, text_key: str | None = ..., on_decode_error: DecodePolicy
) -> Record | None: ...


def decode(
    vector: Vector, *, text_key: str | None = None, on_decode_error: DecodePolicy = "raise"
) -> Record | None:
    """Read one vector as a record; the vector is left as it is and shares nothing with the result.

    Args:
        vector: a stored vector, with or without data and metadata.
        text_key: a further metadata field to look for text in.
        on_decode_error: "raise"; "skip" (None, with a warning in the log); or "raw": all metadata
            as it is stored, and what text can be had from the plain fields.

    Raises:
        DecodeError: the record is broken, under "raise".
        InvalidRequestError: `on_decode_error` is none of the three.

    Examples:
        >>> record = decode(Vector("tea", metadata={"content": "Green tea.", "page": "7"}))
        >>> record.text, record.metadata, record.source
        ('Green tea.', {'page': '7'}, 'content')
    """
    check_choice("on_decode_error", on_decode_error, DECODE_POLICIES)
    try:
        return read(vector, text_key)
    except DecodeError as error:
        if on_decode_error == "raise":
            raise
        if on_decode_error == "raw":
            return _raw_record(vector, text_key)
        _log.warning("skipped: %s", error)
        return None


def decode_all(
    vectors: Iterable[Vector],
    *,
    text_key: str | None = None,
    on_decode_error: DecodePolicy = "raise",
) -> list[Record]:
    """Read vectors in order, each by itself; under "skip" the broken ones are left out.

    Raises:
        DecodeError: a record is broken, under "raise".
        InvalidRequestError: `on_decode_error` is none of the three.

    Examples:
        >>> vectors = [Vector("a", metadata={"text": "A"}), Vector("b", metadata={"text": "B"})]
        >>> [record.text for record in decode_all(vectors)]
        ['A', 'B']
    """
    decoded = (decode(v, text_key=text_key, on_decode_error=on_decode_error) for v in vectors)
    return [record for record in decoded if record is not None]


def read(vector: Vector, text_key: str | None = None) -> Record:
    """Read one vector as a record, as `decode` does under "raise"."""
    stored = vector.metadata
    if not stored:
        return Record(vector.key, "", {}, vector.data)
    if stored.get(ENVELOPE_FIELD) is not None:
        return _from_envelope(vector.key, stored, vector.data)
    if stored.get(NODE_FIELD) is not None:
        return _from_node(vector.key, stored, vector.data, text_key)
    return _from_fields(vector.key, stored, vector.data, text_key)


def _from_envelope(key: str, stored: dict[str, Any], embedding: Float32Array | None) -> Record:
    written = stored[ENVELOPE_FIELD]
    # The writer marks integers over 64 bits, so that only their envelopes take the slower reader.
    wide = isinstance(written, str) and written.startswith(WIDE_MARK)
    envelope = load_object(written, key, ENVELOPE_FIELD, exact_json if wide else fast_json)
    metadata, node, text = envelope.get("metadata"), envelope.get("node"), stored.get(TEXT_FIELD)
    # One look at all parts, since nearly every record is whole; which part is damaged comes after.
    broken = envelope.get("v") not in _VERSIONS or not (node is None or type(node) is dict)
    if broken or type(metadata) is not dict or type(text) is not str:
        raise _damage(key, envelope)
    if TYPES in envelope:
        _restore(key, envelope[TYPES], {"metadata": metadata, "node": node})
    if len(stored) > len(RESERVED_FIELDS) or UNSURE_FIELD not in stored:
        _add_other_fields(metadata, stored, node, RESERVED_FIELDS)
    return Record(key, text, metadata, embedding, node, "envelope")


def _restore(key: str, types: object, parts: dict[str, Any]) -> None:
    """Give an envelope's parts, in place, what is of types that JSON lacks."""
    field = f"{ENVELOPE_FIELD}.{TYPES}"
    if type(types) is not dict or not all(type(tree) is dict for tree in types.values()):
        raise DecodeError(key, field, "it is not an object of objects")
    try:
        for part, tree in types.items():
            restore(parts[part], tree)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"it does not fit the values ({type(error).__name__}: {error})"
        raise DecodeError(key, field, reason) from error


def has_head(vectors: Iterable[Vector]) -> bool:
    """Tell whether the value of one of some stored vectors stands in parts."""
    for vector in vectors:
        # written out: it is asked of every record that is read
        if vector.metadata:
            written = vector.metadata.get(ENVELOPE_FIELD)
            if isinstance(written, str) and written.startswith(HEAD_MARK):
                return True
    return False


def is_head(vector: Vector) -> bool:
    """Tell whether the value of a stored vector stands in parts."""
    return has_head((vector,))


def _damage(key: str, envelope: dict[str, Any]) -> DecodeError:
    version = envelope.get("v")
    if version == _HEAD_VERSION and isinstance(envelope.get("parts"), dict):
        reason = "its value was cut, and stands in parts in a side index, where a store reads it"
        return DecodeError(key, ENVELOPE_FIELD, str(envelope.get("lost") or reason))
    reason = f"it has no version {VERSION}, so this package did not write it"
    if isinstance(version, int) and version > VERSION:
        reason = f"it has version {version}, and this release reads {VERSION}; a newer one wrote it"
    if version not in _VERSIONS:
        return DecodeError(key, ENVELOPE_FIELD, reason)
    for part in ("metadata", "node"):
        value = envelope.get(part)
        if not isinstance(value, dict) and not (part == "node" and value is None):
            return _not_an_object(value, key, f"{ENVELOPE_FIELD}.{part}")
    return DecodeError(key, TEXT_FIELD, "it is absent, or not a string")


def _from_node(
    key: str, stored: dict[str, Any], embedding: Float32Array | None, text_key: str | None
) -> Record:
    """Read a record that LlamaIndex wrote; the node wins over the fields beside it.

    Bookkeeping goes: an id field that says "None" or repeats the source relationship.
    """
    node = load_object(stored[NODE_FIELD], key, NODE_FIELD)
    if isinstance(node_type := stored.get(NODE_TYPE_FIELD), str):
        node.setdefault("class_name", node_type)
    node.pop("embedding", None)  # the vector's own data count
    metadata = node.pop("metadata", None)
    if metadata is None:
        metadata = {}
    elif not isinstance(metadata, dict):
        raise _not_an_object(metadata, key, f"{NODE_FIELD}.metadata")
    text, used = _text_outside(_text_inside(node, key), stored, metadata, text_key)
    _add_other_fields(metadata, stored, node, {NODE_FIELD, NODE_TYPE_FIELD, *used})
    return Record(key, text, metadata, embedding, node, "llama_index")


def _text_inside(node: dict[str, Any], key: str) -> str:
    """Return the node's text: `text`, or that of `text_resource` (Node and Document)."""
    texts, resource = {"text": node.get("text")}, node.get("text_resource")
    if isinstance(resource, dict):
        texts["text_resource.text"] = resource.get("text")
    for field, text in texts.items():
        if not isinstance(text, str | None):
            raise DecodeError(key, f"{NODE_FIELD}.{field}", "it is not a string")
        if text:
            return text
    return ""


def _text_outside(
    text: str, stored: dict[str, Any], metadata: dict[str, Any], text_key: str | None
) -> tuple[str, set[str]]:
    # LlamaIndex's own stores take the text out of the node where they keep it in a field.
    used = set()  # the fields that only repeat the text
    for name in (text_key, "text", "content"):
        beside = stored.get(name) if name and name not in metadata else None
        if name and beside and isinstance(beside, str) and text in ("", beside):
            text = beside
            used.add(name)
    return text, used


def _from_fields(
    key: str, stored: dict[str, Any], embedding: Float32Array | None, text_key: str | None
) -> Record:
    """Read a record by the first field that holds text (`text_of` says what does).

    A string moves from the metadata into the text. A text made of an array, a number or a boolean
    leaves its field in the metadata, so that nothing is lost.
    """
    for name, source in text_rungs(text_key):
        value = stored.get(name)
        if value is not None and (text := text_of(value)) is not None:
            metadata = deep_copy(stored)
            if isinstance(value, str):
                del metadata[name]
            return Record(key, text, metadata, embedding, None, source)
    # The CLI writes no content for images and videos: only where they lie.
    media = EMBED_LOCATION in stored or EMBED_CONTENT_TYPE in stored
    return Record(key, "", deep_copy(stored), embedding, None, "embed_cli" if media else "empty")


@lru_cache(maxsize=16)
def text_rungs(text_key: str | None) -> _Rungs:
    """Return the fields that may hold a record's text, in order, below envelope and node."""
    own: _Rungs = ((text_key, "text_key"),) if text_key else ()
    return (*_BEFORE_TEXT_KEY, *own, *_AFTER_TEXT_KEY)


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


def _raw_record(vector: Vector, text_key: str | None) -> Record:
    stored = vector.metadata or {}
    text = stored.get(TEXT_FIELD)
    if not isinstance(text, str):
        text = _from_fields(vector.key, stored, None, text_key).text
    return Record(vector.key, text, deep_copy(stored), vector.data, None, "raw")


def _add_other_fields(
    metadata: dict[str, Any],
    stored: dict[str, Any],
    node: dict[str, Any] | None,
    skipped: Collection[str],
) -> None:
    """Add to `metadata` the stored top-level fields that it lacks, copied, but for bookkeeping.

    Bookkeeping says no more than the node's source relationship; without a node there is none.
    """
    others = {}
    for name, value in stored.items():  # one loop: most records have one such field, or none
        if name in metadata or name in skipped:
            continue
        is_bookkeeping = node is not None and name in SOURCE_ID_FIELDS
        if not (is_bookkeeping and value in (_NO_SOURCE, source_id(node))):
            others[name] = value
    if others:
        metadata.update(deep_copy(others))


def source_id(node: dict[str, Any] | None) -> object:
    """Return the id of the document that a serialised node was made from; None without one."""
    relationships = None if node is None else node.get("relationships")
    source = relationships.get(_SOURCE_RELATIONSHIP) if isinstance(relationships, dict) else None
    return source.get("node_id") if isinstance(source, dict) else None


def load_object(
    value: object, key: str, field: str, read: JsonReader = exact_json
) -> dict[str, Any]:
    """Return the JSON object in a field, fresh, whether it is JSON text or an object already."""
    if isinstance(value, str):
        try:
            loaded = read(value)
        except (ValueError, TypeError) as error:
            raise DecodeError(key, field, f"it is not JSON ({error})") from error
        if isinstance(loaded, dict):
            return loaded
        raise _not_an_object(loaded, key, field)
    if isinstance(value, dict):
        return deep_copy(value)
    raise DecodeError(key, field, f"it is of type {type(value).__name__}, not JSON text")


def _not_an_object(value: object, key: str, field: str) -> DecodeError:
    return DecodeError(key, field, f"it is of type {type(value).__name__}, not an object")


def deep_copy(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that shares no dict and no list with the original, at any depth."""
    # A loop, not recursion: metadata may be nested deeper than the interpreter's stack. And not
    # copy.deepcopy, which takes three times as long, since it looks for values of any type.
    copied = metadata.copy()
    if _CONTAINERS.isdisjoint(map(type, copied.values())):  # as in most: a loop takes twice as long
        return copied
    pending: list[Any] = [copied]
    while pending:
        container = pending.pop()
        items = container.items() if container.__class__ is dict else enumerate(container)
        for position, item in items:
            if item.__class__ in _CONTAINERS:
                container[position] = inner = item.copy()
                pending.append(inner)
    return copied
