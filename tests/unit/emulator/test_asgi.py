import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from oss_vector_retriever.emulator import faults
from oss_vector_retriever.emulator.http.application import Application

BODY = b'{"indexName":"index1","keys":["a"]}'
FOUND = {"vectors": [{"key": "a"}]}


def scope_of(request, **changes):
    headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    headers.append((b"host", request.origin.partition("//")[2].encode()))
    scope = {
        "type": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query.encode(),
        "headers": headers,
    }
    return scope | changes


async def ask(service, scope, *chunks, disconnect=False, application=None):
    """Return (status, headers, body) of what the application sends, or None for nothing."""
    messages = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    if disconnect:
        messages.append({"type": "http.disconnect"})
    elif messages:
        messages[-1]["more_body"] = False
    sent = []

    async def receive():
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await (application or Application(service))(scope, receive, send)
    if not sent:
        return None
    start, body, *end = sent
    # A connection that is to be closed stays open for a moment behind the whole reply.
    assert end in ([], [{"type": "http.response.body", "body": b""}])
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, body["body"]


@pytest.fixture
def filled(caller):
    caller.put(("a", [1, 2, 3]))
    return caller


async def test_a_request_in_path_style_is_answered(filled):
    scope = scope_of(filled.sign("POST", "getVectors", BODY))
    status, headers, body = await ask(filled.service, scope, BODY[:5], b"", BODY[5:])
    assert (status, orjson.loads(body)) == (200, FOUND)
    assert headers["content-length"] == str(len(body))
    assert headers["content-type"] == "application/json"
    assert len(headers["x-oss-request-id"]) == 24


@pytest.mark.parametrize("target", ["", "/"])
async def test_a_target_in_absolute_form_is_answered(filled, target):
    origin = "http://development-bucket-1000000000000001.cn-hangzhou.oss-vectors.aliyuncs.com"
    request = filled.sign("POST", "getVectors", BODY, origin=origin, path="/")
    scope = scope_of(request, raw_path=f"{origin}{target}".encode(), path=f"{origin}{target}")
    scope["headers"] = [h for h in scope["headers"] if h[0] != b"host"]
    status, _, body = await ask(filled.service, scope, BODY)
    assert (status, orjson.loads(body)) == (200, FOUND)


async def test_a_server_without_raw_path_will_do(filled):
    scope = scope_of(filled.sign("POST", "getVectors", BODY))
    del scope["raw_path"]
    assert (await ask(filled.service, scope, BODY))[0] == 200


async def test_a_header_sent_twice_is_joined(filled):
    sent = {"x-oss-twice": "a,b"}
    scope = scope_of(filled.sign("POST", "getVectors", BODY, headers=sent))
    scope["headers"] = [h for h in scope["headers"] if h[0] != b"x-oss-twice"]
    scope["headers"] += [(b"X-Oss-Twice", b"a"), (b"x-oss-twice", b"b")]
    assert (await ask(filled.service, scope, BODY))[0] == 200


async def test_a_success_without_a_body_has_no_length(filled):
    scope = scope_of(filled.sign("POST", "deleteVectors", BODY))
    status, headers, body = await ask(filled.service, scope, BODY)
    assert (status, body) == (204, b"")
    assert "content-length" not in headers


@pytest.mark.parametrize(
    ("declared", "chunks"), [(b"101", []), (b"5", [b"x" * 60, b"x" * 60, b"never read"])]
)
async def test_a_body_over_the_cap_is_not_read_to_its_end(make_caller, declared, chunks):
    caller = make_caller(max_body_bytes=100)
    scope = scope_of(caller.sign("POST", "getVectors"))
    scope["headers"].append((b"content-length", declared))
    status, headers, body = await ask(caller.service, scope, *chunks)
    assert (status, orjson.loads(body)["Error"]["Code"]) == (400, "EntityTooLarge")
    assert headers["connection"] == "close"


@pytest.mark.parametrize("declared", [b"65537", None], ids=["long", "of unknown length"])
async def test_a_long_body_that_nobody_signed_is_not_read(filled, declared):
    """A gigabyte follows, of which no byte is wanted."""
    request = filled.sign("POST", "getVectors", BODY)
    framing = (
        (b"transfer-encoding", b"chunked") if declared is None else (b"content-length", declared)
    )

    def scope_with(authorization):
        scope = scope_of(request)
        scope["headers"] = [h for h in scope["headers"] if h[0] != b"authorization"]
        scope["headers"] += [framing, *authorization]
        return scope

    class Unread(Application):
        async def _read(self, *_):
            raise AssertionError("the body was read")

    signature = request.headers["authorization"]
    for header, code in (
        (None, "AccessDenied"),
        ("Bearer x", "InvalidArgument"),
        (signature[:-4] + "0000", "SignatureDoesNotMatch"),
        (signature.replace("development-access", "another-access"), "InvalidAccessKeyId"),
    ):
        sent = [] if header is None else [(b"authorization", header.encode())]
        unread = Unread(filled.service)
        status, headers, body = await ask(None, scope_with(sent), BODY, application=unread)
        assert (status // 100, orjson.loads(body)["Error"]["Code"]) == (4, code)
        assert headers["connection"] == "close"
    whole = scope_with([(b"authorization", signature.encode())])
    assert (await ask(filled.service, whole, BODY))[0] == 200


async def test_a_long_body_is_read_whatever_the_clocks_say(filled):
    """A fault may set the service's clock, so that the client's first try is refused by it."""
    filled.service.faults.add(faults.Skew(seconds=7200))
    later = datetime.now(UTC) + timedelta(seconds=7200)
    for now, status in ((None, 403), (later, 200)):
        scope = scope_of(filled.sign("POST", "getVectors", BODY, now=now))
        scope["headers"].append((b"transfer-encoding", b"chunked"))
        assert (await ask(filled.service, scope, BODY))[0] == status


async def test_a_body_that_does_not_come_is_given_up(filled):
    application = Application(filled.service, body_timeout=0.05)
    sent = []

    async def receive():
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = scope_of(filled.sign("POST", "getVectors", BODY))
    async with asyncio.timeout(10):
        await application(scope, receive, send)
    assert sent[0]["status"] == 400
    assert orjson.loads(sent[1]["body"])["Error"]["Code"] == "RequestTimeout"


async def test_a_client_that_goes_away_gets_no_answer(filled):
    scope = scope_of(filled.sign("POST", "deleteVectors", BODY))
    assert await ask(filled.service, scope, BODY, disconnect=True) is None
    assert len(filled.get(["a"])) == 1


async def test_the_lifespan_is_acknowledged(caller):
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message["type"])

    await Application(caller.service)({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_refused(caller):
    with pytest.raises(NotImplementedError, match="websocket"):
        await ask(caller.service, {"type": "websocket"})


async def test_bodies_that_are_together_too_much_are_refused_until_others_are_done(make_caller):
    caller = make_caller(index=True, max_body_bytes=100)
    application = Application(caller.service)
    scope = scope_of(caller.sign("POST", "getVectors", BODY))
    never = asyncio.Event()
    waiting = []

    def slow():
        parts = [{"type": "http.request", "body": b"x" * 90, "more_body": True}]

        async def receive():
            return parts.pop() if parts else await never.wait()

        return asyncio.ensure_future(application(scope, receive, None))

    async def ask():
        sent = []

        async def receive():
            return {"type": "http.request", "body": BODY}

        async def send(message):
            sent.append(message)

        await application(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]).get(b"connection")

    for _ in range(4):
        waiting.append(slow())
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert await ask() == (200, b"keep-alive")
    application._memory.left -= 10
    assert await ask() == (503, b"close")
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    assert await ask() == (200, b"keep-alive")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert application._memory.left == 390
