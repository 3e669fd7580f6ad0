"""What no further attempt can cure is raised at once, by its name."""

import socket

import pytest
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer

from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    NoSuchVectorIndexError,
    ResponseError,
    SignatureDoesNotMatchError,
    TransportError,
)

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.promise("R15")]

FINAL = {
    "a 300 KB header": (faults.huge_header, TransportError, "did not answer in HTTP"),
    "garbage": (faults.garbage, TransportError, "did not answer in HTTP"),
    "a gzip bomb, though identity was asked": (faults.gzip_bomb, TransportError, "Gzip"),
    "a redirect": (faults.redirect, ResponseError, "never followed"),
    "endless chunks": (faults.endless_chunks, ResponseError, "max_reply_bytes"),
    "a gigabyte": (faults.gigabyte, ResponseError, "max_reply_bytes"),
    "AccessDenied": (faults.refuse(403, "AccessDenied"), AccessDeniedError, "RAM"),
    "a wrong key pair": (
        faults.refuse(403, "SignatureDoesNotMatch"),
        SignatureDoesNotMatchError,
        "OSS_ACCESS_KEY_SECRET",
    ),
    "no index": (faults.refuse(404, "NoSuchVectorIndex"), NoSuchVectorIndexError, "index name"),
}


def fetched(client):
    return client.fetch(["key-1"])


@pytest.mark.parametrize("name", FINAL)
def test_a_fault_that_cannot_pass_is_told_after_one_attempt(name, mode):
    fault, error_class, said = FINAL[name]
    with FaultServer(then=fault) as server:
        options = settings(server.endpoint, max_reply_bytes=1_000_000)
        (error,) = run(mode, options, fetched)
    assert isinstance(error, error_class)
    assert said in str(error)
    assert error.attempts == len(server.requests) == 1
    assert error.errors == ()
    assert 0 < error.elapsed < 10


@pytest.mark.parametrize("name", FINAL)
def test_after_a_final_fault_the_client_answers_its_next_call(name, mode):
    with FaultServer([FINAL[name][0]]) as server:
        options = settings(server.endpoint, max_reply_bytes=1_000_000)
        error, result = run(mode, options, fetched, fetched)
    assert isinstance(error, FINAL[name][1])
    assert [vector.key for vector in result] == ["key-1"]


def test_a_service_error_carries_what_support_asks_for(mode):
    refused = faults.refuse(403, "AccessDenied", headers={"x-oss-ec": "0003-00000001"})
    with FaultServer(then=refused) as server:
        (error,) = run(mode, settings(server.endpoint), fetched)
    assert (error.status, error.code, error.ec) == (403, "AccessDenied", "0003-00000001")
    assert error.request_id == "6800C0FFEE00000000000001"


def test_a_redirect_is_never_followed(mode):
    with FaultServer(then=faults.redirect) as server:
        run(mode, settings(server.endpoint), fetched)
    assert [request.target for request in server.requests] == ["/examplebucket/?getVectors"]


def test_a_port_on_which_nobody_listens_is_an_error_that_names_it(mode):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        (error,) = run(mode, settings(endpoint), fetched)
    assert isinstance(error, TransportError)
    assert error.kind == "connect"
    assert endpoint in str(error)
    assert error.attempts == 3


def test_a_host_that_does_not_exist_is_an_error_that_names_it(mode):
    options = settings("https://nowhere.invalid", retry=1)
    (error,) = run(mode, options, fetched)
    assert isinstance(error, TransportError)
    assert error.kind == "connect"
    assert "examplebucket-123456.nowhere.invalid" in str(error)
    assert "check the endpoint" in str(error)
