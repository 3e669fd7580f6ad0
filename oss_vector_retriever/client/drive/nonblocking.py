"""Connections on an event loop, for the async client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from oss_vector_retriever.client.drive.exchange import LATE, TOO_LARGE, Body, Settings
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.steps import Fault


class AsyncExchange:
    """Exchange requests over at most `max_connections` connections of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free: list[Any] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(settings.max_connections)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._until_loop_ends: AsyncGenerator[None, None] | None = None
        self._closed = False

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one served, or may become it."""
        return not self._closed and self._loop in {None, asyncio.get_running_loop()}

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
            # a loop that shuts down ends its async generators: so nothing stays open behind it
            self._until_loop_ends = self._close_at_the_end()
            await anext(self._until_loop_ends)
        elif self._loop is not loop:
            raise ConfigurationError(
                "this AsyncOSSVectorClient was first used on another event loop and belongs to it; "
                "make one client for each loop, or use OSSVectorClient where there is none."
            )

    async def _close_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._close_connections()

    async def _on_a_connection(self, request: Request, seconds: float) -> Reply | Fault:
        pool = self._free.pop() if self._free else self._connection()
        outcome: Reply | Fault | None = None
        try:
            outcome = await self._exchange(pool, request, seconds)
            return outcome
        finally:
            if isinstance(outcome, Reply) and not self._closed:
                self._free.append(pool)
            else:
                self._throw_away(pool)

    def _connection(self) -> Any:
        return self._settings.engine.AsyncConnectionPool(**self._settings.pool_arguments())

    async def _exchange(self, pool: Any, request: Request, seconds: float) -> Reply | Fault:
        try:
            response = await pool.handle_async_request(self._settings.request(request, seconds))
            return await self._read(response)
        except Exception as error:
            fault = self._settings.fault(error)
            if fault is None:
                raise
            return fault

    async def _read(self, response: Any) -> Reply | Fault:
        body = Body(self._settings.max_reply_bytes)
        try:
            async with contextlib.aclosing(response.aiter_stream()) as parts:
                async for part in parts:
                    if not body.add(part):
                        return TOO_LARGE
        finally:
            await response.aclose()
        return body.reply(response)

    def _throw_away(self, pool: Any) -> None:
        """Close a connection in a task of its own: this one may be cancelled, and again."""
        task = asyncio.ensure_future(pool.aclose())
        self._leaving.add(task)
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        if self._until_loop_ends is not None:
            await self._until_loop_ends.aclose()

    async def _close_connections(self) -> None:
        while self._free:
            self._throw_away(self._free.pop())
        while self._leaving:
            await asyncio.wait(self._leaving)
