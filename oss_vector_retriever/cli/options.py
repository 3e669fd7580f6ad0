"""Where the service is: the flags that every command shares, and the client they describe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from oss_vector_retriever.cli.arguments import OUTPUT_FORMAT, OUTPUT_QUERY
from oss_vector_retriever.cli.catalogue import Operation, Values
from oss_vector_retriever.cli.output import print_document, print_lines
from oss_vector_retriever.cli.rendering import Listing

if TYPE_CHECKING:
    from oss_vector_retriever.client.clients import OSSVectorClient
    from oss_vector_retriever.client.config import ClientConfig
    from oss_vector_retriever.client.local import LocalService

CONNECTION = (
    click.Option(["--bucket"], help="Vector bucket (OSS_VECTORS_BUCKET)."),
    click.Option(["--account-id"], help="Account that owns the bucket (OSS_ACCOUNT_ID)."),
    click.Option(["--region"], help="Region, such as cn-hangzhou (OSS_REGION)."),
    click.Option(
        ["--endpoint"], help="Address of the service, if not the region's (OSS_ENDPOINT)."
    ),
    click.Option(["--internal"], is_flag=True, help="Use the region's internal network."),
    click.Option(["--allow-http"], is_flag=True, help="Allow plain http beyond this machine."),
    click.Option(
        ["--credentials"],
        type=click.Choice(["environment", "chain"]),
        default="environment",
        show_default=True,
        help="OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN, or the chain of "
        "profile file, RAM role and OIDC (extra `credentials`).",
    ),
    click.Option(
        ["--timeout"], type=float, default=30.0, show_default=True, help="Seconds for each call."
    ),
    click.Option(
        ["--local"],
        type=click.Path(dir_okay=False),
        help="Use the embedded service with this file, instead of the network.",
    ),
)
_ELSEWHERE = ("account_id", "region", "endpoint", "internal", "allow_http")


class Connection(NamedTuple):
    """Hold the values of the flags above."""

    bucket: str | None
    account_id: str | None
    region: str | None
    endpoint: str | None
    internal: bool
    allow_http: bool
    credentials: str
    timeout: float
    local: str | None

    @classmethod
    def taken_from(cls, values: dict[str, Any]) -> Connection:
        """Take the flags' values out of a command's."""
        return cls(**{name: values.pop(name) for name in cls._fields})

    def settings(self, **options: Any) -> tuple[ClientConfig, LocalService | None]:
        """Return the settings of a client, and the service, where it is embedded."""
        if not self.local:
            return self._remote(**options), None
        options.pop("bucket_required", None)  # there is one
        return self._embedded(**options)

    def place(self, client: OSSVectorClient) -> str:
        """Return what tells the service from any other."""
        return os.path.abspath(self.local) if self.local else str(client.config.endpoint)  # noqa: PTH100 - a text

    def _remote(self, **options: Any) -> ClientConfig:
        from oss_vector_retriever.client.config import resolve_config  # noqa: PLC0415 - not for `--help`

        return resolve_config(
            bucket=self.bucket,
            account_id=self.account_id,
            region=self.region,
            endpoint=self.endpoint,
            internal=self.internal,
            allow_http=self.allow_http,
            credentials="chain" if self.credentials == "chain" else None,
            timeout=self.timeout,
            **options,
        )

    def _embedded(
        self, *, index: str | None = None, **options: Any
    ) -> tuple[ClientConfig, LocalService]:
        from oss_vector_retriever.client.config import VARIABLES  # noqa: PLC0415 - the same
        from oss_vector_retriever.client.local import open_local  # noqa: PLC0415 - the same

        given = [name for name in _ELSEWHERE if getattr(self, name)]
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise click.UsageError(f"--local is a service of its own; leave out {names}.")
        index = index or os.environ.get(VARIABLES["index"])
        config, service = open_local(self.local, index, **options)
        others = {"bucket": self.bucket} if self.bucket else {}
        try:
            return config.changed(timeout=self.timeout, **others), service
        except BaseException:
            service.service.close()
            raise


@contextmanager
def connected(connection: Connection, **options: Any) -> Iterator[OSSVectorClient]:
    """Give the client that the flags describe; `options` are those of the constructor.

    After Ctrl-C it is left as it is: closing would wait for the replies that are under way.
    """
    from oss_vector_retriever.client.clients import client_of  # noqa: PLC0415 - not for `--help`

    client = client_of(*connection.settings(**options))
    try:
        yield client
    except KeyboardInterrupt:
        raise
    except BaseException:
        client.close()
        raise
    client.close()


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
