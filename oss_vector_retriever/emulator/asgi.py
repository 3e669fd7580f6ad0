"""`Application`: the service as a bare ASGI application, for any ASGI server.

Host style, path style and absolute-form targets reach it alike; the last is what an HTTP client
sends to a proxy, so the service answers under the real host names without any name resolution.
"""

from __future__ import annotations

from urllib.parse import quote

from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator.addressing import split_target
from oss_vector_retriever.emulator.bodies import (
    Body,
    DisconnectedError,
    Memory,
    TooLongError,
    TooManyError,
)
from oss_vector_retriever.emulator.delivery import Receive, Scope, Send, deliver, send_reply
from oss_vector_retriever.emulator.fault_control import FaultControl
from oss_vector_retriever.emulator.offload import Offload
from oss_vector_retriever.emulator.service import Service

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
