"""Where the service is: the values of the flags that every command shares, and a client of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import click

from .catalogue import FLAGS

if TYPE_CHECKING:
    from ..client import clients, config
    from ..client.local import LocalService

_REMOTE_ONLY = ("account_id", "region", "endpoint", "internal", "allow_http")


class Connection(NamedTuple):
    """The values of the flags `arguments.CONNECTION`."""

    bucket: str | None
    account_id: str | None
    region: str | None
    endpoint: str | None
    internal: bool
    allow_http: bool
    credentials: str
    timeout: float
    rate_limit: float | None
    max_concurrency: int
    local: str | None

    @classmethod
    def pop_from(cls, values: dict[str, Any]) -> Self:
        """Take the flags' values out of a command's."""
        return cls(**{name: values.pop(name) for name in cls._fields})

    def settings(
        self,
        *,
        index: str | None = None,
        bucket_required: bool = True,
        begins_file: bool = False,
        **options: Any,
    ) -> "tuple[config.ClientConfig, LocalService | None]":
        """Return the settings of a client, and the service, where it is embedded.

        Its file must be there, unless `begins_file`: what only reads would look at an empty one.
        """
        from ..client.config import resolve_config  # noqa: PLC0415 - not for `--help`

        # by the constructor: a client's rate limit cannot be changed later
        options.update(rate_limit=self.rate_limit, max_concurrency=self.max_concurrency)
        if self.local:  # its bucket is always there
            return self._open_file(index, begins_file, **options)
        options.update({name: getattr(self, name) for name in ("bucket", "timeout", *_REMOTE_ONLY)})
        credentials = "chain" if self.credentials == "chain" else None
        return resolve_config(
            index=index, credentials=credentials, bucket_required=bucket_required, **options
        ), None

    def _check_file(self) -> None:
        from ..client.errors import ConfigurationError, quote  # noqa: PLC0415 - the same

        # what cannot be opened for another reason, SQLite says
        if self.local is None or os.path.lexists(self.local):
            return
        name = quote(os.fsencode(self.local).decode(errors="backslashreplace"))
        raise ConfigurationError(
            "{argument} {name} cannot be opened: it is not there.",
            argument="local",
            fields={"name": name},
            remedy="`oss-vectors put-vector-index`, `import --create-index`, `serve --data` and "
            "`demo --data` make such a file",
        )

    def _open_file(
        self, index: str | None, begins_file: bool, **options: Any
    ) -> "tuple[config.ClientConfig, LocalService]":
        from ..client.config import VARIABLES, replace_options  # noqa: PLC0415 - the same
        from ..client.local import open_local  # noqa: PLC0415 - the same

        useless = [FLAGS[name] for name in _REMOTE_ONLY if getattr(self, name)]
        if useless:
            text = f"--local is a service of its own; leave out {', '.join(useless)}."
            raise click.UsageError(text)
        if not begins_file:
            self._check_file()
        others = {"bucket": self.bucket} if self.bucket else {}
        if index and self.bucket:  # an ARN may name another
            others["index"] = index
        index = index or os.environ.get(VARIABLES["index"])
        config, service = open_local(self.local, index, **options)
        try:
            return replace_options(config, timeout=self.timeout, **others), service
        except BaseException:
            service.service.close()
            raise

    def address(self, client: "clients.OSSVectorClient") -> str:
        """Return what tells the service from any other."""
        if self.local:
            # journals are JSON, which a name that is no UTF-8 cannot stand in
            path = os.fsencode(os.path.abspath(self.local))  # noqa: PTH100 - a text
            return path.decode(errors="backslashreplace")
        return str(client.config.endpoint)


@contextmanager
def open_client(connection: Connection, **options: Any) -> Iterator["clients.OSSVectorClient"]:
    """Give the client that the flags describe; `options` are those of the constructor."""
    from ..client.clients import client_of  # noqa: PLC0415 - not for `--help`

    client = client_of(*connection.settings(**options))
    try:
        yield client
    except KeyboardInterrupt:
        # not closed: that would wait for the replies that are under way, which nobody wants now
        raise
    except BaseException:
        client.close()
        raise
    client.close()
