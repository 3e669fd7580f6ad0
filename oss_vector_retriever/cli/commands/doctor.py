"""`oss-vectors doctor`: check everything between here and the vectors."""

from __future__ import annotations

from typing import Any

import click

from oss_vector_retriever.cli import arguments
from oss_vector_retriever.cli.doctor.checks import examine
from oss_vector_retriever.cli.doctor.findings import Finding
from oss_vector_retriever.cli.errors import SERVICE
from oss_vector_retriever.cli.options import CONNECTION, Connection
from oss_vector_retriever.cli.output import print_document
from oss_vector_retriever.cli.rendering import Document


@click.command("doctor")
@click.option("--key", help="A key to fetch; by default the first that is listed.")
@click.option(
    "--output-format",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="How to print what was found.",
)
def command(
    *, index: str | None, key: str | None, output_format: str, output_query: Any, **values: Any
) -> None:
    """Check settings, credentials, network, clock, permissions, bucket, index and one fetch.

    Says what to do about each failure, and ends with status 1 where there is one. Credentials are
    never shown.
    """
    findings = examine(Connection.taken_from(values), index, key)
    print_document(
        _document(findings, as_table=output_format == "table"), output_format, output_query
    )
    if any(found.status == "failed" for found in findings):
        raise click.exceptions.Exit(SERVICE)


command.params.extend([arguments.INDEX, arguments.OUTPUT_QUERY, *CONNECTION])


def _document(findings: list[Finding], *, as_table: bool) -> Document:
    whole = [{n: value for n, value in found._asdict().items() if value} for found in findings]
    if not as_table:
        return Document({"checks": whole}, whole)
    rows = [
        {"check": found.check, "status": found.status, "found": found.found} for found in findings
    ]
    return Document({"checks": whole}, rows, {f.check: f.todo for f in findings if f.todo})
