"""`oss-vectors serve`: the embedded service as a server on this machine."""

from __future__ import annotations

import click

from oss_vector_retriever import emulator
from oss_vector_retriever.emulator.server import run


@click.command("serve")
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True)
@click.option(
    "--data", type=click.Path(dir_okay=False), help="Keep the data in this file, not in memory."
)
def command(port: int, data: str | None) -> None:
    """Run the embedded service on 127.0.0.1 until Ctrl-C; --port 0 takes any free port."""
    service = emulator.Service.open(data) if data else emulator.Service.in_memory()
    with service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        run(service, port=port, on_ready=_announce)


def _announce(endpoint: str) -> None:
    settings = {
        "OSS_ENDPOINT": endpoint,
        "OSS_REGION": emulator.DEVELOPMENT_REGION,
        "OSS_ACCOUNT_ID": emulator.DEVELOPMENT_ACCOUNT_ID,
        "OSS_VECTORS_BUCKET": emulator.DEVELOPMENT_BUCKET,
        "OSS_ACCESS_KEY_ID": emulator.DEVELOPMENT_ACCESS_KEY_ID,
        "OSS_ACCESS_KEY_SECRET": emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    }
    click.echo(f"# OSS Vectors, embedded, on {endpoint}; Ctrl-C ends it. Clients find it with:")
    for name, value in settings.items():
        click.echo(f"export {name}={value}")
