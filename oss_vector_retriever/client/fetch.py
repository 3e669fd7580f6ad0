"""Any number of keys: plan the calls, merge the replies, in the order asked."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from oss_vector_retriever.client.coalesce import FetchedVectors, PendingFetch, shared_calls
from oss_vector_retriever.client.config import check_seconds
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError, ResponseError
from oss_vector_retriever.client.models.results import FetchResult
from oss_vector_retriever.client.operations.checks import check_keys, each_of
from oss_vector_retriever.client.steps import Coalesce, Flow, run_all

OnMissing = Literal["omit", "raise"] | Callable[[str], object]


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
    """Return the flow of `OSSVectorClient.fetch`."""
    plan = plan_fetch(context, keys, on_missing)
    pending = PendingFetch(
        context,
        context.config.index_or(index),
        list(plan.unique),
        bool(return_data),
        bool(return_metadata),
        context.deadline(None if timeout is None else check_seconds("timeout", timeout)),
        None if isinstance(context.config.coalesce, bool) else context.config.coalesce,
    )
    return _merged(plan, _bring(pending), on_missing)


def _bring(pending: PendingFetch) -> Flow[FetchedVectors]:
    """Bring what is wanted: with what other fetches want now, unless it fills its calls itself."""
    config = pending.context.config
    if not pending.keys:
        return FetchedVectors({}, (), 0)
    if config.coalesce is not False and len(pending.keys) < config.limits.keys_per_get:
        yield Coalesce(pending)
        return pending.result()
    own = shared_calls([pending])
    replies = yield from run_all([shared.flow() for shared in own])
    for shared, reply in zip(own, replies, strict=True):
        deque(shared.deal(reply), maxlen=0)
    return pending.result()


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what is asked for, as it was asked and each key once."""

    keys: tuple[str, ...]
    unique: tuple[str, ...]


def plan_fetch(context: Context, keys: Iterable[str], on_missing: OnMissing = "omit") -> Plan:
    """Return the plan for keys, all checked."""
    if not callable(on_missing) and on_missing not in ("omit", "raise"):
        raise InvalidRequestError(
            '{argument} is "omit", "raise" or a function, not {value}.',
            argument="on_missing",
            value=on_missing,
        )
    asked = check_keys(keys, context.config.limits)
    return Plan(tuple(asked), tuple(dict.fromkeys(asked)))


def _merged(plan: Plan, brought: Flow[FetchedVectors], on_missing: OnMissing) -> Flow[FetchResult]:
    fetched = yield from brought
    found = fetched.found
    _check_dimensions(fetched)
    complete = len(found) == len(plan.unique)
    missing = () if complete else tuple(key for key in plan.unique if key not in found)
    if missing and on_missing == "raise":
        raise MissingKeysError(missing)
    if callable(on_missing):
        for key in missing:
            on_missing(key)
    return FetchResult(plan.keys, found, missing, fetched.request_ids, fetched.calls)


def _check_dimensions(fetched: FetchedVectors) -> None:
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
