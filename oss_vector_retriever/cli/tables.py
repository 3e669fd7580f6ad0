"""Tables for reading: nothing in a cell is taken for markup, or for a terminal's commands."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from ..client.errors import CONTROLS
from ..client.models.vector import Float32Array

_SHOWN_VALUES = 3
_SHOWN_TEXT = 160
_NARROWEST = 20  # letters of a column that is folded; with fewer there is a word a line
_BORDER = 3  # letters between two columns


def make_console() -> Console:
    """Return a console as wide as the terminal; rich takes one without colours for 80 wide."""
    columns, lines = shutil.get_terminal_size()
    return Console(width=columns, height=lines)


def plain(value: object, style: str = "") -> Text:
    """Return a value as text that no terminal obeys."""
    # metadata come from whoever wrote the record: an escape sequence could rewrite the screen
    text = CONTROLS.sub("\N{REPLACEMENT CHARACTER}", str(value))
    return Text(text.replace("\t", " "), style=style)  # a tab is as wide as the terminal likes


def draw_entries(
    entries: Sequence[Any], columns: Mapping[str, str] | None = None, *, wide: bool = False
) -> str:
    """Return entries as a table, or as records below each other where a table is too wide.

    Args:
        entries: values of JSON, mostly objects.
        columns: the members to show, with their headings; without them, and if `wide`, all.
        wide: show values as the API has them.
    """
    objects = [entry if isinstance(entry, Mapping) else {"value": entry} for entry in entries]
    # not all entries have all members; the order is that of first appearance
    there = list(dict.fromkeys(name for entry in objects for name in entry))
    shown = {name: name for name in there}
    if columns and not wide:
        shown = {name: heading for name, heading in columns.items() if name in there}
    rows = [[_cell(name, entry.get(name), wide=wide) for name in shown] for entry in objects]
    console = make_console()
    widths = [_width(column) for column in zip(shown.values(), *rows, strict=True)]
    if _fits(widths, console.width):
        return _draw(console, _table_of(list(shown.values()), rows, widths))
    return _draw(console, _records_of(list(shown.values()), rows))


def draw_record(entry: Mapping[str, Any], *, wide: bool = False) -> str:
    """Return one object as names and values, without a frame."""
    cells = [_cell(name, value, wide=wide) for name, value in entry.items()]
    return _draw(make_console(), _records_of(list(entry), [cells]))


def draw_one(entry: Mapping[str, Any], *, wide: bool = False) -> str:
    """Return one object as a table with a row for each member; without a frame where it is wide."""
    console = make_console()
    cells = [_whole_cell(name, value, wide=wide) for name, value in entry.items()]
    if not _fits([_width(["name", *entry]), _width(["value", *cells])], console.width):
        return _draw(console, _records_of(list(entry), [cells]))
    table = Table(Column("name", no_wrap=True), Column("value", overflow="fold"))
    for name, cell in zip(entry, cells, strict=True):
        _add_row(table, name, cell)
    return _draw(console, table)


def _whole_cell(name: str, value: object, *, wide: bool) -> str:
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        # such as the statements of a policy: half of one is of no use
        return json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return _cell(name, value, wide=wide)


def _width(cells: Iterable[str]) -> int:
    return max(cell_len(line) for cell in cells for line in cell.splitlines() or [""])


def _fits(widths: Sequence[int], most: int) -> bool:
    """Tell whether a table has room: its first column whole, the others if need be folded."""
    first, *others = widths
    needed = first + sum(min(width, _NARROWEST) for width in others)
    return needed + _BORDER * len(widths) + 1 <= most


def _table_of(headings: list[str], rows: list[list[str]], widths: list[int]) -> Table:
    table = Table()
    for number, (heading, width) in enumerate(zip(headings, widths, strict=True)):
        # dates and numbers are never folded: what is long gives way to them
        whole = number == 0 or width <= _NARROWEST
        table.add_column(plain(heading), no_wrap=whole, overflow="fold", min_width=width * whole)
    for row in rows:
        _add_row(table, *row)
    return table


def _records_of(headings: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, show_edge=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for row in rows:
        for heading, cell in zip(headings, row, strict=True):
            _add_row(table, heading, cell)
        table.add_section()
    return table


def _add_row(table: Table, *cells: str) -> None:
    """Add a row of plain texts."""
    table.add_row(*map(plain, cells))


def _draw(console: Console, what: RenderableType) -> str:
    with console.capture() as captured:
        console.print(what)
    # rich fills lines up with blanks, which a narrower window would break
    lines = (line.rstrip() for line in captured.get().splitlines())
    return "".join(f"{line}\n" for line in lines)


def _cell(name: str, value: object, *, wide: bool) -> str:
    """Return what a cell shows of a member: of some of the API's own what a person reads."""
    if wide or value is None:
        return describe(value, None)
    if name in _MOMENTS and (match := _MOMENT.match(str(value))):
        return f"{match[1]} {match[2]}"
    if name in _ARNS:
        return str(value).rpartition(":")[2]
    if name in _MEASURES and isinstance(value, float):
        # four decimals would make nothing of the smallest
        return f"{value:.4f}" if round(value, 4) or not value else f"{value:.1e}"
    return shorten(value) if name in _TEXTS and isinstance(value, str) else describe(value)


_MOMENTS = {"createTime", "CreationDate"}
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)")
_ARNS = {"Name", "vectorBucketArn", "bucketArn"}
_MEASURES = {"distance", "score"}
_TEXTS = {"page_content", "text"}


def describe(value: object, limit: int | None = _SHOWN_TEXT) -> str:
    """Return what a cell shows of a JSON value; long texts are cut, without limit none."""
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        data = value.get("float32")
        return describe_data(data) if _is_numbers(data) else describe_metadata(value, limit)
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return shorten(json.dumps(value, ensure_ascii=False, default=str), limit)
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


def describe_metadata(metadata: Mapping[str, Any], limit: int | None = _SHOWN_TEXT) -> str:
    """Return metadata as lines of name and value, cut to a length for reading."""
    lines = (f"{name}: {_describe_field(value, limit)}" for name, value in metadata.items())
    return "\n".join(lines) or "-"


def _describe_field(value: object, limit: int | None) -> str:
    # an object within another has no line for each member
    if isinstance(value, Mapping):
        return shorten(json.dumps(value, ensure_ascii=False, default=str), limit)
    return shorten(describe(value, limit), limit)


def shorten(text: str, limit: int | None = _SHOWN_TEXT) -> str:
    """Return a text on one line, cut to a length for reading; without limit as it is."""
    line = " ".join(text.split())
    if limit is None or len(line) <= limit:
        return text if limit is None else line
    return f"{line[:limit]}... ({len(text):,} characters)"
