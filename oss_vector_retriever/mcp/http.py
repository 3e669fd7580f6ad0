"""MCP over streamable HTTP: which requests are let in, and the server that answers them.

Each request stands alone: no session is kept, so that nothing grows with clients that come and go,
and a reply is one JSON document. A page in a browser on this machine could reach a server that
listens here; the rules of `oss-vectors serve` keep it out.
"""

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from ..client.errors import ConfigurationError
from ..client.models.messages import Reply
from ..emulator.http.admission import Admission, is_loopback
from ..emulator.http.server import HEAD_TIMEOUT, address_of, endpoint_of, make_config, open_listener

PATH: Final = "/mcp"
DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8765
SHORTEST_TOKEN: Final = 16

_BODY_TIMEOUT: Final = 30.0  # seconds
_LONGEST_BODY: Final = 1024 * 1024  # bytes; a question has some hundreds
_LINGER: Final = 8  # times as much is read of one that is refused
_MOST_REQUESTS: Final = 500  # at once

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]


class Gate:
    """The ASGI application in front of the protocol's own: it lets in what may ask.

    Args:
        manager: what answers.
        token: what a client must send as `Authorization: Bearer`; None lets anybody ask.
        allow_hosts: names that the server is reached by, besides loopback ones.
        body_timeout: seconds within which a request's body must arrive.

    Raises:
        ConfigurationError: a name is none, or the token cannot be one.
    """

    def __init__(
        self,
        manager: StreamableHTTPSessionManager,
        token: str | None = None,
        allow_hosts: Sequence[str] = (),
        body_timeout: float = _BODY_TIMEOUT,
    ) -> None:
        self._manager = manager
        self._body_timeout = body_timeout
        self._admission = Admission(allow_hosts)
        self._expected = None if token is None else f"Bearer {check_token(token)}".encode()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one connection event."""
        if scope["type"] != "http":
            return
        refusal = self._refuse(scope)
        if refusal is not None:
            await _reply(send, *refusal)
            return
        try:
            async with asyncio.timeout(self._body_timeout):
                body = await _read(receive)
        except TimeoutError:
            await _reply(send, 408, f"the body did not arrive within {self._body_timeout:g} s.")
            return
        if body is None:
            await _reply(send, 413, f"a request has at most {_LONGEST_BODY:,} bytes.")
            return
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Any:
            return parts.pop() if parts else await receive()

        await self._manager.handle_request(scope, replay, send)

    def refuse(self, code: str, detail: str) -> Reply:
        """Return the reply to what is no request at all."""
        body = json.dumps({"error": f"{code}: {detail}"}).encode()
        return Reply(400, {"content-type": "application/json"}, body)

    def _refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and the reason of a request that is refused by its head."""
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        reason = self._admission.reason_to_refuse(headers, scope.get("raw_path") or b"/")
        if reason is not None:
            logger.warning("refused a request: %s", reason)
            return 403, f"refused: {reason}."
        if self._expected is not None:
            sent = [value for name, value in headers if name == b"authorization"]
            given = sent[0] if len(sent) == 1 else b""
            # in a time that says nothing of how much of it is right
            if not hmac.compare_digest(given, self._expected):
                logger.warning("refused a request without the token")
                return 401, "the request needs the header Authorization: Bearer TOKEN."
        if scope["path"].rstrip("/") != PATH:
            return 404, f"there is nothing here; MCP is at {PATH}."
        if scope["method"] != "POST":
            # the protocol's own answer of a server that sends nothing by itself
            return 405, "each request is a POST; there is no stream to open and no session to end."
        return None


def check_token(token: str) -> str:
    """Return a token that can be one.

    Raises:
        ConfigurationError: it is short, or has what a header cannot hold; it is not shown.
    """
    if (
        len(token) < SHORTEST_TOKEN
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise ConfigurationError(
            f"the token must have {SHORTEST_TOKEN} characters or more, of ASCII and without spaces"
        )
    return token


async def _read(receive: Any) -> bytes | None:
    """Return the body of a request; None of one that is too long."""
    body, length, goes_on = bytearray(), 0, True
    # read on for a while: whoever is still writing does not see the reply
    while goes_on and length <= _LINGER * _LONGEST_BODY:
        message = await receive()
        part = message.get("body", b"")
        length += len(part)
        if length <= _LONGEST_BODY:
            body += part
        goes_on = message["type"] == "http.request" and message.get("more_body", False)
    return bytes(body) if length <= _LONGEST_BODY else None


async def _reply(send: Any, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 401:  # noqa: PLR2004 - as HTTP has it
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 405:  # noqa: PLR2004 - the same
        headers.append((b"allow", b"POST"))
    if status == 408:  # noqa: PLR2004 - the rest of a body is no request
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class HttpServer(uvicorn.Server):
    """A server of uvicorn's in a loop that is the caller's, who also handles signals."""

    def __init__(
        self,
        application: Gate,
        on_ready: Callable[[str], None] | None = None,
        head_timeout: float = HEAD_TIMEOUT,
    ) -> None:
        config = make_config(
            application, head_timeout, limit_concurrency=_MOST_REQUESTS, timeout_graceful_shutdown=1
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self._on_ready and sockets:
            self._on_ready(f"{endpoint_of(sockets[0])}{PATH}")

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until the task is cancelled; then at once close what is open."""
        try:
            await super().serve(sockets)
        finally:
            # uvicorn's own end waits for replies, and does nothing where it is cancelled
            for server in getattr(self, "servers", ()):
                server.close()
            for task in self.server_state.tasks:
                task.cancel()
            for connection in list(self.server_state.connections):
                # of either kind of connection; there are none for web sockets
                getattr(connection, "transport").abort()  # noqa: B009 - not in uvicorn's hints
            await asyncio.gather(*self.server_state.tasks, return_exceptions=True)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever handles them: Ctrl-C ends at once, and not after all replies."""
        yield


def listen(host: str, port: int, *, has_token: bool) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigurationError: nobody can listen there, or anybody there could read without a token.
    """
    listener = open_listener(host, port)
    if not has_token and not is_loopback(address := str(address_of(listener))):
        listener.close()
        raise ConfigurationError(
            f"on {address} others than this machine would be served: that needs a token"
        )
    return listener
