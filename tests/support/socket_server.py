"""A server of plain sockets: a thread for each connection, and nothing left behind at its end."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

READ_AT_ONCE = 65536


class StoppedError(Exception):
    """The server is closing; whatever a connection was doing ends here."""


@dataclass(frozen=True)
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    at: float = field(default_factory=time.monotonic)

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One accepted connection, with what a well- or ill-behaved server does to it."""

    def __init__(self, server: SocketServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self._buffer = b""

    def wait_for_bytes(self) -> bool:
        """Return True when a request has begun, False when the peer has left."""
        if not self._buffer:
            self._buffer = self.sock.recv(1024)
        return bool(self._buffer)

    def read_request(self) -> Received:
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {}
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._exactly(int(headers.get("content-length", "0")))
        received = Received(method, target, headers, body, self.number)
        self.server.requests.append(received)
        return received

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, count: int) -> bytes:
        parts, size = [self._buffer], len(self._buffer)
        self._buffer = b""
        while size < count:
            self._more()
            parts.append(self._buffer)
            size, self._buffer = size + len(self._buffer), b""
        whole = b"".join(parts)
        self._buffer = whole[count:]
        return whole[:count]

    def _more(self) -> None:
        part = self.sock.recv(READ_AT_ONCE)
        if not part:
            raise ConnectionResetError("the client left in the middle of its request")
        self._buffer += part

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def pause(self, seconds: float | None = None) -> None:
        """Wait some seconds, or until the server closes."""
        if self.server.stopped.wait(seconds):
            raise StoppedError

    def hold(self) -> None:
        """Say nothing until the peer leaves, or the server closes."""
        while self.sock.recv(READ_AT_ONCE):
            pass

    def reset(self) -> None:
        """Close with RST: the peer sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def server_context(certificate: Any) -> ssl.SSLContext:
    """Return the TLS context of a server with a certificate of trustme."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


class SocketServer:
    """Listen on a loopback port that the system chooses; subclasses say what `handle` does.

    Without a TLS context of its own a server has that of `default_tls`, which tests set.
    """

    default_tls: ssl.SSLContext | None = None

    def __init__(self, *, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None):
        self.requests: list[Received] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._tls = tls or self.default_tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket()
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(4096)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="test-acceptor")
        self._acceptor.start()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def handle(self, connection: Connection) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with self._lock:
                if self.stopped.is_set():
                    sock.close()
                    return
                if self._tls is not None:
                    sock = self._tls.wrap_socket(
                        sock, server_side=True, do_handshake_on_connect=False
                    )
                self.connections += 1
                thread = threading.Thread(
                    target=self._serve, args=(sock, self.connections), name="test-connection"
                )
                self._open.add(sock)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        # peers leave, are reset or time out at any point: that is what these servers are for
        with contextlib.suppress(OSError, StoppedError):
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            self.handle(Connection(self, sock, number))
        self.hang_up(sock)
        with self._lock:
            self._open.discard(sock)

    @staticmethod
    def hang_up(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()

    def wait_until_idle(self) -> None:
        """Return when no connection is open."""
        self._wait(lambda: not self._open, "connections are still open")

    def wait_for_requests(self, count: int) -> None:
        """Return when that many requests have come in."""
        self._wait(lambda: len(self.requests) >= count, "too few requests came in")

    @staticmethod
    def _wait(over: Callable[[], bool], otherwise: str) -> None:
        last = time.monotonic() + 5
        while not over():
            assert time.monotonic() < last, otherwise
            time.sleep(0.001)

    def close(self) -> None:
        """End all connections and threads."""
        with self._lock:
            self.stopped.set()
            for sock in self._open:
                with contextlib.suppress(OSError):
                    # the plain one: that of a TLS socket takes its state from under a read
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._acceptor.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
