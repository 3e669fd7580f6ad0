"""`HttpServer`: uvicorn, quick to end, without its banner and its second thoughts on signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from oss_vector_retriever.emulator.asgi import Application
from oss_vector_retriever.emulator.breakable import BreakableProtocol

_KEEP_ALIVE = 60
_GRACE = 3
_TICK = 0.005


class HttpServer(uvicorn.Server):
    """Serve an application until `end()` or a signal.

    uvicorn looks only every tenth of a second whether it is to end and whether it has: a server for
    each test would pay that twice each time.
    """

    def __init__(
        self, application: Application, on_ready: Callable[[], None] | None = None
    ) -> None:
        config = uvicorn.Config(
            application,
            http=BreakableProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        super().__init__(config)
        self.application = application
        self._ready = threading.Event()
        self._on_ready = on_ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()

    def wait_until_ready(self, thread: threading.Thread) -> None:
        """Return once requests are answered, or the thread that runs this has died."""
        while not self._ready.wait(1) and thread.is_alive():
            pass

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
        self._ready.set()
        if self._on_ready:
            self._on_ready()

    async def main_loop(self) -> None:
        """Wait for the end."""
        if not self.should_exit:
            await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish for some seconds, and close every connection."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        last = time.monotonic() + _GRACE
        while self._is_busy() and time.monotonic() < last:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(_TICK)
        for task in self.server_state.tasks:
            task.cancel()

    def _is_busy(self) -> bool:
        left = self.server_state.connections or self.server_state.tasks
        return bool(left) and not self.force_exit

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
