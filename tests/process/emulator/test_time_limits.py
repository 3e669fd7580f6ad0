"""Clients that begin a request and do not end it, against a server in a process of its own."""

import contextlib
import http.client
import selectors
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.caller import Caller

from oss_vector_retriever import OSSVectorClient, emulator

MEGABYTE = 1 << 20
HEAD_SECONDS, BODY_SECONDS = 1.0, 1.5
SERVE = """
import sys
import logging
from oss_vector_retriever import emulator
from oss_vector_retriever.emulator.http.server import run
logging.basicConfig(level=logging.INFO)
with emulator.Service.in_memory() as service:
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    run(service, port=0, on_ready=lambda endpoint: print(endpoint, flush=True),
        head_timeout=float(sys.argv[1]), body_timeout=float(sys.argv[2]))
"""
HALF_HEAD = b"POST /b/?putVectors HTTP/1.1\r\nHost: local"
HEAD = b"POST /development-bucket/?putVectors HTTP/1.1\r\nHost: localhost\r\n"


class Served:
    """The server, and the connections that were opened to it."""

    def __init__(self, log, head_seconds=HEAD_SECONDS):
        self.log = log
        command = [sys.executable, "-c", SERVE, str(head_seconds), str(BODY_SECONDS)]
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.endpoint = self.process.stdout.readline().strip()
        self.open = []

    def begin(self, *pieces):
        """Open a connection and send a part of a request."""
        parts = urlsplit(self.endpoint)
        link = socket.create_connection((parts.hostname, parts.port), timeout=20)
        self.open.append(link)
        # Refused unread, it is closed while a part is still sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                link.sendall(piece)
        return link

    def count_open(self, patience):
        """Return how many connections the server has not ended after so many seconds."""
        selector = selectors.DefaultSelector()
        for link in self.open:
            link.setblocking(False)
            selector.register(link, selectors.EVENT_READ)
        until = time.monotonic() + patience
        while selector.get_map() and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                with contextlib.suppress(ConnectionResetError):
                    if key.fileobj.recv(65536):
                        continue
                selector.unregister(key.fileobj)
        return len(selector.get_map())

    def memory(self, name):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) * 1024

    def client(self):
        return OSSVectorClient(
            endpoint=self.endpoint,
            bucket=emulator.DEVELOPMENT_BUCKET,
            account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
            region=emulator.DEVELOPMENT_REGION,
            credentials=(
                emulator.DEVELOPMENT_ACCESS_KEY_ID,
                emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
            ),
            index="x",
        )


@pytest.fixture(scope="module", params=[HEAD_SECONDS])
def server(tmp_path_factory, request):
    served = Served(tmp_path_factory.mktemp("served") / "errors.txt", request.param)
    yield served
    served.process.terminate()
    served.process.communicate(timeout=20)
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def served(server):
    yield server
    while server.open:
        server.open.pop().close()


def signed_head(length):
    request = Caller(None).sign("POST", "putVectors")
    headers = {**request.headers, "host": "127.0.0.1:9000", "content-length": str(length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {request.target} HTTP/1.1\r\n{lines}\r\n".encode()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_five_hundred_half_requests_end_within_the_limits_and_take_no_memory(served):
    before = served.memory("VmHWM")
    for _ in range(300):
        served.begin(HALF_HEAD)
    for _ in range(200):
        served.begin(HEAD + b"Content-Length: 20000\r\n\r\n" + b"[" * 10_000)
    half = b"[" * (15 * MEGABYTE // 2)
    for _ in range(40):
        served.begin(HEAD + b"Content-Length: %d\r\n\r\n" % (15 * MEGABYTE), half)
    with served.client() as client:
        started = time.monotonic()
        assert list(client.list_vector_indexes()) == []
        waited = time.monotonic() - started
    assert served.count_open(BODY_SECONDS + 10) == 0
    grown = (served.memory("VmHWM") - before) / MEGABYTE
    print(f"\n540 half requests: {grown:.0f} MB more, a call beside them {waited:.2f} s")  # noqa: T201
    assert grown < 48
    text = served.log.read_text()
    assert "a head did not arrive within 1 s" in text
    assert "a body did not arrive within 1.5 s" in text


def test_half_bodies_that_are_signed_end_too_and_others_are_served_meanwhile(served):
    for _ in range(5):
        served.begin(signed_head(15 * MEGABYTE), b"[" * MEGABYTE)
    with served.client() as client:
        assert list(client.list_vector_indexes()) == []
        assert served.count_open(BODY_SECONDS + 10) == 0
        assert list(client.list_vector_indexes()) == []


SLOW_STARTS = {
    "nothing": (b"", HEAD_SECONDS),
    "head": (HALF_HEAD, HEAD_SECONDS),
    "second head": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + HALF_HEAD, HEAD_SECONDS + 1),
    "body": (HEAD + b"Content-Length: 1000\r\n\r\n", BODY_SECONDS),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", BODY_SECONDS),
}


def test_a_byte_now_and_then_does_not_prolong_it(served):
    def last(name):
        """Return how much longer than its limit a request lasts that comes byte by byte."""
        start, limit = SLOW_STARTS[name]
        link = served.begin(start)
        link.settimeout(0.1)
        started = time.monotonic()
        while time.monotonic() < started + limit + 10:
            try:
                link.sendall(b"1\r\n[\r\n" if b"chunked" in start else b"x")
                if not link.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        return time.monotonic() - started - limit

    with ThreadPoolExecutor(len(SLOW_STARTS)) as side_by_side:
        longer = dict(zip(SLOW_STARTS, side_by_side.map(last, SLOW_STARTS), strict=True))
    assert {name: seconds for name, seconds in longer.items() if seconds >= 5} == {}


def test_a_connection_may_rest_between_requests_for_longer_than_a_head_takes(served):
    link = http.client.HTTPConnection(urlsplit(served.endpoint).netloc, timeout=10)
    ports = set()
    for pause in (HEAD_SECONDS + 0.5, 0):
        link.request("GET", "/")
        assert link.getresponse().read()
        ports.add(link.sock.getsockname()[1])
        time.sleep(pause)
    link.close()
    assert len(ports) == 1


def test_a_refusal_is_readable_by_a_client_that_sends_on(served):
    """A connection that was reset at once would take the reply with it."""
    for _ in range(20):
        link = served.begin(HEAD + b"Content-Length: 900000\r\n\r\n")
        for _ in range(9):
            link.sendall(b"[" * 100_000)
            time.sleep(0.001)
        assert link.recv(65536).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize("server", [2.5], indirect=True)
def test_connections_beyond_the_cap_are_refused_and_the_others_go_on(served):
    with served.client() as client:
        assert list(client.list_vector_indexes()) == []
        for _ in range(950):
            served.begin(HALF_HEAD)
        assert list(client.list_vector_indexes()) == []
    assert served.count_open(2.5 + 10) == 0
    assert "refused a connection: 900 are open" in served.log.read_text()
    with served.client() as client:
        assert list(client.list_vector_indexes()) == []
