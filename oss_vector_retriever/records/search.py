"""Searches in a store: by vector, by the vector of a stored key, and for relevance with variety.

QueryVectors cannot return data, so whatever needs the stored embeddings asks for keys first and
fetches the records with them: one query, and a get for each 100 hits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..client.context import Context, Flow
from ..client.errors import (
    InvalidRequestError,
    MissingKeysError,
    ResponseError,
    VectorIndexParameterInvalidError,
    quote,
)
from ..client.models import Float32Array, QueryVectorsResult, ScoredVector, Vector
from ..client.operations.checks import check_data, check_whole
from ..client.operations.vectors import query_vectors
from ..client.steps import Call
from .filters import Filter, explicit_filter, intersect
from .indexing import IndexKeeper
from .record import Record
from .settings import ROW_FIELD, is_row
from .store import RecordStore

Choose = Callable[[Float32Array, Sequence[Float32Array], int], list[int]]
_NO_ROWS = {ROW_FIELD: {"$exists": False}}


@dataclass(frozen=True, slots=True)
class Hit:
    """One record that a search found, and its distance: smaller is closer."""

    record: Record
    distance: float


def relevance(metric: str, distance: float) -> float:
    """Return a distance as a relevance from 0 to 1: cosine 1 - d/2, euclidean 1/(1 + d).

    Raises:
        InvalidRequestError: the metric is another.
    """
    if metric == "cosine":  # the service's distance is 1 - cosine, from 0 to 2
        return min(1.0, max(0.0, 1.0 - distance / 2.0))
    return nearness(metric, distance)


def nearness(metric: str, distance: float) -> float:
    """Return a distance as a similarity that keeps the order: cosine 1 - d, euclidean 1/(1 + d).

    Raises:
        InvalidRequestError: the metric is another.
    """
    if metric == "cosine":
        return 1.0 - distance
    if metric == "euclidean":
        # a distance that is rounded may be just below zero
        return 1.0 / (1.0 + max(0.0, distance))
    raise InvalidRequestError(f"the index has the metric {quote(metric)}, which is not known here.")


def search(
    context: Context,
    store: RecordStore,
    query_vector: Iterable[float],
    k: int = 4,
    *,
    filter: Filter | None = None,  # noqa: A002 - the frameworks' own name
    return_data: bool = False,
) -> Flow[list[Hit]]:
    """Find the `k` records closest to a vector, closest first; `return_data` costs the gets.

    Raises:
        InvalidRequestError: `k` is not 1 to the service's top_k limit, the vector is not finite or
            has another dimension than the index, or the filter cannot work.
    """
    check_whole("k", k, 1, context.config.limits.top_k)
    query = check_data("query_vector", query_vector, "the query vector")
    condition = _service_filter(context, store, filter)
    hits: Sequence[ScoredVector] = yield from store.or_empty(
        context,
        query_index(context, store.keeper, query, k, condition, return_metadata=not return_data),
        tuple,
    )
    if not return_data:
        return _decode_hits(store, hits, [Vector(hit.key, None, hit.metadata) for hit in hits])
    # metadata too, in place of those of the query: they belong to the data that came with them
    result = yield from store.fetch(context, [hit.key for hit in hits], return_data=True)
    return _decode_hits(store, hits, result)


def search_by_key(
    context: Context,
    store: RecordStore,
    key: str,
    k: int = 4,
    *,
    filter: Filter | None = None,  # noqa: A002 - the frameworks' own name
    return_data: bool = False,
) -> Flow[list[Hit]]:
    """Find the `k` records closest to a stored one, which is itself left out: no embedding call."""
    top_k = context.config.limits.top_k
    check_whole("k", k, 1, top_k)
    result = yield from store.fetch(context, [key], return_data=True, return_metadata=False)
    if result.missing or (data := result[0].data) is None:
        raise MissingKeysError([key])
    one_more = min(k + 1, top_k)  # the record finds itself
    hits = yield from search(context, store, data, one_more, filter=filter, return_data=return_data)
    return [hit for hit in hits if hit.record.key != key][:k]


def mmr_search(
    context: Context,
    store: RecordStore,
    query_vector: Iterable[float],
    choose: Choose,
    *,
    k: int = 4,
    fetch_k: int = 20,
    filter: Filter | None = None,  # noqa: A002 - the frameworks' own name
) -> Flow[list[Hit]]:
    """Find `fetch_k` records, and of them the `k` that `choose` picks by their embeddings.

    `choose` takes the query, the embeddings and `k`, and returns positions in the order picked; it
    runs off the event loop. The records carry their embeddings.
    """
    query = check_data("query_vector", query_vector, "the query vector")
    top_k = context.config.limits.top_k
    check_whole("k", k, 1, top_k)
    check_whole("fetch_k", fetch_k, 1, top_k)
    hits = yield from search(
        context, store, query, max(k, fetch_k), filter=filter, return_data=True
    )
    # off the event loop below: the choice compares all candidates with one another
    rows = [hit.record.embedding for hit in hits if hit.record.embedding is not None]
    if len(rows) != len(hits):
        raise ResponseError("GetVectors: a vector came without its data.", 200)
    picked: list[int] = (yield Call(lambda: choose(query, rows, k))) if hits else []
    return [hits[position] for position in picked]


def query_index(
    context: Context,
    keeper: IndexKeeper,
    query: Sequence[float] | Float32Array,
    top_k: int,
    condition: Filter | None,
    *,
    return_metadata: bool = True,
) -> Flow[QueryVectorsResult]:
    """Find the vectors closest to one; refuse by name a query of another dimension."""
    found = query_vectors(
        context,
        query,
        top_k=top_k,
        index=keeper.settings.index,
        filter=condition,
        return_metadata=return_metadata,
    )
    try:
        return (yield from found)
    except VectorIndexParameterInvalidError:
        # The service does not say why: most often the model is another than the index's.
        yield from keeper.check_query(context, len(query))
        raise


def _service_filter(
    context: Context, store: RecordStore, condition: Filter | None
) -> dict[str, Any] | None:
    settings = store.settings
    # Only what is known already: a search does not pay for a look at the index.
    index = store.keeper.peek(context)
    written = explicit_filter(
        condition,
        filterable=settings.filterable,
        hidden=(*settings.hidden_fields, *(index.non_filterable_metadata_keys if index else ())),
        native_scalars=settings.native_scalars,
        limits=context.config.limits,
    )
    return intersect(written, _NO_ROWS) if settings.skip_rows else written


def _decode_hits(
    store: RecordStore, hits: Iterable[ScoredVector], vectors: Iterable[Vector]
) -> list[Hit]:
    """Return hits with their records; those deleted between query and fetch are left out."""
    by_key = {vector.key: vector for vector in vectors}
    decoded = []
    for hit in hits:
        vector = by_key.get(hit.key)
        # A store that does not filter rows out itself (`skip_rows`) may share its index with some.
        if vector is None or is_row(vector.metadata):
            continue
        record = store.decode(vector)
        if hit.distance is None:
            what = f"{quote(hit.key)} came without the distance asked for"
            raise ResponseError(f"QueryVectors: {what}.", 200)
        if record is not None:
            decoded.append(Hit(record, hit.distance))
    return decoded
