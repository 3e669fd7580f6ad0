"""`Application`: the service as a bare ASGI application, for any ASGI server.

Host style, path style and absolute-form targets reach it alike; the last is what an HTTP client
sends to a proxy, so the service answers under the real host names without any name resolution.
"""

import asyncio
import ipaddress
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict, dataclass
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

Message = MutableMapping[str, Any]
Scope = Message
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The extension in which `Server` gives the transport below a request. Without it a connection on
# which an answer was begun and not ended is closed by the server, which says so in its log; where
# none was begun it may answer by itself.
CONNECTION = "oss_vectors.connection"
FAULTS_PATH = "/_emulator/faults"

_BODIES_AT_ONCE = 4  # of the longest; of shorter ones more
_LONGEST_LENGTH = 20  # digits; int() refuses thousands
# SO_LINGER with a linger time of 0 seconds; Windows takes two shorts.
_NO_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class Application:
    """The ASGI events `http` and `lifespan`, answered; the service stays the caller's to close.

    Args:
        service: what answers.
        allow_faults: let this machine switch faults on, at `/_emulator/faults`.
    """

    def __init__(self, service: Service, *, allow_faults: bool = False) -> None:
        self._service = service
        self._offload = Offload(service)
        self._memory = _Memory(_BODIES_AT_ONCE * service.max_body_bytes)
        self._control = FaultControl(service.faults) if allow_faults else None

    def close(self) -> None:
        """End the threads of this application; closing twice does nothing."""
        self._offload.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection event."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            raise NotImplementedError(f"the emulator does not speak {scope['type']}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The body's memory stays counted until the reply is sent: parsing takes a multiple of it.
        with _Body(self._memory, self._service.max_body_bytes) as body:
            try:
                whole = await body.read(_declared_length(scope), receive)
            except _DisconnectedError:
                return
            except Refusal as refusal:
                unread = _request(scope, b"")
                reply = self._service.refuse_unread(unread, refusal.code, refusal.detail)
                await _send_reply(reply, send)
            else:
                await self._respond(_request(scope, whole), scope, receive, send)

    async def _respond(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        client, *_ = scope.get("client") or (None,)
        if self._control is not None and self._control.hears(request, client):
            await _send_reply(self._control.handle(request), send)
        else:
            await _deliver(await self._offload.respond(request), scope, receive, send)


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

    async def read(self, declared: int, receive: Receive) -> bytes:
        """Return the whole body, or end as soon as it is known that it will not be read."""
        if declared > self._limit:
            raise too_long(self._limit)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.left += self._counted


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:_LONGEST_LENGTH])
    return 0


def _request(scope: Scope, body: bytes) -> Request:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    # raw_path is optional in ASGI; the path that is always there was decoded, and signatures
    # cover what was sent.
    target = scope.get("raw_path") or quote(scope["path"]).encode()
    origin, path, _ = split_target(target)
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

    A page in a browser on this machine could send requests here. It may not name another host than
    a loopback one, so that a name which was bound anew to this machine is of no use, and it must
    say `application/json`, which a browser lets no foreign page say without asking first: that
    question (OPTIONS) is refused.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def hears(self, request: Request, client: str | None) -> bool:
        """Tell whether a request from the address `client` is for this."""
        if request.path != FAULTS_PATH or not _is_loopback(client):
            return False
        return _is_loopback(_host(request.origin))

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


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Names under localhost never leave this machine (RFC 6761).
        return host == "localhost" or host.endswith(".localhost")


def _refuse(status: int, message: str) -> Reply:
    return _reply(status, {"Error": {"Code": "InvalidArgument", "Message": message}})


def _reply(status: int, value: object) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json_text.dumps(value))
