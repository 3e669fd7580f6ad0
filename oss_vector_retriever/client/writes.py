"""Any number of writes: batches of 500 in parallel, and a report for each."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from . import errors
from .config import check_seconds
from .context import Context, Deadline, Flow
from .errors import BatchReport, WriteReport
from .flow import Operation
from .holds import Hold, wait_for
from .known_indexes import check_by_description
from .models import Acknowledgement, Limits, Vector, VectorIndex, largest, metadata_bytes
from .operations import vectors as vector_operations
from .operations.checks import as_vector, check_choice, check_keys, check_total, refuse_repeated
from .operations.vectors import delete_operation, put_operation
from .readiness import write
from .steps import run_all

Item = TypeVar("Item", str, Vector)
OnError = Literal["raise", "report"]


def upsert(
    context: Context,
    vectors: Iterable[Vector | Mapping[str, Any]],
    index: str | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
    *,
    hold: Hold | None = None,
) -> Flow[WriteReport]:
    """Return the flow of `OSSVectorClient.upsert`; `hold` is what the caller has on the keys."""
    limits, name = context.config.limits, context.config.index_or(index)
    seconds = _check_options(on_error, timeout)
    checked = [as_vector(item, limits) for item in vectors]
    for vector in checked:
        check_total(vector, limits)
    # over all batches: the service looks at each call by itself, and the later one would win
    refuse_repeated(vector.key for vector in checked)
    return _upsert(context, name, checked, seconds, on_error=on_error, hold=hold)


def delete(
    context: Context,
    keys: Iterable[str],
    index: str | None = None,
    on_error: OnError = "raise",
    timeout: float | None = None,
    *,
    hold: Hold | None = None,
) -> Flow[WriteReport]:
    """Return the flow of `OSSVectorClient.delete`; `hold` is what the caller has on the keys."""
    limits, name = context.config.limits, context.config.index_or(index)
    seconds = _check_options(on_error, timeout)
    unique = list(dict.fromkeys(check_keys(keys, limits)))
    batches = _batches(unique, limits.keys_per_delete)
    options: dict[str, Any] = {"on_error": on_error, "hold": hold}
    return _write(context, _delete_batch, name, batches, seconds, **options)


def find_refused(
    put: Callable[[Sequence[Vector]], WriteReport], vectors: Sequence[Vector]
) -> Iterator[tuple[Vector, errors.OSSVectorError]]:
    """Put vectors with distinct keys; yield those that are refused, each found by itself.

    The service refuses a call as a whole, so it is halved until the culprit stands alone. Of n
    vectors one bad costs about 2 log2(n) calls, and none where all are good.

    Args:
        put: puts vectors, any number of them, and reports each call.
        vectors: what to put.

    Raises:
        OSSVectorError: the service failed, or was not reached: that says nothing of the vectors.
    """
    if not vectors:
        return
    try:
        report = put(vectors)
    except errors.InvalidRequestError as error:
        yield from _halve(put, vectors, error)
        return
    by_key = {vector.key: vector for vector in vectors}
    for batch in report.batches:
        if batch.error is not None:
            yield from _halve(put, [by_key[key] for key in batch.keys], batch.error)


def _halve(
    put: Callable[[Sequence[Vector]], WriteReport],
    vectors: Sequence[Vector],
    error: errors.OSSVectorError,
) -> Iterator[tuple[Vector, errors.OSSVectorError]]:
    refused = isinstance(error, errors.ServiceError) and error.status == HTTPStatus.BAD_REQUEST
    if not (refused or isinstance(error, errors.InvalidRequestError)):
        raise error
    if len(vectors) == 1:
        yield vectors[0], error
        return
    middle = len(vectors) // 2
    yield from find_refused(put, vectors[:middle])
    yield from find_refused(put, vectors[middle:])


def put_vectors(
    context: Context, vectors: Iterable[Vector | Mapping[str, Any]], index: str | None = None
) -> Flow[Acknowledgement]:
    """Return the flow of `OSSVectorClient.put_vectors`."""
    return vector_operations.put_vectors(context, vectors, index, write)


def delete_vectors(
    context: Context, keys: Iterable[str], index: str | None = None
) -> Flow[Acknowledgement]:
    """Return the flow of `OSSVectorClient.delete_vectors`."""
    return vector_operations.delete_vectors(context, keys, index, write)


def _delete_batch(index: str, keys: list[str], _: Deadline) -> Operation[Acknowledgement]:
    return delete_operation(index, keys)


def _check_options(on_error: OnError, timeout: float | None) -> float | None:
    check_choice("on_error", on_error, ("raise", "report"))
    return None if timeout is None else check_seconds("timeout", timeout)


def _upsert(
    context: Context,
    index: str,
    vectors: list[Vector],
    seconds: float | None,
    *,
    on_error: OnError,
    hold: Hold | None,
) -> Flow[WriteReport]:
    yield from check_filterable(context, index, vectors)
    batches = _batches(vectors, context.config.limits.vectors_per_put)
    options: dict[str, Any] = {"on_error": on_error, "hold": hold}
    return (yield from _write(context, put_operation, index, batches, seconds, **options))


def _batches(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _write(
    context: Context,
    operation: Callable[[str, list[Item], Deadline], Operation[Acknowledgement]],
    index: str,
    batches: list[list[Item]],
    seconds: float | None,
    *,
    on_error: OnError,
    hold: Hold | None,
) -> Flow[WriteReport]:
    keys = [key for batch in batches for key in _keys(batch)]
    # not in the flows of the batches: those that wait in the runner's threads could keep them from
    # the one that they wait for
    own, deadline = Hold(context, index, keys), context.deadline(seconds)
    try:
        if hold is None and keys and (yield from wait_for(own, deadline)):
            seconds = deadline.remaining_seconds
        flows = [
            _write_batch(context, operation, index, batch, seconds=seconds, hold=own)
            for batch in batches
        ]
        report = WriteReport(tuple((yield from run_all(flows)) if flows else ()))
    except errors.DeadlineExceededError as error:
        report = WriteReport(tuple(BatchReport(_keys(batch), error=error) for batch in batches))
    finally:
        own.release()
    if on_error == "raise" and not report.ok:
        raise errors.PartialWriteError(report)
    return report


def _keys(batch: list[Item]) -> tuple[str, ...]:
    return tuple(item.key if isinstance(item, Vector) else item for item in batch)


def _write_batch(
    context: Context,
    operation: Callable[[str, list[Item], Deadline], Operation[Acknowledgement]],
    index: str,
    batch: list[Item],
    *,
    seconds: float | None,
    hold: Hold,
) -> Flow[BatchReport]:
    keys = _keys(batch)
    try:
        # the body is written only now, so that not all stand in memory at once
        deadline, policy = context.deadline(seconds), context.config.retry.for_bulk
        asked = operation(index, batch, deadline)
        done = yield from write(context, asked, deadline, policy)
    except errors.OSSVectorError as error:
        return BatchReport(keys, error=error)
    finally:  # whoever waits for these keys need not wait for the batches that are left
        hold.release(keys)
    return BatchReport(keys, done.request_id)


def check_filterable(context: Context, index: str, vectors: Iterable[Vector]) -> Flow[None]:
    """Refuse metadata that exceeds what the index lets filters see."""
    # which fields those are only the index can tell: it is asked once, and only where a vector's
    # metadata are large enough for it to matter
    limits = context.config.limits
    keys, size = limits.filterable_keys, limits.filterable_bytes
    doubtful = [v for v in vectors if len(v.metadata or ()) > keys or check_total(v, limits) > size]
    if not doubtful:
        return

    def check(found: VectorIndex) -> None:
        # who may write need not be allowed to look; then the service judges
        for vector in doubtful if found.dimension else ():
            _check_visible(vector, found.non_filterable_metadata_keys, limits)

    yield from check_by_description(context, index, check)


def _check_visible(vector: Vector, hidden: Collection[str], limits: Limits) -> None:
    metadata = vector.metadata or {}
    visible: dict[str, Any] = {name: metadata[name] for name in metadata if name not in hidden}
    fields: dict[str, object] = {"key": errors.quote(vector.key), "count": len(visible)}
    if len(visible) > limits.filterable_keys:
        raise errors.InvalidRequestError(
            "metadata of {key} has {count} filterable fields ({names}); the service takes {limit}.",
            argument="vectors",
            limit=limits.filterable_keys,
            remedy=_LARGE_FIELDS,
            fields={**fields, "names": ", ".join(sorted(visible))},
        )
    if visible and (size := metadata_bytes(visible)) > limits.filterable_bytes:
        raise errors.InvalidRequestError(
            "metadata of {key} takes {size:,} filterable bytes, over the limit of {limit:,}; "
            "{largest}.",
            argument="vectors",
            limit=limits.filterable_bytes,
            remedy=_LARGE_FIELDS,
            fields={**fields, "size": size, "largest": largest(visible)},
        )


_LARGE_FIELDS = (
    "Name large fields in {non_filterable_metadata_keys} when the index is made; that cannot be "
    "changed later"
)
