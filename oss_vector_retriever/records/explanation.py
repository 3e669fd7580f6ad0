"""What stored records are and what is made of them, as plain data, for whoever shows them.

    raw record -> rung of the decode ladder -> `Record`      (adapters make Document and node of it)
               -> sizes against the limits

One flow brings it for any number of keys, another one the neighbours of a key. No framework is
imported; the texts of a rung and a size are for readers to word.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..client.context import Context, Flow
from ..client.errors import (
    MissingKeysError,
    NoSuchVectorIndexError,
    VectorIndexParameterInvalidError,
)
from ..client.fetch import fetch
from ..client.known_indexes import describe
from ..client.models import (
    DEFAULT_LIMITS,
    FetchResult,
    Float32Array,
    Limits,
    QueryVectorsResult,
    Vector,
    VectorIndex,
    dump,
)
from ..client.operations.checks import check_top_k
from ..client.operations.vectors import query_vectors
from .decode import (
    ENVELOPE_FIELD,
    NODE_FIELD,
    DecodeError,
    decode,
    is_head,
    read,
    text_of,
    text_rungs,
)
from .parts import Parts, read_head, restore
from .record import EMBED_CONTENT_TYPE, EMBED_LOCATION, Record, Source

Outcome = Literal["absent", "no text", "decoded", "broken", "not reached"]
_LOWER_CAPS: Final = (100, 30)  # of topK, on older pages of the service
_LAST_RUNG: Final = "nothing that holds text"


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the decode ladder, and what it came to for a record.

    Attributes:
        source: what a record is that it decodes.
        field: the metadata field that it looks for.
        outcome: "absent" (no such field), "no text" (the field holds an object or the like),
            "decoded", "broken" (the field claims a format and does not keep it), "not reached".
    """

    source: Source
    field: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Size:
    """A size of a record beside the service's limit for it.

    Attributes:
        name: what is measured: "key", "data", "metadata", "filterable metadata", or
            "filterable fields".
        value: how large it is; None where nobody could say which fields are filterable.
        limit: how large the service lets it be.
        unit: "characters", "values", "bytes" or "fields".
    """

    name: str
    value: int | None
    limit: int
    unit: str

    @property
    def share(self) -> float:
        """Return the part of the limit that is used; above 1 where it is passed."""
        return (self.value or 0) / self.limit


@dataclass(frozen=True, slots=True)
class Field:
    """One metadata field as it is stored: its size in bytes, and whether filters can see it."""

    name: str
    value: Any
    size: int
    is_filterable: bool | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One stored record: what is stored, what it was decoded as, and how large it is.

    Attributes:
        vector: as it is stored.
        whole: the same with the value that was cut into parts elsewhere, where it was.
        parts: the parts of that value, or why they cannot be read; None where it was not cut.
        rungs: every rung of the ladder, in order; the last decodes whatever comes to it.
        record: what it was decoded as; under an error all metadata as they are stored.
        error: why it cannot be decoded, or None.
        sizes: against the limits.
        fields: the stored metadata fields, in their order.
    """

    vector: Vector
    whole: Vector
    parts: Parts | str | None
    rungs: tuple[Rung, ...]
    record: Record
    error: DecodeError | None
    sizes: tuple[Size, ...]
    fields: tuple[Field, ...]

    @property
    def rung(self) -> Rung:
        """Return the rung that decoded the record, or that it broke on."""
        return next(rung for rung in self.rungs if rung.outcome in ("decoded", "broken"))


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of some keys.

    Attributes:
        keys: as they were asked for, each once.
        found: an explanation for each key that exists, by key, in the order asked.
        missing: the keys that do not exist.
        index: the index as the service describes it; None where the caller may not look at it.
    """

    keys: tuple[str, ...]
    found: Mapping[str, Explanation]
    missing: tuple[str, ...]
    index: VectorIndex | None


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A stored vector near to another; `distance` as the service measures it, smaller is closer."""

    key: str
    distance: float | None
    record: Record | None


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The vectors nearest to a stored one, which is itself left out.

    Attributes:
        items: the closest first.
        looked_at: how many of the nearest the service was asked for; a filter chooses among these
            where the service filters what it has found.
        matched: how many of them passed.
    """

    items: tuple[Neighbor, ...]
    looked_at: int
    matched: int


def explain_keys(
    context: Context, keys: Iterable[str], index: str | None = None, text_key: str | None = None
) -> Flow[Explained]:
    """Fetch records by key, any number, and explain each.

    Raises:
        InvalidRequestError: a key is illegal; no call was made.
        ServiceError: the service refused to read records.
    """
    result: FetchResult = yield from fetch(context, keys, index)
    described = yield from describe_readable(context, index)
    name = context.config.index_or(index)
    # a head whose parts are gone comes back as it is, and is explained so
    whole = yield from restore(context, name, list(result.by_key.values()), return_data=True)
    restored = {vector.key: vector for vector in whole}
    found = {
        key: explain(
            vector,
            described,
            whole=restored.get(key, vector),
            text_key=text_key,
            limits=context.config.limits,
            name=name,
        )
        for key in dict.fromkeys(result.keys)
        if (vector := result.by_key.get(key)) is not None
    }
    return Explained(tuple(dict.fromkeys(result.keys)), found, result.missing, described)


def describe_readable(context: Context, index: str | None = None) -> Flow[VectorIndex | None]:
    """Return the description of an index; None where the caller may read vectors alone."""
    try:
        found = yield from describe(context, index)
    except NoSuchVectorIndexError:
        return None  # its vectors were there a moment ago
    return found if found.dimension or found.mode else None


def explain(
    vector: Vector,
    index: VectorIndex | None = None,
    *,
    whole: Vector | None = None,
    text_key: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    name: str = "",
) -> Explanation:
    """Return what a stored vector is.

    Args:
        vector: as it is stored, with data and metadata.
        index: its index, whose non-filterable fields count; None leaves these sizes open.
        whole: the vector with its value put together, where that was cut.
        text_key: a further metadata field to look for text in.
        limits: the service's limits.
        name: the index's name, for the keys of parts.
    """
    whole = vector if whole is None else whole
    error: DecodeError | None = None
    try:
        record = read(whole, text_key)
    except DecodeError as refusal:
        error = refusal
        record = decode(whole, text_key=text_key, on_decode_error="raw")
    fields = _fields_of(vector, index)
    return Explanation(
        vector,
        whole,
        read_head(name, vector) if is_head(vector) else None,
        _climb(whole, record, error, text_key),
        record,
        error,
        _measure(vector, fields, limits),
        fields,
    )


def _climb(
    vector: Vector, record: Record, error: DecodeError | None, text_key: str | None
) -> tuple[Rung, ...]:
    stored = vector.metadata or {}
    rungs: list[Rung] = []

    def add(source: Source, field: str, outcome: Outcome) -> None:
        over = any(rung.outcome in ("decoded", "broken") for rung in rungs)
        rungs.append(Rung(source, field, "not reached" if over else outcome))

    claims: Outcome = "decoded" if error is None else "broken"
    add("envelope", ENVELOPE_FIELD, "absent" if stored.get(ENVELOPE_FIELD) is None else claims)
    add("llama_index", NODE_FIELD, "absent" if stored.get(NODE_FIELD) is None else claims)
    for field, source in text_rungs(text_key):
        value = stored.get(field)
        outcome: Outcome = "no text" if text_of(value) is None else "decoded"
        add(source, field, "absent" if value is None else outcome)
    # an image of the tool's has no content: it is known by what says where it lies
    media = [name for name in (EMBED_LOCATION, EMBED_CONTENT_TYPE) if name in stored]
    last = media[0] if record.source == "embed_cli" and media else _LAST_RUNG
    add("embed_cli" if media else "empty", last, "decoded")
    return tuple(rungs)


def _fields_of(vector: Vector, index: VectorIndex | None) -> tuple[Field, ...]:
    hidden = None if index is None else index.non_filterable_metadata_keys
    return tuple(
        Field(
            name, value, _size_of({name: value}) - 2, None if hidden is None else name not in hidden
        )
        for name, value in (vector.metadata or {}).items()
    )


def _measure(vector: Vector, fields: tuple[Field, ...], limits: Limits) -> tuple[Size, ...]:
    seen = {field.name: field.value for field in fields if field.is_filterable}
    is_open = any(field.is_filterable is None for field in fields)
    data = None if vector.data is None else len(vector.data)
    metadata = _size_of(vector.metadata) if vector.metadata else 0
    sizes = (
        ("key", len(vector.key), limits.key_characters, "characters"),
        ("data", data, limits.dimension, "values"),
        ("metadata", metadata, limits.metadata_bytes, "bytes"),
        (
            "filterable metadata",
            None if is_open else _size_of(seen) if seen else 0,
            limits.filterable_bytes,
            "bytes",
        ),
        ("filterable fields", None if is_open else len(seen), limits.filterable_keys, "fields"),
    )
    return tuple(Size(*size) for size in sizes)


def _size_of(value: object) -> int:
    # as `metadata_bytes`, but for half of a surrogate pair, which a service may hand out
    return len(dump(value).encode(errors="surrogatepass"))


def find_neighbors(
    context: Context,
    key: str,
    k: int = 10,
    index: str | None = None,
    *,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the API's own name
    text_key: str | None = None,
) -> Flow[Neighbors]:
    """Find the `k` vectors nearest to a stored one by the service's own search, closest first.

    Raises:
        MissingKeysError: the key does not exist.
        InvalidRequestError: `k` is not 1 to the service's top_k limit, or the filter is none.
        ServiceError: the service refused, such as a filter on a field that filters cannot see.
    """
    check_top_k("k", k, context.config.limits)
    stored: FetchResult = yield from fetch(context, [key], index, return_metadata=False)
    if stored.missing or (data := stored[0].data) is None:
        raise MissingKeysError([key])
    # The record finds itself, so that one more is asked for. A filter chooses among what the search
    # has found: so as much as there may be.
    limit = context.config.limits.top_k
    asked = limit if filter else min(k + 1, limit)
    hits, asked = yield from _query(context, data, asked, index, filter)
    others = [hit for hit in hits if hit.key != key]
    nearest = others[:k]
    # keys alone first: of hundreds of hits a few are shown, and each may have 40 KB of metadata
    fetched = yield from fetch(context, [hit.key for hit in nearest], index, return_data=False)
    whole = yield from restore(context, index, list(fetched.by_key.values()))
    records = {one.key: decode(one, text_key=text_key, on_decode_error="raw") for one in whole}
    items = tuple(Neighbor(hit.key, hit.distance, records.get(hit.key)) for hit in nearest)
    return Neighbors(items, asked, len(others))


def _query(
    context: Context,
    data: Float32Array,
    asked: int,
    index: str | None,
    filter: Mapping[str, Any] | None,  # noqa: A002 - as above
) -> Flow[tuple[QueryVectorsResult, int]]:
    """Query; where that is refused, for as many as older services give. The first refusal counts.

    The filter may be to blame as well, which the service does not say.
    """
    try:
        return (yield from query_vectors(context, data, asked, index, filter)), asked
    except VectorIndexParameterInvalidError:
        for cap in _LOWER_CAPS:
            if cap < asked:
                with suppress(VectorIndexParameterInvalidError):
                    return (yield from query_vectors(context, data, cap, index, filter)), cap
        raise
