"""Connections on an event loop, for the async client."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from oss_vector_retriever.client.drive.exchange import LATE, TOO_LARGE, Body, Settings, usable
from oss_vector_retriever.client.drive.network import WatchedNetwork
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.steps import Fault


class _Connection:
    """Hold one connection and the network it was opened on."""

    def __init__(self, settings: Settings) -> None:
        self._network = WatchedNetwork(settings.engine)
        self._lines = settings.engine.AsyncConnectionPool(
            **settings.pool_arguments(network_backend=self._network)
        )
        self._line: Any = None

    async def send(self, request: Any) -> Any:
        """Send a request on the line that is open, or on a new one."""
        if self._line is None or not usable(self._line, request):
            await self.close()
            self._line = self._lines.create_connection(request.url.origin)
        return await self._line.handle_async_request(request)

    async def close(self) -> None:
        """Close the connection, also one that the line never got to see."""
        try:
            if self._line is not None:
                await self._line.aclose()
        finally:
            await self._network.close()


class _Connections:
    """Keep the connections that are free, and see those out that are thrown away.

    Apart from the exchange, so that the generator which closes them does not keep it alive.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free: list[_Connection] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self.closed = False

    def take(self) -> _Connection:
        """Return a free connection, or a new one."""
        return self._free.pop() if self._free else _Connection(self._settings)

    def give_back(self, connection: _Connection) -> None:
        """Keep a connection for the next exchange."""
        if self.closed:
            self.throw_away(connection)
        else:
            self._free.append(connection)

    def throw_away(self, connection: _Connection) -> None:
        """Close a connection in a task of its own: this one may be cancelled, and again."""
        task = asyncio.ensure_future(connection.close())
        self._leaving.add(task)
        task.add_done_callback(functools.partial(self._left, connection))

    def _left(self, connection: _Connection, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if task.cancelled():  # by a loop that ends, maybe before it began
            self.throw_away(connection)
        else:
            task.exception()

    async def close(self) -> None:
        """Close all connections but those in use, which close when their exchange ends."""
        self.closed = True
        while self._free:
            self.throw_away(self._free.pop())
        while self._leaving:
            await asyncio.wait(self._leaving)


async def _close_at_the_end(connections: _Connections) -> AsyncGenerator[None, None]:
    """Close connections when the loop shuts down, or the exchange is let go: both end this."""
    try:
        yield
    finally:
        await connections.close()


def _let_go(closing: AsyncGenerator[None, None]) -> None:
    """Do nothing: the last reference goes with this call, and the loop ends the generator."""


class AsyncExchange:
    """Exchange requests over at most `max_connections` connections of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = _Connections(settings)
        self._gate = asyncio.Semaphore(settings.max_connections)
        self._loop: asyncio.AbstractEventLoop | None = None

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one served, or may become it."""
        return not self._connections.closed and self._loop in {None, asyncio.get_running_loop()}

    async def send(self, request: Request, seconds: float) -> Reply | Fault:
        """Send a request and read the whole reply within some seconds."""
        await self._bind()
        try:
            async with asyncio.timeout(max(seconds, 0)), self._gate:
                return await self._on_a_connection(request, seconds)
        except TimeoutError:
            return LATE

    async def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            closing = _close_at_the_end(self._connections)
            await anext(closing)
            # held from elsewhere: where this exchange is garbage that refers to itself, its sockets
            # would be finalized together with what closes them
            weakref.finalize(self, _let_go, closing).atexit = False
        elif self._loop is not loop:
            raise ConfigurationError(
                "this AsyncOSSVectorClient was first used on another event loop and belongs to it; "
                "make one client for each loop, or use OSSVectorClient where there is none."
            )

    async def _on_a_connection(self, request: Request, seconds: float) -> Reply | Fault:
        connection = self._connections.take()
        outcome: Reply | Fault | None = None
        try:
            outcome = await self._exchange(connection, request, seconds)
            return outcome
        finally:
            if isinstance(outcome, Reply):
                self._connections.give_back(connection)
            else:
                self._connections.throw_away(connection)

    async def _exchange(
        self, connection: _Connection, request: Request, seconds: float
    ) -> Reply | Fault:
        try:
            return await self._read(await connection.send(self._settings.request(request, seconds)))
        except Exception as error:
            fault = self._settings.fault(error)
            if fault is None:
                raise
            return fault

    async def _read(self, response: Any) -> Reply | Fault:
        body = Body(response, self._settings.max_reply_bytes)
        try:
            if refused := body.refused():
                return refused
            async with contextlib.aclosing(response.aiter_stream()) as parts:
                async for part in parts:
                    if not body.add(part):
                        return TOO_LARGE
        finally:
            await response.aclose()
        return body.reply()

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()
