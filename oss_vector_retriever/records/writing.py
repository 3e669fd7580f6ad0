"""Records on their way to an index: their copies in the form that it takes.

Not every account stores numbers and booleans: some refuse them, some turn them into strings. Which
it is the first such batch shows, once for an index in a process; what an index holds in both forms
stays right, since each record's mark says which of its copies are not the values themselves.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from ..client.context import Context, Flow
from ..client.errors import (
    BatchReport,
    DeadlineExceededError,
    OSSVectorError,
    ServiceError,
    WriteReport,
)
from ..client.fetch import fetch
from ..client.holds import Hold, run_with
from ..client.models import Vector, VectorIndex
from ..client.writes import upsert
from .copies import Form, copies_error, filterable_value, fit_copies, is_scalar, required_copies
from .decode import ENVELOPE_FIELD, ENVELOPE_KEYS, RESERVED_FIELDS, UNSURE_FIELD
from .settings import StoreSettings
from .traits import traits_of

_BAD_REQUEST: Final = 400
_TRIES: Final = 3  # batches that are put one after another, to learn from


def hidden_fields(settings: StoreSettings, index: VectorIndex | None) -> Collection[str]:
    """Return the fields that an index keeps out of its filters; of one not known, those of ours."""
    # who may not look at an index gets a description without a dimension
    known = index is not None and index.dimension > 0
    return index.non_filterable_metadata_keys if index and known else settings.hidden_fields


def put_records(
    context: Context,
    settings: StoreSettings,
    vectors: Sequence[Vector],
    index: VectorIndex | None,
    hold: Hold | None,
) -> Flow[WriteReport]:
    """Put vectors, 500 a call, with the copies of their fields as the index takes them.

    Args:
        context: the client's.
        settings: the store's.
        vectors: what `encode` has made, or vectors in the form of other programs.
        index: the description of the index, where it is known.
        hold: what the caller has on the keys already.

    Raises:
        InvalidRequestError: copies that were asked for have no room; nothing was written.
    """
    hidden = hidden_fields(settings, index)
    native = traits_of(context, settings.index).native if settings.scalars == "auto" else True
    strings = native is False or settings.scalars == "strings"
    fitting = [_fit(vector, settings, hidden, strings=strings) for vector in vectors]
    if native is not None or not any(map(_has_scalars, fitting)):
        put = upsert(context, fitting, index=settings.index, on_error="report", hold=hold)
        return (yield from put)
    if hold is not None:
        return (yield from _put_and_learn(context, settings, fitting, hidden, hold))
    # what is written again must not overwrite what others have written meanwhile
    keys = tuple(vector.key for vector in fitting)
    own = Hold(context, context.config.index_or(settings.index), keys, alone=True)
    learning = _put_and_learn(context, settings, fitting, hidden, own)
    try:
        return (yield from run_with(own, learning, context.deadline()))
    except DeadlineExceededError as error:  # others held a key: nothing was sent
        return WriteReport((BatchReport(keys, error=error),))


def _put_and_learn(
    context: Context,
    settings: StoreSettings,
    vectors: Sequence[Vector],
    hidden: Collection[str],
    hold: Hold,
) -> Flow[WriteReport]:
    """Put a batch with numbers, learn from it what becomes of them, and put the others."""
    traits, size = traits_of(context, settings.index), context.config.limits.vectors_per_put
    batches = [vectors[start : start + size] for start in range(0, len(vectors), size)]
    telling = [n for n, batch in enumerate(batches) if any(map(_has_scalars, batch))]
    reports: dict[int, WriteReport] = {}
    # a call that failed for another reason tells nothing; the next one may
    for number in telling[:_TRIES]:
        put = _put_and_compare(context, settings, batches[number], hidden, hold)
        reports[number] = yield from put
        if traits.native is not None or _is_refused(reports[number]):
            break
    left = [vector for n, batch in enumerate(batches) if n not in reports for vector in batch]
    if traits.native is False:
        left = [_fit(vector, settings, hidden, strings=True) for vector in left]
    put = upsert(context, left, index=settings.index, on_error="report", hold=hold)
    others = iter((yield from put).batches)
    # in the order given: those that are not here were put together, as many to a call
    parts = [reports[n].batches if n in reports else (next(others),) for n in range(len(batches))]
    return WriteReport(tuple(batch for part in parts for batch in part))


def _put_and_compare(
    context: Context,
    settings: StoreSettings,
    batch: Sequence[Vector],
    hidden: Collection[str],
    hold: Hold,
) -> Flow[WriteReport]:
    """Put one batch with numbers, and again with strings where the service keeps no numbers."""
    traits = traits_of(context, settings.index)
    put = upsert(context, batch, index=settings.index, on_error="report", hold=hold)
    report = yield from put
    if report.ok:
        first = next(vector for vector in batch if _has_scalars(vector))
        traits.native = yield from _is_kept(context, settings, first)
    if traits.native is not False and not _is_refused(report):
        return report
    plain = [_fit(vector, settings, hidden, strings=True) for vector in batch]
    put = upsert(context, plain, index=settings.index, on_error="report", hold=hold)
    again = yield from put
    if not again.ok and not report.ok:
        return report  # it has another reason, which the first refusal says; nothing was learnt
    traits.native = False
    return again


def _is_refused(report: WriteReport) -> bool:
    errors = [batch.error for batch in report.batches]
    return any(isinstance(error, ServiceError) and error.status == _BAD_REQUEST for error in errors)


def _is_kept(context: Context, settings: StoreSettings, written: Vector) -> Flow[bool | None]:
    """Return whether numbers come back as numbers; None where that cannot be told."""
    try:
        found = yield from fetch(context, [written.key], index=settings.index, return_metadata=True)
    except OSSVectorError:  # a role may write and not read
        return None
    sent = written.metadata or {}
    there: dict[str, Any] = (found.by_key[written.key].metadata or {}) if found.by_key else {}
    # another's record, or an earlier one where reading lags behind
    if any(there.get(name) != sent.get(name) for name in (ENVELOPE_FIELD, UNSURE_FIELD)):
        return None
    return all(is_scalar(there.get(name)) for name in _scalar_names(written))


def _fit(
    vector: Vector, settings: StoreSettings, hidden: Collection[str], *, strings: bool
) -> Vector:
    """Return a vector whose copies an index takes; the same where they are so already."""
    stored = vector.metadata or {}
    as_it_is = not strings or not _has_scalars(vector)
    if ENVELOPE_FIELD not in stored:
        if as_it_is:
            return vector
        # of another program's record, the numbers that an update has put there
        plain = {n: filterable_value(v) if is_scalar(v) else v for n, v in stored.items()}
        return Vector(vector.key, vector.data, plain)
    if as_it_is and all(name in hidden for name in ENVELOPE_KEYS):
        copies = stored.keys() - RESERVED_FIELDS
        if copies.isdisjoint(hidden):
            return vector
    scalars: Form = "strings" if strings else "native"
    fitting = fit_copies(stored, scalars=scalars, hidden=hidden, limits=settings.limits)
    if fitting is None:
        raise copies_error(
            vector.key,
            f"copies of {', '.join(required_copies(stored))} do not fit beside the text: another "
            "program made the index, whose filters see 2 KB of text and metadata together",
            remedy="Pass {filterable=()}, or use an index that this package makes",
        )
    return Vector(vector.key, vector.data, fitting)


def _scalar_names(vector: Vector) -> list[str]:
    return [name for name, value in (vector.metadata or {}).items() if is_scalar(value)]


def _has_scalars(vector: Vector) -> bool:
    return bool(_scalar_names(vector))
