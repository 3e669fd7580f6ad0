"""A large reply is read in few pieces, a small one in the engine's own; and both may break."""

import os
import random

import pytest
from h11._receivebuffer import ReceiveBuffer
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer
from support.replies import chunk, data_of, http, vectors_body

from oss_vector_retriever import TransportError
from oss_vector_retriever.client.transport import http as exchange
from oss_vector_retriever.client.transport import network

pytestmark = pytest.mark.usefixtures("library")

ENGINE_ASKS = 64 * 1024
RECORD = 16 * 1024  # the most that TLS gives at once
SIZE = 3 * 1024 * 1024


class Reads:
    """The sizes that the engine's streams were asked for, and of what the engine got."""

    def __init__(self, monkeypatch):
        self.asked, self.got = [], []
        for stream in (network._ClippedStream, network._WatchedStream):
            monkeypatch.setattr(stream, "read", self._watch(stream.read, stream.__name__))

    def _watch(self, read, name):
        def blocking(stream, size, timeout=None):
            self.asked.append(stream._message.room or size)
            self.got.append(len(data := read(stream, size, timeout)))
            return data

        async def on_a_loop(stream, size, *rest, **named):
            self.asked.append(stream._message.room or size)
            self.got.append(len(data := await read(stream, size, *rest, **named)))
            return data

        return blocking if name == "_ClippedStream" else on_a_loop


def chunked(connection):
    body = vectors_body(connection.read_request().json()["keys"]).ljust(SIZE)
    pieces = [chunk(body[start : start + 5_000]) for start in range(0, SIZE, 5_000)]
    head = http(headers={"Transfer-Encoding": "chunked"}, framed=False)
    connection.send(head + b"".join(pieces) + chunk(b""))
    return True


def fetched(client):
    return client.fetch(["key-1"])


def values(result):
    return [(vector.key, vector.data.tolist()) for vector in result]


@pytest.mark.parametrize("reply", [faults.padded(SIZE), chunked], ids=["length", "chunks"])
def test_a_large_reply_is_read_in_few_pieces(reply, mode, security, monkeypatch):
    reads = Reads(monkeypatch)
    with FaultServer(then=reply) as server:
        results = run(mode, settings(server.endpoint), fetched, fetched)
    assert [values(result) for result in results] == [[("key-1", data_of("key-1"))]] * 2
    assert sum(reads.got) > 2 * SIZE
    assert max(reads.asked) == 128 * 1024
    # each begins as the engine wants it, or its limit of a head would be another
    assert reads.asked[:2] == [ENGINE_ASKS] * 2
    assert max(reads.got) > (RECORD if security == "tls" else ENGINE_ASKS)


def test_no_room_is_made_for_a_small_reply(mode, monkeypatch):
    reads = Reads(monkeypatch)
    with FaultServer([faults.padded(SIZE)]) as server:
        run(mode, settings(server.endpoint), fetched)
        reads.asked.clear()
        run(mode, settings(server.endpoint), fetched, fetched)
    assert set(reads.asked) == {ENGINE_ASKS}


def closes_in_order(connection):
    del connection


def sends_what_cannot_be_decrypted(connection):
    # past the TLS of this side; in plain HTTP it is more of a body that ends too soon
    os.write(connection.sock.fileno(), b"\x17\x03\x03\x00\x40" + bytes(64))


def break_after(size, break_off):
    def fault(connection):
        body = vectors_body(connection.read_request().json()["keys"]).ljust(SIZE)
        connection.send(http(body[:size], length=SIZE))
        break_off(connection)
        return False

    return fault


@pytest.mark.parametrize(
    "break_off", [closes_in_order, faults.hang_up_rudely, sends_what_cannot_be_decrypted]
)
@pytest.mark.parametrize("size", [3 * RECORD, SIZE // 2 + 1])
def test_a_break_in_a_large_reply_is_survived_and_in_the_end_told(size, break_off, mode):
    fault = break_after(size, break_off)
    with FaultServer([fault]) as server:
        (result,) = run(mode, settings(server.endpoint), fetched)
    assert values(result) == [("key-1", data_of("key-1"))]
    with FaultServer(then=fault) as server:
        (error,) = run(mode, settings(server.endpoint, retry=1), fetched)
    assert isinstance(error, TransportError)
    assert "broke before the reply was whole" in str(error)


def test_what_follows_a_large_reply_at_once_is_nobodys(mode):
    def stray(connection):
        body = vectors_body(connection.read_request().json()["keys"]).ljust(SIZE)
        connection.send(http(body) + http(vectors_body(["key-9"])))
        return True

    with FaultServer([stray]) as server:
        results = run(mode, settings(server.endpoint), fetched, fetched)
    assert [values(result) for result in results] == [[("key-1", data_of("key-1"))]] * 2
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_piece_of_a_body_comes_out_of_the_parser_as_it_was_read(mode, monkeypatch):
    reads, taken = Reads(monkeypatch), []
    take = exchange._PieceBuffer.maybe_extract_at_most

    def watch(buffer, count):
        piece = buffer._piece
        taken.append((out := take(buffer, count)) is piece and len(piece) > 0)
        return out

    monkeypatch.setattr(exchange._PieceBuffer, "maybe_extract_at_most", watch)
    with FaultServer(then=faults.padded(SIZE)) as server:
        results = run(mode, settings(server.endpoint), fetched, fetched)
    assert [values(result) for result in results] == [[("key-1", data_of("key-1"))]] * 2
    # all but those that came with a head
    assert taken.count(True) >= len(reads.got) - 2


def test_the_parser_reads_the_same_out_of_pieces_as_out_of_its_own_buffer():
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    dice = random.Random(seed)
    ways = [
        lambda buffer: buffer.maybe_extract_at_most(count),
        lambda buffer: buffer.maybe_extract_next_line(),
        lambda buffer: buffer.maybe_extract_lines(),
        lambda buffer: buffer.is_next_line_obviously_invalid_request_line(),
        len,
        bytes,
        bool,
    ]
    for _ in range(300):
        own, pieces = ReceiveBuffer(), exchange._PieceBuffer(ReceiveBuffer())
        for _ in range(30):
            if dice.random() < 0.4:
                data = bytes(dice.choices(b"ab:\r\n", k=dice.choice([1, 5, 40])))
                own += data
                pieces += data
            way, count = dice.choice(ways), dice.choice([1, 5, 40, 200])
            assert way(pieces) == way(own)
        assert bytes(pieces) == bytes(own)
