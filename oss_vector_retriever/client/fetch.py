"""Any number of keys: plan the calls, merge the replies, in the order asked."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from oss_vector_retriever.client.coalesce import FetchedVectors, PendingFetch
from oss_vector_retriever.client.config import check_seconds
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError, ResponseError
from oss_vector_retriever.client.models.results import FetchResult
from oss_vector_retriever.client.operations.checks import check_keys, each_of
from oss_vector_retriever.client.steps import Coalesce, Flow, run_all

OnMissing = str | Callable[[str], object]


def fetch(
    context: Context,
    keys: Iterable[str],
    *,
    index: str | None = None,
    return_data: bool = True,
    return_metadata: bool = True,
    on_missing: OnMissing = "omit",
    timeout: float | None = None,
) -> Flow[FetchResult]:
    """Fetch any number of vectors by key, in the order asked, a repeated key answered each time.

    Each distinct key crosses the network once, in calls of at most 100, up to `max_concurrency` at
    a time. No keys: an empty result and no call. `timeout` is in seconds, for all of it.

    `on_missing` says what becomes of keys that do not exist: `"omit"` leaves them out of the
    sequence (they stand in `.missing`), `"raise"` raises, a function is called with each.

    Raises:
        MissingKeysError: keys do not exist, and `on_missing` is `"raise"`.
        InvalidRequestError: a key is not a string of 1 to 1,024 characters; no call was made.
        OSSVectorError: a call failed for good; nothing partial is returned.
    """
    if not callable(on_missing) and on_missing not in ("omit", "raise"):
        raise InvalidRequestError(
            '{argument} is "omit", "raise" or a function, not {value}.',
            argument="on_missing",
            value=on_missing,
        )
    asked = check_keys(keys, context.config.limits)
    pending = PendingFetch(
        context,
        context.config.index_or(index),
        list(dict.fromkeys(asked)),
        bool(return_data),
        bool(return_metadata),
        context.deadline(None if timeout is None else check_seconds("timeout", timeout)),
    )
    return _answer(pending, tuple(asked), on_missing)


def _answer(
    pending: PendingFetch, asked: tuple[str, ...], on_missing: OnMissing
) -> Flow[FetchResult]:
    fetched = yield from _retrieve(pending)
    found = fetched.found
    if fetched.calls > 1:
        _check_dimensions(fetched)
    complete = len(found) == len(pending.keys)
    missing = () if complete else tuple(key for key in pending.keys if key not in found)
    if missing and on_missing == "raise":
        raise MissingKeysError(missing)
    if callable(on_missing):
        for key in missing:
            on_missing(key)
    return FetchResult(asked, found, missing, fetched.request_ids, fetched.calls)


def _retrieve(pending: PendingFetch) -> Flow[FetchedVectors]:
    """Retrieve vectors, in calls shared with other fetches unless these keys fill calls alone."""
    config = pending.context.config
    if not pending.keys:
        return FetchedVectors({}, (), 0)
    if config.coalesce is not False and len(pending.keys) < config.limits.keys_per_get:
        yield Coalesce(pending)
        if not pending.refused_with_others:
            return pending.result()
        pending = pending.again()
    calls = pending.calls_alone()
    replies = yield from run_all([alone.flow() for alone in calls])
    for alone, reply in zip(calls, replies, strict=True):
        alone.deal(reply)
    return pending.result()


def _check_dimensions(fetched: FetchedVectors) -> None:
    """Refuse replies that disagree: the index may have been made anew between two calls."""
    vectors = fetched.found.values()
    dimensions = {len(vector.data) for vector in vectors if vector.data is not None}
    if len(dimensions) > 1:
        raise ResponseError(
            f"GetVectors: the replies hold vectors of {sorted(dimensions)} values, though an index "
            "has one dimension; nothing of them was used.",
            200,
            fetched.request_ids[-1] if fetched.request_ids else None,
        )


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
