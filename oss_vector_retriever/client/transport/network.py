"""The networks below the HTTP engine: a blocking one with a deadline, and a tidy async one.

The timeouts of HTTP libraries are per operation: a peer that sends a byte now and then holds a call
for ever (reference engineering.md 2.2). In the blocking network every operation is clipped to the
time that is left; on an event loop a cancelled exchange does that.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from typing import Any

_WRITTEN_AT_ONCE = 64 * 1024


class Countdown:
    """Count down to the moment at which the exchange in progress must be over."""

    def __init__(self) -> None:
        self._moment = 0.0

    def start(self, seconds: float) -> None:
        """Begin an exchange that may take some seconds."""
        self._moment = time.monotonic() + seconds

    def over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() >= self._moment

    def clip(self, timeout: float | None) -> float:
        """Return the part of a timeout that is left."""
        left = max(self._moment - time.monotonic(), 0.001)
        return left if timeout is None else min(timeout, left)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int, found: SimpleQueue[list[str] | OSError]) -> None:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        found.put(error)
    except UnicodeError as error:
        found.put(OSError(str(error)))
    else:
        found.put([str(answer[4][0]) for answer in answers])


class HeldHead:
    """Hold a message's head back until its body comes: one packet, and one call of the system.

    The engine writes both by themselves, and an end, which is empty where the length is known.
    """

    def __init__(self) -> None:
        self._head: bytes | None = None
        self._begun = False

    def with_next(self, buffer: bytes) -> bytes:
        """Return what is to be written now."""
        if not self._begun:
            self._begun, self._head = True, buffer
            return b""
        head, self._head = self._head, None
        return head + buffer if head else buffer

    def let_go(self) -> bytes | None:
        """Return a head that no body followed; what is written next is a head again."""
        head, self._head = self._head, None
        self._begun = False
        return head


class ClippedNetwork:
    """Be a network backend of httpcore whose operations end with a countdown."""

    def __init__(self, engine: Any, countdown: Countdown) -> None:
        self._engine = engine
        self._inner = engine.SyncBackend()
        self._countdown = countdown

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> ClippedStream:
        """Connect within the time that is left, to the first address that answers."""
        failed: Exception = self._engine.ConnectTimeout()
        for address in self._addresses(host, port):
            if self._countdown.over():
                break
            left = self._countdown.clip(timeout)
            try:
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
            except (self._engine.ConnectError, self._engine.ConnectTimeout) as error:
                failed = error
            else:
                return ClippedStream(self._engine, stream, self._countdown)
        try:
            raise failed
        finally:
            del failed  # a frame and an exception that hold each other outlive the call

    def _addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host; its name is looked up in a thread, which can be left."""
        found: SimpleQueue[list[str] | OSError] = SimpleQueue()
        if _is_address(host):
            return [host]
        arguments = (host, port, found)
        threading.Thread(target=_look_up, args=arguments, name="oss-vectors", daemon=True).start()
        try:
            answer = found.get(timeout=self._countdown.clip(None))
        except Empty:
            raise self._engine.ConnectTimeout from None
        if isinstance(answer, OSError):
            raise self._engine.ConnectError from answer
        return answer

    def sleep(self, seconds: float) -> None:
        """Sleep, for the engine's own retries, which are off."""
        self._inner.sleep(seconds)


class ClippedStream:
    """Be a network stream of httpcore whose operations end with a countdown."""

    def __init__(self, engine: Any, inner: Any, countdown: Countdown) -> None:
        self._engine = engine
        self._inner = inner
        self._countdown = countdown
        self._held = HeldHead()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there, within the time that is left."""
        if held := self._held.let_go():
            self._write(held, timeout)
        if self._countdown.over():
            raise self._engine.ReadTimeout
        data: bytes = self._inner.read(max_bytes, self._countdown.clip(timeout))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write what there is of a message, but for its head."""
        self._write(self._held.with_next(buffer), timeout)

    def _write(self, buffer: bytes, timeout: float | None) -> None:
        """Write in pieces, so that a peer that reads slowly cannot outlast the countdown."""
        for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
            if self._countdown.over():
                raise self._engine.WriteTimeout
            piece = buffer[start : start + _WRITTEN_AT_ONCE]
            self._inner.write(piece, self._countdown.clip(timeout))

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> ClippedStream:
        """Agree on TLS within the time that is left."""
        stream = self._inner.start_tls(ssl_context, server_hostname, self._countdown.clip(timeout))
        return ClippedStream(self._engine, stream, self._countdown)

    def get_extra_info(self, info: str) -> Any:
        """Return what the engine asks about the connection."""
        return self._inner.get_extra_info(info)


class WatchedNetwork:
    """Be an async network backend of httpcore that remembers the stream it opened.

    An engine that is cancelled in the middle of a TLS handshake forgets its stream, open.
    """

    def __init__(self, engine: Any) -> None:
        self._inner = engine.AnyIOBackend()
        self._stream: Any = None

    async def connect_tcp(self, host: str, port: int, **options: Any) -> WholeStream:
        """Connect, and remember."""
        self._stream = await self._inner.connect_tcp(host, port, **options)
        return WholeStream(self._stream)

    async def sleep(self, seconds: float) -> None:
        """Sleep, for the engine's own retries, which are off."""
        await self._inner.sleep(seconds)

    async def close(self) -> None:
        """Close the stream that was opened last; the engine has seen to those before."""
        if self._stream is not None:
            await self._stream.aclose()


class WholeStream:
    """Be an async network stream of httpcore that writes a message's head with its body."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._held = HeldHead()

    async def read(self, max_bytes: int, *options: Any, **named: Any) -> bytes:
        """Read what is there."""
        if held := self._held.let_go():
            await self._inner.write(held, *options, **named)
        data: bytes = await self._inner.read(max_bytes, *options, **named)
        return data

    async def write(self, buffer: bytes, *options: Any, **named: Any) -> None:
        """Write what there is of a message, but for its head."""
        if whole := self._held.with_next(buffer):
            await self._inner.write(whole, *options, **named)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def start_tls(self, *arguments: Any, **options: Any) -> WholeStream:
        """Agree on TLS."""
        return WholeStream(await self._inner.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        """Return what the engine asks about the connection."""
        return self._inner.get_extra_info(info)
