"""Columns of key, data and metadata in Arrow's memory. Extra `arrow`.

The floats are copied once, from the packed data of the vectors into one block: no Python float is
made. Metadata are JSON text, which loses nothing, whatever fields and types the records have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...lazy import load_optional
from ..errors import InvalidRequestError, ResponseError
from .limits import dump
from .vector import Float32Array, Vector

_FLOAT = 4  # bytes
# a batch ends before its rows are full where they are large: 36 KB of metadata in each are legal
_BATCH_BYTES = 16_000_000

Rows = Sequence[Float32Array | None]


class ArrowBatches:
    """Batches of at most so many rows, put together of one result after the other.

    The first is held back until the first vector tells the dimension, which is part of the type.
    Until then there are only keys that do not exist.
    """

    def __init__(self, rows: int, *, with_data: bool) -> None:
        if type(rows) is not int or rows < 1:
            text = "{argument} is a whole number from 1 on, not {value}."
            raise InvalidRequestError(text, argument="rows", value=rows)
        self._most = rows
        self._arrow = load_optional("pyarrow", "to_arrow_batches()", "arrow")
        self._width = None if with_data else 0
        self._with_data = with_data
        self._clear()

    def _clear(self) -> None:
        self._keys: list[str] = []
        self._data: list[Float32Array | None] = []
        self._metadata: list[str | None] = []
        self._bytes = 0

    def add(self, keys: Sequence[str], found: Sequence[Vector | None]) -> Iterator[Any]:
        """Take keys in with what was found, and yield the batches that are full."""
        for key, vector in zip(keys, found, strict=True):
            data = None if vector is None else vector.data
            metadata = _text_of(vector)
            if data is not None and self._width is None:
                self._width = len(data)
            self._keys.append(key)
            self._data.append(data)
            self._metadata.append(metadata)
            self._bytes += len(metadata or "") + _FLOAT * (self._width or 0)
            if self._width is not None and self._is_full:
                yield from self.rest()

    @property
    def _is_full(self) -> bool:
        return len(self._keys) >= self._most or self._bytes >= _BATCH_BYTES

    def rest(self) -> Iterator[Any]:
        """Yield what there is: less than a batch, unless the dimension came late or never."""
        while self._keys:
            yield self._batch(slice(self._most))

    def _batch(self, part: slice) -> Any:
        arrow, width = self._arrow, self._width or 0
        data = self._data[part] if self._with_data else None
        columns = _columns(arrow, self._keys[part], data, self._metadata[part], width)
        left = self._keys[self._most :], self._data[self._most :], self._metadata[self._most :]
        self._clear()
        self._keys, self._data, self._metadata = left
        return arrow.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def table_of(keys: Sequence[str], found: Sequence[Vector | None]) -> Any:
    """Return keys with what was found as an Arrow table, a row for each."""
    arrow = load_optional("pyarrow", "to_arrow()", "arrow")
    fetched = [vector.data for vector in found if vector is not None]
    # of vectors that were fetched without data there is no column
    has_data = not fetched or any(data is not None for data in fetched)
    data = [None if vector is None else vector.data for vector in found] if has_data else None
    width = width_of(fetched, "to_arrow()") if has_data else 0
    columns = _columns(arrow, keys, data, [_text_of(vector) for vector in found], width)
    return arrow.Table.from_arrays(list(columns.values()), names=list(columns))


def width_of(rows: Rows, what: str) -> int:
    """Return how many numbers there are in each row; 0 where there is none.

    Raises:
        InvalidRequestError: a vector has no data, which were not fetched.
        ResponseError: the rows differ.
    """
    if None in rows:
        remedy = "fetch with {return_data=True}"
        text = f"{what} needs the data:"
        raise InvalidRequestError(text, argument="return_data", remedy=remedy)
    return len(rows[0] or ()) if rows else 0


def fill(block: memoryview, rows: Rows, width: int) -> None:
    """Copy packed rows into a block of bytes; a row that is None is filled with zeros.

    Raises:
        ResponseError: a row has another width.
    """
    size = _FLOAT * width
    for number, row in enumerate(rows):
        if row is not None and len(row) != width:
            # as where an index was made anew between two calls
            text = f"the vectors have {width} numbers and {len(row)}, though an index has one "
            raise ResponseError(f"{text}dimension; they fit in no column.", 200, None)
        block[number * size : (number + 1) * size] = (
            bytes(size) if row is None else memoryview(row).cast("B")
        )


def _columns(
    arrow: Any, keys: Sequence[str], data: Rows | None, metadata: list[str | None], width: int
) -> dict[str, Any]:
    columns = {"key": arrow.array(keys, type=arrow.string())}
    if data is not None:
        columns["data"] = _numbers(arrow, data, width)
    columns["metadata"] = arrow.array(metadata, type=arrow.string())
    return columns


def _numbers(arrow: Any, rows: Rows, width: int) -> Any:
    if not width:  # nothing tells the type: null fits all types, a list of no numbers fits none
        return arrow.nulls(len(rows))
    block = arrow.allocate_buffer(_FLOAT * width * len(rows))
    fill(memoryview(block).cast("B"), rows, width)
    missing = sum(row is None for row in rows)
    # a bit for each row, the first the lowest of its byte
    bits = "".join("0" if row is None else "1" for row in reversed(rows))
    known = int(bits or "0", 2).to_bytes(-(-len(rows) // 8), "little") if missing else None
    values = arrow.Array.from_buffers(arrow.float32(), width * len(rows), [None, block])
    return arrow.FixedSizeListArray.from_buffers(
        arrow.list_(arrow.float32(), width),
        len(rows),
        [known and arrow.py_buffer(known)],
        children=[values],
    )


def _text_of(vector: Vector | None) -> str | None:
    return None if vector is None or vector.metadata is None else dump(vector.metadata)


def read_metadata(cell: object) -> Mapping[str, Any] | None:
    """Return the metadata in a cell of a column of structs or maps.

    Raises:
        InvalidRequestError: the cell holds neither.
    """
    if isinstance(cell, list):  # a map comes as pairs
        return dict(cell)
    if isinstance(cell, dict):  # a struct has every field in every row
        return {name: value for name, value in cell.items() if value is not None}
    if cell is not None:
        raise InvalidRequestError("its metadata are neither JSON text, nor a struct, nor a map")
    return None
