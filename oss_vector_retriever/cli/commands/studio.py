"""`oss-vectors studio`: a page to look at records, over any endpoint."""

import asyncio
import secrets
from pathlib import Path
from typing import Any

import click

from ..arguments import CONNECTION
from ..connection import Connection, open_client


@click.command("studio", params=[*CONNECTION])
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9001,
    show_default=True,
    help="The port of this machine that the page is on; 0 takes any free one.",
)
@click.option("--text-key", help="A further metadata field to look for text in.")
def command(*, port: int, text_key: str | None, **values: Any) -> None:
    """Show buckets, indexes and records in a browser, until Ctrl-C; nothing is written.

    The page is on this machine alone, and its address holds a key of its own: whoever else uses the
    machine gets nothing without it.
    """
    from ...emulator.http.server import run_page  # noqa: PLC0415 - not for `--help`
    from ...studio import Studio  # noqa: PLC0415 - the same

    connection = Connection.pop_from(values)
    if connection.local and not Path(connection.local).exists():
        raise click.BadParameter(f"{connection.local} is not there.", param_hint="--local")
    with open_client(connection, bucket_required=False) as client:
        shown = client.to_async()
        token = secrets.token_urlsafe(24)
        page = Studio(shown, text_key=text_key, token=token)
        try:
            run_page(page, port, on_ready=lambda at: announce(f"{at}{page.path}#{token}"))
        finally:
            # its connections are gone with the loop of the server; this lets the service go
            asyncio.run(shown.close())


def announce(address: str) -> None:
    """Print where the page is."""
    click.echo(
        f"# Records are shown at the address below, to this machine; Ctrl-C ends it.\n{address}"
    )
