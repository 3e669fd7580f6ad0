"""Options that several commands share, named as ossutil names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from oss_vector_retriever.client.clients import OSSVectorClient

Command = TypeVar("Command", bound=Callable[..., Any])

_CONNECTION = (
    click.option("--bucket", help="Vector bucket (OSS_VECTORS_BUCKET)."),
    click.option("--account-id", help="Account that owns the bucket (OSS_ACCOUNT_ID)."),
    click.option("--region", help="Region, such as cn-hangzhou (OSS_REGION)."),
    click.option("--endpoint", help="Address of the service, if not the region's (OSS_ENDPOINT)."),
    click.option(
        "--local",
        type=click.Path(dir_okay=False),
        help="Use the embedded service with this file, instead of the network.",
    ),
)


def connection_options(command: Command) -> Command:
    """Give a command the options that say where the service is."""
    for option in reversed(_CONNECTION):
        command = option(command)
    return command


def make_client(
    local: str | None, index: str | None = None, **connection: str | None
) -> OSSVectorClient:
    """Return the client that the connection options describe."""
    if local is None:
        return OSSVectorClient(index=index, **connection)  # type: ignore[arg-type]
    given = [name for name, value in connection.items() if value is not None]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise click.UsageError(f"--local has a bucket of its own; leave out {names}.")
    return OSSVectorClient.local(local, index=index)
