"""A matrix in a `.npy` file, and beside it JSON lines with key and metadata, row for row."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...client.models import Float32Array, Limits, Vector
from ..errors import USAGE, Failure
from .files import Fields, Part, Row, Sink, line_of, object_of, read_lines, vector_of

# the format's version 1.0: magic, two bytes of length, a dict literal, padding to a multiple of 64
_HEADER = 128
_MAGIC = b"\x93NUMPY\x01\x00"
_FLOAT = 4


class Matrix:
    """Vectors read from a matrix, shape (n, dimension) of floats, and n lines."""

    unit = "line"
    in_bytes = False

    def __init__(
        self,
        path: Path,
        lines: Path,
        limits: Limits,
        fields: Fields = Fields(),  # noqa: B008 - a tuple
    ) -> None:
        self.name = path.name
        self._lines = lines
        self._limits = limits
        self._fields = fields
        self._matrix = _load(path)
        self.total: int | None = len(self._matrix)
        with lines.open("rb") as file:
            filled = sum(1 for row in read_lines(file) if row.raw)
        if filled != self.total:
            raise Failure(f"{path} has {self.total:,} rows, {lines} {filled:,} lines", USAGE)

    def rows(self) -> Iterator[Row]:
        """Return each line with its row of numbers; blank lines do not count."""
        with self._lines.open("rb") as file:
            filled = (line for line in read_lines(file) if line.raw)
            for line, values in zip(filled, self._matrix, strict=False):
                packed = pack(values)
                yield Row(line.number, line.raw + packed, (line.raw, packed))

    def vector(self, row: Row) -> Vector:
        """Return the vector of a line and its row."""
        raw, packed = row.content
        # under the name that data have here: the line has none
        line = {**object_of(raw), self._fields.data: Float32Array.from_bytes(packed)}
        return vector_of(self._fields.pick(line), self._limits)


def _load(path: Path) -> Any:
    try:
        # mapped, not read: a matrix may be larger than the memory; a pickle in it would run code
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        # without numpy's words, which are about arguments of its own
        raise Failure(f"{path} is no .npy file", USAGE) from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind != "f":  # noqa: PLR2004 - a matrix
        raise Failure(f"{path} must hold a matrix of floats, a row for each vector", USAGE)
    return matrix


def pack(values: Any) -> bytes:
    """Return a row of floats as float32."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        packed: bytes = np.ascontiguousarray(values, dtype=np.float32).tobytes()
    return packed


class MatrixSink(Sink):
    """A matrix that is written, with its lines.

    The header holds the number of rows, so it is written last, into a place of fixed size.
    """

    def write(self, vectors: Iterable[Vector]) -> None:
        """Append vectors."""
        matrix, lines = self.parts
        if matrix.file.tell() == 0:
            matrix.file.write(bytes(_HEADER))  # filled in at the end
        for vector in vectors:
            data = vector.data or Float32Array()
            # `<f4` in the header, whatever this machine's order is
            matrix.file.write(data if np.little_endian else data.numpy().astype("<f4").tobytes())
            lines.file.write(line_of(vector, with_data=False))

    def finish(self, dimension: int) -> None:
        """Complete the matrix and give both files their names, as far as that is not done yet."""
        if self.parts[0].path.exists():
            _write_header(self.parts[0], dimension)
        super().finish(dimension)


def _write_header(part: Part, dimension: int) -> None:
    # by the size: after a crash nobody has counted the rows
    size = part.path.stat().st_size
    rows = max(size - _HEADER, 0) // (_FLOAT * dimension) if dimension else 0
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}"
    length = _HEADER - len(_MAGIC) - 2
    header = _MAGIC + struct.pack("<H", length) + text.ljust(length - 1).encode() + b"\n"
    part.open(max(size, _HEADER))
    try:
        part.file.seek(0)
        part.file.write(header)
        part.settle()
    finally:
        part.close()
