"""`Import`: a file's rows into an index, window by window, each noted once it is acknowledged."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Literal

from oss_vector_retriever.cli.failures import SERVICE, USAGE, Failure, in_flags
from oss_vector_retriever.cli.transfer.journal import Journal
from oss_vector_retriever.cli.transfer.meter import Meter
from oss_vector_retriever.cli.transfer.rows import Digest, Row, Source
from oss_vector_retriever.cli.transfer.target import Target
from oss_vector_retriever.cli.transfer.threads import threads
from oss_vector_retriever.cli.transfer.windows import Reader, Window
from oss_vector_retriever.cli.transfer.writing import Refused, not_there_yet, write
from oss_vector_retriever.client.errors import OSSVectorError

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
