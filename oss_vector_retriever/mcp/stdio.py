"""MCP on standard input and output, where stdout belongs to the protocol alone.

The library's own way ends on Ctrl-C only when the next line arrives, as it waits for a thread that
reads; and in its first releases whatever prints, prints into the protocol. So descriptors are moved
aside while the server runs, and read and written by threads that nobody waits for.
"""

import asyncio
import logging
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

logger = logging.getLogger(__name__)

_PART: Final = 65_536
_GRACE: Final = 0.3  # seconds
_LONGEST: Final = 4 * 1024 * 1024  # bytes of a message, as the library has it over HTTP


class Lines:
    """The lines of a descriptor as they arrive, read by a thread of its own.

    Attributes:
        ended: set once there are no more.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self.ended = asyncio.Event()
        # a daemon: it waits in a system call for a client that may never say any more
        threading.Thread(target=self._read, name="oss-vectors-mcp-stdin", daemon=True).start()

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        line = await self._lines.get()
        if line is None:
            # the library drops what is not answered by then; a pipe has its end right behind
            await asyncio.sleep(_GRACE)
            self.ended.set()
            raise StopAsyncIteration
        return line

    def _read(self) -> None:
        begun = bytearray()
        while part := self._next_part():
            if len(begun) > _LONGEST:
                logger.error("a message has more than %d bytes: nothing more is read", _LONGEST)
                break
            *whole, rest = part.split(b"\n")
            for end in whole:
                # what is no UTF-8 is no JSON either, and the library says so
                self._hand_over((bytes(begun) + end).decode(errors="replace"))
                begun.clear()
            begun += rest
        self._hand_over(None)

    def _next_part(self) -> bytes:
        try:
            return os.read(self._descriptor, _PART)
        except OSError:
            return b""

    def _hand_over(self, line: str | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
        except RuntimeError:  # the loop has ended
            return


class Writer:
    """A descriptor that is written to by a thread of its own, part after part."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="oss-vectors-mcp-stdout", daemon=True).start()

    async def write(self, text: str) -> None:
        """Write a text, and wait until it is written.

        Raises:
            OSError: nobody reads it any more.
        """
        written: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((text.encode(errors="replace"), written))
        await written

    async def flush(self) -> None:
        """Do nothing: what was written is not kept back."""

    def _write(self) -> None:
        while True:
            data, written = self._waiting.get()
            failure = self._write_all(data)
            try:
                self._loop.call_soon_threadsafe(_end, written, failure)
            except RuntimeError:  # the loop has ended
                return

    def _write_all(self, data: bytes) -> OSError | None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            return error
        return None


def _end(written: asyncio.Future[None], failure: OSError | None) -> None:
    if written.cancelled():
        return
    if failure is None:
        written.set_result(None)
    else:
        written.set_exception(failure)


@contextmanager
def claim_stdio() -> Iterator[tuple[int, int]]:
    """Give the descriptors of standard input and output, which nothing else has meanwhile.

    What is printed goes to stderr, and who reads standard input finds its end; processes that are
    begun inherit that.
    """
    _flush(sys.stdout)
    own = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        yield own
    finally:
        _flush(sys.stdout)
        os.dup2(own[0], 0)
        os.dup2(own[1], 1)
        # the copies stay open: a thread may be reading or writing, and their numbers would be
        # given to other files under it
        os.close(nothing)


def _flush(stream: Any) -> None:
    if stream is not None:
        stream.flush()
