"""A secret is in nothing that a failing program shows: texts, frames with their locals, logs."""

import asyncio
import logging
import traceback

import pytest
from support import faults
from support.calls import settings
from support.canaries import (
    CLIENTS,
    GOOD,
    ID,
    PASSWORD,
    PLACE,
    SECRET,
    TOKEN,
    check,
    found_in,
    our_frames,
    raised,
    shown_of,
)
from support.fault_server import FaultServer
from support.replies import http

from oss_vector_retriever import AsyncOSSVectorClient, Credentials, OSSVectorClient, ResponseError
from oss_vector_retriever.client.transport import network

pytestmark = [pytest.mark.over_tls("long"), pytest.mark.promise("R5")]


def call(client, method, *arguments, **options):
    """Call a method of either client, and return what it raised."""
    if isinstance(client, OSSVectorClient):
        with client:
            return raised(lambda: getattr(client, method)(*arguments, **options))

    async def main():
        async with client:
            await getattr(client, method)(*arguments, **options)

    return raised(lambda: asyncio.run(main()))


def echo(connection):
    """Refuse with all that the request showed."""
    received = connection.read_request()
    shown = " ".join((*received.headers.values(), SECRET))
    connection.send(http(shown.encode(), status=403, headers={"x-echo": shown, "server": shown}))
    return True


def echo_as_content_type(connection):
    received = connection.read_request()
    kind = f"text/{received.headers['x-oss-security-token']};{SECRET}"
    connection.send(http(b"no JSON " + kind.encode(), headers={"Content-Type": kind}))
    return True


def echo_in_a_long_content_type(connection):
    connection.read_request()
    kind = f"{'x' * 66}{SECRET}"  # what is shown of it ends within the secret
    connection.send(http(b"no JSON", headers={"Content-Type": kind}))
    return True


def echo_as_a_key(connection):
    received = connection.read_request()
    token = received.headers["x-oss-security-token"]
    body = b'{"vectors": [{"key": "%s %s"}]}' % (token.encode(), SECRET.encode())
    connection.send(http(body, headers={"x-oss-request-id": token}))
    return True


FAULTS = {
    "reset": faults.reset,
    "cut": faults.cut_by_length,
    "garbage": faults.garbage,
    "a huge header": faults.huge_header,
    "a redirect": faults.redirect,
    "a page": faults.page(502),
    "a stall": faults.stall,
    "gzip": faults.gzip_bomb,
    "too large": faults.gigabyte,
    "an echo": echo,
    "an echo as content type": echo_as_content_type,
    "an echo in a content type that is cut": echo_in_a_long_content_type,
    "an echo as a key": echo_as_a_key,
    "an expired token": faults.refuse(403, "SecurityTokenExpired", message=f"{TOKEN} of {ID}"),
    "throttling": faults.refuse(503, "QpsLimitExceeded"),
    "a wrong signature": faults.refuse(403, "SignatureDoesNotMatch", message=f"{ID} {SECRET}"),
}


def check_log(log, name=""):
    records = [record for record in log.records if record.name.startswith(name)]
    assert records
    for record in records:
        assert found_in(f"{record.getMessage()} {vars(record)!r}") == []


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("name", FAULTS)
def test_a_call_that_fails_shows_no_secret(client_class, name, everything_logged):
    with FaultServer(then=FAULTS[name]) as server:
        # what goes on until the deadline has a near one; a handshake can take its time
        timeout = 1.0 if name in {"a stall", "throttling"} else 10.0
        options = settings(
            server.endpoint, credentials=lambda: GOOD, timeout=timeout, max_reply_bytes=100_000
        )
        error = call(client_class(**options), "fetch", ["key-1"])
        assert TOKEN in server.requests[0].headers["x-oss-security-token"]
    check(error, frames=4)
    # the engine logs the headers of a reply, whatever a peer has put there
    check_log(everything_logged, "oss_vector_retriever" if name.startswith("an echo") else "")
    if name.startswith("an echo as"):
        assert isinstance(error, ResponseError)
        assert "***" in str(error)


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize(
    ("method", "arguments", "options"),
    [
        ("fetch", [[1]], {}),
        ("fetch", [["key-1"]], {"timeout": -1}),
        ("fetch", [["a", "b"]], {"index": "not-an-index"}),
        ("fetch", [[f"key-{n}" for n in range(150)]], {}),
        ("upsert", [[{"key": "a", "data": ["x"]}]], {}),
        ("upsert", [[{"key": "a", "data": [1.0]}]], {}),
        ("put_bucket_policy", ["{"], {}),
        ("put_vector_index", [], {"dimension": 0}),
        ("query_vectors", [[1.0]], {"top_k": -1}),
        ("list_vector_indexes", [], {}),
        ("delete", [["key-1"]], {}),
    ],
)
def test_other_calls_that_fail_show_no_secret(client_class, method, arguments, options):
    with FaultServer(then=faults.refuse(500, "InternalError")) as server:
        client = client_class(**settings(server.endpoint, credentials=GOOD, retry=1))
        check(call(client, method, *arguments, **options))


def bad_sources():
    def vend():
        return (ID, f"{SECRET}\n")

    def vend_a_list():
        return [ID, SECRET]

    def vend_what_expires_in_no_form():
        return Credentials(ID, SECRET, TOKEN, 3600)

    async def vend_on_loops():
        return (ID, SECRET, f"{TOKEN} ")

    class Chain:
        def get_credential(self):
            return type("Found", (), {"access_key_id": ID, "access_key_secret": f"{SECRET}\n",
                                      "security_token": TOKEN})()  # fmt: skip

    return [vend, vend_a_list, vend_what_expires_in_no_form, vend_on_loops, Chain()]


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("coalesce", [True, False])
def test_what_a_source_gives_is_in_no_frame_when_it_is_refused(client_class, number, coalesce):
    source = bad_sources()[number]
    options = settings("http://127.0.0.1:9", credentials=source, coalesce=coalesce)
    check(call(client_class(**options), "fetch", ["key-1"]))


@pytest.mark.parametrize("client_class", CLIENTS)
def test_credentials_of_the_environment_that_are_refused_are_in_no_frame(client_class, monkeypatch):
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", ID)
    options = settings("http://127.0.0.1:9", credentials=None)
    check(call(client_class(**options), "fetch", ["key-1"]))
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", f"{SECRET}\n")
    check(call(client_class(**options), "fetch", ["key-1"]))


@pytest.mark.parametrize("client_class", CLIENTS)
def test_signing_that_breaks_shows_no_secret(client_class, monkeypatch):
    def broken(*_):
        raise RuntimeError("signing broke")

    for name in ("authorization", "string_to_sign", "canonical_query"):
        with monkeypatch.context() as patch:
            patch.setattr(f"oss_vector_retriever.client.signing.{name}", broken)
            options = settings("http://127.0.0.1:9", credentials=GOOD)
            error = call(client_class(**options), "fetch", ["key-1"])
            assert isinstance(error, RuntimeError)
            assert len([*our_frames(error)]) >= 5
            # the id has a name there, and opens nothing without the others
            assert found_in(shown_of(error)) in ([], [ID])


@pytest.mark.parametrize("when", ["in connecting", "in writing", "in reading"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_what_breaks_into_an_exchange_shows_no_secret(when, kind, monkeypatch):
    place, name = {
        "in connecting": (network.ClippedNetwork, "connect_tcp"),
        "in writing": (network._ClippedStream, "_write"),
        "in reading": (network._ClippedStream, "read"),
    }[when]

    def broken(*_, **__):
        raise kind

    monkeypatch.setattr(place, name, broken)
    with FaultServer() as server:
        client = OSSVectorClient(**settings(server.endpoint, credentials=GOOD))
        error = call(client, "fetch", ["key-1"])
    assert isinstance(error, kind)
    check(error, frames=5)


def test_a_call_that_is_cancelled_shows_no_secret():
    seen = []

    async def main():
        async with AsyncOSSVectorClient(
            **settings(server.endpoint, credentials=GOOD, coalesce=False)
        ) as client:
            task = asyncio.ensure_future(client.fetch(["key-1"]))
            await asyncio.sleep(0.1)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError as error:
                seen.append(error)

    with FaultServer(then=faults.stall) as server:
        asyncio.run(main())
    check(seen[0], frames=5)


class TestTheSearchItself:
    """It finds what is planted, in each place that it looks at."""

    @pytest.mark.parametrize("planted", [{"h": {"authorization": TOKEN}}, [(SECRET,)], PASSWORD])
    @pytest.mark.parametrize("client_class", CLIENTS)
    def test_finds_what_stands_in_a_frame_of_ours(self, planted, client_class):
        error = call(
            client_class(**PLACE, credentials=GOOD), "fetch", ["key-1"], on_missing=planted
        )
        assert found_in(shown_of(error))

    @pytest.mark.parametrize("client_class", CLIENTS)
    def test_finds_what_stands_in_a_frame_of_the_engine(self, client_class, monkeypatch):
        monkeypatch.setattr("oss_vector_retriever.client.steps.drop_frames", lambda *_: None)

        def broken(*_, **__):
            raise ZeroDivisionError

        monkeypatch.setattr("oss_vector_retriever.client.transport.http._read_headers", broken)
        headers = "oss_vector_retriever.client.transport.http._engine_request"
        monkeypatch.setattr(headers, lambda _, request, __: leave_a_local(request.headers))
        with FaultServer() as server:
            client = client_class(**settings(server.endpoint, credentials=GOOD))
            error = call(client, "fetch", ["key-1"])
        assert found_in("\n".join(map(str, all_locals(error))))

    def test_finds_it_in_a_log(self, everything_logged):
        logging.getLogger("httpcore").debug("header %s", SECRET)
        with pytest.raises(AssertionError):
            check_log(everything_logged)


def leave_a_local(headers):
    raise ZeroDivisionError(len(headers))


def all_locals(error):
    return [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
