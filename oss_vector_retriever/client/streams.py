"""An unbounded iterable of keys, cut into fetches of one call each."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.models.fetched import FetchResult
from oss_vector_retriever.client.operations.checks import each_of
from oss_vector_retriever.client.steps import Flow


def fetch_flows(
    context: Context, keys: Iterable[str], **options: Any
) -> Iterator[Flow[FetchResult]]:
    """Yield a fetch for each batch of keys, reading no further than asked."""
    rest = each_of(keys)
    while batch := list(islice(rest, context.config.limits.keys_per_get)):
        yield fetch(context, batch, **options)


async def async_fetch_flows(
    context: Context, keys: Iterable[str] | AsyncIterable[str], **options: Any
) -> AsyncIterator[Flow[FetchResult]]:
    """Yield a fetch for each batch of keys of a plain or async iterable."""
    if not isinstance(keys, AsyncIterable):
        for flow in fetch_flows(context, keys, **options):
            yield flow
        return
    batch: list[str] = []
    async for key in keys:
        batch.append(key)
        if len(batch) == context.config.limits.keys_per_get:
            yield fetch(context, batch, **options)
            batch = []
    if batch:
        yield fetch(context, batch, **options)
