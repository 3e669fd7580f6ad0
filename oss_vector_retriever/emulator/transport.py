"""`InProcessTransport`: what a client sends through when the service is in its own process."""

from __future__ import annotations

import asyncio

from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator.service import Service


class InProcessTransport:
    """Hand requests to a service without a socket.

    A timeout is taken and ignored: the service waits for nothing but its own work.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    def send(self, request: Request, timeout: float | None = None) -> Reply:  # noqa: ARG002 - the transports' common form
        """Return the service's reply."""
        return self.service.handle(request)

    async def send_async(self, request: Request, timeout: float | None = None) -> Reply:  # noqa: ARG002, ASYNC109 - the transports' common form
        """Return the service's reply, worked out in a thread so that the loop goes on."""
        return await asyncio.to_thread(self.service.handle, request)
