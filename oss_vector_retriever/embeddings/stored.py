"""The stored embeddings of things known by their ids: one flow for sync and async."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.results import FetchResult
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings.mathematics import Float32

WithoutPolicy = Literal["keep", "drop", "raise"]
WITHOUT_POLICIES: Final[tuple[str, ...]] = get_args(WithoutPolicy)


@dataclass(frozen=True, slots=True)
class StoredEmbeddings:
    """Hold the stored embeddings of a list of things.

    Attributes:
        positions: where in the list those stand that have an embedding, in order.
        matrix: their embeddings, shape (len(positions), dimension), dtype float32.
        without: where those stand that have none.
        query: the stored embedding of the query's key, where one was asked for.
        calls: how many API calls were made.
    """

    positions: tuple[int, ...]
    matrix: Float32
    without: tuple[int, ...] = ()
    query: Float32Array | None = None
    calls: int = 0


def stored_embeddings(
    context: Context,
    ids: Sequence[str | None],
    *,
    index: str | None = None,
    query_key: str | None = None,
    on_missing: WithoutPolicy = "keep",
    timeout: float | None = None,
) -> Flow[StoredEmbeddings]:
    """Fetch the embeddings of things by their ids, and with them that of a query given by its key.

    An id that stands twice crosses the network once. No ids: no call.

    Args:
        context: the client's.
        ids: an id, or None, for each thing.
        index: another index than the client's own.
        query_key: the key of a stored vector that serves as the query.
        on_missing: with "raise" a thing without an id or without a stored embedding is an error;
            the other two are for the caller to act upon.
        timeout: seconds, for all of it.

    Raises:
        InvalidRequestError: an id is no legal key, or under "raise" there is none.
        MissingKeysError: the query's key does not exist; under "raise", or an id does not.
    """
    check_policy(on_missing)
    if on_missing == "raise":
        _refuse_absent(ids)
    keys = [key for key in ids if key is not None]
    if not keys:
        return StoredEmbeddings((), np.empty((0, 0), np.float32), tuple(range(len(ids))))
    wanted = keys if query_key is None else [*keys, query_key]
    found = yield from fetch(
        context, wanted, index=index, return_data=True, return_metadata=False, timeout=timeout
    )
    _check_found(found, query_key, on_missing)
    return _laid_out(ids, found, query_key)


def check_policy(on_missing: str) -> None:
    """Refuse a policy that is unknown.

    Raises:
        InvalidRequestError: it is none of "keep", "drop" and "raise".
    """
    if on_missing not in WITHOUT_POLICIES:
        raise InvalidRequestError(
            f"on_missing must be one of {', '.join(WITHOUT_POLICIES)}, not {on_missing!r}."
        )


def _refuse_absent(ids: Sequence[str | None]) -> None:
    absent = [position for position, key in enumerate(ids) if key is None]
    if absent:
        raise InvalidRequestError(
            f"{len(absent)} of {len(ids)} have no id, the first at position {absent[0]} (counted "
            'from 0), so no stored embedding can be found; on_missing="keep" or "drop" allows it.'
        )


def _check_found(found: FetchResult, query_key: str | None, on_missing: str) -> None:
    if query_key in found.missing:
        raise MissingKeysError([query_key])
    if found.missing and on_missing == "raise":
        raise MissingKeysError(found.missing)


def _laid_out(
    ids: Sequence[str | None], found: FetchResult, query_key: str | None
) -> StoredEmbeddings:
    positions = tuple(place for place, key in enumerate(ids) if key in found.by_key)
    rows = [found.by_key[ids[place]].data for place in positions]  # type: ignore[index]
    matrix = np.array([row.numpy() for row in rows if row is not None], dtype=np.float32)
    return StoredEmbeddings(
        positions,
        matrix if positions else np.empty((0, 0), np.float32),
        tuple(place for place, key in enumerate(ids) if key not in found.by_key),
        None if query_key is None else found.by_key[query_key].data,
        found.calls,
    )
