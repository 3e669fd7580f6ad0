"""What `import` and `export` share: flags, formats, a bar, and the journal of a job."""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import click
from filelock import lock_descriptor

from ...client.errors import OSSVectorError, escape_controls
from ...client.models.limits import Limits
from ...client.wire import dump_json, parse_json
from ..errors import SERVICE, USAGE, Failure, word
from ..interrupts import recognise_interrupts
from ..rendering import echo
from .files import Fields, JsonLines, JsonLinesSink, PipedLines, Sink, Source, open_private

PIPE = "-"
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",  # a page of a listing
    ".npy": "npy",
    ".parquet": "parquet",
}
_PACKED = ".gz"
State = dict[str, Any]
_VERSION = 1  # of the states; a journal of another one is begun anew

FORMAT = click.option(
    "--format",
    "file_format",
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


def open_source(
    name: str, kind: str | None, lines: Path | None, limits: Limits, fields: Fields
) -> Source:
    """Return what reads a file, or standard input.

    Raises:
        Failure: the format is not known, or the file is not in it.
    """
    kind, path = _kind(name, kind, lines), Path(name)
    if kind == "npy":
        from .matrix import Matrix  # noqa: PLC0415 - needs numpy

        return Matrix(path, lines or path.with_suffix(".jsonl"), limits, fields)
    if kind == "parquet":
        importlib.import_module("pyarrow")  # before numpy: its extra brings both
        from .parquet import Parquet  # noqa: PLC0415 - an extra

        return Parquet(path, limits, fields)
    return JsonLines(None if name == PIPE else path, limits, fields)


def open_sink(name: str, kind: str | None, lines: Path | None) -> Sink:
    """Return what writes a file, or standard output.

    Raises:
        Failure: the format is not known.
    """
    if name.lower().endswith(_PACKED):
        # what a crash has left of it could not be gone on with
        plain = name[: -len(_PACKED)]
        raise Failure(f"gzip is read and not written: export to {plain}, then gzip it", USAGE)
    kind, path = _kind(name, kind, lines), Path(name)
    if kind == "npy":
        from .matrix import MatrixSink  # noqa: PLC0415 - numpy

        return MatrixSink(path, lines or path.with_suffix(".jsonl"))
    if kind == "parquet":
        importlib.import_module("pyarrow")  # as above
        from .parquet import ParquetSink  # noqa: PLC0415 - extra

        return ParquetSink(path)
    return PipedLines() if name == PIPE else JsonLinesSink(path)


def _kind(name: str, kind: str | None, lines: Path | None) -> str:
    suffix = Path(name.lower().removesuffix(_PACKED)).suffix
    kind = kind or ("jsonl" if name == PIPE else _SUFFIXES.get(suffix))
    if kind is None:
        known = ", ".join([*_SUFFIXES, ".jsonl.gz"])
        raise Failure(f"the format of {name!r} is not known by its name ({known}): --format", USAGE)
    if kind != "jsonl" and name.lower().endswith(_PACKED):
        raise Failure(f"{name!r}: gzip is read of JSON lines alone", USAGE)
    # the others are read and written out of order
    if name == PIPE and kind != "jsonl":
        raise Failure(f"{kind} cannot be piped; name a file", USAGE)
    if lines is not None and kind != "npy":
        raise Failure("--lines goes with a .npy file", USAGE)
    return kind


def count(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads; what they are at is waited for at the end, but not after Ctrl-C."""
    pool = ThreadPoolExecutor(number, "oss-vectors")
    try:
        yield pool
    except KeyboardInterrupt:
        # the client's timeout may be half a minute away
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


class Meter:
    """A bar that shows how far a job is, where somebody sees it or asked for it.

    Args:
        title: what is being done.
        total: when it is done, in the unit that `advance` counts; None where that is not known.
        in_bytes: whether the unit is bytes.
        shown: None shows the bar on a terminal only.
    """

    def __init__(
        self, title: str, total: int | None, *, in_bytes: bool = False, shown: bool | None = None
    ) -> None:
        self._started = time.monotonic()
        self._bar: Any = None
        # on stderr, as standard output may be the export
        if sys.stderr.isatty() if shown is None else shown:
            self._bar = _bar(in_bytes=in_bytes, with_total=total is not None)
            self._task = self._bar.add_task(escape_controls(title), total=total)

    def advance(self, amount: int) -> None:
        """Move on."""
        if self._bar is not None:
            self._bar.advance(self._task, amount)

    def say(self, text: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._bar is None:
            echo(text, err=True)
        else:
            # file names and keys are no markup
            shown = escape_controls(text)
            self._bar.console.print(shown, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def follow_job(self, describe_rest: Callable[[], str]) -> Iterator[None]:
        """Show the bar during a job; where the job is cut short, say what is done and what to do.

        Raises:
            Failure: the service failed.
        """
        with self._bar or nullcontext():
            try:
                with recognise_interrupts():
                    yield
            except KeyboardInterrupt:
                if self._bar is not None:
                    self._bar.stop()  # or it stood below the message, as if it went on
                self.say(f"interrupted: {describe_rest()}")
                raise
            except OSSVectorError as error:
                raise Failure(f"{error.render(word)}\n{describe_rest()}", SERVICE) from None

    def describe_time(self) -> str:
        """Return how long it has taken so far."""
        return f"{time.monotonic() - self._started:.1f} s"


def _bar(*, in_bytes: bool, with_total: bool) -> Any:
    from rich import console, progress  # noqa: PLC0415 - only where a bar is shown

    amount: progress.ProgressColumn
    if not with_total:
        # the service tells nobody how many there are
        amount = progress.TextColumn("{task.completed:,.0f} of unknown")
    else:
        amount = progress.DownloadColumn() if in_bytes else progress.MofNCompleteColumn()
    left = (progress.TimeRemainingColumn(),) if with_total else ()
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        amount,
        progress.TimeElapsedColumn(),
        *left,
        console=console.Console(stderr=True),
    )


class Journal:
    """How far a job got, in a file beside its data; no other process can open it meanwhile.

    Lines of JSON: the job first, then a state for each step that is done for good; the last whole
    line counts. It is only ever appended to, so a crash at any moment leaves the state before it.

    Args:
        path: the file, which is made where there is none.
        job: what the job is; a file about another job is begun anew.
        restart: begin anew in any case.

    Attributes:
        state: the last state that was recorded, or None.

    Raises:
        Failure: another process is at the job.
    """

    def __init__(self, path: Path, job: State, *, restart: bool = False) -> None:
        self.path = path
        self._file: IO[bytes] = open_private(path, append=True)
        self.state: State | None = None
        try:
            self._take(job, restart=restart)
        except BaseException:
            self._file.close()
            raise

    def _take(self, job: State, *, restart: bool) -> None:
        # The file itself is locked: any link to it is the same job.
        if not lock_descriptor(self._file.fileno(), blocking=False):
            raise Failure(f"another process is at it: it holds {self.path}", USAGE)
        lines = [] if restart else self._whole_lines()
        # another job, or the same under another version of the states: from the beginning
        if len(lines) > 1 and lines[0] == job:
            self.state = lines[-1]
            return
        self._file.truncate(0)
        self.record(job)
        self.state = None

    def _whole_lines(self) -> list[Any]:
        """Return the lines that were written whole, and cut off what was not."""
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        # a crash may have cut the last line; the next one must not be glued to it
        self._file.truncate(len(whole))
        try:
            return [parse_json(line) for line in whole.splitlines()]
        except ValueError:
            return []

    def record(self, state: State) -> None:
        """Keep a state; it is on the disk when this returns."""
        if state == self.state:
            return  # a sync costs milliseconds
        self._file.write(dump_json(state) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.state = state

    def remove(self) -> None:
        """Forget the job."""
        self._file.close()  # Windows removes no open file
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file, and of its lock with it."""
        self._file.close()


def open_journal(
    path: Path | None, job: State, *, restart: bool
) -> AbstractContextManager[Journal | None]:
    """Return the journal of a job; without a path, none."""
    if path is None:
        return nullcontext()
    # names of files may be no UTF-8, which JSON cannot hold; the journal's own tells them apart
    text = json.dumps({"version": _VERSION, **job}, ensure_ascii=False)
    return closing(Journal(path, parse_json(text.encode(errors="replace")), restart=restart))
