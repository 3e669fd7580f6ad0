"""`Meter`: a progress bar on stderr, or only the words that would stand beside it."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self

import click


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
