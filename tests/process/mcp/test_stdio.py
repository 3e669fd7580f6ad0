"""`oss-vectors mcp` as a host starts it: the protocol on stdout alone, and an end at once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from support.command_line import COMMAND
from support.mcp_sessions import TOOLS, call, plain
from support.promises import sized

# What a provider's package may do: print, in Python and below it, and begin processes that print.
NOISY = """
import asyncio, os, subprocess
from langchain_core.embeddings import Embeddings
print("noise of an import")
os.write(1, b"noise of a library in C\\n")

class OllamaEmbeddings(Embeddings):
    def __init__(self, model):
        print("noise of a constructor", model)

    async def aembed_query(self, query):
        print("noise of a query", query)
        subprocess.run(["echo", "noise of a child"])
        assert os.read(0, 1) == b"", "the client's words were within reach"
        if query == "forever":
            await asyncio.sleep(1_000)
        return {"north": [1.0, 0.0], "east": [0.0, 1.0]}[query]

    def embed_query(self, query): ...
    def embed_documents(self, texts): ...
"""
HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


@contextlib.asynccontextmanager
async def session(*words, **environment):
    settings = {**os.environ, **environment}
    server = StdioServerParameters(command=COMMAND, args=["mcp", *words], env=settings)
    async with stdio_client(server) as streams, ClientSession(*streams) as opened:
        await opened.initialize()
        yield opened


# Each process takes a second to load the library: one is begun in every run, these in `make mcp`
# and `make trust`. In memory and over HTTP the official client calls everything in every run.
beside_one = pytest.mark.skipif(
    not ("OSS_VECTORS_NEED_MCP" in os.environ or sized(False, True)),
    reason="a second process of the server: make mcp, make trust",
)


@beside_one
async def test_the_official_client_lists_and_calls_every_tool(guide, tmp_path):
    # as in a host's configuration: variables, and no flags
    (tmp_path / "keys").write_text("north\nnorth-east\n")
    variables = {
        "OSS_VECTORS_MCP_TITLE_FIELD": "title",
        "OSS_VECTORS_MCP_ALLOW": f"file://{tmp_path / 'keys'}",
        "OSS_VECTORS_MCP_K": "1",
        "OSS_VECTORS_MCP_DESCRIPTION": "Ways to go.",
        "OSS_VECTORS_MCP_FILTER": '{"title": {"$ne": "South"}}',
    }
    async with session(*guide, **variables) as client:
        tools = plain(await client.list_tools())["tools"]
        assert [tool["name"] for tool in tools] == TOOLS
        assert tools[0]["description"].startswith("Ways to go. Look documents up")
        found = await call(client, "search", query="nor")
        assert found.structured["results"] == [
            {"id": "north", "title": "North", "url": "ossvectors://development-bucket/guide/north"}
        ]
        assert (await call(client, "fetch", id="north")).structured["text"] == "Go north."
        several = await call(client, "fetch_many", ids=["north-east", "east"])
        assert [one["id"] for one in several.structured["missing"]] == ["east"]
        near = await call(client, "neighbors", id="north")
        assert [one["id"] for one in near.structured["neighbors"]] == ["north-east"]
        assert (await call(client, "fetch", id="east")).is_error
        read = await client.read_resource("ossvectors://development-bucket/guide/north")
        assert plain(read)["contents"][0]["text"] == "Go north."


class Process:
    """A server whose lines the test writes and reads itself."""

    def __init__(self, *words, **environment):
        self.process = subprocess.Popen(
            [COMMAND, "mcp", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )

    def say(self, method, params, number=None):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        message |= {} if number is None else {"id": number}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def read(self):
        """Return the next reply; the library may complain of what was no message in between."""
        message = {}
        while message.get("id") is None:
            message = json.loads(self.process.stdout.readline())
        return message

    def greet(self):
        self.say("initialize", HELLO, 0)
        assert self.read()["result"]["serverInfo"]["name"] == "oss-vectors"
        self.say("notifications/initialized", {})

    def end(self, how):
        """End it, and return its status, what it has written, and how many seconds that took."""
        began = time.monotonic()
        if how == "close":
            self.process.stdin.close()
        else:
            self.process.send_signal(how)
        output, errors = self.process.stdout.read(), self.process.stderr.read()
        status = self.process.wait(30)
        return status, output, errors.decode(), time.monotonic() - began


@pytest.fixture
def start():
    started = []

    def begin(*words, **environment):
        started.append(Process(*words, **environment))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            with contextlib.suppress(OSError):
                stream.close()


@pytest.mark.parametrize("how", ["close", pytest.param(signal.SIGINT, marks=beside_one)])
def test_whatever_prints_stdout_belongs_to_the_protocol(guide, tmp_path, start, how):
    pytest.importorskip("langchain.embeddings")
    (tmp_path / "langchain_ollama.py").write_text(NOISY)
    server = start(*guide, "--embeddings", "ollama:noisy", PYTHONPATH=str(tmp_path))
    told = ""
    server.greet()
    for number, query in enumerate(["north", "east", "nowhere"], start=1):
        arguments = {"name": "search", "arguments": {"query": query}}
        server.say("tools/call", arguments, number)
        result = server.read()["result"]
        if query == "nowhere":
            assert result["isError"]
            assert "(KeyError)" in result["content"][0]["text"]
        else:
            assert result["structuredContent"]["results"][0]["id"] == query
    # what is no message is none of its business
    server.process.stdin.write(b"not json\n\xff\xfe\n[]\n{}\n\n")
    # a message in parts, and two at once
    line = json.dumps({"jsonrpc": "2.0", "id": 8, "method": "ping"}).encode()
    for part in (line[:10], line[10:] + b"\n" + line.replace(b"8,", b"9,") + b"\n"):
        server.process.stdin.write(part)
        server.process.stdin.flush()
    assert sorted(server.read()["id"] for _ in range(2)) == [8, 9]
    server.say("tools/call", {"name": "search", "arguments": {"query": "forever"}}, 10)
    while "a query forever" not in (said := server.process.stderr.readline().decode()):
        told += said
    status, output, errors, seconds = server.end(how)
    assert (status, seconds < 5) == (0 if how == "close" else 130, True)
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in output.splitlines())
    errors = told + said + errors
    for noise in ("an import", "a library in C", "a constructor noisy", "a query north", "a child"):
        assert f"noise of {noise}" in errors
    assert "what agents search for is sent to ollama:noisy" in errors
    assert "Traceback" not in errors


@beside_one
def test_what_comes_by_a_pipe_is_answered_before_its_end(guide):
    asked = {"name": "fetch", "arguments": {"id": "north"}}
    lines = [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": asked},
    ]
    done = subprocess.run(
        [COMMAND, "mcp", *guide],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers = {one["id"]: one["result"] for one in map(json.loads, done.stdout.splitlines())}
    assert answers[1]["structuredContent"]["text"] == "Go north."


@beside_one
def test_ctrl_c_ends_it_at_once_though_a_reply_is_awaited(socket_that_never_answers, start):
    place = {
        "OSS_ENDPOINT": socket_that_never_answers.endpoint,
        "OSS_ACCESS_KEY_ID": "id",
        "OSS_ACCESS_KEY_SECRET": "canary-secret",
        "OSS_REGION": "cn-hangzhou",
        "OSS_ACCOUNT_ID": "123456",
        "OSS_VECTORS_BUCKET": "examplebucket",
        "OSS_VECTORS_INDEX": "guide",
    }
    server = start(**place)
    server.greet()
    server.say("tools/call", {"name": "fetch", "arguments": {"id": "north"}}, 1)
    socket_that_never_answers.wait_for_somebody()
    status, output, errors, seconds = server.end(signal.SIGINT)
    assert (status, output) == (130, b"")
    assert seconds < 5  # the call itself has 30
    assert "canary" not in errors
    assert "Traceback" not in errors


@beside_one
def test_a_program_that_serves_ends_on_ctrl_c_as_well(guide):
    code = f"""
import asyncio
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.mcp import OSSVectorMCPServer

with OSSVectorClient.local({guide[1]!r}, index="guide") as client:
    server = OSSVectorMCPServer(client)
    print("ready", flush=True)
    asyncio.run(server.serve_stdio())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.5)  # until it reads, about which nothing is said
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == -signal.SIGINT
            assert process.stdout.read() == b""
        finally:
            process.kill()
