"""Arrow columns in and out of a worker: keys, what was found for them, vectors to write.

No float becomes a Python object on the way.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..client.errors import InvalidRequestError, OSSVectorError, quote
from ..client.models import Float32Array, Limits, Vector
from ..client.models.columns import read_metadata
from ..client.operations.checks import as_vector, check_total
from ..client.wire import parse_json

FOUND_COLUMNS = ("found", "data", "metadata")
_FLOAT = 4  # bytes


def keys_of(table: pa.Table, field: str) -> list[str]:
    """Return the keys in a column of text.

    Raises:
        InvalidRequestError: there is no such column, it is none of text, or a key is null.
    """
    column = text_column(table, field)
    if column.null_count:
        raise InvalidRequestError(
            "column {value} has {count} rows without a key",
            argument="key_field",
            value=field,
            remedy="filter them out before",
            fields={"count": column.null_count},
        )
    keys: list[str] = column.to_pylist()
    return keys


def text_column(table: pa.Table, field: str) -> Any:
    """Return a column of text, in which there may be nulls.

    Raises:
        InvalidRequestError: there is no such column, or it is none of text.
    """
    column = _column(table, field, "key_field")
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_view(kind)):
        raise InvalidRequestError(
            "column {value} holds {kind}, and keys are text",
            argument="key_field",
            value=field,
            remedy="make text of them before, as they are written in the index",
            fields={"kind": str(column.type)},
        )
    return column


def _is_view(kind: Any) -> bool:
    return bool(pa.types.is_string_view(kind))


def _column(table: pa.Table, field: str, argument: str) -> Any:
    if field not in table.column_names:
        raise InvalidRequestError(
            "there is no column {value}, but {names}.",
            argument=argument,
            value=field,
            fields={"names": ", ".join(map(quote, table.column_names))},
        )
    return table.column(field)


def check_free(table: pa.Table, names: tuple[str, ...]) -> None:
    """Refuse a table that has a column of a name which the output needs."""
    if taken := [name for name in names if name in table.column_names]:
        raise InvalidRequestError(
            "the dataset has a column {value}, and the output has one of that name",
            argument="dataset",
            value=taken[0],
            remedy="rename or drop it before",
        )


def join_found(
    rows: pa.Table, fetched: pa.RecordBatch, missing: set[str], dimension: int
) -> pa.Table:
    """Return rows with the columns `found`, `data` and `metadata` of what was fetched for them.

    Data are a list of fixed size also where nothing was found, if the dimension is known: files of
    which one had another type could not be read together.
    """
    found = pa.array([key not in missing for key in fetched.column("key").to_pylist()])
    rows = rows.append_column("found", found)
    for name in FOUND_COLUMNS[1:]:
        if name in fetched.schema.names:
            column = fetched.column(name)
            if name == "data" and pa.types.is_null(column.type) and dimension:
                column = pa.nulls(len(column), pa.list_(pa.float32(), dimension))
            rows = rows.append_column(name, column)
    return rows


def read_vectors(
    table: pa.Table, key_field: str, data_field: str, metadata_field: str, limits: Limits
) -> Iterator[Vector | OSSVectorError]:
    """Yield for each row the vector that it describes, or why it is none.

    Data may be lists of any width of float, or a tensor column of Ray's; metadata JSON text, a
    struct or a map. A table without a column of metadata has none.
    """
    keys = text_column(table, key_field).to_pylist()
    data = _column(table, data_field, "data_field")
    has_metadata = metadata_field in table.column_names
    metadata = table.column(metadata_field).to_pylist() if has_metadata else [None] * len(keys)
    rows = (packed for chunk in data.chunks for packed in _packed_rows(chunk, data_field))
    for key, packed, fields in zip(keys, rows, metadata, strict=True):
        try:
            members = {"key": key, "data": packed, "metadata": _plain(fields)}
            vector = as_vector(members, limits)
            check_total(vector, limits)
        except OSSVectorError as error:
            yield error
        else:
            yield vector


def _packed_rows(chunk: Any, field: str) -> Iterator[Float32Array | None]:
    if isinstance(chunk, pa.ExtensionArray):  # a tensor column
        chunk = chunk.storage
    kind = chunk.type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise _no_floats(field, kind)
    if not pa.types.is_floating(kind.value_type):
        raise _no_floats(field, kind)
    values = pc.cast(chunk.values, pa.float32(), safe=False)
    if values.null_count:  # what is no number is refused with its row
        values = pc.fill_null(values, float("nan"))
    block = memoryview(values.buffers()[1] or b"").cast("B")[_FLOAT * values.offset :]
    if fixed:
        width = kind.list_size
        ends = [width * (chunk.offset + row) for row in range(len(chunk) + 1)]
    else:
        ends = chunk.offsets.to_pylist()
    for row, known in enumerate(chunk.is_valid().to_pylist()):
        part = bytes(block[_FLOAT * ends[row] : _FLOAT * ends[row + 1]])
        yield Float32Array.from_bytes(part) if known else None


def _no_floats(field: str, kind: Any) -> InvalidRequestError:
    return InvalidRequestError(
        "column {value} holds {kind}, and data are lists of floats.",
        argument="data_field",
        value=field,
        fields={"kind": str(kind)},
    )


def _plain(metadata: Any) -> Mapping[str, Any] | None:
    """Return the metadata of a row as a dict: of JSON text, a struct or a map."""
    if isinstance(metadata, str):
        try:
            members = parse_json(metadata.encode())
        except ValueError as error:
            raise InvalidRequestError(f"its metadata are no JSON: {error}") from None
        if not isinstance(members, dict):
            raise InvalidRequestError("its metadata are JSON, but no object")
        return members
    return read_metadata(metadata)


def outcome_table(keys: list[str | None], errors: list[str | None]) -> pa.Table:
    """Return what became of rows to write: their keys, and an error or null."""
    text = pa.string()
    return pa.table({"key": pa.array(keys, text), "error": pa.array(errors, text)})
