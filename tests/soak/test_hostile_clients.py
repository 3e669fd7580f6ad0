"""Clients that send too much, too deep, too slowly or nonsense: nobody else waits for them.

The server is a process of its own, so that its memory can be told.
"""

import itertools
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.caller import Caller

from oss_vector_retriever import OSSVectorClient, emulator

MEGABYTE = 1 << 20
SERVE = """
from oss_vector_retriever import emulator
from oss_vector_retriever.emulator.http.server import run
with emulator.Service.in_memory() as service:
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    run(service, port=0, on_ready=lambda endpoint: print(endpoint, flush=True))
"""
HEAD = b"POST /development-bucket/?putVectors HTTP/1.1\r\nHost: localhost\r\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")


class Served:
    """A server in another process, with an index of one vector."""

    def __init__(self, log):
        self.log = log
        with log.open("w") as errors:
            command = [sys.executable, "-c", SERVE]
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.endpoint = self.process.stdout.readline().strip()
        self.client = OSSVectorClient(
            endpoint=self.endpoint,
            bucket=emulator.DEVELOPMENT_BUCKET,
            account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
            region=emulator.DEVELOPMENT_REGION,
            credentials=(
                emulator.DEVELOPMENT_ACCESS_KEY_ID,
                emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
            ),
            index="hostile",
            retry=1,
        )
        self.client.put_vector_index(dimension=2)
        self.client.put_vectors([{"key": "a", "data": [1, 2]}])
        self.client.fetch(["a"])  # has numpy loaded, 12 MB that no hostile client costs

    def connect(self):
        parts = urlsplit(self.endpoint)
        return socket.create_connection((parts.hostname, parts.port), timeout=20)

    def most_memory(self):
        """Return the most memory it has ever had, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def end(self):
        self.client.close()
        self.process.terminate()
        self.process.communicate(timeout=20)
        return self.log.read_text()


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path / "errors.txt")
    yield served
    # all that there is to say of the last test's clients
    for line in served.end().splitlines():
        assert line.startswith(("refused ", "Invalid HTTP request received."))


class Bystander(threading.Thread):
    """Read the same vector again and again, and note the longest time that took."""

    def __init__(self, served):
        super().__init__(name="bystander")
        self.served = served
        self.longest = self.reads = 0
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            started = time.perf_counter()
            assert self.served.client.fetch(["a"])[0].key == "a"
            self.longest = max(self.longest, time.perf_counter() - started)
            self.reads += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()
        assert self.reads > 0
        assert self.longest < 2


def reply_to(connection):
    """Return all that comes back."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def pour(connection, pieces):
    """Send pieces until all are sent or the server has had enough; return how many bytes went."""
    sent = 0
    try:
        for piece in pieces:
            connection.sendall(piece)
            sent += len(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


def chunks(total):
    piece = b"[" * MEGABYTE
    for _ in range(total // MEGABYTE):
        yield b"%x\r\n%s\r\n" % (len(piece), piece)


def test_a_gigabyte_that_is_declared_is_refused_unread(served):
    before = served.most_memory()
    with Bystander(served), served.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 30))
        assert b"EntityTooLarge" in reply_to(connection)
    grown = served.most_memory() - before
    print(f"\n1 GB declared: {grown / MEGABYTE:.0f} MB more")  # noqa: T201 - a figure
    assert grown < 16 * MEGABYTE


@pytest.mark.parametrize("at_once", [1, pytest.param(8, marks=pytest.mark.soak)])
def test_a_gigabyte_in_chunks_is_read_up_to_the_cap_at_most(served, at_once):
    before = served.most_memory()
    sent = []

    def send():
        with served.connect() as connection:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            sent.append(pour(connection, chunks(1 << 30)))

    with Bystander(served) as bystander:
        threads = [threading.Thread(target=send) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    grown = served.most_memory() - before
    print(  # noqa: T201 - a figure
        f"\n{at_once} x 1 GB in chunks: {max(sent) / MEGABYTE:.0f} MB taken, "
        f"{grown / MEGABYTE:.0f} MB more, longest read beside it {bystander.longest * 1000:.0f} ms"
    )
    assert max(sent) < 80 * MEGABYTE
    assert grown < min(at_once, 4) * 80 * MEGABYTE + 32 * MEGABYTE


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_hundred_thousand_levels_are_refused(served, opening):
    class Signer(Caller):
        def __init__(self):
            super().__init__(None)

    before = served.most_memory()
    request = Signer().sign("POST", "putVectors", b'{"vectors":' + opening * 100_000)
    headers = dict(request.headers) | {"content-length": str(len(request.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with Bystander(served), served.connect() as connection:
        lines += "Host: localhost\r\nConnection: close\r\n"
        head = f"POST {request.target} HTTP/1.1\r\n{lines}\r\n"
        connection.sendall(head.encode() + request.body)
        assert b"MalformedJson" in reply_to(connection)
    assert served.most_memory() - before < 16 * MEGABYTE


@pytest.mark.parametrize("seconds", [1, pytest.param(30, marks=pytest.mark.soak)])
def test_clients_that_write_a_byte_now_and_then_hold_up_nobody(served, seconds):
    before = served.most_memory()
    slow = [served.connect() for _ in range(100)]
    for connection in slow:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n")
    with Bystander(served) as bystander:
        until = time.monotonic() + seconds
        for connection in itertools.cycle(slow):
            connection.sendall(b"x")
            time.sleep(0.001)
            if time.monotonic() > until:
                break
    for connection in slow:
        connection.close()
    print(  # noqa: T201 - a figure
        f"\n100 slow writers: {bystander.reads / seconds:.0f} reads a second beside them, longest "
        f"{bystander.longest * 1000:.0f} ms"
    )
    assert served.most_memory() - before < 32 * MEGABYTE


@pytest.mark.parametrize("count", [200, pytest.param(5_000, marks=pytest.mark.soak)])
def test_what_is_no_http_is_answered_or_cut_off(served, count):
    number = random.randrange(1 << 32)
    rng = random.Random(number)
    print(f"\nseed {number}")  # noqa: T201 - to repeat a failure
    proper = HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
    with Bystander(served):
        for _ in range(count):
            text = bytearray(proper if rng.random() < 0.8 else rng.randbytes(100))
            for _ in range(rng.randint(1, 6)):
                at = rng.randrange(len(text))
                text[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
            with served.connect() as connection:
                pour(connection, [bytes(text)])
                connection.shutdown(socket.SHUT_WR)
                reply = reply_to(connection)
            assert not reply or reply.startswith(b"HTTP/1.1 "), (number, text)
            assert b"InternalError" not in reply, (number, text)
