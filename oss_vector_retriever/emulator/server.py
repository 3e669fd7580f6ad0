"""`Server`: the service behind HTTP on a port of this machine, by uvicorn."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

import uvicorn

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator.asgi import Application
from oss_vector_retriever.emulator.service import Service

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
_KEEP_ALIVE = 60
_GRACE = 3
_BACKLOG = 2048


class Server:
    """Serve a service from a thread, as a context manager; the service stays the caller's.

    Args:
        service: what answers.
        host: the address to listen on; loopback unless told otherwise.
        port: 0 for any that is free.

    Raises:
        ConfigurationError: nobody can listen there.
    """

    def __init__(self, service: Service, host: str = DEFAULT_HOST, port: int = 0) -> None:
        self._socket = _listen(host, port)
        self._server = _Uvicorn(service)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="oss-vectors", daemon=True
        )

    @property
    def endpoint(self) -> str:
        """Return the URL that clients use, such as `http://127.0.0.1:9000`."""
        return _endpoint(self._socket)

    def start(self) -> None:
        """Start answering, and return once that is so."""
        self._thread.start()
        self._server.ready.wait()

    def stop(self) -> None:
        """Finish what is being answered, and close every connection; stopping twice is fine."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
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
) -> None:
    """Serve until Ctrl-C or SIGTERM, then return.

    Args:
        service: what answers; the caller closes it.
        host: the address to listen on.
        port: 0 for any that is free.
        on_ready: called with the endpoint once requests are answered.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    with _listen(host, port) as listener:
        endpoint = _endpoint(listener)
        _Uvicorn(service, (lambda: on_ready(endpoint)) if on_ready else None).run([listener])


class _Uvicorn(uvicorn.Server):
    """Run uvicorn without its banner, its loggers' settings and its second thoughts on signals."""

    def __init__(self, service: Service, on_ready: Callable[[], None] | None = None) -> None:
        config = uvicorn.Config(
            Application(service),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)
        self.ready = threading.Event()
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
        if self._on_ready:
            self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again afterwards, which would turn a clean end into a traceback.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        caught = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


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
