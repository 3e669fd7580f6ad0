"""`oss-vectors get-vectors`: ossutil's command, for any number of keys."""

from __future__ import annotations

import click
from rich.console import Console

from oss_vector_retriever.cli.options import connection_options, make_client
from oss_vector_retriever.cli.output import print_json, print_vectors


@click.command("get-vectors")
@connection_options
@click.option("--index-name", help="Index (OSS_VECTORS_INDEX).")
@click.option("--keys", help="Keys, separated by commas.")
@click.option("--key", "single_keys", multiple=True, help="One key, which may hold a comma.")
@click.option("--return-data", is_flag=True, help="Return the float32 data.")
@click.option("--return-metadata", is_flag=True, help="Return the metadata.")
@click.option(
    "--output-format",
    type=click.Choice(["json", "table"]),
    default="json",
    show_default=True,
    help="How to print what was found.",
)
def command(
    *,
    index_name: str | None,
    keys: str | None,
    single_keys: tuple[str, ...],
    return_data: bool,
    return_metadata: bool,
    output_format: str,
    **connection: str | None,
) -> None:
    """Fetch vectors by key, in the order asked.

    Keys that do not exist are named in the output; they are no error.
    """
    asked = [key for key in (keys or "").split(",") if key] + list(single_keys)
    if not asked:
        raise click.UsageError("name the keys: --keys doc-001,doc-002, or --key 'one, with comma'.")
    with make_client(connection.pop("local"), index_name, **connection) as client:
        result = client.fetch(asked, return_data=return_data, return_metadata=return_metadata)
    if output_format == "json":
        print_json(result)
    else:
        print_vectors(Console(), result)
