"""`oss-vectors studio`: a page to look at records, over any endpoint."""

import asyncio
import secrets
from typing import Any

import click

from ..arguments import CONNECTION, Command
from ..connection import Connection, open_client
from ..rendering import echo


@click.command("studio", cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9001,
    show_default=True,
    help="The port of this machine that the page is on; 0 takes any free one.",
)
@click.option("--text-key", help="A further metadata field that the text may stand in.")
def command(*, port: int, text_key: str | None, **connection_flags: Any) -> None:
    """Show buckets, indexes and records in a browser, until Ctrl-C; nothing is written.

    The page is on this machine alone. Its address ends with a key that is made anew each time:
    whoever else uses the machine finds the port, and without that key no data.
    """
    from ...emulator.http.server import run_page  # noqa: PLC0415 - not for `--help`
    from ...studio import Studio  # noqa: PLC0415 - the same

    connection = Connection.pop_from(connection_flags)
    with open_client(connection, bucket_required=False) as client:
        shown, token = client.to_async(), secrets.token_urlsafe(24)
        page = Studio(shown, text_key=text_key, token=token)

        def announce(endpoint: str) -> None:
            echo("# The page is at the address below, for this machine alone; Ctrl-C ends it.")
            echo(f"{endpoint}{page.path}#{token}")

        try:
            run_page(page, port, on_ready=announce)
        finally:
            # the loop of its connections has ended with the server; this lets a file go
            asyncio.run(shown.close())


command.params.extend(CONNECTION)
