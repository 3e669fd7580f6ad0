"""Any number of keys: plan the calls, merge the replies, in the order asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from oss_vector_retriever.client.config import check_seconds
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError, ResponseError
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models.fetched import FetchResult
from oss_vector_retriever.client.models.results import GetVectorsResult
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import check_keys
from oss_vector_retriever.client.operations.vectors import get_operation
from oss_vector_retriever.client.steps import Flow, together

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
    plan = plan_fetch(context, keys, on_missing)
    name = context.config.index_or(index)
    deadline = context.deadline(None if timeout is None else check_seconds("timeout", timeout))
    flows = [
        call(
            context,
            get_operation(name, batch, return_data=return_data, return_metadata=return_metadata),
            deadline,
        )
        for batch in plan.batches
    ]
    return _merged(plan, flows, on_missing)


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold what is asked for, and the calls that will bring it."""

    keys: tuple[str, ...]
    unique: tuple[str, ...]
    batches: list[list[str]]


def plan_fetch(context: Context, keys: Iterable[str], on_missing: OnMissing = "omit") -> Plan:
    """Return the plan for keys, all checked: distinct keys in batches that one call takes."""
    if not callable(on_missing) and on_missing not in {"omit", "raise"}:
        raise InvalidRequestError(
            f'on_missing is "omit", "raise" or a function, not {on_missing!r}.'
        )
    asked = check_keys(keys, context.config.limits)
    unique = list(dict.fromkeys(asked))
    size = context.config.limits.keys_per_get
    batches = [unique[start : start + size] for start in range(0, len(unique), size)]
    return Plan(tuple(asked), tuple(unique), batches)


def _merged(
    plan: Plan, flows: Sequence[Flow[GetVectorsResult]], on_missing: OnMissing
) -> Flow[FetchResult]:
    replies = (yield from together(flows)) if flows else []
    found = {vector.key: vector for reply in replies for vector in reply.vectors}
    _check_dimensions(found.values(), replies)
    missing = tuple(key for key in plan.unique if key not in found)
    if missing and on_missing == "raise":
        raise MissingKeysError(missing)
    if callable(on_missing):
        for key in missing:
            on_missing(key)
    return FetchResult(
        plan.keys,
        found,
        missing,
        tuple(reply.request_id for reply in replies if reply.request_id),
        len(replies),
    )


def _check_dimensions(vectors: Iterable[Vector], replies: Sequence[GetVectorsResult]) -> None:
    dimensions = {len(vector.data) for vector in vectors if vector.data is not None}
    if len(dimensions) > 1:
        raise ResponseError(
            f"GetVectors: the replies hold vectors of {sorted(dimensions)} values, though an index "
            "has one dimension; nothing of them was used.",
            200,
            replies[-1].request_id,
        )
