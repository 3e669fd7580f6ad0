"""One HTTP exchange over a connection of its own, and the connections kept for the next.

Each exchange has a connection to itself, taken from a stack of free ones. A connection on which an
exchange was cancelled or failed is thrown away, never shared again: so nothing that happens to one
call can harm another. (httpx 0.28.1's shared async pool dies under cancellation; reference
engineering.md 0.2.)
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
import weakref
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from ...lazy import LazyModule
from .. import fork
from ..errors import ConfigurationError
from ..models.messages import Reply, Request
from ..steps import REPLY_TOO_LARGE, Fault, FaultKind, Send
from .engine import Settings, fault_of, proxy_refusal
from .network import ClippedNetwork, Countdown, Network, WatchedNetwork

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = LazyModule("asyncio", globals())

_LARGE_BODY = 128 * 1024  # bytes
_MOST_ROOM = 4 * 1024 * 1024  # bytes that are made ready for a body which may never come
# of blocks whose memory is kept, as so many bits and as bytes; glibc looks at no larger ones
_LEAST_KEPT, _MOST_KEPT = 21, 32 * 1024 * 1024
_LATE = Fault(FaultKind.DEADLINE, "DeadlineExceeded")
_CLOSED = Fault(FaultKind.CLOSED, "ClientClosed")


class BlockingExchange:
    """Exchanges over at most `max_connections` connections; safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._closed = False
        self._keeps_connections = True
        self._set_up()

    def _set_up(self) -> None:
        self._free: list[_Connection] = []  # popped and appended by threads without a lock
        # with the thread whose exchange is on it; taken out by that, or by what aborts it
        self._busy: dict[_Connection, int] = {}
        self._gate = threading.BoundedSemaphore(self._settings.max_connections)

    def renew_after_fork(self) -> None:
        """Leave the connections to the parent, and make others when they are needed."""
        fork.leave_to_parent(self._free, self._busy)
        self._set_up()

    def send(self, step: Send, stop: threading.Event | None = None) -> Reply | Fault:
        """Send a request and read the whole reply within some seconds, unless `stop` is set."""
        moment = time.monotonic() + step.seconds
        if threading.get_ident() in list(self._busy.values()):
            # in a signal handler, whose thread stands still in another exchange: to wait for a
            # place could be to wait for its own
            return self._send_on_a_connection(step, moment, stop)
        if not self._gate.acquire(timeout=max(step.seconds, 0)):
            return _LATE
        try:
            return self._send_on_a_connection(step, moment, stop)
        finally:
            self._gate.release()

    def _send_on_a_connection(
        self, step: Send, moment: float, stop: threading.Event | None
    ) -> Reply | Fault:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = _Connection(self._settings)
        outcome: Reply | Fault | None = None
        self._busy[connection] = threading.get_ident()
        try:
            # looked at after it is busy: who ends it from then on aborts it
            if self._closed or (stop is not None and stop.is_set()):
                return _CLOSED
            seconds = max(moment - time.monotonic(), 0.001)
            connection.countdown.start(seconds)
            sent = _engine_request(self._settings, step.request, seconds)
            response = connection.send(sent, reuse=step.reuse)
            outcome = self._read(connection, response, step.max_reply_bytes)
        except Exception as error:
            fault = connection.fault_of(error)
            if fault is None:
                raise
            if connection.countdown.is_over():
                return _LATE
            if fault.reused:
                # what was kept with it is likely as dead, and would cost a refusal each
                self._close_free()
            return fault
        else:
            return outcome
        finally:
            unharmed = self._busy.pop(connection, None) is not None
            if isinstance(outcome, Reply) and unharmed:
                self._free.append(connection)
            else:
                connection.close()
            if not self._keeps_connections:  # looked at after it is free: `keep_none` may be over
                self.keep_none()

    def _read(self, connection: _Connection, response: Any, max_bytes: int) -> Reply | Fault:
        left = max_bytes
        try:
            headers = _read_headers(self._settings, response, left)
            if isinstance(headers, Fault):
                return headers
            body = connection.open_body(headers)
            for part in response.iter_stream():
                left -= len(part)
                if left < 0:
                    return REPLY_TOO_LARGE
                body.write(part)
        finally:
            response.close()
        body.truncate()
        return Reply(response.status, headers, body.getvalue())

    def close(self) -> None:
        """Close the connections that are free, and abort the exchanges on the others."""
        self._closed = True
        self.keep_none()
        for connection in list(self._busy):
            self._abort(connection)

    def abort(self, thread: int) -> None:
        """Break the connection of the exchange that a thread is in, if it is in one."""
        for connection, user in list(self._busy.items()):
            if user == thread:
                self._abort(connection)

    def _abort(self, connection: _Connection) -> None:
        if self._busy.pop(connection, None) is not None:  # else its exchange has just ended
            connection.abort()

    def keep_none(self) -> None:
        """Close the connections that are free, and from now on each as its exchange ends."""
        self._keeps_connections = False
        self._close_free()

    def _close_free(self) -> None:
        with contextlib.suppress(IndexError):  # two threads may be at it
            while True:
                self._free.pop().close()


class _Parts:
    """The body of a reply of unknown length, which may have no end: it is copied at its end alone.

    What grows is copied as it grows, and stands twice meanwhile, above any cap.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        """Add a part."""
        self._parts.append(bytes(part))

    def truncate(self) -> None:
        """Leave it as it is: there is no room that was not written to."""

    def getvalue(self) -> bytes:
        """Return the whole."""
        return b"".join(self._parts)


class _AnyConnection:
    """One connection, which may be kept for several exchanges."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self._settings = settings
        self._seen = network
        self._line: Any = None
        self._reused = False

    def _is_kept(self, request: Any, *, reuse: bool) -> bool:
        """Tell whether the exchange that begins has a connection already."""
        self._seen.heard = False
        self._reused = reuse and self._line is not None and _is_usable(self._line, request)
        return self._reused

    def open_body(self, headers: Mapping[str, str]) -> io.BytesIO | _Parts:
        """Return what a reply's body is written into, with room for a large one of a known length.

        Parts that are joined at the end stand twice for a moment. So much would be given back to
        the system each time, and be got anew: 900 faults a call of 2 MB, a quarter of its time.
        """
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return _Parts()
        body = io.BytesIO()
        if int(length) >= _LARGE_BODY:
            _spare_copies(self._line)
            _keep_memory(max(int(length).bit_length(), _LEAST_KEPT))
            body.seek(min(int(length), _MOST_ROOM) - 1)
            body.write(b"\0")
            body.seek(0)
        return body

    def fault_of(self, error: Exception) -> Fault | None:
        """Return what an exception of an exchange means, or None if it is none of the engine's."""
        fault = fault_of(error, self._settings, self._seen)
        if fault is None or fault.kind is not FaultKind.CLOSED:
            return fault
        return replace(fault, reused=self._reused and not self._seen.heard)


class _Connection(_AnyConnection):
    """One connection and the countdown of its exchange."""

    def __init__(self, settings: Settings) -> None:
        self.countdown = Countdown()
        self._network = ClippedNetwork(settings.engine, self.countdown)
        super().__init__(settings, self._network)
        self.abort = self._network.abort
        self._lines = settings.engine.ConnectionPool(**settings.pool_arguments(self._network))

    def send(self, request: Any, *, reuse: bool) -> Any:
        if not self._is_kept(request, reuse=reuse):
            self.close()
            # the pool only makes connections: what it keeps of them breaks under cancellation
            self._line = self._lines.create_connection(request.url.origin)
        return self._line.handle_request(request)

    def close(self) -> None:
        # also one that the line never got to see
        try:
            if self._line is not None:
                self._line.close()
        finally:
            self._network.close()


class AsyncExchange:
    """Exchanges over at most `max_connections` connections of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._set_up()

    def _set_up(self) -> None:
        self._connections = _AsyncConnections()
        self._gate = asyncio.Semaphore(self._settings.max_connections)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finalizer: weakref.finalize[..., AsyncExchange] | None = None

    def renew_after_fork(self) -> None:
        """Leave the connections and their event loop to the parent; the next loop owns this."""
        fork.leave_to_parent(self._connections, self._loop)
        if self._finalizer is not None and (detached := self._finalizer.detach()):
            fork.leave_to_parent(detached[2])  # what it would end; this exchange itself is used on
        # not closed, though the end of the parent's loop may have closed it there; of a client that
        # its user has closed the runner knows
        self._set_up()

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one served, or may become it."""
        return not self._connections.closed and self._loop in {None, asyncio.get_running_loop()}

    async def send(self, step: Send) -> Reply | Fault:
        """Send a request and read the whole reply within some seconds."""
        await self._bind_to_loop()
        try:
            async with asyncio.timeout(max(step.seconds, 0)), self._gate:
                return await self._send_on_a_connection(step)
        except TimeoutError:
            return _LATE

    async def _bind_to_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            closing = _close_at_the_end(self._connections)
            await anext(closing)
            # held from elsewhere: where this exchange is garbage that refers to itself, its sockets
            # would be finalized together with what closes them
            self._finalizer = weakref.finalize(self, _drop, closing)
            self._finalizer.atexit = False
        elif self._loop is not loop:
            raise ConfigurationError(
                "this AsyncOSSVectorClient was first used on another event loop and belongs to it; "
                "make one client for each loop, or use OSSVectorClient where there is none."
            )

    async def _send_on_a_connection(self, step: Send) -> Reply | Fault:
        free = self._connections.free
        if self._connections.closed:
            return _CLOSED
        connection = free.pop() if free else _AsyncConnection(self._settings)
        outcome: Reply | Fault | None = None
        self._connections.busy.add(connection)
        try:
            sent = _engine_request(self._settings, step.request, step.seconds)
            response = await connection.send(sent, reuse=step.reuse)
            outcome = await self._read(connection, response, step.max_reply_bytes)
        except Exception as error:
            # of a line that was closed in the midst of it, the engine says what fits none of these
            fault = _CLOSED if self._connections.closed else connection.fault_of(error)
            if fault is None:
                raise
            if fault.reused:
                self._connections.throw_away_free()
            return fault
        else:
            return outcome
        finally:
            self._connections.busy.discard(connection)
            if isinstance(outcome, Reply) and not self._connections.closed:
                free.append(connection)
            else:
                self._connections.throw_away(connection)

    async def _read(
        self, connection: _AsyncConnection, response: Any, max_bytes: int
    ) -> Reply | Fault:
        left = max_bytes
        try:
            headers = _read_headers(self._settings, response, left)
            if isinstance(headers, Fault):
                return headers
            body = connection.open_body(headers)
            async with contextlib.aclosing(response.aiter_stream()) as stream:
                async for part in stream:
                    left -= len(part)
                    if left < 0:
                        return REPLY_TOO_LARGE
                    body.write(part)
        finally:
            await response.aclose()
        body.truncate()
        return Reply(response.status, headers, body.getvalue())

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


class _AsyncConnections:
    """The connections that are free, and those that are on their way out."""

    def __init__(self) -> None:
        # apart from the exchange, so that the generator which closes them does not keep it alive
        self.free: list[_AsyncConnection] = []
        self.busy: set[_AsyncConnection] = set()
        self._closing: dict[asyncio.Task[None], _AsyncConnection] = {}
        self.closed = False

    def throw_away(self, connection: _AsyncConnection) -> None:
        # in a task of its own: this one may be cancelled, and again
        task = asyncio.ensure_future(connection.close())
        self._closing[task] = connection
        task.add_done_callback(self._forget)

    def throw_away_free(self) -> None:
        while self.free:
            self.throw_away(self.free.pop())

    def _forget(self, task: asyncio.Task[None]) -> None:
        connection = self._closing.pop(task)
        if task.cancelled():  # by a loop that ends, maybe before it began
            self.throw_away(connection)
        else:
            task.exception()  # looked at, or asyncio would log it

    async def close(self) -> None:
        """Close all connections; an exchange on one of them sees it break."""
        self.closed = True
        self.throw_away_free()
        for connection in list(self.busy):
            self.throw_away(connection)
        while self._closing:
            await asyncio.wait(self._closing)


class _AsyncConnection(_AnyConnection):
    """One connection and the network it was opened on."""

    def __init__(self, settings: Settings) -> None:
        self._network = WatchedNetwork(settings.engine)
        super().__init__(settings, self._network)
        self._lines = settings.engine.AsyncConnectionPool(**settings.pool_arguments(self._network))

    async def send(self, request: Any, *, reuse: bool) -> Any:
        if not self._is_kept(request, reuse=reuse):
            await self.close()
            self._line = self._lines.create_connection(request.url.origin)
        return await self._line.handle_async_request(request)

    async def close(self) -> None:
        # also one that the line never got to see
        try:
            if self._line is not None:
                await self._line.aclose()
        finally:
            await self._network.close()


async def _close_at_the_end(connections: _AsyncConnections) -> AsyncGenerator[None, None]:
    # a loop that shuts down ends the generators that were begun on it, and so does dropping it:
    # there is no other way to learn of either
    try:
        yield
    finally:
        await connections.close()


def _drop(closing: AsyncGenerator[None, None]) -> None:
    """Do nothing: the last reference goes with this call, and the loop ends the generator."""


def _is_usable(line: Any, request: Any) -> bool:
    """Tell whether an open line can take a request; the peer may have hung up."""
    still_open = line.is_available() and not line.has_expired() and not _has_leftover(line)
    return still_open and line.can_handle_request(request.url.origin)


def _has_leftover(line: Any) -> bool:
    # bytes behind the last reply, which the next request would take for its own; the engine has
    # read them already, and tells only whether more can be read; hence the look into its state
    state = _parser_of(line)
    return state is not None and bool(state.trailing_data[0])


def _parser_of(line: Any) -> Any:
    # tests/faults/test_lines.py sees to it that it is found there
    while line is not None and not hasattr(line, "_h11_state"):
        line = getattr(line, "_connection", None)
    return None if line is None else line._h11_state  # noqa: SLF001 - nothing else leads to it


def _spare_copies(line: Any) -> None:
    """Have the parser of an open line pass on what it reads of a body as it is."""
    parser = _parser_of(line)
    buffer = getattr(parser, "_receive_buffer", None)
    if buffer is not None and type(buffer) is not _PieceBuffer:
        parser._receive_buffer = _PieceBuffer(buffer)  # noqa: SLF001 - there is no other way in


class _PieceBuffer:
    """The buffer of h11, its bytes read and not parsed, which hands a piece on without a copy.

    Its own copies each piece of a body four times. What the parser decides is nothing to it: all
    but a piece that is taken whole goes to the buffer within.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._piece = b""  # where it is not empty, the buffer within is

    def __iadd__(self, data: bytes) -> Self:
        if self:
            self._put_in()
            self._inner += data
        else:
            self._piece = bytes(data)
        return self

    def __len__(self) -> int:
        return len(self._piece) or len(self._inner)

    def __bytes__(self) -> bytes:
        return self._piece or bytes(self._inner)

    def maybe_extract_at_most(self, count: int) -> Any:
        """Return the next bytes, at most so many; None where there are none."""
        piece = self._piece
        if 0 < len(piece) <= count:
            self._piece = b""
            return piece
        self._put_in()
        return self._inner.maybe_extract_at_most(count)

    def __getattr__(self, name: str) -> Any:
        self._put_in()
        return getattr(self._inner, name)

    def _put_in(self) -> None:
        if self._piece:
            self._inner += self._piece
            self._piece = b""


@cache
def _keep_memory(bits: int) -> None:
    """Have the process keep the memory of a reply, whose length has so many bits, for the next.

    glibc keeps twice as much as the largest block that was ever freed. A reply as a block, and what
    is read out of it, come to more than twice its length, to far more where numbers are short: all
    of that would go back to the system after each call, and be got anew, for a third of its time.
    """
    with contextlib.suppress(MemoryError):
        bytes(min(2 << bits, _MOST_KEPT))  # zeros that nobody looks at take no memory


def _engine_request(settings: Settings, request: Request, seconds: float) -> Any:
    scheme, host, port = _split_origin(request.origin)
    connect = min(settings.connect_timeout, seconds)
    return settings.engine.Request(
        request.method,
        settings.engine.URL(scheme=scheme, host=host, port=port, target=request.target),
        headers=list(request.headers.items()),
        content=request.body,
        extensions={"timeout": {"connect": connect, "read": seconds, "write": seconds}},
    )


@lru_cache(maxsize=64)
def _split_origin(origin: str) -> tuple[str, str, int | None]:
    parts = urlsplit(origin)
    return parts.scheme, parts.hostname or "", parts.port


def _read_headers(settings: Settings, response: Any, max_bytes: int) -> dict[str, str] | Fault:
    """Return a reply's headers, or why its body is not read."""
    if settings.proxy and response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        kind, reason = proxy_refusal(response.status)  # of a tunnel the engine tells
        return Fault(kind, "ProxyError", reason, settings.proxy_origin)
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        # asked for as identity: whoever compressed it did not read the request
        return Fault(FaultKind.PROTOCOL, f"ContentEncoding{encoding[:16].title()}")
    length = headers.get("content-length", "")
    return REPLY_TOO_LARGE if length.isdecimal() and int(length) > max_bytes else headers
