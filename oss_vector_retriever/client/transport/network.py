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
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ...lazy import LazyModule

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = LazyModule("asyncio", globals())

_WRITTEN_AT_ONCE = 64 * 1024
# The engine asks for 64 kB, and each read costs it an event. It takes more than it asked for. Still
# more at once would cost more: it leaves the processor's cache before it is copied.
_READ_AT_ONCE = 128 * 1024
_READ_AT_LEAST = 32 * 1024
# its limit of a reply's head, 100 kB, is looked at between two reads: up to there they are its own
_READ_AS_ASKED = 128 * 1024
_TLS_RECORD = 16 * 1024
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

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if head := self._message.end():  # of a request without a body, such as a DELETE
            self._write(head, timeout)
        size = self._message.room or max_bytes
        ends = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            left = self._countdown.clip(ends - time.monotonic(), self._engine.ReadTimeout)
            try:
                data: bytes = self._inner.read(size, min(left, _LOOK_AGAIN))
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

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if ready := self._message.add(buffer):
            self._write(ready, timeout)

    def _write(self, buffer: bytes, timeout: float | None) -> None:
        # in pieces, so that a peer that reads slowly cannot outlast the countdown
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            piece = buffer[start : start + _WRITTEN_AT_ONCE]
            self._inner.write(piece, self._countdown.clip(timeout, self._engine.WriteTimeout))

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
        self._engine = engine
        self._inner = engine.AnyIOBackend()
        # an engine that is cancelled in the middle of a TLS handshake forgets its connection, open
        self._stream: Any = None

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
                self._stream = await self._connect_to_first(list(addresses))
        except TimeoutError:
            raise self._engine.ConnectTimeout from None
        except OSError as error:
            raise self._engine.ConnectError from error
        return _WatchedStream(self._stream, self)

    async def _connect_to_first(self, addresses: _Addresses) -> Any:
        if len(addresses) == 1:
            return await self._inner.connect_tcp(*addresses[0][1][:2])
        # the next is tried when one has failed, or has kept silent for a while (RFC 8305)
        attempts: set[asyncio.Task[Any]] = set()
        winner: asyncio.Task[Any] | None = None
        try:
            while addresses or attempts:
                if addresses:
                    host, port = addresses.pop(0)[1][:2]
                    attempts.add(asyncio.ensure_future(self._inner.connect_tcp(host, port)))
                patience = _NEXT_ADDRESS_SECONDS if addresses else None
                first = asyncio.FIRST_COMPLETED
                done, _ = await asyncio.wait(attempts, timeout=patience, return_when=first)
                winner = next((one for one in done if one.exception() is None), None)
                if winner is not None or (attempts <= done and not addresses):
                    return (winner or done.pop()).result()
                attempts -= done
        finally:
            await _drop(attempts - {winner})

    async def close(self) -> None:
        """Close the connection that was opened last; the engine has seen to those before."""
        if self._stream is not None:
            await self._stream.aclose()


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


async def _drop(attempts: set[asyncio.Task[Any]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for stream in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(stream, BaseException):
            await stream.aclose()


class _WatchedStream:
    """A connection of an async network, which writes a message's head with its body."""

    def __init__(self, inner: Any, network: Network) -> None:
        self._inner = inner
        self._network = network
        self._message = _Message()
        self._tls = inner.get_extra_info("ssl_object")

    async def read(self, max_bytes: int, *options: Any, **named: Any) -> bytes:
        if head := self._message.end():
            await self._inner.write(head, *options, **named)
        size = self._message.room or max_bytes
        data: bytes = await self._inner.read(size, *options, **named)
        if self._tls and len(data) >= _TLS_RECORD:
            data = _add_records(data, size, self._tls)
        self._message.count(data)
        self._network.heard = self._network.heard or bool(data)
        return data

    async def write(self, buffer: bytes, *options: Any, **named: Any) -> None:
        if ready := self._message.add(buffer):
            await self._inner.write(ready, *options, **named)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(self, *arguments: Any, **options: Any) -> _WatchedStream:
        self._network.handshakes += 1
        return _WatchedStream(await self._inner.start_tls(*arguments, **options), self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


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
