"""The networks below the HTTP engine: a blocking one with a deadline, and a tidy async one.

The timeouts of HTTP libraries are per operation: a peer that sends a byte now and then holds a call
for ever (reference engineering.md 2.2). In the blocking network every operation is clipped to the
time that is left; on an event loop a cancelled exchange does that. The classes here have the
methods that httpcore calls on its own networks and streams.
"""

from __future__ import annotations

import contextlib
import importlib
import ipaddress
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from ...lazy import LazyModule

if TYPE_CHECKING:
    import asyncio
    import ssl

    import anyio
else:
    asyncio = LazyModule("asyncio", globals())
    anyio = LazyModule("anyio", globals())
    ssl = LazyModule("ssl", globals())

_WRITTEN_AT_ONCE = 64 * 1024
# The engine asks for 64 kB, and each read costs it an event. It takes more than it asked for. Still
# more at once would cost more: it leaves the processor's cache before it is copied.
_READ_AT_ONCE = 128 * 1024
_READ_AT_LEAST = 32 * 1024
# its limit of a reply's head, 100 kB, is looked at between two reads: up to there they are its own
_READ_AS_ASKED = 128 * 1024
_TLS_RECORD = 16 * 1024
# of a connection on an event loop: it is read on only when less is left unread
_KEPT_UNREAD = 256 * 1024
_NEXT_ADDRESS_SECONDS = 0.25
_SHORTEST = 0.001  # seconds; to sockets 0 means "do not wait at all"
# seconds that a read waits at once: a signal that another thread took, or that came just before the
# wait began, does not end it, and Python has a look at signals only between two waits
_LOOK_AGAIN = 0.5


class Countdown:
    """The moment at which the exchange in progress must be over."""

    def __init__(self) -> None:
        self._moment = 0.0

    def start(self, seconds: float) -> None:
        """Begin an exchange that may take some seconds."""
        self._moment = time.monotonic() + seconds

    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self._moment

    def clip(self, timeout: float | None, timeout_error: type[Exception]) -> float:
        """Return the part of a timeout that is left, or raise where the time is up."""
        remaining = self._moment - time.monotonic()
        if remaining <= 0:
            raise timeout_error
        return max(remaining if timeout is None else min(timeout, remaining), _SHORTEST)


class Network:
    """What both networks know of the connection that they opened last.

    Attributes:
        handshakes: the TLS handshakes begun on it; through a proxy the first may be the proxy's.
        heard: whether anything was read from it since somebody set this to False.
    """

    def __init__(self) -> None:
        self.handshakes = 0
        self.heard = False


class ClippedNetwork(Network):
    """A blocking network whose operations end with a countdown, and at once when it is aborted."""

    def __init__(self, engine: Any, countdown: Countdown) -> None:
        super().__init__()
        self.countdown = countdown
        self._engine = engine
        self._stream_class = importlib.import_module(f"{engine.__name__}._backends.sync").SyncStream
        self._aborted = False
        self._answers: SimpleQueue[_Addresses | OSError] = SimpleQueue()
        # the connection a second time: TLS takes the first from whoever has it, also while the
        # handshake goes on
        self._link: socket.socket | None = None

    def abort(self) -> None:
        """Break the connection for good, from whatever thread: what it waits for ends at once."""
        self._aborted = True
        self._answers.put(OSError("aborted"))
        if self._link is not None:
            # it is the thread that uses the connection which closes it, and sees it broken now
            with contextlib.suppress(OSError):
                self._link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection, which its own stream has closed."""
        if self._link is not None:
            self._link.close()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, **_: Any
    ) -> _ClippedStream:
        """Connect within the time that is left, to the first address that answers."""
        self.handshakes = 0
        # one after the other here: the system's own way gives each the whole timeout
        failure: Exception = self._engine.ConnectTimeout()
        for address in self._addresses(host, port):
            if self.countdown.is_over():
                break
            try:
                stream = self._stream_class(self._connect(*address, timeout))
            except TimeoutError as error:
                failure = self._engine.ConnectTimeout()
                failure.__cause__ = error
            except OSError as error:
                failure = self._engine.ConnectError()
                failure.__cause__ = error
            else:
                return _ClippedStream(self._engine, stream, self)
        try:
            raise failure
        finally:
            del failure  # a frame and an exception that hold each other outlive the call

    def _connect(self, family: int, address: Any, timeout: float | None) -> socket.socket:
        connection = socket.socket(family, socket.SOCK_STREAM)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(connection.close)
            self.close()
            self._link = connection.dup()
            if self._aborted:  # looked at after the link is there, as `abort` does it before
                raise ConnectionAbortedError
            connection.settimeout(self.countdown.clip(timeout, self._engine.ConnectTimeout))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            on_failure.pop_all()
        return connection

    def _addresses(self, host: str, port: int) -> _Addresses:
        if known := _address_in(host, port):
            return known
        _look_up(host, port, self._answers.put)
        try:
            answer = self._answers.get(
                timeout=self.countdown.clip(None, self._engine.ConnectTimeout)
            )
        except Empty:
            raise self._engine.ConnectTimeout from None
        if isinstance(answer, OSError):
            raise self._engine.ConnectError from answer
        return answer


_Addresses = list[tuple[int, Any]]


def _address_in(host: str, port: int) -> _Addresses:
    with contextlib.suppress(ValueError):
        old = isinstance(ipaddress.ip_address(host), ipaddress.IPv4Address)
        return [(socket.AF_INET if old else socket.AF_INET6, (host, port))]
    return []


def _look_up(host: str, port: int, tell: Callable[[_Addresses | OSError], object]) -> None:
    # getaddrinfo takes no timeout and cannot be interrupted: it runs in a thread that is left
    # behind where it takes too long, also by a loop or an interpreter that ends
    arguments = (host, port, tell)
    try:
        threading.Thread(
            target=_ask_system, args=arguments, name="oss-vectors", daemon=True
        ).start()
    except RuntimeError:  # no thread can be started any more: the interpreter ends
        _ask_system(*arguments)


def _ask_system(host: str, port: int, tell: Callable[[_Addresses | OSError], object]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the other: of a name that IDNA cannot write
        tell(error if isinstance(error, OSError) else OSError(str(error)))
    else:
        tell([(family, address) for family, _, _, _, address in found])


class _ClippedStream:
    """A connection of a blocking network; its operations end with the countdown."""

    def __init__(self, engine: Any, inner: Any, network: ClippedNetwork) -> None:
        self._engine = engine
        self._inner = inner
        self._network = network
        self._countdown = network.countdown
        self._message = _Message()
        self._tls = inner.get_extra_info("ssl_object")
        # without TLS it is read and written directly: what the engine does around each call of the
        # system, to turn its errors into its own, takes longer than the call
        self._plain = None if self._tls else inner.get_extra_info("socket")

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if head := self._message.end():  # of a request without a body, such as a DELETE
            self._write(head, timeout)
        size = self._message.room or max_bytes
        ends = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = self._countdown.clip(ends - time.monotonic(), self._engine.ReadTimeout)
            try:
                data = self._receive(size, min(left, _LOOK_AGAIN))
                break
            except self._engine.ReadTimeout:
                if left <= _LOOK_AGAIN:
                    raise
        if self._tls and len(data) >= _TLS_RECORD:
            self._inner.get_extra_info("socket").settimeout(0)  # the next operation sets its own
            data = _add_records(data, size, self._tls)
        self._message.count(data)
        self._network.heard = self._network.heard or bool(data)
        return data

    def _receive(self, size: int, seconds: float) -> bytes:
        if self._plain is None:
            return self._inner.read(size, seconds)  # type: ignore[no-any-return]
        try:
            self._plain.settimeout(seconds)
            return self._plain.recv(size)  # type: ignore[no-any-return]
        except TimeoutError as error:
            raise self._engine.ReadTimeout from error
        except OSError as error:
            raise self._engine.ReadError from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if ready := self._message.add(buffer):
            self._write(ready, timeout)

    def _write(self, buffer: bytes, timeout: float | None) -> None:
        # in pieces, so that a peer that reads slowly cannot outlast the countdown
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            piece = buffer[start : start + _WRITTEN_AT_ONCE]
            left = self._countdown.clip(timeout, self._engine.WriteTimeout)
            if self._plain is None:
                self._inner.write(piece, left)
                continue
            try:
                self._plain.settimeout(left)
                self._plain.sendall(piece)
            except TimeoutError as error:
                raise self._engine.WriteTimeout from error
            except OSError as error:
                raise self._engine.WriteError from error

    def close(self) -> None:
        self._inner.close()
        self._network.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> _ClippedStream:
        self._network.handshakes += 1
        left = self._countdown.clip(timeout, self._engine.ConnectTimeout)
        stream = self._inner.start_tls(ssl_context, server_hostname, left)
        return _ClippedStream(self._engine, stream, self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class WatchedNetwork(Network):
    """An async network that remembers the connection it opened last."""

    def __init__(self, engine: Any) -> None:
        super().__init__()
        self.engine = engine
        # as the engine looks at the sockets of its own networks
        self.is_readable = importlib.import_module(f"{engine.__name__}._utils").is_socket_readable
        # an engine that is cancelled in the middle of a TLS handshake forgets its connection, open
        self._link: _Link | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the engine's parameter
        **_: Any,
    ) -> _WatchedStream:
        """Connect, and remember."""
        self.handshakes = 0
        try:
            async with asyncio.timeout(timeout):
                addresses = _address_in(host, port) or await _look_up_on_loop(host, port)
                self._link = await self._connect_to_first(list(addresses))
        except TimeoutError:
            raise self.engine.ConnectTimeout from None
        except OSError as error:
            raise self.engine.ConnectError from error
        return _WatchedStream(self._link, self._link, self)

    async def _connect_to_first(self, addresses: _Addresses) -> _Link:
        if len(addresses) == 1:
            return await _open_link(*addresses[0][1][:2])
        # the next is tried when one has failed, or has kept silent for a while (RFC 8305)
        attempts: set[asyncio.Task[_Link]] = set()
        winner: asyncio.Task[_Link] | None = None
        try:
            while addresses or attempts:
                if addresses:
                    host, port = addresses.pop(0)[1][:2]
                    attempts.add(asyncio.ensure_future(_open_link(host, port)))
                patience = _NEXT_ADDRESS_SECONDS if addresses else None
                first = asyncio.FIRST_COMPLETED
                done, _ = await asyncio.wait(attempts, timeout=patience, return_when=first)
                winner = next((one for one in done if one.exception() is None), None)
                if winner is not None or (attempts <= done and not addresses):
                    return (winner or done.pop()).result()
                attempts -= done
        finally:
            await _drop(attempts - {winner})
        raise OSError("the name has no address")

    async def close(self) -> None:
        """Close the connection that was opened last; the engine has seen to those before."""
        if self._link is not None:
            await self._link.aclose()


async def _look_up_on_loop(host: str, port: int) -> _Addresses:
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[_Addresses | OSError] = loop.create_future()

    def take(answer: _Addresses | OSError) -> None:
        if not answered.done():
            answered.set_result(answer)

    def tell(answer: _Addresses | OSError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits for it
            loop.call_soon_threadsafe(take, answer)

    _look_up(host, port, tell)
    answer = await answered
    if isinstance(answer, OSError):
        raise answer
    return answer


async def _drop(attempts: set[asyncio.Task[_Link]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for link in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(link, BaseException):
            await link.aclose()


async def _open_link(host: str, port: int) -> _Link:
    loop = asyncio.get_running_loop()
    link = _Link(loop)
    await loop.create_connection(lambda: cast("Any", link), host, port)
    return link


class _Link:
    """A connection of an event loop: an asyncio protocol, and a stream that anyio's TLS takes.

    anyio's own stream takes a turn of the loop for each write, a timer for each operation, and
    two calls of the system to read only when asked. Here an exchange has one deadline, at which it
    is cancelled, and what comes is kept until it is read. It is read and written by one task.
    """

    extra_attributes: Mapping[Any, Callable[[], Any]] = MappingProxyType({})

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: Any = None
        self._has_size = False
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._is_held = False  # too much has come that was not read
        self._is_full = False  # too much was written that has not gone
        self._is_ended = False
        self._is_lost = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(0)  # what is written has gone when the write is over
        # asyncio's own reads up to 256 kB at once, for which it gets room from the system each time
        self._has_size = hasattr(transport, "max_size")

    def data_received(self, data: bytes) -> None:
        self._pieces.append(bytes(data))  # a bytearray on Windows
        self._size += len(data)
        if self._size >= _KEPT_UNREAD and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._is_ended = True
        self._wake()
        return True  # what was written may be on its way yet

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost, self._error = True, error
        self._wake()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def receive(self, max_bytes: int = _WRITTEN_AT_ONCE) -> bytes:
        """Return the next bytes, at most so many."""
        if self._has_size:
            self._transport.max_size = max_bytes
        while not (self._pieces or self._is_ended or self._is_lost):
            await self._wait()
        if not self._pieces:
            if self._is_lost:
                raise anyio.BrokenResourceError from self._error
            raise anyio.EndOfStream
        piece = self._pieces.popleft()
        if len(piece) > max_bytes:
            self._pieces.appendleft(piece[max_bytes:])
            piece = piece[:max_bytes]
        self._size -= len(piece)
        if self._is_held and self._size < _KEPT_UNREAD and not self._is_lost:
            self._is_held = False
            self._transport.resume_reading()
        return piece

    async def send(self, item: bytes) -> None:
        """Write bytes, and wait until they have gone."""
        if not (self._is_lost or self._transport.is_closing()):
            self._transport.write(item)
            while self._is_full and not self._is_lost:
                await self._wait()
        if self._is_lost or self._is_full:
            raise anyio.BrokenResourceError from self._error

    async def aclose(self) -> None:
        """Close the connection at once, whatever has not gone."""
        self._transport.abort()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn

    @property
    def socket(self) -> Any:
        """Return the socket; None where anything was read from it, if only the end."""
        has_come = self._pieces or self._is_ended or self._is_lost
        return None if has_come else self._transport.get_extra_info("socket")


class _WatchedStream:
    """A connection of an async network, which writes a message's head with its body."""

    def __init__(self, link: _Link, stream: Any, network: WatchedNetwork, tls: Any = None) -> None:
        self._link = link
        self._stream = stream  # the link, or anyio's TLS on it
        self._network = network
        self._message = _Message()
        self._tls = tls

    async def read(self, max_bytes: int, *_: Any, **__: Any) -> bytes:
        # the timeout is no less than what the exchange has, which is cancelled then
        if head := self._message.end():
            await self._write(head)
        size = self._message.room or max_bytes
        try:
            data: bytes = await self._stream.receive(size)
        except anyio.EndOfStream:
            data = b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise self._network.engine.ReadError from error
        if self._tls and len(data) >= _TLS_RECORD:
            data = _add_records(data, size, self._tls)
        self._message.count(data)
        self._network.heard = self._network.heard or bool(data)
        return data

    async def write(self, buffer: bytes, *_: Any, **__: Any) -> None:
        if ready := self._message.add(buffer):
            await self._write(ready)

    async def _write(self, buffer: bytes) -> None:
        try:
            await self._stream.send(buffer)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream) as error:
            raise self._network.engine.WriteError from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the engine's parameter
    ) -> _WatchedStream:
        self._network.handshakes += 1
        tls = importlib.import_module("anyio.streams.tls")
        try:
            async with asyncio.timeout(timeout):
                # the engine's own options
                stream = await tls.TLSStream.wrap(
                    self._stream,
                    ssl_context=ssl_context,
                    hostname=server_hostname,
                    standard_compatible=False,
                    server_side=False,
                )
        except TimeoutError:
            raise self._network.engine.ConnectTimeout from None
        except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError) as error:
            raise self._network.engine.ConnectError from error
        found = stream.extra(tls.TLSAttribute.ssl_object)  # noqa: S610 - this is no Django
        return _WatchedStream(self._link, stream, self._network, found)

    def get_extra_info(self, info: str) -> Any:
        """Return what the engine asks of a connection."""
        if info == "is_readable":
            return self._network.is_readable(self._link.socket)  # None is, too
        return self._tls if info == "ssl_object" else None


class _Message:
    """A message's head, held back until its body comes; and how its reply is to be read.

    Attributes:
        room: the bytes to read next, in place of what the engine asks for, or 0.
    """

    def __init__(self) -> None:
        # the engine writes head, body and an end by themselves, the end empty where the length is
        # known; as one they are one packet, and one call of the system
        self._head: bytes | None = None
        self._begun = False
        self._read = self.room = 0

    def add(self, buffer: bytes) -> bytes:
        """Return what is to be written now that this has come."""
        if not self._begun:
            self._begun, self._head = True, buffer
            self._read = self.room = 0
            return b""
        head, self._head = self._head, None
        return head + buffer if head else buffer

    def end(self) -> bytes | None:
        """Return a head that no body followed; what is added next is a head again."""
        head, self._head = self._head, None
        self._begun = False
        return head

    def count(self, data: bytes) -> None:
        """Make room for more where a large reply comes fast."""
        # a slow peer's bytes come a few at a time: the room would be made for nothing
        self._read += len(data)
        is_fast = len(data) >= _READ_AT_LEAST and self._read >= _READ_AS_ASKED
        self.room = _READ_AT_ONCE if is_fast else 0


def _add_records(data: bytes, size: int, tls: Any) -> bytes:
    # TLS gives one record at a time, whatever it is asked for: those that are there already
    records, left = [data], size - len(data)
    with contextlib.suppress(OSError):  # an error, as an end, comes again with the next read
        while left > 0 and (more := tls.read(min(left, _TLS_RECORD))):
            records.append(more)
            left -= len(more)
    return b"".join(records)
