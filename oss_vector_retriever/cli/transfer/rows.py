"""What `import` reads: rows in order, each with the bytes that identify it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from oss_vector_retriever.client.models.vector import Vector


class Row(NamedTuple):
    """Hold one line or row of a file.

    Attributes:
        number: which it is, from 1.
        raw: its bytes, which tell it from any other.
        content: what the source makes a vector of.
    """

    number: int
    raw: bytes
    content: Any = None


class Source(Protocol):
    """Give the rows of a file.

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


class Digest:
    """Digest rows, so that another beginning of a file is noticed."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, row: Row) -> None:
        """Take a row; its length is taken too, or two rows could pass for one."""
        self._hash.update(len(row.raw).to_bytes(8, "big"))
        self._hash.update(row.raw)

    def text(self) -> str:
        """Return the digest of all rows so far."""
        return self._hash.hexdigest()
