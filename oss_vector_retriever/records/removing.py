"""Deleting from a store: keys, honestly counted, or everything; never the index itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import NoSuchVectorIndexError, PartialWriteError
from oss_vector_retriever.client.models.reports import WriteReport
from oss_vector_retriever.client.operations.checks import each_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.client.writes import delete as delete_flow
from oss_vector_retriever.records.storing import RecordStore, Start

_PASSES = 3  # a list may skip what moved up while its earlier pages were deleted


@dataclass(frozen=True, slots=True)
class Deleted:
    """Say which keys were there and are gone, and which were not there."""

    deleted: tuple[str, ...]
    missing: tuple[str, ...]


def delete(store: RecordStore, keys: Iterable[str]) -> Start[WriteReport]:
    """Delete by key, 500 a call; a key that does not exist is no error. No keys: no call.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys are gone.
    """
    asked = list(each_of(keys))
    return lambda context: _delete(context, store, asked)


def delete_counted(store: RecordStore, keys: Iterable[str]) -> Start[Deleted]:
    """Delete by key and say which keys were there, for a keys-only get for each 100.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys are gone.
    """
    wanted = store.fetch(keys, return_metadata=False)

    def start(context: Context) -> Flow[Deleted]:
        result = yield from wanted(context)
        there = tuple(
            result.by_key[key].key for key in dict.fromkeys(result.keys) if key in result.by_key
        )
        yield from _delete(context, store, list(there))
        return Deleted(there, result.missing)

    return start


def delete_all(store: RecordStore) -> Start[int]:
    """Delete every vector of the index, page by page, and return how many; the index stays.

    Raises:
        PartialWriteError: calls failed; its `report` says which keys of that page are gone.
    """

    def start(context: Context) -> Flow[int]:
        total = 0
        for _ in range(_PASSES):
            gone = yield from _one_pass(context, store)
            total += gone
            if not gone:
                break
        return total

    return start


def _one_pass(context: Context, store: RecordStore) -> Flow[int]:
    gone, token, more = 0, None, True
    while more:
        page = yield from store.page(token)(context)
        yield from _delete(context, store, [vector.key for vector in page])
        gone += len(page)
        token = page.next_token
        more = token is not None
    return gone


def _delete(context: Context, store: RecordStore, keys: list[str]) -> Flow[WriteReport]:
    index = store.settings.index
    report = yield from delete_flow(context, keys, index=index, on_error="report")
    failed = [batch.error for batch in report.batches if batch.error is not None]
    if not failed:
        return report
    absent = all(isinstance(error, NoSuchVectorIndexError) for error in failed)
    if not absent:
        raise PartialWriteError(report)
    if not store.settings.create_index:
        raise failed[0]
    return WriteReport(())
