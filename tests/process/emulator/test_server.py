import http.client
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import orjson
import pytest

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator import Server
from oss_vector_retriever.emulator.http import server as server_module

BODY = b'{"indexName":"index1","keys":["a"]}'


def ask(server, request):
    """Send a request over HTTP and return (status, headers, body)."""
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)
    try:
        connection.request(request.method, request.target, request.body, dict(request.headers))
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


@pytest.fixture
def filled(caller):
    caller.put(("a", [1, 2, 3]))
    return caller


def raw(server, text, *, until_closed=True):
    """Send bytes and return what comes back until the server closes."""
    parts = urlsplit(server.endpoint)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(text)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if not until_closed:
                break
    return received


def test_a_request_is_answered_over_http(filled):
    with Server(filled.service) as server:
        assert server.endpoint.startswith("http://127.0.0.1:")
        status, headers, body = ask(server, filled.sign("POST", "getVectors", BODY))
    assert (status, orjson.loads(body)) == (200, {"vectors": [{"key": "a"}]})
    assert headers["Server"] == "AliyunOSS"
    assert headers.get_all("Date") == [headers["Date"]]
    assert headers["Content-Type"] == "application/json"
    assert len(headers["x-oss-request-id"]) == 24


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH"])
def test_any_other_method_gets_a_json_error(filled, method):
    with Server(filled.service) as server:
        status, headers, body = ask(server, filled.sign(method))
    assert status == 405
    assert (body == b"") is (method == "HEAD")
    assert headers["x-oss-request-id"]


def test_an_unsigned_request_gets_a_json_error(filled):
    with Server(filled.service) as server:
        reply = raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403")
    assert orjson.loads(body)["Error"]["Code"] == "AccessDenied"


def test_the_body_of_a_long_request_is_not_awaited(make_caller):
    caller = make_caller(max_body_bytes=1000)
    with Server(caller.service) as server:
        head = b"POST /b/?putVectors HTTP/1.1\r\nHost: localhost\r\n"
        reply = raw(server, head + b"Content-Length: 1000000000\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 400")
    assert b"EntityTooLarge" in reply


def test_a_slow_writer_does_not_hold_up_others(filled):
    with Server(filled.service) as server:
        parts = urlsplit(server.endpoint)
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as slow:
            slow.sendall(b"POST /b/?putVectors HTTP/1.1\r\nHost: localhost\r\n")
            slow.sendall(b"Content-Length: 99\r\n\r\n{")
            started = time.monotonic()
            assert ask(server, filled.sign("POST", "getVectors", BODY))[0] == 200
            assert time.monotonic() - started < 5


def test_many_clients_at_once(caller):
    caller.put(*((f"k{i}", [i, 0, 0]) for i in range(100)))

    def one(i):
        request = caller.sign(
            "POST", "getVectors", b'{"indexName":"index1","keys":["k%d"],"returnData":true}' % i
        )
        return orjson.loads(ask(server, request)[2])["vectors"][0]["data"]["float32"][0]

    with Server(caller.service) as server, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(100))) == [float(i) for i in range(100)]


def test_stopping_is_quick_with_idle_connections_open_and_stopping_twice_is_fine(filled):
    before = set(threading.enumerate())
    server = Server(filled.service)
    server.start()
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)
    request = filled.sign("POST", "getVectors", BODY)
    connection.request(request.method, request.target, request.body, dict(request.headers))
    assert connection.getresponse().read()
    started = time.monotonic()
    server.stop()
    server.stop()
    connection.close()
    assert time.monotonic() - started < 4
    assert {t for t in threading.enumerate() if t.name == "oss-vectors"} <= before


def test_a_server_that_never_started_can_be_stopped(caller):
    Server(caller.service).stop()


def test_replies_are_not_delayed_on_a_connection_that_stays_open(filled):
    request = filled.sign("POST", "getVectors", BODY)
    with Server(filled.service) as server:
        connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=10)
        times = []
        for _ in range(50):
            started = time.monotonic()
            connection.request(request.method, request.target, request.body, dict(request.headers))
            assert connection.getresponse().read()
            times.append(time.monotonic() - started)
        connection.close()
    assert statistics.median(times) < 0.03, "a reply that is held back takes 40 ms"


def test_a_port_in_use_is_named(caller):
    with Server(caller.service) as server:
        port = urlsplit(server.endpoint).port
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{port}"):
            Server(caller.service, port=port)


def test_only_this_machine_is_served_by_default(caller):
    with Server(caller.service) as server:
        assert server._socket.getsockname()[0] == "127.0.0.1"


def test_a_client_that_does_not_read_is_left_and_one_that_reads_slowly_is_not(
    make_caller, monkeypatch
):
    """Its replies would be in memory for ever."""
    monkeypatch.setattr(server_module, "_UNREAD_SECONDS", 3.0)
    requests = 3  # in one go: the second reply waits until the first is read
    caller = make_caller()
    caller.make_index(dimension=4096)
    caller.put(*((f"k{n}", [n + x / 7 for x in range(4096)]) for n in range(100)))
    members = {"indexName": "index1", "keys": [f"k{n}" for n in range(100)], "returnData": True}
    request = caller.sign("POST", "getVectors", orjson.dumps(members))
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head = f"POST {request.target} HTTP/1.1\r\nHost: localhost\r\n{lines}"
    text = f"{head}Content-Length: {len(request.body)}\r\n\r\n".encode() + request.body
    with Server(caller.service) as server:
        parts = urlsplit(server.endpoint)
        slow, deaf = socket.socket(), socket.socket()
        with slow, deaf:
            # The server sees progress whenever a third of the system's buffer is free again.
            for link, buffer in ((slow, 1 << 18), (deaf, 4096)):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
                link.connect((parts.hostname, parts.port))
                link.sendall(text * requests)
            connections = server._server.server_state.connections
            received = slow.recv(65536)
            until = time.monotonic() + 60

            def is_whole():
                return received.count(b"HTTP/1.1 200") == requests and received.endswith(b"]}")

            while len(connections) == 2 or not is_whole():
                assert time.monotonic() < until
                if not is_whole():
                    part = slow.recv(65536)
                    assert part
                    received += part
                time.sleep(0.005)
            assert len(connections) == 1
            assert deaf.recv(65536)  # what its buffers hold


SERVE = """
from oss_vector_retriever.emulator import Service
from oss_vector_retriever.emulator.http.server import run
with Service() as service:
    run(service, port=0, on_ready=lambda endpoint: print(endpoint, flush=True))
print("closed", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another matter there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_cleanly(number):
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        endpoint = process.stdout.readline().strip()
        parts = urlsplit(endpoint)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 403
        connection.close()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "closed\n", "")
