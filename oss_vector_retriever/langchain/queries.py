"""The one embedding that is still made: that of the query."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain_core.embeddings import Embeddings

from oss_vector_retriever.client.errors import InvalidRequestError

QueryEmbedding = Embeddings | Callable[[str], Sequence[float] | Awaitable[Sequence[float]]]


def query_vector(source: QueryEmbedding, query: str) -> Any:
    """Return the embedding of a query.

    Raises:
        InvalidRequestError: the function that makes it is for async calls alone.
    """
    if isinstance(source, Embeddings):
        return source.embed_query(query)
    if inspect.iscoroutinefunction(source):
        raise InvalidRequestError(
            "query_embedding is a coroutine function, which serves async calls alone; pass a plain "
            "function or an Embeddings, or use the async method."
        )
    return source(query)


async def aquery_vector(source: QueryEmbedding, query: str) -> Any:
    """Return the embedding of a query; a plain function runs in a thread."""
    if isinstance(source, Embeddings):
        return await source.aembed_query(query)
    if inspect.iscoroutinefunction(source):
        return await source(query)
    made = await asyncio.to_thread(source, query)
    return await made if inspect.isawaitable(made) else made
