"""How an ASGI application gives an answer, or breaks off as a fault demands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.emulator.faults.applied import Outcome

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EXTENSION = "oss_vectors.connection"


class Connection(Protocol):
    """End the connection below a request; `Server` gives it to the application as an extension.

    Another server closes a connection on which an answer was begun and not ended, and says so in
    its log; where none was begun it may answer by itself.
    """

    def close(self) -> None:
        """Close once what was written is sent."""

    def reset(self) -> None:
        """Close at once, so that the peer is told of a reset."""


async def deliver(outcome: Outcome, scope: Scope, receive: Receive, send: Send) -> None:
    """Give an answer the way its outcome says; the request has been read."""
    if outcome.delay and await _leaves(receive, within=outcome.delay):
        return
    connection: Connection | None = scope.get("extensions", {}).get(EXTENSION)
    if outcome.reply is None:
        await _end(connection, receive, reset=True)
    elif outcome.kept is not None:
        await _send_part(outcome.reply, outcome.kept, send)
        await _end(connection, receive)
    else:
        await send_reply(outcome.reply, send)


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a whole reply."""
    await send(_head(reply))
    await send({"type": "http.response.body", "body": reply.body})


async def _send_part(reply: Reply, kept: int, send: Send) -> None:
    if reply.body:
        await send(_head(reply))
        await send({"type": "http.response.body", "body": reply.body[:kept], "more_body": True})


def _head(reply: Reply) -> Message:
    headers = dict(reply.headers)
    if reply.body or reply.status not in (204, 304):
        headers.setdefault("content-length", str(len(reply.body)))
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": reply.status, "headers": encoded}


async def _end(connection: Connection | None, receive: Receive, *, reset: bool = False) -> None:
    if connection is None:
        return
    if reset:
        connection.reset()
    else:
        connection.close()
    await _gone(receive)


async def _leaves(receive: Receive, within: float) -> bool:
    """Tell whether the client leaves within some seconds, and wait so long if it does not."""
    try:
        async with asyncio.timeout(within):
            await _gone(receive)
    except TimeoutError:
        return False
    return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
