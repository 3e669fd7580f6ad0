"""No credential in any text: not in logs, errors, their tracebacks, reprs, pickles or output."""

import asyncio
import contextlib
import pickle
import traceback

import pytest
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer
from support.replies import error_body, http

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.credentials import Credentials

pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.promise("R5")]

ID = "canary-id-5f0c2b7e"
SECRET = "canary-secret-a81d94e3"
TOKEN = "canary-token-77c1e0b6"
CANARIES = Credentials(ID, SECRET, TOKEN)
KEY = "key-1"


def echo(connection):
    """Refuse in words that quote everything the request showed."""
    received = connection.read_request()
    shown = " ".join((received.target, *received.headers.values(), SECRET))
    body = error_body(f"Invalid {shown}", f"You said: {shown}")
    connection.send(http(body, status=403))
    return True


def echo_as_a_page(connection):
    """Be a proxy that shows the request in the title of its page."""
    received = connection.read_request()
    title = f"{received.headers['x-oss-security-token']} {received.headers['authorization']}"
    body = f"<html><title>{title}</title></html>".encode()
    connection.send(http(body, status=502, headers={"Content-Type": "text/html"}))
    return True


FAULTS = {
    "cut": faults.cut_by_length,
    "cut with neither length nor chunks": faults.cut_bare,
    "reset": faults.reset,
    "garbage": faults.garbage,
    "a huge header": faults.huge_header,
    "a redirect": faults.redirect,
    "a page": faults.page(502),
    "a stall": faults.stall,
    "gzip": faults.gzip_bomb,
    "too large": faults.gigabyte,
    "an echo": echo,
    "an echo as a page": echo_as_a_page,
    "an expired token": faults.refuse(403, "SecurityTokenExpired", message=f"{TOKEN} of {ID}"),
}


def texts_of(error):
    """Yield all that could be shown of an error, and of those it holds on to, locals included."""
    yield from (str(error), repr(error), repr(vars(error)), repr(error.args))
    yield from traceback.format_exception(error)
    yield from traceback.TracebackException.from_exception(error, capture_locals=True).format()
    yield pickle.dumps(error).decode("latin-1")
    for inner in (error.__cause__, error.__context__, *getattr(error, "errors", ())):
        if inner is not None:
            yield from texts_of(inner)


def texts_of_client(client):
    yield from (repr(client), repr(client.config), repr(vars(client)))
    with contextlib.suppress(TypeError):
        yield pickle.dumps(client).decode("latin-1")


def texts_of_log(records):
    for record in records:
        yield record.getMessage()
        yield repr(vars(record))


def check(texts):
    texts = list(texts)
    assert texts
    for text in texts:
        for canary in (ID, SECRET, TOKEN):
            assert canary not in text


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_shows_no_credential(name, mode, everything_logged, capfd):
    with FaultServer(then=FAULTS[name]) as server:
        options = settings(
            server.endpoint, credentials=CANARIES, timeout=0.5, max_reply_bytes=100_000
        )
        (error,) = run(mode, options, lambda client: client.fetch([KEY]))
        assert TOKEN in server.requests[0].headers["x-oss-security-token"]
    assert isinstance(error, Exception)
    check(texts_of(error))
    check(texts_of_log(everything_logged.records))
    shown = capfd.readouterr()
    check([shown.out, shown.err])


def test_a_call_that_succeeds_shows_no_credential(mode, everything_logged, capfd):
    def shown_by(client):
        return list(texts_of_client(client))

    with FaultServer() as server:
        options = settings(server.endpoint, credentials=CANARIES)
        result, texts = run(mode, options, lambda client: client.fetch([KEY]), shown_by)
    check([repr(result), *texts])
    check(texts_of_log(everything_logged.records))
    shown = capfd.readouterr()
    check([shown.out, shown.err])


def test_a_cancelled_call_shows_no_credential(everything_logged, capfd):
    async def main():
        async with AsyncOSSVectorClient(
            **settings(server.endpoint, credentials=CANARIES)
        ) as client:
            task = asyncio.ensure_future(client.fetch([KEY]))
            await asyncio.sleep(0.05)
            task.cancel()
            (cancelled,) = await asyncio.gather(task, return_exceptions=True)
            return cancelled

    with FaultServer(then=faults.stall) as server:
        cancelled = asyncio.run(main(), debug=True)
    check(traceback.format_exception(cancelled))
    check(texts_of_log(everything_logged.records))
    shown = capfd.readouterr()
    check([shown.out, shown.err])


@pytest.mark.parametrize("bad", ["secret\n", "sec ret", "se\r\nX-Evil: 1", "secret\0", "sécret"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_credential_that_no_header_may_carry_is_refused_unquoted(bad, place):
    parts = [ID, SECRET, TOKEN]
    parts[place] = bad
    with pytest.raises(ValueError, match="line break") as caught:
        OSSVectorClient(**settings("http://127.0.0.1:1", credentials=tuple(parts)))
    check([*traceback.format_exception(caught.value), repr(vars(caught.value))])
    assert bad not in str(caught.value)
    with_locals = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "OSSVectorClient object" in "".join(with_locals.format())
