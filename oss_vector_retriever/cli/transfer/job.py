"""Running a transfer from its command: journal, meter, and what is said at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import click

from oss_vector_retriever.cli.interrupts import recognised
from oss_vector_retriever.cli.transfer.journal import Journal, State

_VERSION = 1  # of the states; a journal of another one is begun anew
T_co = TypeVar("T_co", covariant=True)


class Job(Protocol[T_co]):
    """Be an import or an export."""

    @property
    def resume_hint(self) -> str:
        """Return what to do after an end before the end."""
        raise NotImplementedError

    def run(self) -> T_co:
        """Do what is left."""
        raise NotImplementedError


@contextmanager
def journal_of(path: Path | None, job: State, *, restart: bool) -> Iterator[Journal | None]:
    """Give the journal of a job; without a path, none."""
    if path is None:
        yield None
        return
    with Journal(path, {"version": _VERSION, **job}, restart=restart) as journal:
        yield journal


def run_timed(job: Job[T_co], meter: Meter) -> tuple[T_co, str]:
    """Run a job under its meter, and return its result and how long it took, in words."""
    started = time.monotonic()
    with meter:
        try:
            with recognised():
                done = job.run()
        except KeyboardInterrupt:
            meter.say(f"interrupted: {job.resume_hint}")
            raise
    return done, f"{time.monotonic() - started:.1f} s"


def beside(path: str, ending: str, given: Path | None) -> Path:
    """Return where a journal is kept."""
    return given or Path(f"{path}.{ending}")


def count(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


FORMAT = click.option(
    "--format",
    "told",
    type=click.Choice(["jsonl", "npy", "parquet"]),
    help="Format of the file; by default what its name says.",
)
LINES = click.option(
    "--lines",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keys and metadata of a .npy file, row for row; by default beside it, .jsonl.",
)
JOURNAL = click.option(
    "--journal",
    "journal_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to remember how far it got; by default beside the file.",
)
RESTART = click.option("--restart", is_flag=True, help="Begin anew, whatever was done before.")
PROGRESS = click.option(
    "--progress/--no-progress", default=None, help="Show a bar; by default on a terminal."
)


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads; what they are at is waited for, but after Ctrl-C nobody wants it any more."""
    pool = ThreadPoolExecutor(number, "oss-vectors")
    try:
        yield pool
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


class Meter:
    """Show how far a job is, where somebody sees it or asked for it.

    Args:
        title: what is being done.
        total: when it is done, in the unit that `advance` counts; None where that is not known.
        in_bytes: whether the unit is bytes.
        shown: None shows the bar on a terminal only.
    """

    def __init__(
        self, title: str, total: int | None, *, in_bytes: bool = False, shown: bool | None = None
    ) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() if shown is None else shown:
            self._bar = _bar(in_bytes=in_bytes, with_total=total is not None)
            self._task = self._bar.add_task(title, total=total)

    def advance(self, amount: int) -> None:
        """Move on."""
        if self._bar is not None:
            self._bar.advance(self._task, amount)

    def say(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar is None:
            click.echo(text, err=True)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(*, in_bytes: bool, with_total: bool) -> Any:
    from rich import progress  # noqa: PLC0415 - only where a bar is shown
    from rich.console import Console  # noqa: PLC0415 - the same

    amount = progress.DownloadColumn() if in_bytes else progress.MofNCompleteColumn()
    left = (progress.TimeRemainingColumn(),) if with_total else ()
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        amount,
        progress.TimeElapsedColumn(),
        *left,
        console=Console(stderr=True),
    )
