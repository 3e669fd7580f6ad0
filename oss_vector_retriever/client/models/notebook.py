"""Small tables of results for notebooks, as HTML; loaded when a notebook first shows one.

What stands in a record is another's text, and stays text: no script, no address, no formula.
"""

from __future__ import annotations

import json
import reprlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

from ..errors import escape_controls

MOST_ROWS = 20
_LONGEST_CELL = 120
# fewer numbers than these are shown themselves
_MANY_NUMBERS = 4
# notebooks right-align what is in a table, which is for numbers alone
_CELL = ' style="text-align: left"'
# Both names: of MathJax 2, as of nbviewer, and 3. Formulas could hold links.
_NO_FORMULAS = ' class="tex2jax_ignore mathjax_ignore"'


def show_items(caption: str, items: Sequence[Any]) -> str:
    """Return a table of the first items, a column for each field that one of them has."""
    first = items[:MOST_ROWS]
    names = [one.name for one in fields(first[0])] if first and is_dataclass(first[0]) else []
    rows = [[getattr(item, name, None) for name in names] or [item] for item in first]
    return show_rows(caption, names or ["value"], rows, len(items))


def show_fields(value: Any) -> str:
    """Return a table of the fields of a dataclass, those of its metadata each in a row."""
    members = {one.name: getattr(value, one.name) for one in fields(value)}
    metadata = members.pop("metadata", None) or {}
    rows = [(name, member) for name, member in members.items() if not _is_empty(member)]
    shown = [(f"metadata[{name!r}]", member) for name, member in metadata.items()]
    return show_rows(type(value).__name__, ["", "value"], [*rows, *shown], len(rows) + len(shown))


def show_rows(
    caption: str, names: Sequence[str], rows: Iterable[Sequence[object]], total: int
) -> str:
    """Return a table of the first `MOST_ROWS` of rows, without columns that are empty in them.

    Args:
        caption: what stands above it.
        names: the columns'.
        rows: their values, at least the first ones.
        total: how many rows there are in all.
    """
    shown = [row for row, _ in zip(rows, range(MOST_ROWS), strict=False)]
    used = [n for n, _ in enumerate(names) if any(not _is_empty(row[n]) for row in shown)]
    head = "".join(f"<th{_CELL}>{_escape(names[n])}</th>" for n in used)
    lines = ["".join(f"<td{_CELL}>{_escape(_text_of(row[n]))}</td>" for n in used) for row in shown]
    body = "".join(f"<tr>{line}</tr>" for line in [head, *lines] if line)
    more = f"; the first {len(shown)} of {total:,}" if total > len(shown) else ""
    return f"<table{_NO_FORMULAS}><caption>{_escape(caption)}{more}</caption>{body}</table>"


def _is_empty(value: object) -> bool:
    # not by ==, which arrays answer with an array
    return value is None or (isinstance(value, str | tuple | dict) and not value)


def _text_of(value: object) -> str:
    # not isinstance: a bool is an int
    if type(value) in {int, float}:
        return f"{value:,}" if type(value) is int else f"{value:.6g}"
    if _is_numbers(value):
        return f"{len(value):,} floats"  # type: ignore[arg-type]  # it has a length
    if not isinstance(value, dict | list | tuple):
        return "" if value is None else str(value)
    try:
        return json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        return reprlib.repr(value)  # no JSON, as records that were never sent may have


def _is_numbers(value: object) -> bool:
    if isinstance(value, array):
        return True
    return (
        isinstance(value, list)
        and len(value) >= _MANY_NUMBERS
        and all(type(number) is float for number in value)
    )


def _escape(text: str) -> str:
    if len(text) > _LONGEST_CELL:
        text = f"{text[:_LONGEST_CELL]}... ({len(text):,} characters)"
    return escape(escape_controls(text))
