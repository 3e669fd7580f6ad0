"""`Part`: a file that grows beside its final name, and takes it when it is whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO


class Part:
    """Hold a file under construction, `<target>.partial`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f"{target.name}.partial")
        self._file: IO[bytes] | None = None

    def open(self, size: int) -> None:
        """Open it with its first `size` bytes, and nothing behind them."""
        self._file = self.path.open("r+b" if self.path.exists() else "w+b")
        self._file.truncate(size)
        self._file.seek(size)

    def holds(self, size: int) -> bool:
        """Tell whether as many bytes are there."""
        return self.path.exists() and self.path.stat().st_size >= size

    @property
    def file(self) -> IO[bytes]:
        """Return the open file."""
        if self._file is None:
            raise ValueError(f"{self.path} is not open")
        return self._file

    def settle(self) -> int:
        """Return the size, once all of it is on the disk."""
        self.file.flush()
        os.fsync(self.file.fileno())
        return self.file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def take_name(self) -> None:
        """Give the file its final name, in place of a file that has it."""
        self.close()
        self.path.replace(self.target)
