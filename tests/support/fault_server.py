"""A server that does to each request what a script says, then answers properly."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Iterable

from support.faults import Fault, proper
from support.socket_server import Connection, SocketServer


class FaultServer(SocketServer):
    """Answer the first requests as the script says, and all others as `then` does."""

    def __init__(
        self,
        script: Iterable[Fault] = (),
        *,
        then: Fault | None = None,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self._script = deque(script)
        self._then = then or proper
        super().__init__(tls=tls, receive_buffer=receive_buffer)

    def handle(self, connection: Connection) -> None:
        going = True
        while going and connection.wait_for_bytes():
            with self._lock:
                fault = self._script.popleft() if self._script else self._then
            going = fault(connection)
