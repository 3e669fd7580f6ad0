"""What can go wrong with one request: each fault is a function of a connection.

A request has begun on the connection: the fault reads it, or does not, and returns True where the
connection may carry another one.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
from collections.abc import Callable

from support.replies import chunk, error_body, http, vectors_body
from support.socket_server import Connection

Fault = Callable[[Connection], bool]
_BLANKS = b" " * 65536


def _asked(connection: Connection) -> bytes:
    """Read the request and return the body of its proper reply."""
    return vectors_body(connection.read_request().json().get("keys", []))


def proper(connection: Connection) -> bool:
    connection.send(http(_asked(connection)))
    return True


def padded(size: int) -> Fault:
    """Answer properly, in a body of exactly that many bytes."""

    def fault(connection: Connection) -> bool:
        connection.send(http(_asked(connection).ljust(size)))
        return True

    return fault


def proper_then_gone(connection: Connection) -> bool:
    """Answer as if the connection stayed open, and close it."""
    connection.send(http(_asked(connection)))
    return False


def drip(part: str, pause: float = 0.05) -> Fault:
    """Send the head, or the body, a byte at a time: never silent for long, never done in time."""

    def fault(connection: Connection) -> bool:
        reply = http(_asked(connection), headers={"X-Filler": "x" * 400})
        at = 0 if part == "head" else reply.index(b"\r\n\r\n") + 4
        connection.send(reply[:at])
        for position in range(at, len(reply)):
            connection.pause(pause)
            connection.send(reply[position : position + 1])
        return True

    return fault


def silent(connection: Connection) -> bool:
    """Say nothing to whatever came first, such as the beginning of a TLS handshake."""
    connection.hold()
    return False


def hang_up(connection: Connection) -> bool:
    """Close, in order, as soon as the client has said anything."""
    connection.sock.settimeout(0.02)
    with contextlib.suppress(TimeoutError):
        while connection.sock.recv(65536):  # unread bytes would turn the end into a reset
            pass
    return False


def hang_up_rudely(connection: Connection) -> bool:
    """Reset as soon as the client has said anything."""
    connection.reset()
    return False


def plain_words(connection: Connection) -> bool:
    """Answer the beginning of a TLS handshake in plain HTTP."""
    connection.send(http(b"{}", status=400))
    return False


def stall(connection: Connection) -> bool:
    """Read the request and say nothing."""
    _asked(connection)
    connection.hold()
    return False


def stall_in_body(connection: Connection) -> bool:
    """Send the head and half of the body, and then nothing."""
    body = _asked(connection)
    connection.send(http(body[: len(body) // 2], length=len(body)))
    connection.hold()
    return False


def late_then_stall(connection: Connection) -> bool:
    """Send the head just before the deadline of 1 s: no timeout for one read may begin anew."""
    body = _asked(connection)
    connection.pause(0.9)
    connection.send(http(body[:5], length=len(body)))
    connection.hold()
    return False


def read_slowly(connection: Connection) -> bool:
    """Take a little of the request now and then."""
    while True:
        connection.pause(0.05)
        connection.sock.recv(16384)


def cut_by_length(connection: Connection) -> bool:
    body = _asked(connection)
    connection.send(http(body[: len(body) // 2], length=len(body)))
    return False


def cut_chunked(connection: Connection) -> bool:
    body = _asked(connection)
    head = http(headers={"Transfer-Encoding": "chunked"}, framed=False)
    connection.send(head + chunk(body[: len(body) // 2]))
    return False


def cut_bare(connection: Connection) -> bool:
    """Cut a body that only the end of the connection ends: to HTTP this reply is whole."""
    body = _asked(connection)
    connection.send(http(body[: len(body) // 2], framed=False))
    return False


def cut_head(connection: Connection) -> bool:
    connection.send(http(_asked(connection))[:40])
    return False


def reset(connection: Connection) -> bool:
    _asked(connection)
    connection.reset()
    return False


def reset_in_body(connection: Connection) -> bool:
    body = _asked(connection)
    connection.send(http(body[: len(body) // 2], length=len(body)))
    connection.pause(0.02)
    connection.reset()
    return False


def no_reply(connection: Connection) -> bool:
    _asked(connection)
    return False


def garbage(connection: Connection) -> bool:
    _asked(connection)
    connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n\x00\xff\xfe not at all\r\n")
    return False


def huge_header(connection: Connection) -> bool:
    _asked(connection)
    connection.send(http(b"{}", headers={"X-Huge": "x" * 300_000}))
    return False


def gzip_bomb(connection: Connection) -> bool:
    """Send 200 MB in 200 KB, though the request asked for identity."""
    _asked(connection)
    connection.send(http(bomb(), headers={"Content-Encoding": "gzip"}))
    return False


@functools.cache
def bomb() -> bytes:
    return gzip.compress(_BLANKS * 3200, 6)


def endless_chunks(connection: Connection) -> bool:
    _asked(connection)
    connection.send(http(headers={"Transfer-Encoding": "chunked"}, framed=False))
    piece = chunk(_BLANKS)
    while True:
        connection.send(piece)


def gigabyte(connection: Connection) -> bool:
    """Announce 1 GB and begin to send it."""
    _asked(connection)
    connection.send(http(length=1 << 30))
    for _ in range((1 << 30) // len(_BLANKS)):
        connection.send(_BLANKS)
    return True


def page(status: int) -> Fault:
    """Answer with the HTML of a proxy."""
    body = b"<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
    head = http(body, status=status, headers={"Content-Type": "text/html"})
    reply = head.replace(b"x-oss-request-id", b"x-proxy-id")

    def fault(connection: Connection) -> bool:
        _asked(connection)
        connection.send(reply)
        return True

    return fault


def redirect(connection: Connection) -> bool:
    _asked(connection)
    there = {"Location": f"http://127.0.0.1:{connection.server.port}/elsewhere"}
    connection.send(http(status=307, headers=there))
    return True


def refuse(
    status: int, code: str, *, message: str = "No.", headers: dict[str, str] | None = None
) -> Fault:
    """Answer with an error of the service."""

    def fault(connection: Connection) -> bool:
        _asked(connection)
        connection.send(http(error_body(code, message), status=status, headers=headers))
        return True

    return fault
