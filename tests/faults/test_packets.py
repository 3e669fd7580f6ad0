"""A small request leaves in one piece, head and body: a service sees it whole at once."""

import pytest
from support.calls import run, settings
from support.replies import http, vectors_body
from support.socket_server import READ_AT_ONCE, SocketServer

pytestmark = pytest.mark.usefixtures("library")


class ReadsOnce(SocketServer):
    """Answer with what the first read of each request brought, and that alone."""

    def __init__(self, **options):
        self.pieces = []
        super().__init__(**options)

    def handle(self, connection):
        while piece := connection.sock.recv(READ_AT_ONCE):
            self.pieces.append(piece)
            connection.send(http(vectors_body(["key-1"])))


def fetched(client):
    return client.fetch(["key-1"])


def deleted_bucket(client):
    return client.delete_vector_bucket()


def test_head_and_body_leave_together(mode):
    with ReadsOnce() as server:
        results = run(mode, settings(server.endpoint), fetched, fetched)
    assert [result.missing for result in results] == [(), ()]
    for piece in server.pieces:
        assert piece.startswith(b"POST /examplebucket/?getVectors HTTP/1.1\r\n")
        assert piece.endswith(b'"keys":["key-1"],"returnData":true,"returnMetadata":true}')
    assert len(server.pieces) == 2


def test_a_request_without_a_body_leaves_at_once(mode):
    with ReadsOnce() as server:
        run(mode, settings(server.endpoint), deleted_bucket, fetched)
    assert server.pieces[0].startswith(b"DELETE /examplebucket/ HTTP/1.1\r\n")
    assert server.pieces[0].endswith(b"\r\n\r\n")
    assert len(server.pieces) == 2
