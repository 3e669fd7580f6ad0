"""Printing: JSON, JSON lines or a table, whole or the part that a query picks."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import click

from oss_vector_retriever.cli.errors import USAGE, Failure
from oss_vector_retriever.cli.rendering import Document
from oss_vector_retriever.client.wire import dump_json, parse_json


def print_document(document: Document, style: str, query: Any = None) -> None:
    """Print a document as `json`, `jsonl` or `table`; `query` is a compiled JMESPath expression."""
    if query is not None:
        document = _picked(document, query)
    if style == "json":
        click.echo(_text(document.members))
        return
    if style == "jsonl":
        print_lines(document.entries)
    else:
        print_table(document)
    for name, note in document.notes.items():
        click.echo(f"{name}: {note}", err=style == "jsonl")


def print_lines(entries: Iterable[Any]) -> None:
    """Print each entry on a line of its own."""
    for entry in entries:
        click.echo(_text(entry))


def print_table(document: Document) -> None:
    """Print the entries as a table."""
    from oss_vector_retriever.cli import tables  # noqa: PLC0415 - rich is loaded for tables alone

    if document.single:
        table = tables.table_of_one(document.entries[0])
    else:
        table = tables.table_of(document.entries)
    click.echo(tables.rendered(lambda console: console.print(table)), nl=False)


def _text(value: Any) -> str:
    return dump_json(value).decode()


def _picked(document: Document, query: Any) -> Document:
    """Return what a query picks of the JSON that would be printed."""
    try:
        found = query.search(parse_json(dump_json(document.members)))
    except importlib.import_module("jmespath.exceptions").JMESPathError as error:
        raise Failure(f"--output-query: {' '.join(str(error).split())}", USAGE) from None
    entries = found if isinstance(found, list) else [found]
    return Document(found, entries, single=isinstance(found, Mapping))
