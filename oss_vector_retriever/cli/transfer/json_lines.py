"""JSON lines: `{"key": ..., "data": [...], "metadata": {...}}`, one vector a line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from oss_vector_retriever.cli.errors import USAGE, Failure
from oss_vector_retriever.cli.transfer.files import Part, Row
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import as_vector, check_total
from oss_vector_retriever.client.wire import dump_json, parse_json

_LONGEST = 64 * 1024 * 1024
_MARK = b"\xef\xbb\xbf"


def read_lines(file: IO[bytes]) -> Iterator[Row]:
    """Yield the lines of a file, without what ends them.

    Raises:
        Failure: a line is so long that the file holds no lines.
    """
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
        if len(line) == _LONGEST:
            raise Failure(f"line {number} is longer than {_LONGEST:,} bytes", USAGE)
        yield Row(number, (line.removeprefix(_MARK) if number == 1 else line).strip())


def object_of(raw: bytes) -> dict[str, Any]:
    """Return the JSON object on a line.

    Raises:
        InvalidRequestError: there is none.
    """
    try:
        item = parse_json(raw)
    except ValueError as error:
        raise InvalidRequestError(f"it is not JSON: {error}") from None
    if not isinstance(item, dict):
        raise InvalidRequestError("it is no JSON object with key, data and metadata")
    return item


def vector_of(item: dict[str, Any], limits: Limits) -> Vector:
    """Return the vector that an object describes, as far as that can be told without an index."""
    vector = as_vector(item, limits)
    check_total(vector, limits)
    return vector


def line_of(vector: Vector, *, with_data: bool = True) -> bytes:
    """Return the line of a vector."""
    item: dict[str, Any] = {"key": vector.key}
    if with_data:
        item["data"] = vector.data
    if vector.metadata:
        item["metadata"] = vector.metadata
    return dump_json(item) + b"\n"


class JsonLines:
    """Vectors read from JSON lines; a path of None is standard input."""

    unit = "line"
    in_bytes = True

    def __init__(self, path: Path | None, limits: Limits) -> None:
        self.path = path
        self.name = "standard input" if path is None else path.name
        self.total = None if path is None else path.stat().st_size
        self._limits = limits

    def rows(self) -> Iterator[Row]:
        """Return the lines."""
        with self._open() as file:
            yield from read_lines(file)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        if self.path is None:
            yield sys.stdin.buffer
            return
        with self.path.open("rb") as file:
            yield file

    def vector(self, row: Row) -> Vector | None:
        """Return the vector on a line; None for a blank one."""
        return vector_of(object_of(row.raw), self._limits) if row.raw else None

    def weight(self, row: Row) -> int:
        """Return a line's length."""
        return len(row.raw) + 1


class JsonLinesSink:
    """Vectors written as JSON lines."""

    def __init__(self, target: Path) -> None:
        self.parts = (Part(target),)

    def write(self, vectors: Iterable[Vector]) -> None:
        """Append vectors."""
        self.parts[0].file.writelines(map(line_of, vectors))

    def finish(self, dimension: int) -> None:  # noqa: ARG002 - lines need no header
        """Give the file its name, if that is not done yet."""
        if self.parts[0].path.exists():
            self.parts[0].take_name()


class PipedLines:
    """Vectors written as JSON lines to standard output."""

    parts = ()

    def write(self, vectors: Iterable[Vector]) -> None:
        """Write vectors."""
        sys.stdout.buffer.writelines(map(line_of, vectors))
        sys.stdout.buffer.flush()

    def finish(self, dimension: int) -> None:
        """Do nothing: all is written."""
