"""What files are made of: rows that are read, and files that grow beside their final names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from oss_vector_retriever.client.models.vector import Vector


class Row(NamedTuple):
    """One line or row of a file.

    Attributes:
        number: which it is, from 1.
        raw: its bytes, which tell it from any other.
        content: what the source makes a vector of.
    """

    number: int
    raw: bytes
    content: Any = None


class Source(Protocol):
    """A file that is read row by row.

    Attributes:
        name: the file's.
        unit: what a row is called.
        in_bytes: whether `weight` and `total` count bytes, not rows.
    """

    name: str
    unit: str
    in_bytes: bool

    @property
    def total(self) -> int | None:
        """Return how much there is to read, as `weight` counts it; None if that is not known."""
        raise NotImplementedError

    def rows(self) -> Iterator[Row]:
        """Return the rows from the first on; asked again, from the first again."""

    def vector(self, row: Row) -> Vector | None:
        """Return the vector that a row holds; None for a blank line.

        Raises:
            InvalidRequestError: it holds none, with the reason.
        """

    def weight(self, row: Row) -> int:
        """Return how much of the total a row is."""


class Sink(Protocol):
    """Files that vectors are written into."""

    @property
    def parts(self) -> Sequence[Part]:
        """Return the files under construction; none for standard output."""
        raise NotImplementedError

    def write(self, vectors: Iterable[Vector]) -> None:
        """Append vectors."""

    def finish(self, dimension: int) -> None:
        """Complete the files under their final names; done again, do what is left of it."""


class Part:
    """A file under construction, `<target>.partial`; it takes its name when it is whole."""

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
