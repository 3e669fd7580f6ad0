"""`Application`: the service as a bare ASGI application, for any ASGI server.

Host style, path style and absolute-form targets reach it alike; the last is what an HTTP client
sends to a proxy, so the service answers under the real host names without any name resolution.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from typing import Any
from urllib.parse import quote, urlsplit

from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.faults.applied import Faults
from oss_vector_retriever.emulator.faults.kinds import KINDS, Fault
from oss_vector_retriever.emulator.http.addressing import split_target
from oss_vector_retriever.emulator.http.bodies import (
    Body,
    DisconnectedError,
    Memory,
    TooLongError,
    TooManyError,
)
from oss_vector_retriever.emulator.http.responses import Receive, Scope, Send, deliver, send_reply
from oss_vector_retriever.emulator.rules.refusals import Refusal
from oss_vector_retriever.emulator.service import Service
from oss_vector_retriever.emulator.transport import Offload

_BODIES_AT_ONCE = 4  # of the longest; of shorter ones more
_LONGEST_LENGTH = 20  # digits; int() refuses thousands


class Application:
    """Answer ASGI `http` and `lifespan`; the service stays the caller's to close.

    Args:
        service: what answers.
        allow_faults: let this machine switch faults on, at `/_emulator/faults`.
    """

    def __init__(self, service: Service, *, allow_faults: bool = False) -> None:
        self._service = service
        self._offload = Offload(service)
        self._memory = Memory(_BODIES_AT_ONCE * service.settings.max_body_bytes)
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
        with Body(self._memory, self._service.settings.max_body_bytes) as body:
            try:
                await body.read(_declared_length(scope), receive)
            except DisconnectedError:
                return
            except TooLongError:
                await send_reply(self._service.refuse_length(_request(scope, b"")), send)
            except TooManyError:
                await send_reply(self._service.refuse_for_now(_request(scope, b"")), send)
            else:
                await self._respond(_request(scope, body.whole()), scope, receive, send)

    async def _respond(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        controlled = self._controlled(request, scope)
        if controlled is not None:
            await send_reply(controlled, send)
        else:
            await deliver(await self._offload.respond(request), scope, receive, send)

    def _controlled(self, request: Request, scope: Scope) -> Reply | None:
        """Return the reply to a request about faults, or None for one to the service."""
        client = (scope.get("client") or (None,))[0]
        if self._control is None or not self._control.hears(request, client):
            return None
        return self._control.handle(request)


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


PATH = "/_emulator/faults"
_NAMES = {kind: name for name, kind in KINDS.items()}


class FaultControl:
    """Answer what is asked at `/_emulator/faults`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def hears(self, request: Request, client: str | None) -> bool:
        """Tell whether a request from the address `client` is for this."""
        if request.path != PATH or not _is_loopback(client):
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
                return _refusal(405, "GET, POST or DELETE")
        except (Refusal, ValueError) as error:
            return _refusal(400, str(error))
        return _json(200, {"pending": self._pending(), "applied": self._applied()})

    def _pending(self) -> list[dict[str, Any]]:
        return [to_json(fault) for fault in self._faults.pending]

    def _applied(self) -> list[dict[str, Any]]:
        return [
            {"fault": to_json(one.fault), "operation": one.operation}
            for one in self._faults.applied
        ]


def to_json(fault: Fault) -> dict[str, Any]:
    """Return a fault as a JSON object."""
    return {"kind": _NAMES[type(fault)], **asdict(fault)}


def from_json(members: object) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: there is no such kind, or it has no such member or value.
    """
    if not isinstance(members, dict):
        raise ValueError("a fault must be an object")  # noqa: TRY004 - one kind for all
    given = dict(members)
    name = given.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    unknown = sorted(given.keys() - kind.__dataclass_fields__.keys())
    if unknown:
        raise ValueError(f"{name} has no {unknown[0]!r}")
    return kind(**given)


def _read(request: Request) -> list[Fault]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("the Content-Type must be application/json")
    members = json_text.parse_object(request.body)
    listed = members.get("faults", [members])
    if not isinstance(listed, list):
        raise ValueError("faults must be a list")  # noqa: TRY004 - one kind for all
    return [from_json(item) for item in listed]


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refusal(status: int, message: str) -> Reply:
    return _json(status, {"Error": {"Code": "InvalidArgument", "Message": message}})


def _json(status: int, value: object) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json_text.dumps(value))
