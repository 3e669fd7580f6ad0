"""Any number of keys: plan the calls, merge the replies, in the order asked."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Literal

from .coalesce import PendingFetch, SharedCall
from .config import check_seconds
from .context import Context, Flow
from .errors import InvalidRequestError, MissingKeysError, ResponseError
from .models.results import FetchResult
from .operations.checks import check_keys, each_of
from .steps import Coalesce, run_all

OnMissing = Literal["omit", "raise"] | Callable[[str], object]


def fetch(
    context: Context,
    keys: Iterable[str],
    index: str | None = None,
    return_data: bool = True,
    return_metadata: bool = True,
    on_missing: OnMissing = "omit",
    timeout: float | None = None,
) -> Flow[FetchResult]:
    """Return the flow of `OSSVectorClient.fetch`."""
    if not callable(on_missing) and on_missing not in ("omit", "raise"):
        text = '{argument} is "omit", "raise" or a function, not {value}.'
        raise InvalidRequestError(text, argument="on_missing", value=on_missing)
    asked = check_keys(keys, context.config.limits)
    name, unique = context.config.index_or(index), list(dict.fromkeys(asked))
    deadline = context.deadline(None if timeout is None else check_seconds("timeout", timeout))
    data, metadata = bool(return_data), bool(return_metadata)
    pending = PendingFetch(context, name, unique, data, metadata, deadline)
    flow = _answer(pending, tuple(asked), on_missing)
    pending.span = context.begin_span("fetch", name, len(unique))
    return flow if pending.span is None else pending.span.run_under(flow)


def _answer(
    pending: PendingFetch, asked: tuple[str, ...], on_missing: OnMissing
) -> Flow[FetchResult]:
    served = yield from _serve(pending)
    found = served.found
    if served.calls > 1:
        _check_dimensions(served)
    if served.served_by_another:
        pending.context.counters.count_shared()
    complete = len(found) == len(pending.keys)
    missing = () if complete else tuple(key for key in pending.keys if key not in found)
    if missing and on_missing == "raise":
        raise MissingKeysError(missing)
    if callable(on_missing):  # after the last call: it may raise, or fetch from elsewhere
        for key in missing:
            on_missing(key)
    return FetchResult(asked, found, missing, tuple(served.request_ids), served.calls)


def _serve(pending: PendingFetch) -> Flow[PendingFetch]:
    """Return the fetch with its vectors, from calls shared with others unless it fills its own."""
    config, keys = pending.context.config, pending.keys
    size = config.limits.keys_per_get
    if not keys:
        return pending
    # a call that is full already has no room for others
    if config.coalesce is not False and len(keys) < size:
        alone: bool = yield Coalesce(pending)
        if pending.must_ask_alone or (pending.calls > 1 and len(_dimensions(pending)) > 1):
            pending = replace(pending)  # with nothing arrived: one reply says what is wrong
        elif not alone:
            pending.raise_error()
            return pending
    calls = [SharedCall(keys[at : at + size], [pending]) for at in range(0, len(keys), size)]
    replies = yield from run_all([own.flow() for own in calls])
    for own, reply in zip(calls, replies, strict=True):
        own.deal(reply)
    return pending


def _check_dimensions(served: PendingFetch) -> None:
    # each reply is even in itself; two differ where the index was made anew between the calls
    dimensions = _dimensions(served)
    if len(dimensions) > 1:
        text = (
            f"GetVectors: the replies hold vectors of {dimensions} values, though an index has one "
            "dimension; nothing of them was used."
        )
        raise ResponseError(text, 200, next(reversed(served.request_ids), None))


def _dimensions(served: PendingFetch) -> list[int]:
    vectors = served.found.values()
    return sorted({len(vector.data) for vector in vectors if vector.data is not None})


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
