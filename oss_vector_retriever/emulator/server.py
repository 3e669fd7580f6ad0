"""`Server`: the service behind HTTP on a port of this machine, by uvicorn."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator.accounts import (
    DEVELOPMENT_ACCESS_KEY_ID,
    DEVELOPMENT_ACCESS_KEY_SECRET,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
)
from oss_vector_retriever.emulator.asgi import Application
from oss_vector_retriever.emulator.http_server import HttpServer
from oss_vector_retriever.emulator.service import Service

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
_BACKLOG = 2048


class Server:
    """Serve a service from a thread, as a context manager; the service stays the caller's.

    Args:
        service: what answers.
        host: the address to listen on; loopback unless told otherwise.
        port: 0 for any that is free.
        allow_faults: let clients on this machine switch faults on, at `/_emulator/faults`.

    Attributes:
        service: what answers.

    Raises:
        ConfigurationError: nobody can listen there.
    """

    def __init__(
        self,
        service: Service,
        host: str = DEFAULT_HOST,
        port: int = 0,
        *,
        allow_faults: bool = False,
    ) -> None:
        self.service = service
        self._socket = _listen(host, port)
        self._server = HttpServer(Application(service, allow_faults=allow_faults))
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="oss-vectors", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """Return the URL that clients use, such as `http://127.0.0.1:9000`."""
        return _endpoint(self._socket)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the arguments of a client that uses the development key and bucket here."""
        return {
            "endpoint": self.endpoint,
            "bucket": DEVELOPMENT_BUCKET,
            "account_id": DEVELOPMENT_ACCOUNT_ID,
            "region": self.service.settings.region,
            "credentials": (DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCESS_KEY_SECRET),
        }

    def start(self) -> None:
        """Start answering, and return once that is so."""
        self._thread.start()
        self._server.wait_until_ready(self._thread)

    def stop(self) -> None:
        """Finish what is being answered, and close every connection; stopping twice is fine."""
        self._server.end()
        if self._thread.is_alive():
            self._thread.join()
        self._server.application.close()
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def run(
    service: Service,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    on_ready: Callable[[str], None] | None = None,
    allow_faults: bool = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then return.

    Args:
        service: what answers; the caller closes it.
        host: the address to listen on.
        port: 0 for any that is free.
        on_ready: called with the endpoint once requests are answered.
        allow_faults: let clients on this machine switch faults on, at `/_emulator/faults`.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    with _listen(host, port) as listener:
        endpoint = _endpoint(listener)
        application = Application(service, allow_faults=allow_faults)
        try:
            HttpServer(application, (lambda: on_ready(endpoint)) if on_ready else None).run(
                [listener]
            )
        finally:
            application.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay of 40 ms off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _endpoint(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
