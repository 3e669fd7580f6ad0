"""Writing a window of rows so that each ends up written or named, and none is written twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from oss_vector_retriever.cli.transfer.rows import Row
from oss_vector_retriever.cli.transfer.target import Target
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    InvalidRequestError,
    OSSVectorError,
    ServiceError,
)
from oss_vector_retriever.client.models.vector import Vector

_BAD_REQUEST = 400


class Record(NamedTuple):
    """Hold a vector and the row it was read from."""

    row: Row
    vector: Vector


class Refused(NamedTuple):
    """Hold a row that cannot be written, and why."""

    row: Row
    error: OSSVectorError


def write(target: Target, records: Sequence[Record]) -> Iterator[Refused]:
    """Write records in parallel batches; yield those that are refused, each found by itself.

    The service refuses a batch as a whole, so it is halved until the culprit stands alone.

    Raises:
        OSSVectorError: the service failed, or was not reached.
    """
    if not records:
        return
    vectors = [record.vector for record in records]
    try:
        report = target.client.upsert(vectors, index=target.index, on_error="report")
    except InvalidRequestError as error:
        yield from _divided(target, records, error)
        return
    by_key = {record.vector.key: record for record in records}
    for batch in report.batches:
        if batch.error is not None:
            yield from _divided(target, [by_key[key] for key in batch.keys], batch.error)


def _divided(target: Target, records: Sequence[Record], error: OSSVectorError) -> Iterator[Refused]:
    if not _is_refusal(error):
        raise error
    if len(records) == 1:
        yield Refused(records[0].row, error)
        return
    middle = len(records) // 2
    yield from write(target, records[:middle])
    yield from write(target, records[middle:])


def _is_refusal(error: OSSVectorError) -> bool:
    """Tell an error that is about the vectors from one that is about the service."""
    refused = isinstance(error, ServiceError) and error.status == _BAD_REQUEST
    return refused or isinstance(error, InvalidRequestError)


def not_there_yet(target: Target, records: Sequence[Record]) -> list[Record]:
    """Return the records that are not in the index exactly as they are here.

    Asked where a crash may have come between a write and the note of it. Who may not read the
    index writes them again, which changes nothing.
    """
    keys = [record.vector.key for record in records]
    try:
        there = target.client.fetch(keys, index=target.index).by_key
    except AccessDeniedError:
        return list(records)
    return [record for record in records if not _same(record.vector, there.get(record.vector.key))]


def _same(ours: Vector, theirs: Vector | None) -> bool:
    if ours.data is None or theirs is None or theirs.data is None:
        return False
    same_data = ours.data.tobytes() == theirs.data.tobytes()
    return same_data and (ours.metadata or {}) == (theirs.metadata or {})
