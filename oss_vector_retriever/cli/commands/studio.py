"""`oss-vectors studio`: a page to look at records, over any endpoint; and the same for `serve`."""

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import click

from ..arguments import CONNECTION, Command
from ..connection import Connection, open_client
from ..rendering import echo

if TYPE_CHECKING:
    from ...emulator import AccessKey, Service
    from ...emulator.http.application import Page, Receive, Scope, Send


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
    from ...studio import Studio  # noqa: PLC0415 - not for `--help`

    connection = Connection.pop_from(connection_flags)
    # after the page: where neither is installed, its extra brings both
    from ...emulator.http.server import run_page  # noqa: PLC0415 - the same

    with open_client(connection, bucket_required=False) as client:
        shown, token = client.to_async(), secrets.token_urlsafe(24)
        page = Studio(shown, text_key=text_key, token=token)

        def announce(endpoint: str) -> None:
            echo("# The page is at the address below, for this machine alone; Ctrl-C ends it.")
            echo(f"{endpoint}{page.path}#{token}")

        # on the loop of its connections
        run_page(page, port, on_ready=announce, on_end=shown.close)


command.params.extend(CONNECTION)


class ServedPage:
    """The page of records over the service in this process, or one line where its extra is missing.

    It is made by the first who asks: a server that shows no page need not load what it takes.
    """

    def __init__(
        self, service: "Service", key: "AccessKey", bucket: str | None, token: str | None
    ) -> None:
        self._service, self._key, self._bucket, self._token = service, key, bucket, token
        self._page: Page | None = None

    async def answer(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer one request."""
        if self._page is None:
            page = await asyncio.to_thread(self._load)  # it imports, which takes a while
            self._page = self._page or page
        await self._page(scope, receive, send)

    def _load(self) -> "Page":
        from ...client.clients import client_of  # noqa: PLC0415 - not for `--help`
        from ...client.config import resolve_config  # noqa: PLC0415 - the same
        from ...client.local import LocalService  # noqa: PLC0415 - the same

        try:
            from ... import studio  # noqa: PLC0415 - the same

            page = studio.Studio
        except ImportError as error:
            self._absence = f"{error}\n".encode()
            return self._name_extra
        config = resolve_config(
            bucket=self._bucket,
            account_id=self._key.account_id,
            region=self._service.region,
            endpoint="http://localhost",  # never connected to, as `OSSVectorClient.local()` has it
            credentials=(self._key.id, self._key.secret),
            credentials_kind="local",
            bucket_required=False,
        )
        client = client_of(config, LocalService(self._service)).to_async()
        return page(client, token=self._token, is_at_service=True)

    async def _name_extra(self, _: "Scope", __: "Receive", send: "Send") -> None:
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 501, "headers": headers})
        await send({"type": "http.response.body", "body": self._absence})
