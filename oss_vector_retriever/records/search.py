"""Searches in a store: by vector, by the vector of a stored key, and for relevance with variety.

QueryVectors cannot return data, so whatever needs the stored embeddings asks for keys first and
fetches the records with them: one query, and a get for each 100 hits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import (
    MissingKeysError,
    ResponseError,
    VectorIndexParameterInvalidError,
)
from oss_vector_retriever.client.models.results import ScoredVector
from oss_vector_retriever.client.models.vector import Float32Array, Vector
from oss_vector_retriever.client.operations.checks import check_data, check_whole
from oss_vector_retriever.client.operations.vectors import query_vectors
from oss_vector_retriever.client.steps import Call, Flow
from oss_vector_retriever.records.filters import Filter, both, explicit_filter
from oss_vector_retriever.records.record import Record
from oss_vector_retriever.records.store import ROW_FIELD, RecordStore, Start, is_row

Choose = Callable[[Float32Array, Sequence[Float32Array], int], list[int]]
_NO_ROWS = {ROW_FIELD: {"$exists": False}}


@dataclass(frozen=True, slots=True)
class Hit:
    """Hold one record that a search found, and its distance: smaller is closer."""

    record: Record
    distance: float


@dataclass(frozen=True, slots=True)
class _Wanted:
    k: int
    filter: Filter | None
    return_data: bool


def relevance(metric: str, distance: float) -> float:
    """Return a distance as a relevance from 0 to 1: cosine 1 - d/2, euclidean 1/(1 + d)."""
    if metric == "cosine":
        return min(1.0, max(0.0, 1.0 - distance / 2.0))
    return 1.0 / (1.0 + max(0.0, distance))


def search(
    store: RecordStore,
    query_vector: Iterable[float],
    k: int = 4,
    *,
    filter: Filter | None = None,  # noqa: A002 - the frameworks' own name
    return_data: bool = False,
) -> Start[list[Hit]]:
    """Find the `k` records closest to a vector, closest first; `return_data` costs the gets.

    Raises:
        InvalidRequestError: `k` is not 1 to the service's top_k limit, the vector is not finite or
            has another dimension than the index, or the filter cannot work.
    """
    wanted = _Wanted(k, filter, return_data)
    return lambda context: _search(context, store, query_vector, wanted)


def search_by_key(
    store: RecordStore,
    key: str,
    k: int = 4,
    *,
    filter: Filter | None = None,  # noqa: A002 - the frameworks' own name
    return_data: bool = False,
) -> Start[list[Hit]]:
    """Find the `k` records closest to a stored one, which is itself left out: no embedding call.

    Raises:
        MissingKeysError: there is no such key.
    """
    wanted = _Wanted(k, filter, return_data)
    return lambda context: _search_by_key(context, store, key, wanted)


def mmr_search(
    store: RecordStore,
    query_vector: Iterable[float],
    choose: Choose,
    *,
    k: int = 4,
    fetch_k: int = 20,
    filter: Filter | None = None,  # noqa: A002 - the frameworks' own name
) -> Start[list[Hit]]:
    """Find `fetch_k` records, and of them the `k` that `choose` picks by their embeddings.

    `choose` takes the query, the embeddings and `k`, and returns positions in the order picked; it
    runs off the event loop. The records carry their embeddings.

    Raises:
        InvalidRequestError: as in `search`; `k` is less than 1.
    """

    def start(context: Context) -> Flow[list[Hit]]:
        query = check_data("query_vector", query_vector, "the query vector")
        most = context.config.limits.top_k
        check_whole("k", k, 1, most)
        check_whole("fetch_k", fetch_k, 1, most)
        wanted = _Wanted(max(k, fetch_k), filter, return_data=True)
        hits = yield from _search(context, store, query, wanted)
        rows = [hit.record.embedding for hit in hits if hit.record.embedding is not None]
        if len(rows) != len(hits):
            raise ResponseError("GetVectors: a vector came without its data.", 200)
        picked: list[int] = (yield Call(lambda: choose(query, rows, k))) if hits else []
        return [hits[position] for position in picked]

    return start


def _search(
    context: Context, store: RecordStore, query_vector: Iterable[float], wanted: _Wanted
) -> Flow[list[Hit]]:
    check_whole("k", wanted.k, 1, context.config.limits.top_k)
    query = check_data("query_vector", query_vector, "the query vector")
    hits: Sequence[ScoredVector] = yield from store.or_empty(
        _query(context, store, query, wanted), tuple
    )
    if wanted.return_data:
        return (yield from _hydrated(context, store, hits))
    vectors = [Vector(hit.key, None, hit.metadata) for hit in hits]
    return _decoded(store, zip(vectors, hits, strict=True))


def _search_by_key(
    context: Context, store: RecordStore, key: str, wanted: _Wanted
) -> Flow[list[Hit]]:
    most = context.config.limits.top_k
    check_whole("k", wanted.k, 1, most)
    result = yield from store.fetch([key], return_data=True, return_metadata=False)(context)
    if result.missing or (data := result[0].data) is None:
        raise MissingKeysError([key])
    one_more = replace(wanted, k=min(wanted.k + 1, most))  # the record finds itself
    hits = yield from _search(context, store, data, one_more)
    return [hit for hit in hits if hit.record.key != key][: wanted.k]


def _written(context: Context, store: RecordStore, given: Filter | None) -> dict[str, Any] | None:
    settings = store.settings
    known = store.keeper.known(context)
    written = explicit_filter(
        given,
        filterable=settings.filterable,
        hidden=(*settings.hidden_fields, *(known.non_filterable_metadata_keys if known else ())),
        native_scalars=settings.native_scalars,
        limits=context.config.limits,
    )
    return both(written, _NO_ROWS) if settings.skip_rows else written


def _query(
    context: Context, store: RecordStore, query: Float32Array, wanted: _Wanted
) -> Flow[Sequence[ScoredVector]]:
    try:
        return (
            yield from query_vectors(
                context,
                query,
                top_k=wanted.k,
                index=store.settings.index,
                filter=_written(context, store, wanted.filter),
                return_metadata=not wanted.return_data,
            )
        )
    except VectorIndexParameterInvalidError:
        yield from store.keeper.check_query(context, len(query))
        raise


def _hydrated(
    context: Context, store: RecordStore, hits: Sequence[ScoredVector]
) -> Flow[list[Hit]]:
    result = yield from store.fetch([hit.key for hit in hits], return_data=True)(context)
    found = result.by_key
    return _decoded(store, ((found[hit.key], hit) for hit in hits if hit.key in found))


def _decoded(store: RecordStore, pairs: Iterable[tuple[Vector, ScoredVector]]) -> list[Hit]:
    made = []
    for vector, hit in pairs:
        if is_row(vector.metadata):
            continue
        record = store.decoded(vector)
        if hit.distance is None:
            raise ResponseError("QueryVectors: a hit came without the distance asked for.", 200)
        if record is not None:
            made.append(Hit(record, hit.distance))
    return made
