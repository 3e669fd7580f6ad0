"""Any number of writes: batches of 500 in parallel, and a report for each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from oss_vector_retriever.client.config import check_seconds
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    BatchReport,
    InvalidRequestError,
    OSSVectorError,
    PartialWriteError,
    WriteReport,
    named_argument,
    shown,
)
from oss_vector_retriever.client.flow import Operation, call
from oss_vector_retriever.client.models.limits import Limits, largest, metadata_bytes
from oss_vector_retriever.client.models.results import Acknowledgement
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import as_vector, check_choice, check_keys
from oss_vector_retriever.client.operations.indexes import get_vector_index
from oss_vector_retriever.client.operations.vectors import (
    delete_operation,
    put_operation,
    refuse_repeated,
)
from oss_vector_retriever.client.steps import Flow, run_all

OnError = Literal["raise", "report"]


def upsert(
    context: Context,
    vectors: Iterable[Vector | Mapping[str, Any]],
    *,
    index: str | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
) -> Flow[WriteReport]:
    """Put any number of vectors, 500 a call, up to `max_concurrency` calls at a time.

    All are checked before the first call. A call that fails does not stop the others; `timeout`
    (seconds) holds for each call by itself.

    Raises:
        InvalidRequestError: a vector breaks a rule, or a key stands twice; nothing was written.
        PartialWriteError: calls failed; its `report` says which keys were written and which not.
            With `on_error="report"` the report is returned instead.
    """
    limits, name = context.config.limits, context.config.index_or(index)
    checked = [as_vector(item, limits) for item in vectors]
    for vector in checked:
        check_total(vector, limits)
    refuse_repeated(vector.key for vector in checked)
    batches = _in_batches(
        context,
        checked,
        limits.vectors_per_put,
        lambda batch: put_operation(name, batch),
        lambda vector: vector.key,
        on_error=on_error,
        timeout=timeout,
    )
    return _after(check_filterable(context, name, checked), batches)


def delete(
    context: Context,
    keys: Iterable[str],
    *,
    index: str | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
) -> Flow[WriteReport]:
    """Delete any number of vectors by key, 500 a call; a key that does not exist is no error.

    `timeout` (seconds) holds for each call by itself. No keys: no call.

    Raises:
        InvalidRequestError: a key is no legal key; nothing was deleted.
        PartialWriteError: calls failed; its `report` says which keys are gone and which may not be.
            With `on_error="report"` the report is returned instead.
    """
    limits, name = context.config.limits, context.config.index_or(index)
    unique = list(dict.fromkeys(check_keys(keys, limits)))
    return _in_batches(
        context,
        unique,
        limits.keys_per_delete,
        lambda batch: delete_operation(name, batch),
        lambda key: key,
        on_error=on_error,
        timeout=timeout,
    )


def _after(first: Flow[None], then: Flow[WriteReport]) -> Flow[WriteReport]:
    yield from first
    return (yield from then)


def _in_batches(
    context: Context,
    items: Sequence[Any],
    size: int,
    operation: Callable[[list[Any]], Operation[Acknowledgement]],
    key_of: Callable[[Any], str],
    *,
    on_error: OnError,
    timeout: float | None,
) -> Flow[WriteReport]:
    check_choice("on_error", on_error, ("raise", "report"))
    seconds = None if timeout is None else check_seconds("timeout", timeout)
    batches = [list(items[start : start + size]) for start in range(0, len(items), size)]
    flows = [_one(context, batch, operation, key_of, seconds) for batch in batches]
    return _reported(flows, on_error)


def _one(
    context: Context,
    batch: list[Any],
    operation: Callable[[list[Any]], Operation[Acknowledgement]],
    key_of: Callable[[Any], str],
    seconds: float | None,
) -> Flow[BatchReport]:
    """Make one call; its body is written only now, so that not all stand in memory at once."""
    keys = tuple(key_of(item) for item in batch)
    try:
        done = yield from call(context, operation(batch), context.deadline(seconds))
    except OSSVectorError as error:
        return BatchReport(keys, error=error)
    return BatchReport(keys, done.request_id)


def _reported(flows: Sequence[Flow[BatchReport]], on_error: OnError) -> Flow[WriteReport]:
    report = WriteReport(tuple((yield from run_all(flows)) if flows else ()))
    if on_error == "raise" and not report.ok:
        raise PartialWriteError(report)
    return report


def check_total(vector: Vector, limits: Limits) -> int:
    """Return the bytes of a vector's metadata, or refuse more than the service takes in all."""
    if not vector.metadata:
        return 0
    try:
        size = metadata_bytes(vector.metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            "metadata of {key} cannot be written as JSON: {reason}.",
            argument="vectors",
            key=shown(vector.key),
            reason=str(error),
        ) from None
    if size > limits.metadata_bytes:
        raise InvalidRequestError(
            "metadata of {key} takes {size:,} bytes, over the limit of {limit:,}; {largest}.",
            argument="vectors",
            limit=limits.metadata_bytes,
            remedy="Split it over several vectors, or keep it elsewhere and store where it is",
            key=shown(vector.key),
            size=size,
            largest=largest(vector.metadata),
        )
    return size


def check_filterable(context: Context, index: str, vectors: Iterable[Vector]) -> Flow[None]:
    """Refuse metadata that exceeds what the index lets filters see.

    Which fields those are, only the index can tell: it is asked, once, where a vector's metadata
    are large enough for it to matter, and the caller is allowed to ask.
    """
    limits = context.config.limits
    doubtful = [vector for vector in vectors if _doubtful(vector, limits)]
    if not doubtful:
        return
    try:
        described = yield from get_vector_index(context, index=index)
    except AccessDeniedError:
        return
    for vector in doubtful:
        _check_visible(vector, described.non_filterable_metadata_keys, limits)


def _doubtful(vector: Vector, limits: Limits) -> bool:
    many = len(vector.metadata or ()) > limits.filterable_keys
    return many or check_total(vector, limits) > limits.filterable_bytes


def _check_visible(vector: Vector, hidden: Collection[str], limits: Limits) -> None:
    visible: Mapping[str, Any] = {
        name: value for name, value in (vector.metadata or {}).items() if name not in hidden
    }
    if len(visible) > limits.filterable_keys:
        raise InvalidRequestError(
            "metadata of {key} has {count} filterable fields ({names}); the service takes {limit}.",
            argument="vectors",
            limit=limits.filterable_keys,
            remedy=_LARGE_FIELDS,
            key=shown(vector.key),
            count=len(visible),
            names=", ".join(sorted(visible)),
            non_filterable=_NON_FILTERABLE,
        )
    if visible and (size := metadata_bytes(dict(visible))) > limits.filterable_bytes:
        raise InvalidRequestError(
            "metadata of {key} takes {size:,} filterable bytes, over the limit of {limit:,}; "
            "{largest}.",
            argument="vectors",
            limit=limits.filterable_bytes,
            remedy=_LARGE_FIELDS,
            key=shown(vector.key),
            size=size,
            largest=largest(visible),
            non_filterable=_NON_FILTERABLE,
        )


_LARGE_FIELDS = (
    "Name large fields in {non_filterable} when the index is made; that cannot be changed later"
)
_NON_FILTERABLE = named_argument("non_filterable_metadata_keys")
