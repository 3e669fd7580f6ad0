"""Faults as a client meets them on a real connection: retries happen, and are counted."""

import socket
import time
from urllib.parse import urlsplit

import pytest
from support.calls import MODES, QUICK, run

from oss_vector_retriever import (
    DeadlineExceededError,
    QpsLimitExceededError,
    ResponseError,
    ServiceError,
    TransportError,
)
from oss_vector_retriever.emulator import Server
from oss_vector_retriever.emulator.faults import (
    Delay,
    Duplicate,
    Reorder,
    Reset,
    ServerError,
    Skew,
    Throttle,
    Truncate,
)
from oss_vector_retriever.emulator.operations.table import operation_of

KEYS = [f"k{number}" for number in range(20)]


@pytest.fixture(scope="module", params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def served(make_caller, monkeypatch):
    """Serve an index of a few vectors, and count the requests that arrive."""
    caller = make_caller(index=True)
    caller.put(*((key, [number, 1, 0]) for number, key in enumerate(KEYS)))
    requests = []
    respond = caller.service.respond

    def counting(request):
        requests.append(operation_of(request).name)
        return respond(request)

    monkeypatch.setattr(caller.service, "respond", counting)
    with Server(caller.service) as server:
        server.requests = requests
        server.faults = caller.service.faults
        yield server


def outcomes(mode, server, *works, **options):
    return run(mode, {**server.settings, "index": "index1", "retry": QUICK, **options}, *works)


def fetch(client):
    return client.fetch(KEYS)


def put(client):
    return client.put_vectors([{"key": "new", "data": [9, 9, 9]}])


def is_right(result):
    return [(v.key, v.data[0]) for v in result] == [(k, i) for i, k in enumerate(KEYS)]


@pytest.mark.parametrize(
    "fault",
    [
        Throttle(times=2),
        ServerError(times=2),
        ServerError(times=2, status=504, performed=True),
        Truncate(times=2),
        Truncate(times=2, keep=0.0),
        Reset(times=2),
        Reset(times=2, performed=True),
        Delay(times=2, seconds=0.01),
        Reorder(times=2, seed=1),
    ],
    ids=repr,
)
def test_a_fault_that_passes_is_survived(mode, served, fault):
    served.faults.add(fault)
    (result,) = outcomes(mode, served, fetch)
    assert is_right(result)
    costs_a_request = not isinstance(fault, Delay | Reorder)
    assert served.requests == ["GetVectors"] * (3 if costs_a_request else 1)
    assert len(served.faults.applied) == (2 if costs_a_request else 1)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        # not of throttling, which is waited for as long as the deadline allows
        (ServerError(times=3), ServiceError),
        (ServerError(times=3, status=502), ServiceError),
        (Truncate(times=3), TransportError),
        (Reset(times=3), TransportError),
    ],
    ids=repr,
)
def test_a_fault_that_stays_ends_the_call_after_three_attempts(mode, served, fault, error):
    served.faults.add(fault)
    failed, result = outcomes(mode, served, fetch, fetch)
    assert type(failed) is error or (error is ServiceError and isinstance(failed, ServiceError))
    assert failed.attempts == 3
    assert len(failed.errors) == 2
    assert is_right(result)
    assert len(served.requests) == 4


@pytest.mark.promise("R11")
def test_a_wrong_clock_costs_one_request_once(mode, served):
    served.faults.add(Skew(seconds=-7200))
    first, second = outcomes(mode, served, fetch, fetch)
    assert is_right(first)
    assert is_right(second)
    assert len(served.requests) == 3


def test_a_reply_that_is_too_late_ends_the_call_at_its_deadline(mode, served):
    served.faults.add(Delay(seconds=30))
    late, result = outcomes(mode, served, lambda c: c.fetch(KEYS, timeout=0.3), fetch)
    assert isinstance(late, DeadlineExceededError)
    assert 0.29 < late.elapsed < 10
    assert is_right(result)


def test_a_vector_sent_twice_is_refused_and_not_asked_for_again(mode, served):
    served.faults.add(Duplicate())
    failed, result = outcomes(mode, served, fetch, fetch)
    assert isinstance(failed, ResponseError)
    assert "more often than asked for" in str(failed)
    assert is_right(result)
    assert len(served.requests) == 2


@pytest.mark.parametrize(
    "fault", [Reset(performed=True), Truncate(), ServerError(performed=True)], ids=repr
)
def test_a_write_whose_answer_was_lost_is_written_again_and_there_once(mode, served, fault):
    served.faults.add(fault)
    _, found = outcomes(mode, served, put, lambda c: c.fetch(["new"]))
    assert found[0].data.tolist() == [9, 9, 9]
    # a 500 to a write has the index looked at, which may be too new to take any
    asked = [name for name in served.requests if name != "GetVectorIndex"]
    assert asked == ["PutVectors", "PutVectors", "GetVectors"]


def test_a_fault_is_for_its_operation(mode, served):
    served.faults.add(Throttle(times=None, operation="PutVectors"))
    failed, result = outcomes(mode, served, put, fetch, retry=1)
    assert isinstance(failed, QpsLimitExceededError)
    assert is_right(result)


def connect(server):
    parts = urlsplit(server.endpoint)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


ASK = b"GET /b/?bucketInfo HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_truncated_reply_promises_more_than_it_holds(served):
    served.faults.add(Truncate(keep=0.25))
    received = b""
    with connect(served) as connection:
        connection.sendall(ASK)
        while part := connection.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = (int(line[16:]) for line in head.split(b"\r\n") if line[:16] == b"content-length: ")
    assert len(body) == length // 4 > 0


def test_a_reset_is_a_reset_and_not_an_end(served):
    served.faults.add(Reset())
    with connect(served) as connection:
        connection.sendall(ASK)
        with pytest.raises(ConnectionResetError):
            connection.recv(65536)


def test_a_client_that_does_not_wait_out_a_delay_holds_up_nobody(served):
    served.faults.add(*[Delay(seconds=60)] * 20)
    waiting = [connect(served) for _ in range(20)]
    for connection in waiting:
        connection.sendall(ASK)
    while len(served.faults.applied) < 20:
        time.sleep(0.01)
    assert is_right(outcomes("sync", served, fetch, timeout=5.0)[0])
    for connection in waiting:
        connection.close()


def test_broken_connections_leave_no_word_in_the_log(served, caplog):
    served.faults.add(*[Truncate(), Reset(), Truncate(keep=0.0)] * 3)
    for _ in range(9):
        with connect(served) as connection:
            connection.sendall(ASK)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass
    served.stop()
    assert len(served.faults.applied) == 9
    assert caplog.text == ""
