"""A proxy on loopback: it forwards plain requests and opens tunnels, whatever host is named."""

from __future__ import annotations

import base64
import selectors
import socket
import ssl

from support.replies import http, vectors_body
from support.socket_server import READ_AT_ONCE, Connection, SocketServer


class ProxyServer(SocketServer):
    """Answer absolute-form requests itself, and lead every tunnel to one port of this machine.

    With a `refusal` it answers that status to whatever is asked.
    """

    def __init__(
        self,
        *,
        leads_to: int | None = None,
        user_and_password: str | None = None,
        refusal: int | None = None,
        tls: ssl.SSLContext | None = None,
    ):
        self._leads_to = leads_to
        self._refusal = refusal
        self._expected = user_and_password and base64.b64encode(user_and_password.encode()).decode()
        super().__init__(tls=tls)

    def handle(self, connection: Connection) -> None:
        while connection.wait_for_bytes():
            received = connection.read_request()
            if self._refusal:
                connection.send(http(status=self._refusal))
            elif self._expected and received.headers.get("proxy-authorization") != (
                f"Basic {self._expected}"
            ):
                connection.send(http(status=407))
            elif received.method == "CONNECT":
                return self._tunnel(connection)
            else:
                connection.send(http(vectors_body(received.json()["keys"])))
        return None

    def _tunnel(self, connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with (
            socket.create_connection(("127.0.0.1", self._leads_to)) as there,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(connection.sock, selectors.EVENT_READ, there)
            selector.register(there, selectors.EVENT_READ, connection.sock)
            while all(_carry(key.fileobj, key.data) for key, _ in selector.select()):
                pass


def _carry(source: socket.socket, target: socket.socket) -> bool:
    data = source.recv(READ_AT_ONCE)
    target.sendall(data)
    return bool(data)
