"""`oss-vectors import`: a file's vectors into an index, window by window."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from ...client import errors
from ...client.models import DEFAULT_LIMITS, Vector
from ...client.operations.indexes import DistanceMetric
from ...client.writes import find_refused
from ...records.cutting import PartsKeeper, may_be_large
from ...records.decode import has_head
from ...records.parts import restore
from ...records.settings import StoreSettings
from ..arguments import CONNECTION, INDEX, Command
from ..connection import Connection, open_client
from ..errors import PARTIAL, USAGE, Failure, word
from ..transfer import job
from ..transfer.files import Fields, Row, Source
from ..transfer.target import Target
from ..values import Names, join

OnError = Literal["fail", "skip"]


@click.command("import", cls=Command)
@click.argument("source", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@job.FORMAT
@job.LINES
@click.option("--key-field", default="key", show_default=True, help="Member that is the key.")
@click.option(
    "--data-field", default="data", show_default=True, help="Member that holds the numbers."
)
@click.option(
    "--metadata-field", default="metadata", show_default=True, help="Member with the metadata."
)
@click.option("--create-index", is_flag=True, help="Make the index where there is none.")
@click.option(
    "--distance-metric",
    type=click.Choice(["cosine", "euclidean"]),
    help="Of an index that is made: cosine unless said.",
)
@click.option(
    "--non-filterable-key",
    "non_filterable_metadata_keys",
    multiple=True,
    type=Names(),
    callback=join,
    metavar="NAMES",
    help="Metadata fields of an index that is made, separated by commas; by default this package's "
    "own.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, DEFAULT_LIMITS.vectors_per_put),
    default=DEFAULT_LIMITS.vectors_per_put,
    show_default=True,
    help="Vectors of a call.",
)
@click.option(
    "--parallel",
    "--max-concurrency",
    "max_concurrency",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Calls at once.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What becomes of a line that holds no vector: it ends the import, or is left out.",
)
@job.JOURNAL
@job.RESTART
@job.PROGRESS
def command(
    *,
    source: str,
    file_format: str | None,
    lines: Path | None,
    key_field: str,
    data_field: str,
    metadata_field: str,
    create_index: bool,
    distance_metric: DistanceMetric | None,
    non_filterable_metadata_keys: list[str] | None,
    batch: int,
    on_error: OnError,
    journal_path: Path | None,
    restart: bool,
    progress: bool | None,
    index: str | None,
    **connection_flags: Any,
) -> None:
    """Write the vectors of a file into an index.

    SOURCE is JSON lines ({"key", "data", "metadata"}; `-` is standard input), which may be gzip, a
    .npy matrix with JSON lines beside it, or Parquet (extra `parquet`). Pages that `list-vectors`
    prints, here or of S3, are taken as they are. The lines of other stores by the names of their
    members: --key-field id --data-field vector --metadata-field payload.

    A crash only interrupts: the same command again goes on where it was, and writes nothing twice.
    What it goes by is a journal beside SOURCE, which stays: lines added to SOURCE later are
    imported by the same command, those before them are not written again.
    """
    connection = Connection.pop_from(connection_flags)
    if create_index and source == job.PIPE:
        raise click.UsageError(
            "--create-index needs a file, to see the dimension beforehand; for what is piped make "
            "the index first, by put-vector-index --dimension N."
        )
    # a lower limit is how the client is told to write smaller batches
    limits = replace(DEFAULT_LIMITS, vectors_per_put=batch)
    fields = Fields(key_field, data_field, metadata_field)
    rows = job.open_source(source, file_format, lines, limits, fields)
    options = {"limits": limits, "index": index, "begins_file": create_index}
    with open_client(connection, **options) as client:
        target = Target(client, client.config.index_or(None), connection.address(client))
        if create_index:
            names = non_filterable_metadata_keys or ()
            target.describe_or_make(_first_dimension(rows), distance_metric, names)
        else:
            target.describe()
        # of the file itself: two imports of it under two names are one job, and meet at its lock
        real = Path(source).resolve()
        usual_path = Path(f"{real}.import-{target.short_name()}")
        # a pipe cannot be read again
        path = None if source == job.PIPE else journal_path or usual_path
        task = {"import": real.name, "into": target.identity()}
        if fields != Fields():  # other members are other vectors
            task["fields"] = list(fields)
        meter = job.Meter(f"import {rows.name}", rows.total, in_bytes=rows.in_bytes, shown=progress)
        with job.open_journal(path, task, restart=restart) as journal:
            window = batch * connection.max_concurrency
            run = Import(target, rows, journal, meter, window, on_error)
            if target.found is not None and target.found.status == "creating":
                meter.say(f"index {target.index!r} is being made; it is waited for")
            done = run.run()
            meter.say(_summarise(run))
    if done.skipped:
        raise click.exceptions.Exit(PARTIAL)


# `--parallel` is this command's own word for one of them
command.params.extend([INDEX, *(flag for flag in CONNECTION if flag.name != "max_concurrency")])


def _first_dimension(source: Source) -> int | None:
    """Return the dimension of the first vector; None where nothing is there at all.

    Raises:
        Failure: there are rows, and none holds a vector.
    """
    first: Refused | None = None
    for row in source.rows():
        try:
            if (vector := source.vector(row)) is not None:
                return len(vector.data or ())
        except errors.InvalidRequestError as error:
            first = first or Refused(row, error)
    if first is not None:
        text = "the new index has the dimension of the first vector, and there is none"
        raise Failure(f"{text}: {_describe_refusal(source, first)}", USAGE)
    return None


def _summarise(run: "Import") -> str:
    source, done = run.source, run.done
    before = f" ({run.before:,} of them before)" if run.before else ""
    there = run.there and f"{job.count(run.there, 'vector')} there already"
    parts = [
        f"{source.name}: {job.count(done.rows, source.unit)}{before}",
        f"{job.count(run.written, 'vector')} written to index {run.target.index!r}",
        f"up to {run.unsure:,} of them again after an interruption" if run.unsure else "",
        there or "",
        f"{job.count(run.skipped, source.unit)} skipped" if run.skipped else "",
        run.meter.describe_time(),
    ]
    if run.before and run.before == done.rows:
        parts[1] = "nothing new to write (--restart writes all of it again)"
    return ", ".join(part for part in parts if part)


@dataclass(slots=True)
class ImportProgress:
    """What is done for good.

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


class Record(NamedTuple):
    """A vector and the row it was read from."""

    row: Row
    vector: Vector


class Refused(NamedTuple):
    """A row that cannot be written, and why."""

    row: Row
    error: errors.OSSVectorError


class Written(NamedTuple):
    """What became of the vectors of a window.

    Attributes:
        new: how many were written.
        there: how many were in the index as they are here.
        refused: the others.
        unsure: of those that were written how many may have been there.
    """

    new: int
    there: int
    refused: list[Refused]
    unsure: int = 0


@dataclass(slots=True)
class Window:
    """Rows that are written together.

    Attributes:
        start: the rows before these.
        rows: how many these are.
        size: their bytes.
        weight: what a meter counts of them.
        records: their vectors by key; of two with one key the later counts, as if put in turn.
        refused: the rows that hold no vector.
        ended_by: what ends the import: a row without a vector, which is none of these, or that
            there is nothing more to read.
        digest: of all rows up to the last of these.
    """

    start: int
    rows: int = 0
    size: int = 0
    weight: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    ended_by: Refused | Failure | None = None
    digest: str = ""


# rows of the largest vectors would fill the memory long before their count is reached
_WINDOW_BYTES = 64 * 1024 * 1024


@dataclass
class Import:
    """The writing of a source's rows into an index; begun again, it goes on where it was.

    While one window is written the next is read. Each is noted once it is acknowledged. After a
    crash the rows of one window may be in the index with no note of it, so those are looked up
    before they are written.

    Attributes:
        target: where the vectors go.
        source: where they come from.
        journal: what remembers how far it got; None remembers nothing.
        meter: what shows it.
        window: rows that are under way at once, at most.
        on_error: whether a row that cannot be written ends the import, or is named and left out.
        before: rows that were imported by earlier runs.
        written: vectors that this run wrote.
        there: vectors that it found in the index as they are here.
        unsure: of what it wrote how many vectors an earlier run may have written as they are here.
        skipped: rows that it left out.
    """

    target: Target
    source: Source
    journal: job.Journal | None
    meter: job.Meter
    window: int
    on_error: OnError

    def __post_init__(self) -> None:
        state = self.journal.state if self.journal else None
        self.done = ImportProgress(**(state or {}))
        self.before = self.done.rows
        self.written = self.there = self.unsure = self.skipped = 0
        self._doubtful = self.before + self.done.window
        self._digest = hashlib.sha256()
        self._under_way: tuple[Window, Future[Written]] | None = None

    def run(self) -> ImportProgress:
        """Import what is left.

        Raises:
            Failure: a row cannot be written, the service failed, or the source has changed.
        """
        rows = self.source.rows()
        # one thread: a window is already written in parallel calls
        with self.meter.follow_job(self._describe_rest), job.threads(1) as pool:
            self._skip_imported(islice(rows, self.before))
            self._note()
            for window in self._windows(rows):
                self._settle()
                self._under_way = window, pool.submit(self._write, window)
            self._settle()
        return self.done

    def _skip_imported(self, rows: Iterator[Row]) -> None:
        """Read the rows that are imported, and see that they are still the same."""
        count = 0
        for row in rows:
            self._digest_row(row)
            count += 1
            self.meter.advance(row.weight)
        digest = self._digest.hexdigest()
        if self.before and (count, digest) != (self.before, self.done.digest):
            # what went by that beginning would be skipped, what is new in it never written
            raise Failure(
                f"{self.source.name} has changed in its first "
                f"{job.count(self.before, self.source.unit)}, imported before; --restart imports "
                "it from its beginning",
                USAGE,
            )
        self.done.digest = digest

    def _digest_row(self, row: Row) -> None:
        # its length is taken too, or two rows could pass for one
        self._digest.update(len(row.raw).to_bytes(8, "big") + row.raw)

    def _windows(self, rows: Iterator[Row]) -> Iterator[Window]:
        """Cut rows into windows; the last may be empty but for the row that ends it all."""
        window = Window(self.before)
        while (row := _next_row(rows)) is not None:
            if isinstance(row, Failure):
                # of a file that is damaged further on, what comes before is imported
                window.ended_by = row
                break
            if not self._add_row(row, window):
                break
            self._digest_row(row)
            if window.rows == self.window or window.size >= _WINDOW_BYTES:
                window.digest = self._digest.hexdigest()
                yield window
                window = Window(window.start + window.rows)
        if window.rows or window.ended_by:
            window.digest = self._digest.hexdigest()
            yield window

    def _add_row(self, row: Row, window: Window) -> bool:
        """Put a row into a window, or tell that it ends it all."""
        try:
            vector = self.source.vector(row)
            self._check_dimension(vector)
        except errors.InvalidRequestError as error:
            refused = Refused(row, error)
            if self.on_error == "fail":
                # not counted, so that the same command begins with this row
                window.ended_by = refused
                return False
            window.refused.append(refused)
            vector = None
        if vector is not None:
            window.records[vector.key] = Record(row, vector)
        window.rows += 1
        window.size += len(row.raw)
        window.weight += row.weight
        return True

    def _check_dimension(self, vector: Vector | None) -> None:
        dimension = self.target.dimension
        count = len(vector.data or ()) if vector else dimension
        if dimension is not None and count != dimension:
            raise errors.InvalidRequestError(f"it has {count} values; the index has {dimension}")

    def _write(self, window: Window) -> Written:
        records = list(window.records.values())
        unsure = 0
        if window.start < self._doubtful:
            # within reach of the crash: some of these may be written and not noted
            try:
                records = missing_records(self.target, records)
            except errors.AccessDeniedError:
                # who may not read the index writes them again, which changes nothing
                unsure = min(len(records), self._doubtful - window.start)
        refused = write_each(self.target, records)
        # the first is enough where it ends the import
        found = list(refused if self.on_error == "skip" else islice(refused, 1))
        there = len(window.records) - len(records)
        return Written(len(records) - len(found), there, found, unsure)

    def _settle(self) -> None:
        """Wait for the window that is under way, and note it."""
        if self._under_way is None:
            return
        window, future = self._under_way
        written, there, refused, unsure = future.result()
        self._under_way = None
        if refused and self.on_error == "fail":
            raise self._failure(refused[0], doubtful=window.rows - 1)
        self.done.rows += window.rows
        self.done.vectors += len(window.records) - len(refused)
        self.done.skipped += len(window.refused) + len(refused)
        self.written += written
        self.there += there
        self.unsure += unsure
        self.skipped += len(window.refused) + len(refused)
        self.done.digest = window.digest
        self._note()
        self.meter.advance(window.weight)
        for each in sorted([*window.refused, *refused], key=lambda one: one.row.number):
            self.meter.say(f"{_describe_refusal(self.source, each)}; skipped")
        if window.ended_by is not None:
            raise self._failure(window.ended_by)

    def _note(self) -> None:
        # noted before the rows are sent: what is under way at a crash is doubtful afterwards
        self.done.window = max(self.window, self._doubtful - self.done.rows)
        if self.journal is not None:
            self.journal.record(asdict(self.done))

    def _failure(self, cause: Refused | Failure, doubtful: int = 0) -> Failure:
        if isinstance(cause, Failure):
            text = cause.message
        else:
            text = _describe_refusal(self.source, cause)
        return Failure(f"{text}\n{self._describe_rest(doubtful)}", USAGE)

    def _describe_rest(self, doubtful: int = 0) -> str:
        units = job.count(self.done.rows, self.source.unit)
        units = f"{units} {'is' if self.done.rows == 1 else 'are'} imported"
        if doubtful:  # written with the one that was refused, in halves
            units += f", and of the next {job.count(doubtful + 1, self.source.unit)} some may be"
        return f"{units}; the same command again goes on from there" if self.journal else units


def _next_row(rows: Iterator[Row]) -> Row | Failure | None:
    """Return the next row, why there is none to be read, or None at the end."""
    try:
        return next(rows, None)
    except Failure as failure:
        return failure


def _describe_refusal(source: Source, refused: Refused) -> str:
    where = f"{source.name}, {source.unit} {refused.row.number}"
    return f"{where}: {refused.error.render(word).rstrip('.')}"


def write_each(target: Target, records: Sequence[Record]) -> Iterator[Refused]:
    """Write records in parallel batches; yield those that are refused, each found by itself.

    Raises:
        OSSVectorError: the service failed, or was not reached.
    """

    def put(vectors: Sequence[Vector]) -> errors.WriteReport:
        if any(map(may_be_large, vectors)):
            keeper = PartsKeeper(StoreSettings(index=target.index))
            return target.client.run(keeper.put_records, vectors, None, None)
        return target.client.upsert(vectors, index=target.index, on_error="report")

    rows = {record.vector.key: record.row for record in records}
    for vector, error in find_refused(put, [record.vector for record in records]):
        yield Refused(rows[vector.key], error)


def missing_records(target: Target, records: Sequence[Record]) -> list[Record]:
    """Return the records that are not in the index exactly as they are here.

    Asked where a crash may have come between a write and the note of it.

    Raises:
        AccessDeniedError: the caller may not read the index.
    """
    keys = [record.vector.key for record in records]
    there = target.client.fetch(keys, index=target.index).by_key
    if has_head(there.values()):
        whole = target.client.run(restore, target.index, list(there.values()), return_data=True)
        there = {vector.key: vector for vector in whole}
    return [record for record in records if not _same(record.vector, there.get(record.vector.key))]


def _same(ours: Vector, theirs: Vector | None) -> bool:
    if ours.data is None or theirs is None or theirs.data is None:
        return False
    # bit by bit: -0.0 equals 0.0, and would be kept from being written
    same_data = ours.data.tobytes() == theirs.data.tobytes()
    return same_data and (ours.metadata or {}) == (theirs.metadata or {})
