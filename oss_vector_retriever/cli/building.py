"""From an operation of the catalogue to its command."""

from __future__ import annotations

from typing import Any

import click

from oss_vector_retriever.cli.catalogue import Operation, Values
from oss_vector_retriever.cli.documents import Listing
from oss_vector_retriever.cli.flags import OUTPUT_FORMAT, OUTPUT_QUERY
from oss_vector_retriever.cli.options import CONNECTION, Connection, connected
from oss_vector_retriever.cli.output import print_document, print_lines


def build(name: str, summary: str, operation: Operation) -> click.Command:
    """Return the command of an operation."""
    output = (OUTPUT_FORMAT, OUTPUT_QUERY) if operation.prints else ()

    def run(**values: Any) -> None:
        _run(operation, values)

    params: list[click.Parameter] = [*operation.flags, *output, *CONNECTION]
    return click.Command(name, params=params, callback=run, help=summary)


def _run(operation: Operation, values: Values) -> None:
    connection = Connection.taken_from(values)
    style, query = values.pop("output_format", "json"), values.pop("output_query", None)
    every = values.pop("every", False)
    arguments = operation.prepare({n: value for n, value in values.items() if value is not None})
    show = operation.show
    with connected(connection, bucket_required=operation.on_bucket) as client:
        method = getattr(client, operation.pager if every and operation.pager else operation.method)
        result = method(**arguments)
        if every and isinstance(show, Listing) and style == "jsonl" and query is None:
            print_lines(show.entry(item) for item in result)
        elif show is not None and (document := show(result)) is not None:
            print_document(document, style, query)
