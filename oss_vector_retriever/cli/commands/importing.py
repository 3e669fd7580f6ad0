"""`oss-vectors import`: a file's vectors into an index."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from oss_vector_retriever.cli.arguments import INDEX
from oss_vector_retriever.cli.errors import PARTIAL
from oss_vector_retriever.cli.options import CONNECTION, Connection, connected
from oss_vector_retriever.cli.transfer import job
from oss_vector_retriever.cli.transfer.formats import PIPE, open_source
from oss_vector_retriever.cli.transfer.importing import Done, Import, OnError
from oss_vector_retriever.cli.transfer.job import Meter, beside, count, journal_of, run_timed
from oss_vector_retriever.cli.transfer.journal import Journal
from oss_vector_retriever.cli.transfer.rows import Source
from oss_vector_retriever.cli.transfer.target import NewIndex, Target
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.client.operations.indexes import DistanceMetric


@click.command("import")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@job.FORMAT
@job.LINES
@click.option("--create-index", is_flag=True, help="Make the index where there is none.")
@click.option(
    "--distance-metric",
    type=click.Choice(["cosine", "euclidean"]),
    help="Of an index that is made: cosine unless said.",
)
@click.option(
    "--non-filterable-key",
    "non_filterable",
    multiple=True,
    help="A metadata field of an index that is made; by default this package's own.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, DEFAULT_LIMITS.vectors_per_put),
    default=DEFAULT_LIMITS.vectors_per_put,
    show_default=True,
    help="Vectors of a call.",
)
@click.option(
    "--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="Calls at once."
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
def command(**values: Any) -> None:
    """Write the vectors of a file into an index.

    SOURCE is JSON lines ({"key", "data", "metadata"}; `-` is standard input), a .npy matrix with
    JSON lines beside it, or Parquet (extra `parquet`).

    A crash only interrupts: the same command again goes on where it was, and writes nothing twice.
    What it goes by is a journal beside SOURCE, which stays: lines added to SOURCE later are
    imported by the same command, those before them are not written again.
    """
    connection = Connection.taken_from(values)
    _import(connection, Wanted(**values))


command.params.extend([INDEX, *CONNECTION])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold the values of the flags above."""

    source: str
    index: str | None
    told: str | None
    lines: Path | None
    create_index: bool
    distance_metric: DistanceMetric | None
    non_filterable: tuple[str, ...]
    batch: int
    parallel: int
    on_error: OnError
    journal_path: Path | None
    restart: bool
    progress: bool | None


def _import(connection: Connection, wanted: Wanted) -> None:
    limits = replace(DEFAULT_LIMITS, vectors_per_put=wanted.batch)
    source = open_source(wanted.source, wanted.told, wanted.lines, limits)
    with connected(connection, max_concurrency=wanted.parallel, limits=limits) as client:
        target = Target(client, client.config.index_or(wanted.index), connection.place(client))
        _see_to_the_index(target, source, wanted)
        meter = Meter(
            f"import {source.name}",
            source.total,
            in_bytes=source.in_bytes,
            shown=wanted.progress,
        )
        with _journal(target, wanted) as journal:
            job = Import(
                target,
                source,
                journal,
                meter,
                window=wanted.batch * wanted.parallel,
                on_error=wanted.on_error,
            )
            done, took = run_timed(job, meter)
            meter.say(_summary(job, done, source, took))
    if done.skipped:
        raise click.exceptions.Exit(PARTIAL)


def _see_to_the_index(target: Target, source: Source, wanted: Wanted) -> None:
    if not wanted.create_index:
        target.describe()
        return
    if wanted.source == PIPE:
        raise click.UsageError("--create-index needs a file, to see the dimension beforehand.")
    new = NewIndex(wanted.distance_metric, wanted.non_filterable or None)
    target.describe_or_make(new, _first_dimension(source))


def _first_dimension(source: Source) -> int | None:
    for row in source.rows():
        with suppress(InvalidRequestError):
            if (vector := source.vector(row)) is not None:
                return len(vector.data or ())
    return None


def _journal(target: Target, wanted: Wanted) -> AbstractContextManager[Journal | None]:
    ending = f"import-{target.short_name()}"
    path = beside(wanted.source, ending, wanted.journal_path) if wanted.source != PIPE else None
    job = {"import": Path(wanted.source).name, "into": target.identity()}
    return journal_of(path, job, restart=wanted.restart)


def _summary(job: Import, done: Done, source: Source, took: str) -> str:
    before = f" ({job.before:,} of them before)" if job.before else ""
    said = [
        f"{source.name}: {count(done.rows, source.unit)}{before}",
        f"{count(done.vectors, 'vector')} written to index {job.index!r}",
        f"{count(done.skipped, source.unit)} skipped" if done.skipped else "",
        took,
    ]
    return ", ".join(part for part in said if part)
