"""Vectors as JSON, or as a table for reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from oss_vector_retriever.client.models.fetched import FetchResult
from oss_vector_retriever.client.models.vector import Float32Array, Vector
from oss_vector_retriever.client.wire import dump_json

_SHOWN_VALUES = 3
_SHOWN_TEXT = 160


def print_json(result: FetchResult) -> None:
    """Print what GetVectors would answer for all keys at once, and what was missing."""
    document = {
        "vectors": [vector_json(vector) for vector in result],
        "missing": list(result.missing),
    }
    click.echo(dump_json(document).decode())


def vector_json(vector: Vector) -> dict[str, Any]:
    """Return a vector in the API's own form."""
    document: dict[str, Any] = {"key": vector.key}
    if vector.data is not None:
        document["data"] = {"float32": vector.data}
    if vector.metadata is not None:
        document["metadata"] = vector.metadata
    return document


def print_vectors(console: Console, result: FetchResult) -> None:
    """Print vectors as a table, and what was missing below it."""
    table = make_table(("key", "data", "metadata"))
    for vector in result:
        add_row(
            table, vector.key, describe_data(vector.data), describe_metadata(vector.metadata or {})
        )
    console.print(table)
    console.print(f"{len(result)} of {len(result.keys)} keys found, in {result.calls} calls")
    if result.missing:
        console.print(Text(f"missing: {', '.join(result.missing)}", style="yellow"))


def make_table(columns: Sequence[str], title: str | None = None) -> Table:
    """Return an empty table; the first column is never cut."""
    table = Table(title=title, title_justify="left", title_style="bold", expand=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row of plain texts: nothing in a cell is taken for markup."""
    table.add_row(*(Text(str(cell)) for cell in cells))


def describe_data(data: Float32Array | Sequence[float] | None) -> str:
    """Return the beginning of an embedding and its length."""
    if data is None:
        return "-"
    shown = ", ".join(f"{value:+.3f}" for value in data[:_SHOWN_VALUES])
    return f"[{shown}, ...] {len(data)} float32"


def describe_metadata(metadata: Mapping[str, Any], leave_out: Iterable[str] = ()) -> str:
    """Return metadata as lines of name and value, cut to a length for reading."""
    skipped = set(leave_out)
    shown = {name: value for name, value in metadata.items() if name not in skipped}
    return "\n".join(f"{name}: {shorten(str(value))}" for name, value in shown.items()) or "-"


def shorten(text: str, most: int = _SHOWN_TEXT) -> str:
    """Return a text on one line, cut to a length for reading."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}... ({len(text):,} characters)"
