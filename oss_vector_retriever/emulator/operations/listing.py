"""ListVectors: pages in the order of first writing; reference section 4.3.

A token holds the index and the row that the page ended with, so a vector that stays in the index
throughout a listing is listed exactly once, whatever is written or deleted meanwhile.
"""

from __future__ import annotations

import base64
import binascii
import sqlite3
import struct
from typing import Any

from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.filters import Filter
from oss_vector_retriever.emulator.operations.call import Answer, Call
from oss_vector_retriever.emulator.operations.vectors import describe
from oss_vector_retriever.emulator.refusals import invalid
from oss_vector_retriever.emulator.storage import vectors as table
from oss_vector_retriever.emulator.storage.indexes import Index
from oss_vector_retriever.emulator.storage.vectors import StoredVector

_TOKEN = struct.Struct(">3sQQ")
_MARK = b"ov1"
_AT_ONCE = 500  # SQLite before 3.32 takes no more than 999 parameters


def list_vectors(call: Call) -> Answer:
    """Return a page of an index's vectors, and a token where more remain."""
    wanted = call.parameters
    name = wanted.index_name()
    most = wanted.integer("maxResults", 1, call.limits.list_page, call.limits.list_page_default)
    token = wanted.text("nextToken", call.limits.token_bytes)
    segment = wanted.segment()
    chosen = call.filter()
    with call.database.read() as db:
        index = call.index(db, name)
        call.check_filterable(index, chosen)
        page = _Page(call, db, index, segment)
        after = _read_token(token, index)
        found = page.all(after, most + 1) if chosen is None else page.some(after, most + 1, chosen)
    answer: dict[str, Any] = {"vectors": describe(call, found[:most])}
    if len(found) > most:
        answer["nextToken"] = _token(index, found[most - 1].id)
    return Answer(answer)


class _Page:
    def __init__(
        self, call: Call, db: sqlite3.Connection, index: Index, segment: tuple[int, int]
    ) -> None:
        self._db = db
        self._index = index
        self._segment = segment
        self._columns = {
            "data": call.parameters.boolean("returnData"),
            "metadata": call.parameters.boolean("returnMetadata"),
        }

    def all(self, after: int, most: int) -> list[StoredVector]:
        """Return the next vectors."""
        return table.page(self._db, self._index.id, after, most, self._segment, **self._columns)

    def some(self, after: int, most: int, chosen: Filter) -> list[StoredVector]:
        """Return the next vectors that pass a filter."""
        ids: list[int] = []
        for row, text in table.filterables(self._db, self._index.id, after, self._segment):
            if chosen.matches(json_text.loads(text) if text else {}):
                ids.append(row)
                if len(ids) == most:
                    break
        found: dict[int, StoredVector] = {}
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            found |= table.by_id(self._db, part, **self._columns)
        return [found[row] for row in ids]


def _token(index: Index, row: int) -> str:
    return base64.urlsafe_b64encode(_TOKEN.pack(_MARK, index.id, row)).decode().rstrip("=")


def _read_token(token: str, index: Index) -> int:
    if not token:
        return 0
    try:
        raw = base64.b64decode(f"{token}{'=' * (-len(token) % 4)}", b"-_", validate=True)
        mark, index_id, row = _TOKEN.unpack(raw)
    except (binascii.Error, struct.error, ValueError):
        raise invalid("nextToken is not one that this service gave.") from None
    if mark != _MARK or index_id != index.id:
        raise invalid("nextToken belongs to another listing.")
    return int(row)
