"""The official client's sessions with a server, whatever the age of the library."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest

pytest.importorskip("mcp", reason="mcp is not installed: the extra mcp")


from mcp import ClientSession
from mcp.shared.memory import create_client_server_memory_streams

TOOLS = ["search", "fetch", "fetch_many", "neighbors"]


def import_or_skip(name: str) -> Any:
    """Import a package that `make mcp` installs; who asks for it may not do without."""
    if "OSS_VECTORS_NEED_MCP" in os.environ:
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed: make mcp")


class Answer(NamedTuple):
    """What a client was sent of a call of a tool."""

    text: str
    structured: Any
    is_error: bool
    meta: Any

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@asynccontextmanager
async def connected(server: Any) -> AsyncIterator[ClientSession]:
    """Give a session with a server in this process, over streams in memory."""
    async with create_client_server_memory_streams() as (near, far):
        options = server.sdk.create_initialization_options()
        serving = asyncio.create_task(server.sdk.run(*far, options))
        try:
            async with ClientSession(*near) as session:
                await session.initialize()
                yield session
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
        await server.aclose()


def plain(result: Any) -> Any:
    """Return a result of the library's as JSON."""
    return result.model_dump(mode="json", by_alias=True, exclude_none=True)


async def call(session: Any, tool: str, **arguments: Any) -> Answer:
    """Call a tool; its answer has one content, a text."""
    result = plain(await session.call_tool(tool, arguments))
    [content] = result["content"]
    assert content["type"] == "text"
    meta = result.get("_meta")
    return Answer(content["text"], result.get("structuredContent"), result["isError"], meta)


@asynccontextmanager
async def over_http(url: str, token: str | None = None) -> AsyncIterator[ClientSession]:
    """Give a session with a server at a URL."""
    http = importlib.import_module("mcp.client.streamable_http")
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as opened:
        client = http.create_mcp_http_client(headers=headers)
        await opened.enter_async_context(client)
        streams = http.streamable_http_client(url, http_client=client)
        read, write, *_ = await opened.enter_async_context(streams)
        session = await opened.enter_async_context(ClientSession(read, write))
        await session.initialize()
        yield session


@asynccontextmanager
async def served(server: Any, **options: Any) -> AsyncIterator[str]:
    """Serve over HTTP in this process, and give the URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(server.serve_http(port=0, on_ready=ready.set_result, **options))
    await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield await ready if ready.done() else await serving
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await server.aclose()
