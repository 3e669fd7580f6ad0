"""`oss-vectors export`: all vectors of an index into a file, page by page."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from ...client.errors import VectorIndexParameterInvalidError, quote
from ...client.models import DEFAULT_LIMITS, ListVectorsResult, Vector
from ...records.decode import DecodeError, has_head, is_head, read
from ...records.parts import restore
from ..arguments import CONNECTION, FILTER, INDEX, Command
from ..connection import Connection, open_client
from ..rendering import echo
from ..transfer import job
from ..transfer.files import Sink
from ..transfer.target import Target


@click.command("export", cls=Command)
@click.argument("target", type=click.Path(dir_okay=False, allow_dash=True))
@job.FORMAT
@job.LINES
@click.option(
    "--batch",
    type=click.IntRange(1, DEFAULT_LIMITS.list_page),
    default=DEFAULT_LIMITS.list_page_default,
    show_default=True,
    help="Vectors of a call.",
)
@click.option(
    "--segments",
    type=click.IntRange(1, DEFAULT_LIMITS.list_segments),
    default=1,
    show_default=True,
    help="Parts of the index that are read at once.",
)
@job.JOURNAL
@job.RESTART
@job.PROGRESS
def command(
    *,
    target: str,
    file_format: str | None,
    lines: Path | None,
    batch: int,
    segments: int,
    journal_path: Path | None,
    restart: bool,
    progress: bool | None,
    index: str | None,
    filter: dict[str, Any] | None,  # noqa: A002 - the API's own name
    **connection_flags: Any,
) -> None:
    """Read all vectors of an index into a file.

    TARGET is JSON lines ({"key", "data", "metadata"}; `-` is standard output), a .npy matrix with
    JSON lines beside it, or Parquet (extra `parquet`). A file of that name is replaced, at the end,
    by one that only you may read; a link is replaced itself, and what it leads to stays as it is.

    A crash only interrupts: the same command again goes on where it was. What it goes by stands
    beside TARGET until the end: TARGET.partial and a journal.
    """
    connection = Connection.pop_from(connection_flags)
    sink = job.open_sink(target, file_format, lines)
    # standard output cannot be gone on with
    path = None if target == job.PIPE else journal_path or Path(f"{target}.export")
    with open_client(connection, index=index) as client:
        source = Target(client, client.config.index_or(None), connection.address(client))
        source.describe()
        meter = job.Meter(f"export {source.index}", None, shown=progress)
        task = {
            "export": Path(target).name,
            "of": source.identity(),
            "format": [file_format, str(lines)],
            "segments": segments,
            "filter": filter,
        }
        with job.open_journal(path, task, restart=restart) as journal:
            options = {"max_results": batch, "filter": filter}
            export = Export(source, sink, journal, meter, segments, options)
            done = export.run()
            before = f" ({export.before:,} of them before)" if export.before else ""
            meter.say(
                f"{job.count(done.vectors, 'vector')}{before} of index {source.index!r} "
                f"in {'standard output' if target == job.PIPE else target}, {meter.describe_time()}"
            )


command.params.extend([INDEX, FILTER, *CONNECTION])

_FIRST = ""


@dataclass(slots=True)
class ExportProgress:
    """How far an export is.

    Attributes:
        vectors: how many are in the files.
        dimension: theirs; 0 where there is none yet.
        tokens: for each segment that of its next page, "" for its first; None where it is through.
        sizes: of the files under construction.
        whole: whether all vectors are in them.
    """

    vectors: int = 0
    dimension: int = 0
    tokens: list[str | None] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    whole: bool = False


@dataclass
class Export:
    """The reading of an index into a sink; begun again after a crash, it goes on where it was.

    While one page is written the next is on its way. Each is noted once it is on the disk.

    Attributes:
        source: the index.
        sink: where the vectors go.
        journal: what remembers how far it got; None remembers nothing.
        meter: what shows it.
        segments: parts of the index that are read at once.
        options: further arguments of each ListVectors.
    """

    source: Target
    sink: Sink
    journal: job.Journal | None
    meter: job.Meter
    segments: int
    options: dict[str, Any]

    def __post_init__(self) -> None:
        self._progress = self._resume() or self._begin()
        self.before = self._progress.vectors

    def _begin(self) -> ExportProgress:
        return ExportProgress(tokens=[_FIRST] * self.segments, sizes=[0] * len(self.sink.parts))

    def _resume(self) -> ExportProgress | None:
        """Return how far an earlier run got, if what it wrote is still there."""
        state = self.journal.state if self.journal else None
        if state is None:
            return None
        progress = ExportProgress(**state)
        sizes = zip(self.sink.parts, progress.sizes, strict=True)
        kept = all(
            part.holds(size) or (progress.whole and part.target.exists()) for part, size in sizes
        )
        return progress if kept else None

    def run(self) -> ExportProgress:
        """Export what is left.

        Raises:
            Failure: the service failed.
        """
        with self.meter.follow_job(self._describe_rest):
            try:
                self._read()
            except VectorIndexParameterInvalidError:
                # tokens of pages do not live for ever, and the journal may be old
                if not self.before:
                    raise
                self.meter.say(
                    "the service does not know any more where the export was: from the top"
                )
                self._progress, self.before = self._begin(), 0
                self._read()
            self.sink.finish(self._progress.dimension or self.source.dimension or 0)
        if self.journal is not None:
            self.journal.remove()
        return self._progress

    def _describe_rest(self) -> str:
        vectors = self._progress.vectors
        text = f"{job.count(vectors, 'vector')} {'is' if vectors == 1 else 'are'} exported"
        return f"{text}; the same command again goes on from there" if self.journal else text

    def _read(self) -> None:
        if self._progress.whole:
            return
        with ExitStack() as stack:
            for part, size in zip(self.sink.parts, self._progress.sizes, strict=True):
                stack.callback(part.close)
                part.open(size)
            self.meter.advance(self._progress.vectors)
            pool = stack.enter_context(job.threads(self.segments))
            for segment, page in self._pages(pool):
                self.sink.write(page)
                self._count(segment, page)
            self._progress.whole = True
            self._record()

    def _pages(self, pool: Executor) -> Iterator[tuple[int, ListVectorsResult]]:
        """Yield the pages of all segments; of each the next is asked for before one is yielded."""
        waiting: deque[tuple[int, Future[ListVectorsResult]]] = deque(
            (segment, pool.submit(self._page, segment, token))
            for segment, token in enumerate(self._progress.tokens)
            if token is not None
        )
        while waiting:
            segment, future = waiting.popleft()
            page = future.result()
            if page.next_token:
                waiting.append((segment, pool.submit(self._page, segment, page.next_token)))
            yield segment, page

    def _page(self, segment: int, token: str) -> ListVectorsResult:
        parts: dict[str, Any] = {"segment_count": self.segments, "segment_index": segment}
        page = self.source.client.list_vectors(
            index=self.source.index,
            next_token=token or None,
            return_data=True,
            return_metadata=True,
            **(parts if self.segments > 1 else {}),
            **self.options,
        )
        if not has_head(page):
            return page
        # the parts of a value are of no use elsewhere
        client, index = self.source.client, self.source.index
        vectors = client.run(restore, index, list(page), return_data=True)
        for vector in vectors:
            if is_head(vector):
                echo(f"warning: written as it is stored: {_reason_of(vector)}", err=True)
        return ListVectorsResult(tuple(vectors), page.next_token, page.request_id)

    def _count(self, segment: int, page: ListVectorsResult) -> None:
        self._progress.vectors += len(page)
        self._progress.tokens[segment] = page.next_token
        if page and page[0].data is not None:
            self._progress.dimension = len(page[0].data)
        self._record()
        self.meter.advance(len(page))

    def _record(self) -> None:
        # first what was written, then the note of it: a crash in between repeats a page, which the
        # truncation in `Part.open` takes away
        if self.journal is not None:
            self._progress.sizes = [part.settle() for part in self.sink.parts]
            self.journal.record(asdict(self._progress))


def _reason_of(head: Vector) -> str:
    try:
        read(head)
    except DecodeError as error:
        return f"record {quote(error.key)}: {error.reason}"
    return ""
