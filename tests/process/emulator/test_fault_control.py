"""`/_emulator/faults`, asked over a socket."""

import socket
from urllib.parse import urlsplit

import orjson
import pytest

from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import Server
from oss_vector_retriever.emulator.faults import Delay, Skew
from oss_vector_retriever.emulator.http.application import FaultControl


def connect(server):
    parts = urlsplit(server.endpoint)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


@pytest.fixture
def controlled(make_caller):
    caller = make_caller(index=True)
    caller.put(("a", [1, 2, 3]))
    with Server(caller.service, allow_faults=True) as server:
        server.caller = caller
        yield server


def ask(server, method, body=None, *, path="/_emulator/faults", **headers):
    sent = {"Host": "127.0.0.1:1", "Connection": "close", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    text = b"" if body is None else orjson.dumps(body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items() if value)
    head = f"{method} {path} HTTP/1.1\r\n{lines}Content-Length: {len(text)}\r\n\r\n"
    received = b""
    with connect(server) as connection:
        connection.sendall(head.encode() + text)
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), orjson.loads(body)


def test_faults_are_listed_added_and_cleared(controlled):
    assert ask(controlled, "GET") == (200, {"pending": [], "applied": [], "counts": {}})
    one = {"kind": "throttle", "times": 1, "operation": "GetVectors", "retry_after": None}
    status, shown = ask(controlled, "POST", {"kind": "throttle", "operation": "GetVectors"})
    assert (status, shown) == (200, {"pending": [one], "applied": [], "counts": {}})
    more = {"faults": [{"kind": "delay", "seconds": 0}, {"kind": "skew", "seconds": 5}]}
    assert len(ask(controlled, "POST", more)[1]["pending"]) == 3
    assert controlled.caller.service.faults.pending[1:] == (Delay(seconds=0), Skew(seconds=5))
    body = b'{"indexName":"index1","keys":["a"]}'
    request = controlled.caller.sign("POST", "getVectors", body)
    assert controlled.caller.service.respond(request).reply.status == 503
    shown = ask(controlled, "GET")[1]
    assert shown["applied"][0] == {"fault": one, "operation": "GetVectors"}
    assert shown["counts"] == {"throttle": 1, "delay": 1, "skew": 1}
    assert ask(controlled, "DELETE") == (200, {"pending": [], "applied": [], "counts": {}})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "kind must be one of throttle, server_error"),
        ({"kind": ["throttle"]}, "kind must be one of"),
        ({"kind": "throttle", "time": 1}, "throttle has no 'time'"),
        ({"kind": "throttle", "times": "3"}, "times must be a whole number"),
        ({"kind": "delay", "seconds": -1}, "seconds must be a number from 0"),
        ({"faults": 1}, "faults must be a list"),
        ({"faults": [1]}, "a fault must be an object"),
        ([], "must be a JSON object"),
    ],
)
def test_nonsense_is_refused_and_adds_nothing(controlled, body, reason):
    status, answer = ask(controlled, "POST", body)
    assert (status, answer["Error"]["Code"]) == (400, "InvalidArgument")
    assert reason in answer["Error"]["Message"]
    assert controlled.caller.service.faults.pending == ()


def test_a_page_in_a_browser_cannot_add_any(controlled):
    for headers in (
        {"Content_Type": "text/plain"},
        {"Content_Type": None},
        {"Host": "evil.example"},
        {"Host": "[evil"},
    ):
        status, _ = ask(controlled, "POST", {"kind": "throttle"}, **headers)
        assert status in (400, 403)
    assert controlled.caller.service.faults.pending == ()


def test_another_method_is_refused(controlled):
    assert ask(controlled, "PUT", {})[0] == 405


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_unless_asked_for_there_is_nothing_at_that_path(caller, method):
    with Server(caller.service) as server:
        status, answer = ask(server, method, {"kind": "throttle"})
    assert (status, answer["Error"]["Code"]) == (403, "AccessDenied")
    assert caller.service.faults.pending == ()


@pytest.mark.parametrize("client", [("10.0.0.1", 5), ("fe80::1", 5), None])
def test_only_this_machine_is_heard(caller, client):
    request = Request("POST", "http://localhost", "/_emulator/faults")
    control = FaultControl(caller.service.faults)
    assert not control.hears(request, client and client[0])
    assert control.hears(request, "127.0.0.1")
    assert control.hears(request, "::1")
