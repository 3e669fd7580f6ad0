"""The stored embeddings of things known by their ids, and what is picked by them.

Things are whatever a framework has found (Documents, hits with nodes): here they are positions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Literal, NoReturn, get_args

import numpy as np

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, MissingKeysError
from ..client.fetch import fetch
from ..client.models import FetchResult, Float32Array
from ..client.operations.checks import check_choice
from . import mathematics
from .mathematics import Matrix, Numbers

WithoutPolicy = Literal["omit", "keep", "raise"]
Pick = tuple[int, float | None]


@dataclass(frozen=True, slots=True)
class StoredEmbeddings:
    """The embeddings of a list of things."""

    positions: tuple[int, ...]  # where in the list those stand that have an embedding, in order
    matrix: Matrix  # their embeddings, shape (len(positions), dimension)
    without: tuple[int, ...] = ()  # where those stand that have none and are kept all the same
    query: Float32Array | None = None  # the stored embedding of the query's key, if asked for


def stored_embeddings(
    context: Context,
    ids: Sequence[str | None],
    *,
    known: Sequence[Numbers | None] | None = None,
    index: str | None = None,
    query_key: str | None = None,
    on_missing: WithoutPolicy = "keep",
) -> Flow[StoredEmbeddings]:
    """Fetch the embeddings of things by their ids, and with them that of a query given by its key.

    An id that stands twice crosses the network once. Nothing to fetch: no call. `known` holds for
    each thing the embedding that it carries already, or None. A thing without an id or a stored
    embedding is dealt with by `on_missing`: "omit", "keep" (it stands in `without`), or "raise".

    Raises:
        InvalidRequestError: an id is no legal key, or under "raise" there is none.
        MissingKeysError: the query's key does not exist; under "raise", or an id does not.
    """
    check_choice("on_missing", on_missing, get_args(WithoutPolicy))
    own = [None] * len(ids) if known is None else known
    unknown = [key for key, row in zip(ids, own, strict=True) if row is None]
    if on_missing == "raise" and None in unknown:
        _refuse_absent(unknown)
    keys = [key for key in unknown if key is not None]
    # The query goes with the same call; where nothing can be compared with it, without one.
    if query_key is not None and (keys or len(unknown) < len(ids)):
        keys.append(query_key)
    found = yield from fetch(context, keys, index=index, return_data=True, return_metadata=False)
    if query_key in found.missing:
        raise MissingKeysError([query_key])
    if found.missing and on_missing == "raise":
        raise MissingKeysError(found.missing)
    rows = [_row(found, key) if row is None else row for key, row in zip(ids, own, strict=True)]
    present = [row for row in rows if row is not None]
    # Rows that were fetched are of one dimension and finite, and float32 halves the copy; those
    # that things carry may come from anywhere.
    if known is None and present:
        matrix: Matrix = np.array([r.numpy() for r in present if isinstance(r, Float32Array)])
    else:
        matrix = mathematics.as_matrix("candidates", present)
    without = tuple(position for position, row in enumerate(rows) if row is None)
    return StoredEmbeddings(
        tuple(position for position, row in enumerate(rows) if row is not None),
        matrix,
        without if on_missing == "keep" else (),
        _row(found, query_key),
    )


def pick_similar(
    stored: StoredEmbeddings,
    query: Numbers | None = None,
    *,
    k: int | None = None,
    similarity_threshold: float | None = None,
    scores: Sequence[float] | None = None,
    weight: float = 1.0,
    in_order: bool = False,
) -> list[Pick]:
    """Return positions of things with their similarity to a query, the most similar first.

    Those without an embedding come last, with no score, beyond the `k` that have one and are not
    under `similarity_threshold` (-1 to 1). `scores` are earlier ones of `stored.positions`, blended
    in with the share that `weight` leaves. `in_order` picks in the order in which things stood.
    """
    rows: list[tuple[int, float]] = []
    if stored.positions:
        vector = _query(stored, query)
        rows = mathematics.rescore(vector, stored.matrix, k=k, scores=scores, weight=weight)
    least = -np.inf if similarity_threshold is None else similarity_threshold
    picks = _picks(stored, [(row, score) for row, score in rows if score >= least])
    return sorted(picks, key=itemgetter(0)) if in_order else picks


def pick_diverse(
    stored: StoredEmbeddings, query: Numbers | None, k: int, lambda_mult: float
) -> list[Pick]:
    """Return `k` positions by maximal marginal relevance, in the order picked, with similarities.

    Those without an embedding come last, as far as there is room.
    """
    if not stored.positions:
        return _picks(stored, [])[:k]
    vector = _query(stored, query)
    rows = mathematics.maximal_marginal_relevance(vector, stored.matrix, k, lambda_mult)
    scores = mathematics.similarities(vector, stored.matrix)
    return _picks(stored, [(row, float(scores[row])) for row in rows])[:k]


def pick_distinct(stored: StoredEmbeddings, similarity_threshold: float) -> list[Pick]:
    """Return the positions of things that do not nearly repeat an earlier one, in order."""
    rows = mathematics.near_duplicates(stored.matrix, similarity_threshold).kept
    return sorted(_picks(stored, [(row, None) for row in rows]), key=itemgetter(0))


def _picks(stored: StoredEmbeddings, rows: Iterable[tuple[int, float | None]]) -> list[Pick]:
    """Return rows of the matrix as positions of things, then the things without an embedding."""
    picked: list[Pick] = [(stored.positions[row], score) for row, score in rows]
    # Nothing is known against what has no embedding, so it is kept, behind what was compared.
    return picked + [(position, None) for position in stored.without]


def _query(stored: StoredEmbeddings, query: Numbers | None) -> Numbers:
    vector = query if stored.query is None else stored.query
    if vector is None:
        raise InvalidRequestError(
            "similarity needs the query's embedding, or {query_key=}.", argument="query_key"
        )
    return vector


def _refuse_absent(ids: Sequence[str | None]) -> NoReturn:
    raise InvalidRequestError(
        "{count} of {total} have no id, the first at position {position} (counted from 0), so "
        "no stored embedding can be found",
        argument="on_missing",
        remedy='{on_missing="keep"} or "omit" allows it',
        fields={"count": ids.count(None), "total": len(ids), "position": ids.index(None)},
    )


def _row(found: FetchResult, key: str | None) -> Float32Array | None:
    vector = found.by_key.get(key) if key is not None else None
    return None if vector is None else vector.data
