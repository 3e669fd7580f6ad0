"""`Application`: the service as a bare ASGI application, for any ASGI server.

Host style, path style and absolute-form targets reach it alike; the last is what an HTTP client
sends to a proxy, so the service answers under the real host names without any name resolution.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from typing import Any, Self
from urllib.parse import quote, urlsplit

from ...client.models.messages import Reply, Request
from .. import json_text
from ..faults import KIND_NAMES, KINDS, Fault, Faults, Outcome
from ..rules.refusals import Refusal, too_long
from ..service import Service
from ..transport import Offload
from .addressing import split_target
from .admission import Admission, is_loopback

Message = MutableMapping[str, Any]
Scope = Message
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Page = Callable[[Scope, Receive, Send], Awaitable[None]]

# The extension in which `Server` gives the transport below a request. Without it a connection on
# which an answer was begun and not ended is closed by the server, which says so in its log; where
# none was begun it may answer by itself.
CONNECTION = "oss_vectors.connection"
FAULTS_PATH = "/_emulator/faults"
STUDIO_PATH = "/_studio"  # where a server may show the page of records; no bucket has that name
BODY_TIMEOUT = 30.0

logger = logging.getLogger(__name__)

_BODIES_AT_ONCE = 4  # of the longest; of shorter ones more
_SHORT_BODY = 64 * 1024  # as much as is in the server's hands at once anyway
_LONGEST_LENGTH = 20  # digits; int() refuses thousands
# How long a client that was refused may go on to write: between two parts, and in all; and how many
# bytes more than the longest body.
_LINGER_PAUSE, _LINGER_SECONDS, _LINGER_BYTES = 1.0, 4.0, 8 * 1024 * 1024
FORWARDED = frozenset({"forwarded", "x-forwarded-for"})
_SHOWN = 80
# SO_LINGER with a linger time of 0 seconds; Windows takes two shorts.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Application:
    """The ASGI events `http` and `lifespan`, answered; the service stays the caller's to close.

    Args:
        service: what answers.
        allow_faults: let this machine switch faults on, at `/_emulator/faults`.
        allow_hosts: names that it is reached by, besides those that `Admission` knows.
        body_timeout: seconds within which a request's body must arrive.
        is_exposed: whether other machines reach it; published keys are then not honoured.
        pages: what answers below some paths that no bucket can have, in place of the service, and
            checks by itself whom it lets in.
        on_exchange: called with each request that was answered, or cut off; None calls nothing.
    """

    def __init__(
        self,
        service: Service,
        *,
        allow_faults: bool = False,
        allow_hosts: Sequence[str] = (),
        body_timeout: float = BODY_TIMEOUT,
        is_exposed: bool = False,
        pages: Mapping[str, Page] | None = None,
        on_exchange: "Callable[[HttpExchange], None] | None" = None,
    ) -> None:
        self._service = service
        self._pages = pages or {}
        self._admission = Admission(allow_hosts)
        self._body_timeout = body_timeout
        self._is_exposed = is_exposed
        self._on_exchange = on_exchange
        self._offload = Offload(service)
        self._memory = _Memory(_BODIES_AT_ONCE * service.max_body_bytes)
        self._control = FaultControl(service.faults) if allow_faults else None

    def close(self) -> None:
        """End the threads of this application; closing twice does nothing."""
        self._offload.close()

    def refuse(self, code: str, detail: str) -> Reply:
        """Return the reply to what is no request at all."""
        logger.warning("refused a request that is none: %s", detail)
        return self._service.refuse_unread(Request("GET", "http://", "/"), code, detail)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "http" and self._on_exchange is not None:
            await self._report(self._on_exchange, scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            raise NotImplementedError(f"the emulator does not speak {scope['type']}")

    async def _report(
        self,
        on_exchange: "Callable[[HttpExchange], None]",
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer, and tell what was asked and answered."""
        began = time.perf_counter()
        asked, answered, statuses = BytesIO(), BytesIO(), []

        async def hear() -> Message:
            message = await receive()
            asked.write(message.get("body", b""))
            return message

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif statuses[0] >= _REFUSED:  # of what succeeded nobody looks at the body
                answered.write(message.get("body", b""))
            await send(message)

        try:
            await self._answer(scope, hear, say)
        finally:
            status = statuses[0] if statuses else None
            seconds = time.perf_counter() - began
            request = _request(scope, asked.getvalue())
            on_exchange(HttpExchange(request, status, answered.getvalue(), seconds))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, (client, *_) = _request(scope, b""), scope.get("client") or (None,)
        for path, page in self._pages.items():
            if f"{request.path}/".startswith(f"{path}/"):
                await page(scope, receive, send)
                return
        body = _Body(self._memory, self._service.max_body_bytes)
        try:
            self._admit(request, scope, client)
            for_control = self._control is not None and self._control.hears(request, client)
            declared = _declared_length(scope)
            if declared is not None and declared > self._service.max_body_bytes:
                raise too_long(self._service.max_body_bytes)
            refusal = None if for_control else self._refuse_by_head(request, declared)
            if refusal is not None:
                await _send_unread(refusal, body.unread, receive, send)
                return
            # The body's memory stays counted until the reply is sent: parsing takes a multiple.
            with body:
                request = replace(request, body=await self._read(body, receive))
                if for_control and self._control is not None:
                    await _send_reply(self._control.handle(request), send)
                else:
                    await _deliver(await self._offload.respond(request), scope, receive, send)
        except _DisconnectedError:
            return
        except Refusal as refusal:
            # Of the bytes that were read nothing is kept.
            unread = replace(request, body=b"")
            reply = self._service.refuse_unread(unread, refusal.code, refusal.detail)
            await _send_unread(reply, body.unread, receive, send)

    def _admit(self, request: Request, scope: Scope, client: str | None) -> None:
        """Refuse what a foreign page may have sent, whatever it is for."""
        reason = self._admission.reason_to_refuse(scope["headers"], _target(scope))
        if reason is not None:
            # Without the query, in which a signature may stand.
            path = ascii(request.path[:_SHOWN])
            logger.warning("refused %s %s from %s: %s", request.method, path, client, reason)
            raise Refusal("AccessDenied", f"The request was refused unread: {reason}.")

    def _refuse_by_head(self, request: Request, declared: int | None) -> Reply | None:
        """Return the refusal of what need not be read, or None."""
        # A short body is read in any case: the refusal keeps the connection, and meets faults.
        is_short = declared is not None and declared <= _SHORT_BODY
        if is_short and not self._is_exposed:
            return None
        signer = self._service.signer_of(request)
        if isinstance(signer, Reply):
            return None if is_short else signer
        if self._is_exposed and signer.is_published:
            detail = "The published keys are honoured on loopback only."
            return self._service.refuse_unread(request, "InvalidAccessKeyId", detail)
        return None

    async def _read(self, body: "_Body", receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._body_timeout):
                return await body.read(receive)
        except TimeoutError:
            logger.info("a body did not arrive within %g s", self._body_timeout)
            raise Refusal("RequestTimeout") from None


_REFUSED = 400


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """One request and what became of it.

    Attributes:
        request: as it was sent; its body as far as it was read.
        status: of the reply; None where there was none.
        error: the body of a reply that refuses.
        seconds: from the head of the request to the end of the reply.
    """

    request: Request
    status: int | None
    error: bytes = field(repr=False)
    seconds: float


class _DisconnectedError(Exception):
    """The client has left."""


@dataclass(slots=True)
class _Memory:
    """The bytes left for the bodies in hand, counted on one event loop, and so without a lock."""

    left: int


class _Body:
    """One request's body; as a context manager, counted as long as its request is in hand."""

    def __init__(self, memory: _Memory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self._counted = 0

    async def read(self, receive: Receive) -> bytes:
        """Return the whole body, or end as soon as it is known that it will not be read."""
        parts, more = BytesIO(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _DisconnectedError
            part, more = message.get("body", b""), message.get("more_body", False)
            # Counted as it arrives: what a client declares and does not send takes no memory.
            if self._counted + len(part) > self._limit:
                raise too_long(self._limit)
            if len(part) > self._memory.left:  # clients come again later
                raise Refusal("QpsLimitExceeded")
            self._memory.left -= len(part)
            self._counted += len(part)
            parts.write(part)
        return parts.getvalue()

    @property
    def unread(self) -> int:
        """Return how many bytes more are taken, and dropped, of a client that was refused."""
        return self._limit + _LINGER_BYTES - self._counted

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.left += self._counted


def _declared_length(scope: Scope) -> int | None:
    """Return how long a body will be, or None where its head does not say."""
    length: int | None = 0
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and value.isdigit():
            length = int(value[:_LONGEST_LENGTH])
    return length


def _target(scope: Scope) -> bytes:
    # raw_path is optional in ASGI; the path that is always there was decoded, and signatures
    # cover what was sent.
    target: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return target


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    origin, path, _ = split_target(_target(scope))
    return Request(
        method=scope["method"],
        origin=origin or f"http://{headers.get('host', '')}",
        path=path,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
    )


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _deliver(outcome: Outcome, scope: Scope, receive: Receive, send: Send) -> None:
    """Give an answer the way its outcome says; the request has been read."""
    if outcome.delay and await _client_leaves(receive, within=outcome.delay):
        return
    connection: asyncio.Transport | None = scope.get("extensions", {}).get(CONNECTION)
    if outcome.reply is not None and outcome.kept is None:
        await _send_reply(outcome.reply, send)
        return
    if outcome.reply is not None and outcome.reply.body:
        part = outcome.reply.body[: outcome.kept]
        await send(_head(outcome.reply))
        await send({"type": "http.response.body", "body": part, "more_body": True})
    if connection is None:
        return
    if outcome.reply is None:
        # A socket that is closed without time to linger sends RST instead of FIN.
        below = connection.get_extra_info("socket")
        below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        connection.abort()
    else:
        connection.close()
    # uvicorn answers 500 for an application that returns unanswered before the client is gone.
    await _wait_for_disconnect(receive)


async def _send_reply(reply: Reply, send: Send) -> None:
    await send(_head(reply))
    await send({"type": "http.response.body", "body": reply.body})


async def _send_unread(reply: Reply, most: int, receive: Receive, send: Send) -> None:
    """Send the reply to a request whose body is not wanted, and then end the connection."""
    await send(_head(reply))
    await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    # A connection that is closed with bytes unread is reset, and the client may not see the reply
    # that it has got: most write their whole body before they read. What comes is dropped.
    with contextlib.suppress(TimeoutError, _DisconnectedError):
        async with asyncio.timeout(_LINGER_SECONDS):
            await _drop_body(receive, most)
    await send({"type": "http.response.body", "body": b""})


async def _drop_body(receive: Receive, most: int) -> None:
    dropped, more = 0, True
    while more and dropped < most:
        async with asyncio.timeout(_LINGER_PAUSE):
            message = await receive()
        if message["type"] == "http.disconnect":
            raise _DisconnectedError
        dropped += len(message.get("body", b""))
        more = message.get("more_body", False)


def _head(reply: Reply) -> Message:
    headers = dict(reply.headers)
    # 204 and 304 have no body, and must not declare one either (RFC 9110, 8.6).
    if reply.body or reply.status not in (204, 304):
        headers.setdefault("content-length", str(len(reply.body)))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": reply.status, "headers": encoded}


async def _client_leaves(receive: Receive, *, within: float) -> bool:
    """Tell whether the client leaves within some seconds, and wait so long if it does not."""
    try:
        async with asyncio.timeout(within):
            await _wait_for_disconnect(receive)
    except TimeoutError:
        return False
    return True


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class FaultControl:
    """The resource at `/_emulator/faults`: GET lists the faults, POST adds some, DELETE ends all.

    Only this machine is heard, and by a loopback name; what a page in a browser sends is refused
    before, as on every path (`Admission`).
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def hears(self, request: Request, client: str | None) -> bool:
        """Tell whether a request from the address `client` is for this."""
        if request.path != FAULTS_PATH or not is_loopback(client):
            return False
        # A proxy or a tunnel on this machine speaks for others.
        if request.headers.keys() & FORWARDED:
            return False
        return is_loopback(_host(request.origin))

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request."""
        try:
            if request.method == "POST":
                self._faults.add(*_read(request))
            elif request.method == "DELETE":
                self._faults.clear()
            elif request.method != "GET":
                return _refuse(405, "GET, POST or DELETE")
        except (Refusal, ValueError) as error:
            return _refuse(400, str(error))
        applied = [
            {"fault": _to_json(one.fault), "operation": one.operation}
            for one in self._faults.applied
        ]
        pending = list(map(_to_json, self._faults.pending))
        counts = self._faults.counts
        return _reply(200, {"pending": pending, "applied": applied, "counts": counts})


def _to_json(fault: Fault) -> dict[str, Any]:
    return {"kind": KIND_NAMES[type(fault)], **asdict(fault)}


def _read(request: Request) -> list[Fault]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("the Content-Type must be application/json")
    members = json_text.parse_object(request.body)
    faults = members.get("faults", [members])
    if not isinstance(faults, list):
        raise ValueError("faults must be a list")  # noqa: TRY004 - one kind for all
    return [_from_json(item) for item in faults]


def _from_json(value: object) -> Fault:
    if not isinstance(value, dict):
        raise ValueError("a fault must be an object")  # noqa: TRY004 - one kind for all
    members = dict(value)
    name = members.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    unknown = sorted(members.keys() - kind.__dataclass_fields__.keys())
    if unknown:
        raise ValueError(f"{name} has no {unknown[0]!r}")
    return kind(**members)


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:  # an IPv6 address that is never closed
        return None


def _refuse(status: int, message: str) -> Reply:
    return _reply(status, {"Error": {"Code": "InvalidArgument", "Message": message}})


def _reply(status: int, value: object) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json_text.dumps(value))
