"""`Application`: the service as a bare ASGI application, for any ASGI server.

Host style, path style and absolute-form targets reach it alike; the last is what an HTTP client
sends to a proxy, so the service answers under the real host names without any name resolution.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator.addressing import split_target
from oss_vector_retriever.emulator.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application:
    """Answer ASGI `http` and `lifespan`; the service stays the caller's to close."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            raise NotImplementedError(f"the emulator does not speak {scope['type']}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._read(scope, receive)
        except _DisconnectedError:
            return
        if body is None:
            reply = self._service.refuse_length(_request(scope, b""))
        else:
            reply = await asyncio.to_thread(self._service.handle, _request(scope, body))
        await _send(reply, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the body, or None as soon as it is known to be longer than is read."""
        most = self._service.settings.max_body_bytes
        if _declared_length(scope) > most:
            return None
        chunks: list[bytes] = []
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _DisconnectedError
            chunk = message.get("body", b"")
            length += len(chunk)
            if length > most:
                return None
            chunks.append(chunk)
            more = message.get("more_body", False)
        return b"".join(chunks)


class _DisconnectedError(Exception):
    pass


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    target = scope.get("raw_path") or quote(scope["path"]).encode()
    origin, path, _ = split_target(target)
    return Request(
        method=scope["method"],
        origin=origin or f"http://{headers.get('host', '')}",
        path=path,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
    )


async def _send(reply: Reply, send: Send) -> None:
    headers = dict(reply.headers)
    if reply.body or reply.status not in (204, 304):
        headers.setdefault("content-length", str(len(reply.body)))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": encoded})
    await send({"type": "http.response.body", "body": reply.body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
