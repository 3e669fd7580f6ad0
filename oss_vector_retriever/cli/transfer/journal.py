"""`Journal`: how far a job got, in a file beside its data.

Lines of JSON: the job first, then a state for each step that is done for good; the last whole line
counts. It is only ever appended to, so a crash at any moment leaves the state before it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from oss_vector_retriever.cli.errors import USAGE, Failure
from oss_vector_retriever.client.wire import dump_json, parse_json

State = dict[str, Any]


class Journal:
    """Keep the state of one job; no other process can open it meanwhile.

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
        self._file: IO[bytes] = path.open("a+b")
        self.state: State | None = None
        try:
            self._take(job, restart=restart)
        except BaseException:
            self._file.close()
            raise

    def _take(self, job: State, *, restart: bool) -> None:
        try:
            _lock(self._file.fileno())
        except OSError:
            raise Failure(f"another process is at it: it holds {self.path}", USAGE) from None
        lines = [] if restart else self._whole_lines()
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
        self._file.truncate(len(whole))
        try:
            return [parse_json(line) for line in whole.splitlines()]
        except ValueError:
            return []

    def record(self, state: State) -> None:
        """Keep a state; it is on the disk when this returns."""
        if state == self.state:
            return
        self._file.write(dump_json(state) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.state = state

    def remove(self) -> None:
        """Forget the job."""
        self._file.close()  # Windows removes no open file
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # a byte far behind the text: Windows refuses even to read a locked one
        os.lseek(descriptor, 1 << 40, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
