"""The frameworks' own adapters list and call every tool, and providers embed by LangChain's name.

`make mcp` brings them, in environments of their own: one wants the library's releases before 2, the
other those from 2 on.
"""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.command_line import COMMAND
from support.mcp_sessions import TOOLS, import_or_skip, served

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.mcp import OSSVectorMCPServer

# what `make mcp` says of the environment that it runs this in
AGE = os.environ.get("OSS_VECTORS_NEED_MCP")
only_before_2 = pytest.mark.skipif(AGE == "2", reason="langchain-mcp-adapters wants mcp<2")
only_from_2 = pytest.mark.skipif(AGE == "1", reason="llama-index-tools-mcp wants mcp>=2")

CALLS = {
    "search": {"query": "north"},
    "fetch": {"id": "north"},
    "fetch_many": {"ids": ["north", "east"]},
    "neighbors": {"id": "north", "k": 1},
}
assert list(CALLS) == TOOLS


def check(name, text):
    """Look at what a tool has answered to its call of `CALLS`."""
    if name == "search":
        assert [one["id"] for one in json.loads(text)["results"]] == ["north"]
    elif name == "fetch":
        assert json.loads(text)["text"] == "Go north."
    else:
        others = {"fetch_many": ["Go north.", "Go east."], "neighbors": ["Go north-east."]}[name]
        assert all(f"\n{other}\n</data-" in text for other in others)


@only_before_2
async def test_langchains_adapter_lists_and_calls_every_tool_over_stdio_and_http(guide):
    adapters = import_or_skip("langchain_mcp_adapters.client")

    async def use(connection):
        tools = await adapters.MultiServerMCPClient({"guide": connection}).get_tools()
        assert [tool.name for tool in tools] == TOOLS
        for tool in tools:
            call = {"type": "tool_call", "id": "1", "name": tool.name}
            message = await tool.ainvoke({**call, "args": CALLS[tool.name]})
            [content] = message.content
            check(tool.name, content["text"])
            assert message.artifact["structured_content"]
        [failed] = await tools[1].ainvoke({"id": "nope"})
        assert 'Not found: "nope"' in failed["text"]

    # each process has the file for itself
    await use({"transport": "stdio", "command": COMMAND, "args": ["mcp", *guide]})
    with OSSVectorClient.local(guide[1], index="guide") as client:
        async with served(OSSVectorMCPServer(client)) as url:
            await use({"transport": "streamable_http", "url": url})


@only_from_2
async def test_llama_indexs_adapter_lists_and_calls_every_tool_over_stdio_and_http(guide):
    llama_index = import_or_skip("llama_index.tools.mcp")

    async def use(connection):
        tools = await llama_index.McpToolSpec(connection).to_tool_list_async()
        assert [tool.metadata.name for tool in tools] == TOOLS
        for tool in tools:
            output = await tool.acall(**CALLS[tool.metadata.name])
            [content] = output.raw_output.content
            check(tool.metadata.name, content.text)
            assert output.raw_output.structured_content
        output = await tools[1].acall(id="nope")
        assert output.raw_output.is_error
        assert "Not found:" in str(output)
        # which it leaves to the garbage collector, with what is open
        await connection.http_client.aclose()

    await use(llama_index.BasicMCPClient(COMMAND, args=["mcp", *guide]))
    with OSSVectorClient.local(guide[1], index="guide") as client:
        async with served(OSSVectorMCPServer(client)) as url:
            await use(llama_index.BasicMCPClient(url))


class Provider(BaseHTTPRequestHandler):
    """What the server of an embedding provider answers, in Ollama's form."""

    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, sent["model"], sent["input"]))
        body = json.dumps({"model": sent["model"], "embeddings": [[1.0, 0.1]]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@only_before_2
async def test_a_providers_own_package_embeds_what_is_searched_for(guide):
    import_or_skip("langchain_ollama")
    adapters = import_or_skip("langchain_mcp_adapters.client")
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as provider:
        provider.asked = []
        threading.Thread(target=provider.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{provider.server_port}"
        connection = {
            "transport": "stdio",
            "command": COMMAND,
            "args": ["mcp", *guide, "--embeddings", "ollama:nomic-embed-text"],
            "env": {**os.environ, "OLLAMA_HOST": host},
        }
        [search, *_] = await adapters.MultiServerMCPClient({"guide": connection}).get_tools()
        assert "by meaning" in search.description
        [content] = await search.ainvoke({"query": "upwards"})
        provider.shutdown()
    found = json.loads(content["text"])["results"]
    assert [one["id"] for one in found] == ["north", "north-east", "east"]
    assert provider.asked == [("/api/embed", "nomic-embed-text", ["upwards"])]
