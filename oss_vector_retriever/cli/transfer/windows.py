"""Windows: some rows at a time, as vectors, with those named that hold none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from oss_vector_retriever.cli.transfer.rows import Digest, Row, Source
from oss_vector_retriever.cli.transfer.target import Target
from oss_vector_retriever.cli.transfer.writing import Record, Refused
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.vector import Vector

_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Window:
    """Hold some rows.

    Attributes:
        start: the rows before these.
        rows: how many these are.
        size: their bytes.
        weight: what a meter counts of them.
        records: their vectors by key; of two with one key the later counts, as if put in turn.
        refused: the rows that hold no vector.
        ended_by: a row without a vector that ends the import; it is none of these.
        digest: of all rows up to the last of these.
    """

    start: int
    rows: int = 0
    size: int = 0
    weight: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    ended_by: Refused | None = None
    digest: str = ""


class Reader:
    """Cut rows into windows.

    Args:
        source: where the rows come from.
        target: the index, whose dimension vectors must have.
        digest: of the rows read so far.
        most: rows of a window, at most.
        on_error: whether a row without a vector ends it all.
    """

    def __init__(
        self, source: Source, target: Target, digest: Digest, most: int, on_error: str
    ) -> None:
        self._source = source
        self._target = target
        self._digest = digest
        self._most = most
        self._skips = on_error == "skip"

    def windows(self, rows: Iterator[Row], start: int) -> Iterator[Window]:
        """Yield windows; the last may be empty but for the row that ends it all."""
        window = Window(start)
        for row in rows:
            if not self._take(row, window):
                break
            if window.rows == self._most or window.size >= _BYTES:
                yield self._whole(window)
                window = Window(window.start + window.rows)
        if window.rows or window.ended_by:
            yield self._whole(window)

    def _whole(self, window: Window) -> Window:
        window.digest = self._digest.text()
        return window

    def _take(self, row: Row, window: Window) -> bool:
        """Put a row into a window, or tell that it ends it all."""
        try:
            vector = self._source.vector(row)
            self._check_dimension(vector)
        except InvalidRequestError as error:
            refused = Refused(row, error)
            if not self._skips:
                window.ended_by = refused
                return False
            window.refused.append(refused)
        else:
            if vector is not None:
                window.records[vector.key] = Record(row, vector)
        self._digest.add(row)
        window.rows += 1
        window.size += len(row.raw)
        window.weight += self._source.weight(row)
        return True

    def _check_dimension(self, vector: Vector | None) -> None:
        wanted = self._target.dimension
        count = len(vector.data or ()) if vector else wanted
        if wanted is not None and count != wanted:
            raise InvalidRequestError(f"it has {count} values; the index has {wanted}")
