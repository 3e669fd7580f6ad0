"""MCP over HTTP on real sockets: who is let in, what is answered, and what a service may do."""

import asyncio
import json
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from support.embedded import settings
from support.mcp_sessions import TOOLS, call, import_or_skip, over_http, plain, served

from oss_vector_retriever import ConfigurationError, OSSVectorClient, emulator
from oss_vector_retriever.emulator import faults
from oss_vector_retriever.mcp import OSSVectorMCPServer, http, server

TOKEN = "canary-token-0123456789"
PING = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@pytest.fixture
def client(guide):
    with OSSVectorClient.local(guide[1], index="guide") as client:
        yield client


async def ask(url, *, method="POST", path=None, headers=None, body=PING, host=None):
    """Send one request as it stands; return the status, the headers and the body."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = {"Host": host or parts.netloc, "Content-Length": len(body), **JSON, **(headers or {})}
    head = f"{method} {path or parts.path} HTTP/1.1\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    writer.write(head.encode() + b"\r\n" + body)
    reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, rest = reply.partition(b"\r\n\r\n")
    return int(top.split()[1]), top.decode().lower(), rest.decode()


async def test_the_official_client_lists_and_calls_every_tool_many_times_at_once(client):
    async with served(OSSVectorMCPServer(client)) as url, over_http(url) as session:
        tools = plain(await session.list_tools())["tools"]
        assert [tool["name"] for tool in tools] == TOOLS
        ids = ["north", "east", "north-east", "nope"] * 10
        read = await asyncio.gather(*(call(session, "fetch", id=key) for key in ids))
        assert [one.is_error for one in read] == [key == "nope" for key in ids]
        assert read[0].structured["text"] == "Go north."
        found = await call(session, "search", query="north")
        assert found.structured["results"][0]["id"] == "north"
        assert (await call(session, "fetch_many", ids=["north"])).structured["documents"]
        assert (await call(session, "neighbors", id="north")).structured["neighbors"]
        uri = plain(await session.list_resource_templates())["resourceTemplates"][0]["uriTemplate"]
        content = plain(await session.read_resource(uri.replace("{key}", "east")))["contents"]
        assert content[0]["text"] == "Go east."


async def test_a_client_of_the_later_protocol_needs_no_handshake(client):
    library = import_or_skip("mcp")
    if not hasattr(library, "Client"):
        pytest.skip("mcp before 2 has the protocol with a handshake alone")
    async with served(OSSVectorMCPServer(client)) as url, library.Client(url) as later:
        assert later.protocol_version >= "2026"
        assert [tool.name for tool in (await later.list_tools()).tools] == TOOLS
        assert (await call(later, "fetch", id="north")).structured["text"] == "Go north."
        assert (await call(later, "fetch", id="nope")).is_error


REFUSED = {
    "a foreign page": ({"headers": {"Origin": "http://evil.example"}}, 403),
    "a sandboxed page": ({"headers": {"Origin": "null"}}, 403),
    "a page that fetches": ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
    "a page of another port": ({"headers": {"Origin": "http://127.0.0.1:1"}}, 403),
    "a name bound anew": ({"host": "evil.example"}, 403),
    "a name bound anew, with our port": ({"host": "evil.example:8765"}, 403),
    "a target for another": ({"path": "http://evil.example/mcp"}, 403),
    "another path": ({"path": "/"}, 404),
    "a stream": ({"method": "GET", "body": b""}, 405),
    "the end of a session": ({"method": "DELETE", "body": b""}, 405),
    "a long body": ({"body": b"x" * 1_100_000}, 413),
    "a long body in parts": (
        {
            "headers": {"Content-Length": None, "Transfer-Encoding": "chunked"},
            "body": (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 20 + b"0\r\n\r\n",
        },
        413,
    ),
    "no JSON": ({"body": b"{"}, 400),
}


async def test_what_may_not_ask_is_refused_and_what_may_is_answered(client):
    server = OSSVectorMCPServer(client)
    async with served(server, allow_hosts=["tunnel.example", ".wide.example"]) as url:
        for name, (request, status) in REFUSED.items():
            got, _, body = await ask(url, **request)
            assert got == status, (name, body)
            assert "Traceback" not in body
        own = f"http://{urlsplit(url).netloc}"
        for allowed in (
            {},
            {"host": "localhost:5"},
            {"host": "tunnel.example"},
            {"host": "a.wide.example"},
            {"headers": {"Origin": own, "Sec-Fetch-Site": "same-origin"}},
        ):
            got, _, body = await ask(url, **allowed)
            assert (got, json.loads(body)) == (200, {"jsonrpc": "2.0", "id": 1, "result": {}})


async def test_a_token_is_asked_for_and_never_told(client, caplog):
    caplog.set_level(0)
    async with served(OSSVectorMCPServer(client), token=TOKEN) as url:
        for wrong in (None, "", "Bearer", TOKEN, f"bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x",
                      "Bearer caf\u00e9", f"Basic {TOKEN}"):  # fmt: skip
            status, head, body = await ask(url, headers={"Authorization": wrong})
            assert status == 401, wrong
            assert "www-authenticate: bearer" in head
            assert "canary" not in body
        twice = {"Authorization": f"Bearer {TOKEN}", "authorization": "Bearer other"}
        assert (await ask(url, headers=twice))[0] == 401
        assert (await ask(url, headers={"Authorization": f"Bearer {TOKEN}"}))[0] == 200
        # a page is refused before anything is said of tokens
        assert (await ask(url, headers={"Origin": "http://evil.example"}))[0] == 403
        async with over_http(url, TOKEN) as session:
            assert (await call(session, "fetch", id="north")).structured["id"] == "north"
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"token": "short"}, "16 characters or more"),
        ({"token": "with blanks in it, though long"}, "without spaces"),
        ({"token": "with-\u00e9-in-it-though-long"}, "ASCII"),
        ({"host": "0.0.0.0"}, "needs a token"),
        ({"host": "no host"}, "cannot listen on no host"),
        ({"host": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
        ({"allow_hosts": ["http://x"]}, "cannot be an allowed host"),
    ],
)
async def test_what_cannot_be_served_is_refused_with_a_reason(client, options, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        async with served(OSSVectorMCPServer(client), **options):
            pass
    assert "though long" not in str(refused.value)


async def test_others_than_this_machine_are_served_with_a_token(client):
    async with served(OSSVectorMCPServer(client), host="0.0.0.0", token=TOKEN) as url:
        assert url.startswith("http://127.0.0.1:")
        assert (await ask(url))[0] == 401
        # an address that browsers take for this machine, and that no server has
        assert (await ask(url, host="0.0.0.0"))[0] == 403


async def test_its_end_closes_what_is_open_at_once(client):
    asked = asyncio.Event()

    async def embed(_):
        asked.set()
        await asyncio.sleep(1_000)

    arguments = {"name": "search", "arguments": {"query": "x"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}
    async with served(OSSVectorMCPServer(client, embedding=embed)) as url:
        place = urlsplit(url)
        idle, writer = await asyncio.open_connection(place.hostname, place.port)
        waiting = asyncio.create_task(
            ask(
                url,
                headers={"MCP-Protocol-Version": "2025-06-18"},
                body=json.dumps(message).encode(),
            )
        )
        await asyncio.wait_for(asked.wait(), 20)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError, IndexError)):
        await asyncio.wait_for(waiting, 5)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(idle.read(), 5) == b""
    writer.close()


async def test_who_connects_and_says_nothing_takes_no_place_for_long(client, monkeypatch):
    def hasty(gate, on_ready):
        gate._body_timeout = 0.3
        return http.HttpServer(gate, on_ready, head_timeout=0.3)

    monkeypatch.setattr(http, "_MOST_REQUESTS", 6)
    monkeypatch.setattr(server, "HttpServer", hasty)
    begun = [b"", b"POST /mcp HTTP/1.1\r\nHost: ", b"GE"]
    async with served(OSSVectorMCPServer(client)) as url:
        parts = urlsplit(url)
        silent = []
        for part in (*begun, *begun):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writer.write(part)
            silent.append((reader, writer))
        assert (await ask(url))[0] == 503
        for reader, writer in silent:
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        assert (await ask(url))[0] == 200
        # nor with a head and no body
        late = await asyncio.wait_for(ask(url, headers={"Content-Length": 9_999}), 5)
        assert late[0] == 408
        assert "did not arrive within 0.3 s" in late[2]
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"no request at all\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_a_service_that_is_down_or_throttles_is_an_error_of_the_tool():
    with emulator.Service.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with emulator.Server(service) as front:
            place = settings(front.endpoint)
        # its port is closed now
        with OSSVectorClient(**place, timeout=1.0) as client:
            async with served(OSSVectorMCPServer(client)) as url, over_http(url) as session:
                failed = await call(session, "fetch", id="a")
                assert failed.is_error
                assert "It may succeed later." in failed.text
                with pytest.raises(Exception, match="nothing could be fetched"):
                    await session.read_resource(
                        f"ossvectors://{emulator.DEVELOPMENT_BUCKET}/vectors/a"
                    )
        service.faults.add(faults.Throttle(times=None))
        with emulator.Server(service) as front:
            place = settings(front.endpoint)
            with OSSVectorClient(**place, timeout=0.5) as client:
                async with served(OSSVectorMCPServer(client)) as url, over_http(url) as session:
                    calls = [call(session, "fetch_many", ids=[f"k{n}"]) for n in range(5)]
                    for failed in await asyncio.gather(*calls):
                        assert failed.is_error
                        assert "It may succeed later." in failed.text
                        assert emulator.DEVELOPMENT_ACCESS_KEY_SECRET not in failed.text
