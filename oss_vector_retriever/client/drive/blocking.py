"""Blocking connections, for the sync client."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from oss_vector_retriever.client.drive.exchange import LATE, TOO_LARGE, Body, Settings, usable
from oss_vector_retriever.client.drive.network import ClippedNetwork, Countdown
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.steps import Fault


class _Connection:
    """Hold one connection and the countdown of its exchange."""

    def __init__(self, settings: Settings) -> None:
        self.countdown = Countdown()
        network = ClippedNetwork(settings.engine, self.countdown)
        self._lines = settings.engine.ConnectionPool(
            **settings.pool_arguments(network_backend=network)
        )
        self._line: Any = None

    def send(self, request: Any) -> Any:
        """Send a request on the line that is open, or on a new one."""
        if self._line is None or not usable(self._line, request):
            self.close()
            self._line = self._lines.create_connection(request.url.origin)
        return self._line.handle_request(request)

    def close(self) -> None:
        """Close the line."""
        if self._line is not None:
            self._line.close()


class BlockingExchange:
    """Exchange requests over at most `max_connections` connections; safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free: list[_Connection] = []
        self._gate = threading.BoundedSemaphore(settings.max_connections)
        self._closed = False

    def send(self, request: Request, seconds: float) -> Reply | Fault:
        """Send a request and read the whole reply within some seconds."""
        moment = time.monotonic() + seconds
        if not self._gate.acquire(timeout=max(seconds, 0)):
            return LATE
        try:
            return self._on_a_connection(request, moment)
        finally:
            self._gate.release()

    def _on_a_connection(self, request: Request, moment: float) -> Reply | Fault:
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
            return LATE if connection.countdown.over() else fault

    def _read(self, response: Any) -> Reply | Fault:
        body = Body(response, self._settings.max_reply_bytes)
        try:
            if refused := body.refused():
                return refused
            for part in response.iter_stream():
                if not body.add(part):
                    return TOO_LARGE
        finally:
            response.close()
        return body.reply()

    def close(self) -> None:
        """Close the connections that are free; those in use close when their exchange ends."""
        self._closed = True
        self._close_free()

    def _close_free(self) -> None:
        with contextlib.suppress(IndexError):  # two threads may be at it
            while True:
                self._free.pop().close()
