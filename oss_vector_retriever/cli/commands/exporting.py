"""`oss-vectors export`: all vectors of an index into a file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from oss_vector_retriever.cli.arguments import FILTER, INDEX
from oss_vector_retriever.cli.options import CONNECTION, Connection, connected
from oss_vector_retriever.cli.transfer import job
from oss_vector_retriever.cli.transfer.exporting import Export, Exported
from oss_vector_retriever.cli.transfer.formats import PIPE, open_sink
from oss_vector_retriever.cli.transfer.job import Meter, beside, count, journal_of, run_timed
from oss_vector_retriever.cli.transfer.journal import Journal
from oss_vector_retriever.cli.transfer.target import Target
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS


@click.command("export")
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
def command(**values: Any) -> None:
    """Read all vectors of an index into a file.

    TARGET is JSON lines ({"key", "data", "metadata"}; `-` is standard output), a .npy matrix with
    JSON lines beside it, or Parquet (extra `parquet`). A file of that name is replaced, at the end.

    A crash only interrupts: the same command again goes on where it was. What it goes by stands
    beside TARGET until the end: TARGET.partial and a journal.
    """
    connection = Connection.taken_from(values)
    _export(connection, Wanted(**values))


command.params.extend([INDEX, FILTER, *CONNECTION])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold the values of the flags above."""

    target: str
    index: str | None
    told: str | None
    lines: Path | None
    batch: int
    segments: int
    journal_path: Path | None
    restart: bool
    progress: bool | None
    filter: dict[str, Any] | None


def _export(connection: Connection, wanted: Wanted) -> None:
    sink = open_sink(wanted.target, wanted.told, wanted.lines)
    with connected(connection) as client:
        source = Target(client, client.config.index_or(wanted.index), connection.place(client))
        source.describe()
        meter = Meter(f"export {source.index}", None, shown=wanted.progress)
        with _journal(source, wanted) as journal:
            job = Export(
                source,
                sink,
                journal,
                meter,
                segments=wanted.segments,
                options={"max_results": wanted.batch, "filter": wanted.filter},
            )
            done, took = run_timed(job, meter)
            meter.say(_summary(job, done, wanted, took))


def _journal(source: Target, wanted: Wanted) -> AbstractContextManager[Journal | None]:
    path = None if wanted.target == PIPE else beside(wanted.target, "export", wanted.journal_path)
    job = {
        "export": Path(wanted.target).name,
        "of": source.identity(),
        "format": [wanted.told, str(wanted.lines)],
        "segments": wanted.segments,
        "filter": wanted.filter,
    }
    return journal_of(path, job, restart=wanted.restart)


def _summary(job: Export, done: Exported, wanted: Wanted, took: str) -> str:
    where = "standard output" if wanted.target == PIPE else wanted.target
    before = f" ({job.before:,} of them before)" if job.before else ""
    return f"{count(done.vectors, 'vector')}{before} of index {job.index!r} in {where}, {took}"
