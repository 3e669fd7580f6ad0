"""When requests arrive at a server: a relay before it, which notes the moment of each."""

import asyncio
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_LINE = b" HTTP/1.1\r\n"  # of a request; a body in JSON has no such line


class Arrivals:
    """The moments at which requests arrived, by `time.monotonic`."""

    def __init__(self):
        self.moments = []
        self.endpoint = ""

    def count(self, start, end):
        """Return how many arrived from one moment to another."""
        return bisect_right(self.moments, end) - bisect_left(self.moments, start)

    def most_within(self, seconds):
        """Return how many arrived in the busiest time of so many seconds."""
        return max((self.count(start, start + seconds) for start in self.moments), default=0)


@contextmanager
def noted_arrivals(endpoint) -> Iterator[Arrivals]:
    """Relay connections to an endpoint, and yield the notes of what arrives, with its own."""
    arrivals, port = Arrivals(), urlsplit(endpoint).port
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(_listen(arrivals, port))
    arrivals.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield arrivals
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


async def _listen(arrivals, port):
    async def relay(reader, writer):
        theirs = await asyncio.open_connection("127.0.0.1", port)
        ways = _copy(reader, theirs[1], arrivals), _copy(theirs[0], writer, None)
        with suppress(asyncio.CancelledError):  # at the end; asyncio would log it
            await asyncio.gather(*ways, return_exceptions=True)

    return await asyncio.start_server(relay, "127.0.0.1", 0)


async def _copy(reader, writer, arrivals):
    try:
        while chunk := await reader.read(1 << 16):
            if arrivals is not None:
                arrivals.moments += [time.monotonic()] * chunk.count(_LINE)
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()
