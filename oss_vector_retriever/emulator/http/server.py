"""`Server`: the service behind HTTP on a port of this machine, by uvicorn."""

import asyncio
import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...client.errors import ConfigurationError
from ..accounts import (
    DEVELOPMENT_ACCESS_KEY_ID,
    DEVELOPMENT_ACCESS_KEY_SECRET,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
)
from ..service import Service
from .application import CONNECTION, Application

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 9000
_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 60  # after uvicorn's own 5 a client would meet closed connections
_GRACE_SECONDS = 3
_TICK_SECONDS = 0.005


class Server:
    """A service on a port of this machine, run from a thread; the service stays the caller's.

    Args:
        service: what answers.
        host: the address to listen on; loopback unless another is given.
        port: 0 for any that is free.
        allow_faults: let clients on this machine switch faults on, at `/_emulator/faults`.

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
            "region": self.service.region,
            "credentials": (DEVELOPMENT_ACCESS_KEY_ID, DEVELOPMENT_ACCESS_KEY_SECRET),
        }

    def start(self) -> None:
        """Start answering, and return once that is so."""
        self._thread.start()
        # uvicorn tells nobody that it could not start: its thread just ends.
        while not self._server.ready.wait(1) and self._thread.is_alive():
            pass

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

    def __exit__(self, *_: object) -> None:
        self.stop()


def run(
    service: Service,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    *,
    on_ready: Callable[[str], None] | None = None,
    allow_faults: bool = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then return; the service stays the caller's.

    The arguments are those of `Server`; `on_ready` is called with the endpoint once requests are
    answered.

    Raises:
        ConfigurationError: nobody can listen there.
    """
    with _listen(host, port) as listener:
        application = Application(service, allow_faults=allow_faults)
        server = HttpServer(application, on_ready=on_ready)
        try:
            server.run([listener])
        finally:
            application.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay of 40 ms off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # On Windows that option would let two servers listen on one port.
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


class HttpServer(uvicorn.Server):
    """A server of uvicorn's that ends at once when `end()` is called or a signal arrives.

    uvicorn looks only every tenth of a second whether it is to end and whether it has: a server for
    each test would pay that twice each time.
    """

    def __init__(
        self, application: Application, *, on_ready: Callable[[str], None] | None = None
    ) -> None:
        config = uvicorn.Config(
            application,
            http=FaultProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            # Else uvicorn would configure logging for the whole process, which is the user's.
            log_config=None,
            access_log=False,
            # The service's own headers stand in the reply (section 3).
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        super().__init__(config)
        self.application = application
        self.ready = threading.Event()
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Begin to end; may be called from any thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ending.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal; a second one ends without waiting for anybody."""
        super().handle_exit(sig, frame)
        self.end()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()
        if self._on_ready and sockets:
            self._on_ready(_endpoint(sockets[0]))

    async def main_loop(self) -> None:
        """Wait for the end."""
        if not self.should_exit:
            await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish for some seconds, and close every connection."""
        # uvicorn's own sleeps for a tenth of a second first, and then in steps of as much.
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        end, state = time.monotonic() + _GRACE_SECONDS, self.server_state
        while (state.connections or state.tasks) and not self.force_exit and time.monotonic() < end:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_TICK_SECONDS)
        for task in state.tasks:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals, in the main thread."""
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


class FaultProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, where the application sees the connection below each request.

    On h11: uvicorn prefers httptools where that is installed, which is strict about other mistakes,
    and the emulator's answers must not depend on what else is installed.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        application = self.app

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), CONNECTION: transport}
            await application(scope, receive, send)

        self.app = answer
