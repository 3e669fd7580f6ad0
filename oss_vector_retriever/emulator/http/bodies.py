"""Request bodies, read in bounded memory: of one request, and of all requests at once."""

from __future__ import annotations

from io import BytesIO
from typing import Self

from oss_vector_retriever.emulator.http.responses import Receive


class DisconnectedError(Exception):
    """The client has left."""


class TooLongError(Exception):
    """The body is longer than any that is read."""


class TooManyError(Exception):
    """The bodies in hand are together more than are kept in memory."""


class Memory:
    """Count the bytes of the bodies in hand, on one event loop."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, size: int) -> None:
        """Count some bytes more.

        Raises:
            TooManyError: there is no room for them.
        """
        if size > self._left:
            raise TooManyError
        self._left -= size

    def give_back(self, size: int) -> None:
        """Count some bytes less."""
        self._left += size


class Body:
    """Read one body; as a context manager, count it as long as its request is in hand."""

    def __init__(self, memory: Memory, most: int) -> None:
        self._memory = memory
        self._most = most
        self._read = BytesIO()
        self._counted = 0

    async def read(self, declared: int, receive: Receive) -> None:
        """Read the whole body, or end as soon as it is known that it will not be read.

        Raises:
            DisconnectedError: the client has left.
            TooLongError: it is longer, or declared longer, than is read.
            TooManyError: there is no room for it now.
        """
        if declared > self._most:
            raise TooLongError
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            self._add(message.get("body", b""))
            more = message.get("more_body", False)

    def _add(self, part: bytes) -> None:
        if self._counted + len(part) > self._most:
            raise TooLongError
        self._memory.take(len(part))
        self._counted += len(part)
        self._read.write(part)

    def whole(self) -> bytes:
        """Return what was read."""
        return self._read.getvalue()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.give_back(self._counted)
