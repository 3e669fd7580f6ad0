"""A fault that passes costs an attempt; one that stays ends in an error that says what it was."""

import pytest
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer
from support.promises import sized
from support.replies import data_of

from oss_vector_retriever import RetryPolicy
from oss_vector_retriever.client.errors import (
    InternalServiceError,
    OSSVectorError,
    QpsLimitExceededError,
    ResponseError,
    TransportError,
)

pytestmark = pytest.mark.usefixtures("library")

KEYS = ["key-2", "key-1", "key-2"]
BROKE = "broke before the reply was whole"
PASSING = {
    "cut by length": (faults.cut_by_length, TransportError, BROKE),
    "cut chunked": (faults.cut_chunked, TransportError, BROKE),
    "cut with neither length nor chunks": (faults.cut_bare, ResponseError, "not whole JSON"),
    "cut in the head": (faults.cut_head, TransportError, BROKE),
    "reset": (faults.reset, TransportError, BROKE),
    "reset in the body": (faults.reset_in_body, TransportError, BROKE),
    "closed without a reply": (faults.no_reply, TransportError, BROKE),
    "HTTP 500": (faults.refuse(500, "InternalError"), InternalServiceError, "InternalError"),
    "HTTP 503": (faults.refuse(503, "QpsLimitExceeded"), QpsLimitExceededError, "rate_limit="),
    "HTTP 503 with Retry-After": (
        faults.refuse(503, "QpsLimitExceeded", headers={"Retry-After": "0"}),
        QpsLimitExceededError,
        "HTTP 503",
    ),
    "HTTP 429": (faults.refuse(429, "TooManyRequests"), OSSVectorError, "HTTP 429"),
    "a proxy's page with 502": (faults.page(502), InternalServiceError, "'Bad Gateway'"),
    "a proxy's page with 200": (faults.page(200), ResponseError, "text/html"),
}


def fetched(client):
    return client.fetch(KEYS)


def check_data(result):
    assert [vector.key for vector in result] == KEYS
    assert [vector.data.tolist() for vector in result] == [data_of(key) for key in KEYS]
    assert result.missing == ()


@pytest.mark.promise("R1")
@pytest.mark.parametrize("name", PASSING)
# the way over two attempts begins as that over one
@pytest.mark.parametrize("times", sized([2], [1, 2]))
def test_a_fault_that_passes_is_survived(name, times, mode):
    fault = PASSING[name][0]
    with FaultServer([fault] * times) as server:
        (result,) = run(mode, settings(server.endpoint), fetched)
    check_data(result)
    assert len(server.requests) == times + 1
    signatures = {request.headers["authorization"] for request in server.requests}
    assert all(signature.startswith("OSS4-HMAC-SHA256 Credential=id/") for signature in signatures)


THROTTLING = [name for name in PASSING if "HTTP 503" in name or "HTTP 429" in name]


@pytest.mark.parametrize("name", [name for name in PASSING if name not in THROTTLING])
def test_a_fault_that_stays_ends_in_an_error_of_ours(name, mode):
    fault, error_class, said = PASSING[name]
    with FaultServer(then=fault) as server:
        (error,) = run(mode, settings(server.endpoint), fetched)
    assert isinstance(error, error_class)
    assert said in str(error)
    assert len(server.requests) == error.attempts == 3
    assert [type(earlier) for earlier in error.errors] == [type(error)] * 2
    assert 0 < error.elapsed < 10
    assert f"(3 attempts in {error.elapsed:.2f} s)" in str(error)


@pytest.mark.parametrize("name", THROTTLING)
def test_throttling_that_stays_ends_when_the_deadline_leaves_no_time_for_a_pause(name, mode):
    fault, error_class, said = PASSING[name]
    # the second attempt after 0.15 to 0.3 s; the third, if any, after 0.3 to 0.6 s more
    options = {"timeout": 0.9, "retry": RetryPolicy(throttle_base=0.3)}
    with FaultServer(then=fault) as server:
        (error,) = run(mode, settings(server.endpoint, **options), fetched)
    assert isinstance(error, error_class)
    assert said in str(error)
    assert len(server.requests) == error.attempts >= 2
    assert error.elapsed < 0.9


def test_throttling_is_outlasted_though_it_refuses_more_often_than_a_call_is_tried(mode):
    refusal = faults.refuse(503, "QpsLimitExceeded")
    with FaultServer([refusal] * 6) as server:
        (result,) = run(mode, settings(server.endpoint), fetched)
    check_data(result)
    assert len(server.requests) == 7


def test_a_connection_closed_on_reuse_costs_one_attempt(mode):
    script = [faults.proper, faults.no_reply]
    with FaultServer(script) as server:
        results = run(mode, settings(server.endpoint), fetched, fetched)
    for result in results:
        check_data(result)
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_connection_closed_while_idle_is_replaced_without_a_lost_attempt(mode):
    with FaultServer(then=faults.proper_then_gone) as server:
        alone = settings(server.endpoint, retry=1)
        results = run(mode, alone, fetched, lambda _: server.wait_until_idle(), fetched)
    check_data(results[0])
    check_data(results[2])
    assert [request.connection for request in server.requests] == [1, 2]


def test_connections_are_kept_and_used_again(mode):
    with FaultServer() as server:
        results = run(mode, settings(server.endpoint), fetched, fetched, fetched)
    assert len(results) == 3
    assert server.connections == 1


def test_a_long_retry_after_is_waited_for(mode):
    seconds = sized("0.5", "1")  # the standard has whole ones
    throttled = faults.refuse(503, "QpsLimitExceeded", headers={"Retry-After": seconds})
    with FaultServer([throttled]) as server:
        (result,) = run(mode, settings(server.endpoint), fetched)
    check_data(result)
    first, second = server.requests
    assert second.at - first.at > 0.9 * float(seconds)


@pytest.mark.parametrize("seconds", ["3600", "1e308", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_retry_after_beyond_the_deadline_is_not_waited_for(seconds, mode):
    throttled = faults.refuse(503, "QpsLimitExceeded", headers={"Retry-After": seconds})
    with FaultServer(then=throttled) as server:
        (error,) = run(mode, settings(server.endpoint, timeout=2.0), fetched)
    assert isinstance(error, QpsLimitExceededError)
    assert error.attempts == len(server.requests) == 1
    assert error.elapsed < 1


@pytest.mark.parametrize("senseless", ["-5", "nan", "inf", "soon", "", "1e999"])
def test_a_senseless_retry_after_is_ignored(senseless, mode):
    throttled = faults.refuse(503, "QpsLimitExceeded", headers={"Retry-After": senseless})
    with FaultServer([throttled]) as server:
        (result,) = run(mode, settings(server.endpoint), fetched)
    check_data(result)
