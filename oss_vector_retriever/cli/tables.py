"""Tables for reading: nothing in a cell is taken for markup, or for a terminal's commands."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..client.errors import CONTROLS
from ..client.models.vector import Float32Array

_SHOWN_VALUES = 3
_SHOWN_TEXT = 160


def make_table(columns: Sequence[str], title: str | None = None) -> Table:
    """Return an empty table; the first column is never cut."""
    table = Table(title=title, title_justify="left", title_style="bold", expand=False)
    for number, column in enumerate(columns):
        table.add_column(plain(column), no_wrap=number == 0, overflow="fold")
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row of plain texts."""
    table.add_row(*(plain(cell) for cell in cells))


def plain(value: object, style: str = "") -> Text:
    """Return a value as text that no terminal obeys."""
    # metadata come from whoever wrote the record: an escape sequence could rewrite the screen
    text = CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return Text(text.replace("\t", " "), style=style)  # a tab is as wide as the terminal likes


def table_of(entries: Sequence[Any]) -> Table:
    """Return a table of entries: a column for each member where they are objects."""
    objects = [entry if isinstance(entry, Mapping) else {"value": entry} for entry in entries]
    # not all entries have all members; the order is that of first appearance
    columns = list(dict.fromkeys(name for entry in objects for name in entry))
    table = make_table(columns)
    for entry in objects:
        add_row(table, *(describe(entry.get(name)) for name in columns))
    return table


def table_of_one(entry: Mapping[str, Any]) -> Table:
    """Return a table of one object, a row for each member."""
    table = make_table(("name", "value"))
    for name, value in entry.items():
        add_row(table, name, describe(value))
    return table


def draw(table: Table) -> str:
    """Return a table as text for this terminal."""
    console = Console()
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def describe(value: object) -> str:
    """Return what a cell shows of a JSON value."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        data = value.get("float32")
        return describe_data(data) if _is_numbers(data) else describe_metadata(value)
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return shorten(json.dumps(value, ensure_ascii=False, default=str))
    if isinstance(value, bool):
        return str(value).lower()  # as JSON writes it
    return ", ".join(value) if isinstance(value, list) else str(value)


def _is_numbers(data: object) -> bool:
    return isinstance(data, Float32Array) or (
        isinstance(data, list) and all(isinstance(value, int | float) for value in data)
    )


def describe_data(data: Float32Array | Sequence[float] | None) -> str:
    """Return the beginning of an embedding and its length."""
    if data is None:
        return "-"
    shown = ", ".join(f"{value:+.3f}" for value in data[:_SHOWN_VALUES])
    more = ", ..." if len(data) > _SHOWN_VALUES else ""
    return f"[{shown}{more}] {len(data)} float32"


def describe_metadata(metadata: Mapping[str, Any], leave_out: Iterable[str] = ()) -> str:
    """Return metadata as lines of name and value, cut to a length for reading."""
    skipped = set(leave_out)
    shown = {name: value for name, value in metadata.items() if name not in skipped}
    return "\n".join(f"{name}: {shorten(str(value))}" for name, value in shown.items()) or "-"


def shorten(text: str, limit: int = _SHOWN_TEXT) -> str:
    """Return a text on one line, cut to a length for reading."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[:limit]}... ({len(text):,} characters)"
