"""One HTTP exchange over a connection of its own, and the connections kept for the next.

Each exchange has a connection to itself, taken from a stack of free ones. A connection on which an
exchange was cancelled or failed is thrown away, never shared again: so nothing that happens to one
call can harm another. (httpx 0.28.1's shared async pool dies under cancellation; reference
engineering.md 0.2.) Of the HTTP library only the engine is used, httpcore; its exceptions become
faults here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import os
import ssl
import threading
import time
import weakref
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from oss_vector_retriever.client.config import ClientConfig
from oss_vector_retriever.client.errors import ConfigurationError, named_phrase
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.steps import Fault, FaultKind
from oss_vector_retriever.client.transport.network import ClippedNetwork, Countdown, WatchedNetwork

VARIABLE = "OSS_VECTORS_HTTP_LIBRARY"
_ENGINES = {"httpx2": "httpcore2", "httpx": "httpcore"}
# a peer that closes sooner is noticed when the connection is taken again
_KEEP_ALIVE_SECONDS = 60.0
_TOO_LARGE = Fault(FaultKind.TOO_LARGE, "ReplyTooLarge")
_LATE = Fault(FaultKind.DEADLINE, "DeadlineExceeded")


class BlockingExchange:
    """Exchanges over at most `max_connections` connections; safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free: list[_Connection] = []  # popped and appended by threads without a lock
        self._gate = threading.BoundedSemaphore(settings.max_connections)
        self._closed = False

    def send(self, request: Request, seconds: float) -> Reply | Fault:
        """Send a request and read the whole reply within some seconds."""
        moment = time.monotonic() + seconds
        if not self._gate.acquire(timeout=max(seconds, 0)):
            return _LATE
        try:
            return self._send_on_a_connection(request, moment)
        finally:
            self._gate.release()

    def _send_on_a_connection(self, request: Request, moment: float) -> Reply | Fault:
        try:
            connection = self._free.pop()
        except IndexError:
            connection = _Connection(self._settings)
        outcome: Reply | Fault | None = None
        try:
            outcome = self._exchange(connection, request, moment)
            return outcome
        finally:
            if isinstance(outcome, Reply):
                self._free.append(connection)
            else:
                connection.close()
            if self._closed:
                self._close_free()

    def _exchange(self, connection: _Connection, request: Request, moment: float) -> Reply | Fault:
        seconds = max(moment - time.monotonic(), 0.001)
        connection.countdown.start(seconds)
        try:
            return self._read(connection.send(self._settings.request(request, seconds)))
        except Exception as error:
            fault = self._settings.fault(error)
            if fault is None:
                raise
            return _LATE if connection.countdown.is_over() else fault

    def _read(self, response: Any) -> Reply | Fault:
        left, parts = self._settings.max_reply_bytes, []
        try:
            headers = _read_headers(response, left)
            if isinstance(headers, Fault):
                return headers
            for part in response.iter_stream():
                left -= len(part)
                if left < 0:
                    return _TOO_LARGE
                # joined at the end: a buffer that grows stands twice for a moment, old and new
                parts.append(part)
        finally:
            response.close()
        return Reply(response.status, headers, b"".join(parts))

    def close(self) -> None:
        """Close the connections that are free; those in use close when their exchange ends."""
        self._closed = True
        self._close_free()

    def _close_free(self) -> None:
        with contextlib.suppress(IndexError):  # two threads may be at it
            while True:
                self._free.pop().close()


class _Connection:
    """One connection and the countdown of its exchange."""

    def __init__(self, settings: Settings) -> None:
        self.countdown = Countdown()
        network = ClippedNetwork(settings.engine, self.countdown)
        self._lines = settings.engine.ConnectionPool(**settings.pool_arguments(network))
        self._line: Any = None

    def send(self, request: Any) -> Any:
        """Send a request on the line that is open, or on a new one."""
        if self._line is None or not _is_usable(self._line, request):
            self.close()
            # the pool only makes connections: what it keeps of them breaks under cancellation
            self._line = self._lines.create_connection(request.url.origin)
        return self._line.handle_request(request)

    def close(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()


class AsyncExchange:
    """Exchanges over at most `max_connections` connections of one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = _AsyncConnections(settings)
        self._gate = asyncio.Semaphore(settings.max_connections)
        self._loop: asyncio.AbstractEventLoop | None = None

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one served, or may become it."""
        return not self._connections.closed and self._loop in {None, asyncio.get_running_loop()}

    async def send(self, request: Request, seconds: float) -> Reply | Fault:
        """Send a request and read the whole reply within some seconds."""
        await self._bind_to_loop()
        try:
            async with asyncio.timeout(max(seconds, 0)), self._gate:
                return await self._send_on_a_connection(request, seconds)
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
            weakref.finalize(self, _drop, closing).atexit = False
        elif self._loop is not loop:
            raise ConfigurationError(
                "this AsyncOSSVectorClient was first used on another event loop and belongs to it; "
                "make one client for each loop, or use OSSVectorClient where there is none."
            )

    async def _send_on_a_connection(self, request: Request, seconds: float) -> Reply | Fault:
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
        self, connection: _AsyncConnection, request: Request, seconds: float
    ) -> Reply | Fault:
        try:
            return await self._read(await connection.send(self._settings.request(request, seconds)))
        except Exception as error:
            fault = self._settings.fault(error)
            if fault is None:
                raise
            return fault

    async def _read(self, response: Any) -> Reply | Fault:
        left, parts = self._settings.max_reply_bytes, []
        try:
            headers = _read_headers(response, left)
            if isinstance(headers, Fault):
                return headers
            async with contextlib.aclosing(response.aiter_stream()) as stream:
                async for part in stream:
                    left -= len(part)
                    if left < 0:
                        return _TOO_LARGE
                    parts.append(part)
        finally:
            await response.aclose()
        return Reply(response.status, headers, b"".join(parts))

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()


class _AsyncConnections:
    """The connections that are free, and those that are on their way out."""

    # apart from the exchange, so that the generator which closes them does not keep it alive

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free: list[_AsyncConnection] = []
        self._closing: dict[asyncio.Task[None], _AsyncConnection] = {}
        self.closed = False

    def take(self) -> _AsyncConnection:
        """Return a free connection, or a new one."""
        return self._free.pop() if self._free else _AsyncConnection(self._settings)

    def give_back(self, connection: _AsyncConnection) -> None:
        """Keep a connection for the next exchange."""
        if self.closed:
            self.throw_away(connection)
        else:
            self._free.append(connection)

    def throw_away(self, connection: _AsyncConnection) -> None:
        """Close a connection."""
        # in a task of its own: this one may be cancelled, and again
        task = asyncio.ensure_future(connection.close())
        self._closing[task] = connection
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        connection = self._closing.pop(task)
        if task.cancelled():  # by a loop that ends, maybe before it began
            self.throw_away(connection)
        else:
            task.exception()  # looked at, or asyncio would log it

    async def close(self) -> None:
        """Close all connections but those in use, which close when their exchange ends."""
        self.closed = True
        while self._free:
            self.throw_away(self._free.pop())
        while self._closing:
            await asyncio.wait(self._closing)


class _AsyncConnection:
    """One connection and the network it was opened on."""

    def __init__(self, settings: Settings) -> None:
        self._network = WatchedNetwork(settings.engine)
        self._lines = settings.engine.AsyncConnectionPool(**settings.pool_arguments(self._network))
        self._line: Any = None

    async def send(self, request: Any) -> Any:
        """Send a request on the line that is open, or on a new one."""
        if self._line is None or not _is_usable(self._line, request):
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
    # (tests/faults/test_lines.py sees to it that it is found there)
    while line is not None and not hasattr(line, "_h11_state"):
        line = getattr(line, "_connection", None)
    return line is not None and bool(line._h11_state.trailing_data[0])  # noqa: SLF001 - see above


def _read_headers(response: Any, max_bytes: int) -> dict[str, str] | Fault:
    """Return a reply's headers, or why its body is not read."""
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        # asked for as identity: whoever compressed it did not read the request
        return Fault(FaultKind.PROTOCOL, f"ContentEncoding{encoding[:16].title()}")
    length = headers.get("content-length", "")
    return _TOO_LARGE if length.isdecimal() and int(length) > max_bytes else headers


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of connections, and the engine that makes them."""

    engine: Any
    tls: ssl.SSLContext | None
    proxy: str | None = field(repr=False)
    connect_timeout: float
    max_connections: int
    max_reply_bytes: int

    def pool_arguments(self, network: Any) -> dict[str, Any]:
        """Return the arguments of the engine's pool, which makes connections on a network."""
        return {
            "ssl_context": self.tls,
            "proxy": self._proxy() if self.proxy else None,
            "keepalive_expiry": _KEEP_ALIVE_SECONDS,
            "network_backend": network,
        }

    def _proxy(self) -> Any:
        # the engine ignores what a proxy's URL says before the @, user and password
        parts = urlsplit(self.proxy or "")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        auth = (user.encode(), password.encode()) if parts.username else None
        return self.engine.Proxy(bare, auth, ssl_context=self.tls)

    def request(self, request: Request, seconds: float) -> Any:
        """Return a request in the engine's form."""
        connect = min(self.connect_timeout, seconds)
        scheme, host, port = _split_origin(request.origin)
        return self.engine.Request(
            request.method,
            self.engine.URL(scheme=scheme, host=host, port=port, target=request.target),
            headers=list(request.headers.items()),
            content=request.body,
            extensions={"timeout": {"connect": connect, "read": seconds, "write": seconds}},
        )

    def fault(self, error: Exception) -> Fault | None:
        """Return what an exception of the engine means, or None if it is none of the engine's."""
        # by name: httpcore and httpcore2 have classes of their own
        names = {base.__name__ for base in type(error).__mro__}
        if not names & {"TimeoutException", "NetworkError", "ProtocolError", "ProxyError"}:
            return None
        return Fault(_fault_kind(names, error), type(_root_cause(error)).__name__)


@lru_cache(maxsize=64)
def _split_origin(origin: str) -> tuple[str, str, int | None]:
    parts = urlsplit(origin)
    return parts.scheme, parts.hostname or "", parts.port


def _fault_kind(names: set[str], error: Exception) -> FaultKind:
    if "ConnectError" in names:
        return FaultKind.TLS if _is_tls_refusal(error) else FaultKind.CONNECT
    if names & {"ConnectTimeout", "ProxyError"}:
        return FaultKind.CONNECT
    if "TimeoutException" in names:
        return FaultKind.DEADLINE
    # a connection that ended early may be better next time, a peer that speaks no HTTP will not
    text = str(error)
    ended = "Server disconnected" in text or "peer closed connection" in text
    early = "NetworkError" in names or ("RemoteProtocolError" in names and ended)
    return FaultKind.CLOSED if early else FaultKind.PROTOCOL


def _is_tls_refusal(error: BaseException) -> bool:
    # a connection that merely ended in the handshake is none, and may do better next time
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return not isinstance(seen, ssl.SSLEOFError)
        seen = seen.__cause__ or seen.__context__
    return False


def _root_cause(error: BaseException) -> BaseException:
    # its name says more: `gaierror` than `ConnectError`
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error


def settings_for(config: ClientConfig) -> Settings:
    """Return the connection settings of a client.

    Raises:
        ConfigurationError: no HTTP library is installed, or proxy or `ca_file` cannot be used.
    """
    library = _library_name()
    https = config.endpoint.scheme == "https"
    return Settings(
        importlib.import_module(_ENGINES[library]),
        _tls_context(library, config.ca_file) if https else None,
        _proxy_url(config.proxy or _environment_proxy(config)),
        config.connect_timeout,
        config.max_concurrency,
        config.max_reply_bytes,
    )


def _library_name() -> str:
    """Return `httpx2` or `httpx`."""
    wanted = os.environ.get(VARIABLE)
    if wanted is not None and wanted not in _ENGINES:
        raise ConfigurationError(f"{VARIABLE} must be httpx2 or httpx.")
    names = [wanted] if wanted else list(_ENGINES)
    for name in names:
        if importlib.util.find_spec(name):
            return name
    raise ConfigurationError(f"no HTTP library is installed: pip install {names[0]}")


@lru_cache(maxsize=8)
def _tls_context(library: str, ca_file: str | None) -> ssl.SSLContext:
    # made once and shared: reading the authorities takes tens of milliseconds, too long for an
    # event loop on which a client is made; `ca_file` (PEM) takes the place of the library's own
    if ca_file is None:
        context: ssl.SSLContext = importlib.import_module(library).create_ssl_context()
        return context
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "{argument} {value} cannot be read as PEM.", argument="ca_file", value=ca_file
        ) from error


def _environment_proxy(config: ClientConfig) -> str | None:
    """Return the proxy that HTTPS_PROXY and NO_PROXY name for the endpoint, as curl does."""
    if config.endpoint.path_style:  # an address or localhost, which no proxy could reach
        return None
    proxies = getproxies()
    proxy = proxies.get(config.endpoint.scheme) or proxies.get("all")
    return None if proxy is None or proxy_bypass(config.endpoint.host) else proxy


def _proxy_url(proxy: str | None) -> str | None:
    if proxy is None:
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:  # not quoted: it may hold a password
        raise ConfigurationError(
            "the proxy ({sources}) is not [http[s]://]host:port",
            argument="proxy",
            remedy="{ways_round} leads around it",
            fields={
                "sources": named_phrase("proxy", "proxy=, or HTTPS_PROXY and the like"),
                "ways_round": named_phrase("no_proxy", "NO_PROXY, or proxy= with another one,"),
            },
        )
    return url
