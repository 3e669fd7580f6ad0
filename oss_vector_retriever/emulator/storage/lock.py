"""One process for each database file: the lock file beside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

from oss_vector_retriever.client.errors import ConfigurationError


class FileLock:
    """Hold `<database>.lock` until `close()`; the system lets go of it when the process dies.

    The file stays: removing it would let two processes lock two files of that name.

    Raises:
        ConfigurationError: another process, or this one, has the database open, or there can be
            no file there.
    """

    def __init__(self, database: Path) -> None:
        try:
            self._file: IO[bytes] = Path(f"{database}.lock").open("a+b")  # noqa: SIM115 - held
        except OSError as error:
            raise ConfigurationError(f"{database} cannot be opened: {error.strerror}") from None
        try:
            _lock(self._file.fileno())
        except OSError:
            holder = _holder(self._file)
            self._file.close()
            raise ConfigurationError(
                f"{database} is open in another process{holder}; use its endpoint, or close it"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()).encode())
        self._file.flush()

    def close(self) -> None:
        """Let go of the database; closing twice does nothing."""
        self._file.close()


def _holder(file: IO[bytes]) -> str:
    try:
        file.seek(0)
        process = file.read(20).decode()
    except (OSError, UnicodeDecodeError):
        return ""
    return f" (process {process})" if process.isdigit() else ""


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte far behind the text: Windows refuses others even to read a locked one.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
