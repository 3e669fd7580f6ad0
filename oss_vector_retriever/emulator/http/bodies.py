"""Request bodies, read in bounded memory: of one request, and of all requests at once."""

from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any, Self

from ..rules.refusals import Refusal, too_long

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class DisconnectedError(Exception):
    """The client has left."""


class Memory:
    """The bytes of the bodies in hand, counted on one event loop, and so without a lock."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> None:
        """Count some bytes more.

        Raises:
            Refusal: QpsLimitExceeded: there is no room for them; clients come again later.
        """
        if size > self._left:
            raise Refusal("QpsLimitExceeded")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Count some bytes less."""
        self._left += size


class Body:
    """One request's body; as a context manager, counted as long as its request is in hand."""

    def __init__(self, memory: Memory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self._parts = BytesIO()
        self._counted = 0

    async def read(self, declared: int, receive: Receive) -> None:
        """Read the whole body, or end as soon as it is known that it will not be read.

        Raises:
            DisconnectedError: the client has left.
            Refusal: it is longer, or declared longer, than is read, or there is no room for it now.
        """
        if declared > self._limit:
            raise too_long(self._limit)
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            self._add(message.get("body", b""))
            more = message.get("more_body", False)

    def _add(self, part: bytes) -> None:
        # Counted as it arrives: what a client declares and does not send takes no memory.
        if self._counted + len(part) > self._limit:
            raise too_long(self._limit)
        self._memory.take(len(part))
        self._counted += len(part)
        self._parts.write(part)

    def whole(self) -> bytes:
        """Return what was read."""
        return self._parts.getvalue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.give_back(self._counted)
