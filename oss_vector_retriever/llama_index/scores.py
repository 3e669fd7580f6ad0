"""Scores of fetched nodes, which have no similarity of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, get_args

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import QueryBundle

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.vector import Float32Array
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings import similarities
from oss_vector_retriever.llama_index.source import called

ScoreMode = Literal["constant", "rank", "none", "similarity"]
SCORE_MODES: Final[tuple[str, ...]] = get_args(ScoreMode)
Embed = Callable[[list[str]], Any]


def check_scoring(mode: str, score: object) -> None:
    """Refuse a score mode that is unknown, and a score that is none.

    Raises:
        InvalidRequestError: naming what is possible.
    """
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise InvalidRequestError(f"score must be a number or None, not {score!r}.")
    if mode not in SCORE_MODES:
        raise InvalidRequestError(
            f"score_mode must be one of {', '.join(SCORE_MODES)}, not {mode!r}."
        )


def ranked(count: int) -> list[float]:
    """Return the scores of ranks: 1, 1/2, 1/3, ..."""
    return [1 / (place + 1) for place in range(count)]


def similar(query: Sequence[float], stored: Sequence[Float32Array | None]) -> list[float | None]:
    """Return the cosine similarity of each stored vector, None where there is none."""
    rows = [vector for vector in stored if vector is not None]
    scores = iter(similarities(query, rows).tolist())
    return [None if vector is None else next(scores) for vector in stored]


def query_embedding(bundle: QueryBundle | None, embed: Embed | None) -> Flow[list[float]]:
    """Return the query's own embedding, or the model's of its text.

    Args:
        bundle: the query.
        embed: the model's method for queries, blocking or to be awaited as the flow is; or None.

    Raises:
        InvalidRequestError: there is neither an embedding, nor a model and a text.
    """
    if bundle is not None and bundle.embedding is not None:
        return bundle.embedding
    if bundle is None or embed is None or not bundle.embedding_strs:
        raise InvalidRequestError(
            "similarity to the query needs its embedding: set QueryBundle.embedding, or give "
            "embed_model= and a query with text."
        )
    found: list[float] = yield from called(embed, bundle.embedding_strs)
    return found


def blocking(model: BaseEmbedding | None) -> Embed | None:
    """Return what embeds a query, blocking."""
    return None if model is None else model.get_agg_embedding_from_queries


def awaited(model: BaseEmbedding | None) -> Embed | None:
    """Return what embeds a query, to be awaited."""
    return None if model is None else model.aget_agg_embedding_from_queries
