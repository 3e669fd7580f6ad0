"""`oss-vectors serve`: the embedded service as a server on this machine."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import click

from oss_vector_retriever import emulator
from oss_vector_retriever.cli.behaviours import behaviour_of, described
from oss_vector_retriever.emulator.server import run


@click.command("serve", epilog=described())
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True)
@click.option(
    "--data", type=click.Path(dir_okay=False), help="Keep the data in this file, not in memory."
)
@click.option(
    "--behaviour",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda _, __, switches: behaviour_of(switches),
    help="Choose what the service leaves open, as below; may be given again.",
)
@click.option(
    "--faults",
    is_flag=True,
    help="Let programs on this machine switch faults on, at /_emulator/faults.",
)
@click.option(
    "--bucket",
    "buckets",
    multiple=True,
    default=[emulator.DEVELOPMENT_BUCKET],
    show_default=True,
    help="A bucket to make; may be given again.",
)
@click.option("--region", default=emulator.DEVELOPMENT_REGION, show_default=True)
@click.option("--account-id", default=emulator.DEVELOPMENT_ACCOUNT_ID, show_default=True)
@click.option("--access-key-id", default=emulator.DEVELOPMENT_ACCESS_KEY_ID, show_default=True)
@click.option(
    "--access-key-secret",
    default=emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    show_default=True,
    help="What clients must sign with; never a real secret.",
)
def command(**values: Any) -> None:
    """Run the embedded service on 127.0.0.1 until Ctrl-C; --port 0 takes any free port."""
    _serve(Wanted(**values))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold the values of the flags above."""

    port: int
    data: str | None
    behaviour: emulator.Behaviour
    faults: bool
    buckets: tuple[str, ...]
    region: str
    account_id: str
    access_key_id: str
    access_key_secret: str


def _serve(wanted: Wanted) -> None:
    with _service(wanted) as service:
        run(
            service,
            port=wanted.port,
            on_ready=lambda endpoint: _announce(endpoint, wanted),
            allow_faults=wanted.faults,
        )


def _service(wanted: Wanted) -> emulator.Service:
    try:
        key = emulator.AccessKey(wanted.access_key_id, wanted.access_key_secret, wanted.account_id)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    service = emulator.Service(
        wanted.data, access_keys=[key], region=wanted.region, behaviour=wanted.behaviour
    )
    try:
        for bucket in wanted.buckets:
            service.create_bucket(wanted.account_id, bucket)
    except ValueError as error:
        service.close()
        raise click.UsageError(str(error)) from None
    return service


def _announce(endpoint: str, wanted: Wanted) -> None:
    settings = {
        "OSS_ENDPOINT": endpoint,
        "OSS_REGION": wanted.region,
        "OSS_ACCOUNT_ID": wanted.account_id,
        "OSS_VECTORS_BUCKET": next(iter(wanted.buckets), ""),
        "OSS_ACCESS_KEY_ID": wanted.access_key_id,
        "OSS_ACCESS_KEY_SECRET": wanted.access_key_secret,
    }
    click.echo(f"# OSS Vectors, embedded, on {endpoint}; Ctrl-C ends it. Clients find it with:")
    for name, value in settings.items():
        click.echo(f"export {name}={shlex.quote(value)}")
