"""A gate on the way to a service: no request passes until so many are on their way at once."""

import asyncio
import threading

from oss_vector_retriever.emulator.http.application import Application
from oss_vector_retriever.emulator.transport import InProcessTransport

PATIENCE = 10  # seconds; requests that come one after another would wait for ever


def open_for(count, monkeypatch):
    """Hold every request, embedded or over HTTP, until `count` of them wait together."""
    blocking = threading.Barrier(count)
    on_loops = {}
    send, send_async = InProcessTransport.send, InProcessTransport.send_async
    respond = Application._answer

    async def in_company():
        loop = asyncio.get_running_loop()
        barrier = on_loops.setdefault(loop, asyncio.Barrier(count))
        await asyncio.wait_for(barrier.wait(), PATIENCE)

    def held(self, *arguments):
        blocking.wait(PATIENCE)
        return send(self, *arguments)

    async def held_async(self, *arguments):
        await in_company()
        return await send_async(self, *arguments)

    async def held_by_the_server(self, *arguments):
        await in_company()
        await respond(self, *arguments)

    monkeypatch.setattr(InProcessTransport, "send", held)
    monkeypatch.setattr(InProcessTransport, "send_async", held_async)
    monkeypatch.setattr(Application, "_answer", held_by_the_server)
