"""`Import`: a file's rows into an index, window by window, each noted once it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

from oss_vector_retriever.cli.errors import SERVICE, USAGE, Failure, in_flags
from oss_vector_retriever.cli.transfer.job import Meter, threads
from oss_vector_retriever.cli.transfer.journal import Journal
from oss_vector_retriever.cli.transfer.rows import Digest, Row, Source
from oss_vector_retriever.cli.transfer.target import Target
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    InvalidRequestError,
    OSSVectorError,
    ServiceError,
)
from oss_vector_retriever.client.models.vector import Vector

OnError = Literal["fail", "skip"]


@dataclass(slots=True)
class Done:
    """Count what is done for good.

    Attributes:
        rows: rows read, from the first on.
        vectors: vectors written.
        skipped: rows that hold no vector that can be written.
        digest: of the rows.
        window: rows that may be under way beyond these.
    """

    rows: int = 0
    vectors: int = 0
    skipped: int = 0
    digest: str = ""
    window: int = 0


class Import:
    """Write a source's rows into an index; begun again after a crash, go on where it was.

    While one window is written the next is read. After a crash the rows of one window may be in the
    index with no note of it, so those are looked up before they are written.

    Args:
        target: where the vectors go.
        source: where they come from.
        journal: what remembers how far it got; None remembers nothing.
        meter: what shows it.
        window: rows that are under way at once, at most.
        on_error: whether a row that cannot be written ends the import, or is named and left out.
    """

    def __init__(
        self,
        target: Target,
        source: Source,
        journal: Journal | None,
        meter: Meter,
        *,
        window: int,
        on_error: OnError = "fail",
    ) -> None:
        self._target = target
        self._source = source
        self._journal = journal
        self._meter = meter
        self.index = target.index
        self._on_error = on_error
        self._under_way: tuple[Window, Future[list[Refused]]] | None = None
        state = journal.state if journal else None
        self.done = Done(**state) if state else Done()
        self.before = self.done.rows
        self._doubtful = self.before + self.done.window
        self._window = window

    def run(self) -> Done:
        """Import what is left.

        Raises:
            Failure: a row cannot be written, the service failed, or the source has changed.
        """
        digest = Digest()
        rows = self._source.rows()
        self._pass_over(islice(rows, self.before), digest)
        self._note()
        reader = Reader(self._source, self._target, digest, self._window, self._on_error)
        try:
            with threads(1) as pool:
                for window in reader.windows(rows, self.before):
                    self._settle()
                    self._under_way = window, pool.submit(self._write, window)
                self._settle()
        except OSSVectorError as error:
            raise Failure(f"{in_flags(str(error))}\n{self.resume_hint}", SERVICE) from None
        return self.done

    def _pass_over(self, rows: Iterator[Row], digest: Digest) -> None:
        """Read the rows that are imported, and see that they are still the same."""
        count = 0
        for row in rows:
            digest.add(row)
            count += 1
            self._meter.advance(self._source.weight(row))
        if self.before and (count, digest.text()) != (self.before, self.done.digest):
            raise Failure(
                f"{self._source.name} has changed in its first {self.before:,} "
                f"{self._source.unit}s, which are imported; --restart imports it from its "
                "beginning",
                USAGE,
            )
        self.done.digest = digest.text()

    def _write(self, window: Window) -> list[Refused]:
        records = list(window.records.values())
        if window.start < self._doubtful:
            records = not_there_yet(self._target, records)
        refused = write(self._target, records)
        return list(refused if self._on_error == "skip" else islice(refused, 1))

    def _settle(self) -> None:
        """Wait for the window that is under way, and note it."""
        if self._under_way is None:
            return
        window, future = self._under_way
        refused = future.result()
        self._under_way = None
        if refused and self._on_error == "fail":
            raise self._failure(refused[0])
        self._count(window, len(refused))
        for each in sorted([*window.refused, *refused], key=lambda one: one.row.number):
            self._meter.say(f"{self._place(each)}; skipped")
        if window.ended_by is not None:
            raise self._failure(window.ended_by)

    def _count(self, window: Window, refused: int) -> None:
        self.done.rows += window.rows
        self.done.vectors += len(window.records) - refused
        self.done.skipped += len(window.refused) + refused
        self.done.digest = window.digest
        self._note()
        self._meter.advance(window.weight)

    def _note(self) -> None:
        self.done.window = max(self._window, self._doubtful - self.done.rows)
        if self._journal is not None:
            self._journal.record(asdict(self.done))

    def _failure(self, refused: Refused) -> Failure:
        return Failure(f"{self._place(refused)}\n{self.resume_hint}", USAGE)

    def _place(self, refused: Refused) -> str:
        where = f"{self._source.name}, {self._source.unit} {refused.row.number}"
        return f"{where}: {in_flags(str(refused.error)).rstrip('.')}"

    @property
    def resume_hint(self) -> str:
        """Return what to do after an end before the end."""
        units = f"{self.done.rows:,} {self._source.unit}s are imported"
        return f"{units}; the same command again goes on from there" if self._journal else units


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
