"""`BreakableProtocol`: uvicorn's HTTP protocol, with a way for faults to break the connection."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from oss_vector_retriever.emulator.delivery import EXTENSION

_AT_ONCE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class BreakableProtocol(H11Protocol):
    """Give the application the connection below each request, as an extension of ASGI."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection."""
        super().connection_made(transport)
        application, connection = self.app, _Connection(transport)

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: connection}
            await application(scope, receive, send)

        self.app = answer


class _Connection:
    """End one connection, in order or with a reset."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        below = self._transport.get_extra_info("socket")
        # What is closed without time to linger is reset.
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()
