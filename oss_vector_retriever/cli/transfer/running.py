"""Running a transfer from its command: journal, meter, and what is said at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from oss_vector_retriever.cli.interrupts import recognised
from oss_vector_retriever.cli.transfer.journal import Journal, State
from oss_vector_retriever.cli.transfer.meter import Meter

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
