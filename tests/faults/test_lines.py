"""A connection is used again where that is right, and only there, however the service frames."""

import asyncio
import contextlib

import pytest
from support.calls import run, settings
from support.replies import chunk, vectors_body
from support.socket_server import READ_AT_ONCE, SocketServer

pytestmark = pytest.mark.usefixtures("library")

KEYS = ["key-1", "key-2", "key-3"]
CALLS = 3


def head(*lines, protocol="HTTP/1.1", status="200 OK"):
    return "\r\n".join([f"{protocol} {status}", *lines, "", ""]).encode()


def of_length(body, *lines, **options):
    return head(f"Content-Length: {len(body)}", *lines, **options) + body


def in_chunks(body):
    pieces = [chunk(body[at : at + 7]) for at in range(0, len(body), 7)]
    return head("Transfer-Encoding: chunked") + b"".join(pieces) + b"0\r\nX-Trailer: y\r\n\r\n"


def after(interim):
    return lambda body: head("Link: <x>", status=interim) + of_length(body)


# how a reply is framed, whether the server then closes, and how many connections three calls take
FRAMINGS = {
    "kept open": (of_length, False, 1),
    "chunked, with a trailer": (in_chunks, False, 1),
    "after 100 Continue": (after("100 Continue"), False, 1),
    "after 103 Early Hints": (after("103 Early Hints"), False, 1),
    "closed as announced": (lambda body: of_length(body, "Connection: close"), True, CALLS),
    "closed unannounced": (of_length, True, CALLS),
    "ended by closing": (lambda body: head() + body, True, CALLS),
    "HTTP/1.0": (lambda body: of_length(body, protocol="HTTP/1.0"), True, CALLS),
    "HTTP/1.0, ended by closing": (lambda body: head(protocol="HTTP/1.0") + body, True, CALLS),
    "with a reply to nothing behind it": (
        lambda body: of_length(body) + of_length(b'{"vectors":[]}'),
        False,
        CALLS,
    ),
}


class Framing(SocketServer):
    """Frame proper replies in one way."""

    def __init__(self, framed, closes):
        self._framed, self._closes = framed, closes
        super().__init__()

    def handle(self, connection):
        while connection.wait_for_bytes():
            keys = connection.read_request().json()["keys"]
            connection.send(self._framed(vectors_body(keys)))
            if self._closes:
                return


def fetched(client):
    return [vector.key for vector in client.fetch(KEYS)]


async def fetched_async(client):
    return [vector.key for vector in await client.fetch(KEYS)]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_framing_is_read_and_its_connection_kept_or_not(framing, mode):
    framed, closes, connections = FRAMINGS[framing]
    work = fetched_async if mode == "async" else fetched
    with Framing(framed, closes) as server:
        results = run(mode, settings(server.endpoint), *[work] * CALLS)
        assert results == [KEYS] * CALLS
        assert server.connections == connections
    assert len(server.requests) == CALLS


FLOOD = 64 * 1024 * 1024
MOST_TAKEN = FLOOD // 2  # the buffers of the system on both sides take some megabytes


class Flooding(SocketServer):
    """Send a proper reply, and then what nobody asked for as long as it is taken."""

    def __init__(self):
        self.taken = 0
        super().__init__()

    def handle(self, connection):
        connection.send(of_length(vectors_body(connection.read_request().json()["keys"])))
        if connection.number > 1:
            return
        connection.sock.settimeout(1)
        with contextlib.suppress(OSError):
            while self.taken < FLOOD:
                self.taken += connection.sock.send(bytes(READ_AT_ONCE))


def test_what_floods_a_kept_connection_is_not_read_on_a_loop():
    async def idle(client):
        await fetched_async(client)
        await asyncio.sleep(0.5)

    with Flooding() as server:
        _, found = run("async", settings(server.endpoint), idle, fetched_async)
        assert found == KEYS  # over a connection of its own
        assert server.taken < MOST_TAKEN
        assert server.connections == 2
