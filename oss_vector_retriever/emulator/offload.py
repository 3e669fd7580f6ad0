"""`Offload`: a service called from an event loop, in threads, so that the loop goes on."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator.mishaps import Outcome
from oss_vector_retriever.emulator.operations.table import operation_of
from oss_vector_retriever.emulator.service import Service

# One of two goes on while the other waits for the database; more would only wait for each other.
_THREADS = {"read": 2, "write": 2, "search": 1}


class Offload:
    """Let a service respond in threads; reads, writes and searches have their own.

    In threads for all, writes that wait for one another, or long searches, would let no read
    through.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lanes = {
            name: ThreadPoolExecutor(count, f"oss-vectors-{name}")
            for name, count in _THREADS.items()
        }

    async def respond(self, request: Request) -> Outcome:
        """Return how the service answers a request."""
        lane = self._lanes[_lane(request)]
        return await asyncio.get_running_loop().run_in_executor(
            lane, self._service.respond, request
        )

    def close(self) -> None:
        """End the threads once they have nothing to do; closing twice does nothing."""
        for lane in self._lanes.values():
            lane.shutdown(wait=False)


def _lane(request: Request) -> str:
    operation = operation_of(request)
    if operation is None:
        return "read"
    if operation.name == "QueryVectors":
        return "search"
    return "write" if operation.writes else "read"
