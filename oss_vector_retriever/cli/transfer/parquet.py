"""Parquet, with the columns key, data (a list of floats) and metadata (JSON). Extra `parquet`."""

import importlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...client.models import Float32Array, Limits, Vector
from ...client.models.columns import read_metadata
from ...client.wire import dump_json
from ..errors import USAGE, Failure
from .files import Fields, JsonLinesSink, Row, object_of, open_private, read_lines, vector_of
from .matrix import pack

_AT_ONCE = 1000


class Parquet:
    """Vectors read from Parquet; metadata may be JSON text, a struct or a map."""

    unit = "row"
    in_bytes = False

    def __init__(self, path: Path, limits: Limits, fields: Fields = Fields()) -> None:  # noqa: B008 - a tuple
        self.name = path.name
        self._limits = limits
        self._fields = fields
        self._file = _open(path, fields)
        self.total: int | None = self._file.metadata.num_rows

    def rows(self) -> Iterator[Row]:
        """Return the rows, read a thousand at a time."""
        names = [name for name in self._fields if name in self._file.schema_arrow.names]
        batches = self._file.iter_batches(_AT_ONCE, columns=names)
        rows = chain.from_iterable(_cells(batch, self._fields) for batch in batches)
        for number, cells in enumerate(rows, 1):
            key, data, metadata = cells
            # rows have no bytes of their own; this tells them apart as well
            raw = repr((key, metadata)).encode(errors="backslashreplace") + (data or b"")
            yield Row(number, raw, cells)

    def vector(self, row: Row) -> Vector:
        """Return the vector of a row."""
        key, data, metadata = row.content
        packed = None if data is None else Float32Array.from_bytes(data)
        if self._fields.key != "key" and type(key) is int:  # as in JSON lines
            key = str(key)
        return vector_of({"key": key, "data": packed, "metadata": _plain(metadata)}, self._limits)


def _open(path: Path, fields: Fields) -> Any:
    # by name: pyarrow has no types, and is an extra
    arrow = importlib.import_module("pyarrow")
    try:
        file = importlib.import_module("pyarrow.parquet").ParquetFile(path)
    except (arrow.ArrowException, UnicodeError) as error:  # of names that are not UTF-8, too
        raise Failure(f"{path} cannot be read as Parquet: {error}", USAGE) from None
    schema = file.schema_arrow
    key, data, _ = fields
    if not {key, data} <= set(schema.names) or not _is_floats(schema.field(data).type):
        has = ", ".join(schema.names)
        raise Failure(
            f"{path} must have the columns {key} and {data}, a list of floats; it has {has}: "
            "--key-field, --data-field and --metadata-field name them",
            USAGE,
        )
    return file


def _is_floats(kind: Any) -> bool:
    types = importlib.import_module("pyarrow.types")
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and types.is_floating(kind.value_type))


def _cells(batch: Any, fields: Fields) -> Iterator[tuple[Any, bytes | None, Any]]:
    keys = batch.column(fields.key).to_pylist()
    has_metadata = fields.metadata in batch.schema.names
    metadata = batch.column(fields.metadata).to_pylist() if has_metadata else [None] * len(keys)
    data = (
        pack(cell.values.to_numpy(zero_copy_only=False)) if cell.is_valid else None
        for cell in batch.column(fields.data)
    )
    return zip(keys, data, metadata, strict=True)


def _plain(metadata: Any) -> Any:
    if isinstance(metadata, str):
        return object_of(metadata.encode())
    return read_metadata(metadata)


class ParquetSink(JsonLinesSink):
    """Parquet that is written by way of JSON lines: it could not be gone on with after a crash."""

    def finish(self, dimension: int) -> None:  # noqa: ARG002 - lists have their own lengths
        """Turn the lines into Parquet, if that is not done yet."""
        (lines,) = self.parts
        if not lines.path.exists():
            return
        lines.close()
        # under another name until it is whole: a crash may leave half a file
        unnamed = lines.target.with_name(f"{lines.target.name}.converting")
        with open_private(unnamed, anew=True) as file:
            _convert(lines.path, file)
        unnamed.replace(lines.target)
        lines.path.unlink()


def _convert(lines: Path, target: IO[bytes]) -> None:
    arrow = importlib.import_module("pyarrow")
    text, numbers = arrow.string(), arrow.list_(arrow.float32())
    schema = arrow.schema({"key": text, "data": numbers, "metadata": text})
    writer = importlib.import_module("pyarrow.parquet").ParquetWriter(target, schema)
    with writer, lines.open("rb") as file:
        rows = read_lines(file)
        while batch := [object_of(row.raw) for row in islice(rows, _AT_ONCE)]:
            writer.write_batch(_record_batch(arrow, schema, batch))


def _record_batch(arrow: Any, schema: Any, items: list[dict[str, Any]]) -> Any:
    # one flat array and the ends of its parts: arrow would walk over each number of nested lists
    numbers = [np.array(item["data"], dtype=np.float32) for item in items]
    ends = np.cumsum([0, *map(len, numbers)], dtype=np.int32)
    data = arrow.ListArray.from_arrays(ends, np.concatenate(numbers))
    keys = [item["key"] for item in items]
    metadata = [dump_json(item["metadata"]) if "metadata" in item else None for item in items]
    return arrow.record_batch([keys, data, metadata], schema=schema)
