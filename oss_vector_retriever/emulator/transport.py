"""`InProcessTransport`: what a client sends through when the service is in its own process."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from ..client.errors import ConfigurationError
from ..client.models.messages import Reply, Request
from .faults import Outcome
from .operations.call import NEEDS_NUMPY
from .operations.table import operation_of
from .service import Service

# One of two goes on while the other waits for the database; more would only wait for each other.
_THREADS = {"read": 2, "write": 2, "search": 1}


class InProcessTransport:
    """The way to a service without a socket.

    A timeout only matters to a `Delay`: but for that the service waits for nothing except its own
    work.

    Attributes:
        service: what answers.

    Raises:
        TimeoutError: a `Delay` is longer than the timeout; it is raised when that has passed.
        ConnectionResetError: a `Reset`, or a `Truncate` that leaves nothing of the reply.
        ConfigurationError: a search without numpy, which an extra brings.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._offload = Offload(service)

    def send(self, request: Request, timeout: float | None = None) -> Reply:
        """Return the service's reply."""
        outcome = self.service.respond(request)
        if outcome.delay:
            time.sleep(_seconds_to_wait(outcome, timeout))
        return _receive(outcome, timeout)

    async def send_async(self, request: Request, timeout: float | None = None) -> Reply:  # noqa: ASYNC109 - the transports' common form
        """Return the service's reply, worked out in a thread so that the loop goes on."""
        outcome = await self._offload.respond(request)
        if outcome.delay:
            await asyncio.sleep(_seconds_to_wait(outcome, timeout))
        return _receive(outcome, timeout)


def _seconds_to_wait(outcome: Outcome, timeout: float | None) -> float:
    return outcome.delay if timeout is None else min(outcome.delay, max(timeout, 0))


def _receive(outcome: Outcome, timeout: float | None) -> Reply:
    # What was asked for is done even so: a client that gives up cannot know that it was not.
    if timeout is not None and outcome.delay > timeout:
        raise TimeoutError(f"no reply within {timeout:g} s (a fault of the emulator)")
    reply = outcome.arrive()
    if reply.status == _NOT_IMPLEMENTED and NEEDS_NUMPY.encode() in reply.body:
        # over HTTP it is the service's answer; here it is this program that lacks something
        raise ConfigurationError(
            "a search in an embedded service needs numpy:",
            remedy='pip install "oss-vector-retriever[emulator]"',
        )
    return reply


_NOT_IMPLEMENTED = 501


class Offload:
    """The threads in which a service answers an event loop; reads, writes and searches have theirs.

    In threads for all, writes that wait for one another, or long searches, would let no read
    through.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pools = {
            name: ThreadPoolExecutor(count, f"oss-vectors-{name}")
            for name, count in _THREADS.items()
        }

    async def respond(self, request: Request) -> Outcome:
        """Return how the service answers a request."""
        pool = self._pools[_pool_name(request)]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, self._service.respond, request)

    def close(self) -> None:
        """End the threads once they have nothing to do; closing twice does nothing."""
        # Without waiting: this is called on the event loop, which a long search would block.
        for pool in self._pools.values():
            pool.shutdown(wait=False)


def _pool_name(request: Request) -> str:
    operation = operation_of(request)
    if operation is None:
        return "read"  # its refusal takes no time
    if operation.name == "QueryVectors":
        return "search"
    return "write" if operation.name.startswith(("Put", "Delete")) else "read"
