"""A blocking network on which no operation outlives a deadline.

The timeouts of HTTP libraries are per operation: a peer that sends a byte now and then holds a call
for ever (reference engineering.md 2.2). Here every operation is clipped to the time that is left.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable
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
        """Connect within the time that is left."""
        stream = self._inner.connect_tcp(
            host, port, self._countdown.clip(timeout), local_address, socket_options
        )
        return ClippedStream(self._engine, stream, self._countdown)

    def sleep(self, seconds: float) -> None:
        """Sleep, for the engine's own retries, which are off."""
        self._inner.sleep(seconds)


class ClippedStream:
    """Be a network stream of httpcore whose operations end with a countdown."""

    def __init__(self, engine: Any, inner: Any, countdown: Countdown) -> None:
        self._engine = engine
        self._inner = inner
        self._countdown = countdown

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there, within the time that is left."""
        if self._countdown.over():
            raise self._engine.ReadTimeout
        data: bytes = self._inner.read(max_bytes, self._countdown.clip(timeout))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
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
