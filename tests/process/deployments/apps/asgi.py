"""An ASGI application whose clients are of its module: used before a fork, where there is one."""

import asyncio
import json
import os
from urllib.parse import parse_qs

from langchain_core.embeddings import DeterministicFakeEmbedding
from support.deployed import KEYS, awork, work

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorStore

client, blocking = AsyncOSSVectorClient(timeout=60), OSSVectorClient(timeout=60)
store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=blocking)
PARENT = os.getpid()


async def _use():
    assert dict(await awork(client, 1, 10)) == {"right": 10}
    assert [one.id for one in await store.aget_by_ids(KEYS)] == KEYS


if os.environ.get("PRELOADED"):  # in the master, whose loop ends before the workers are forked
    asyncio.run(_use())


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    asked = parse_qs(scope["query_string"].decode())
    seed, count = int(asked["seed"][0]), int(asked["count"][0])
    seen = await awork(client, seed, count)
    seen += await asyncio.to_thread(work, blocking, seed, 2)
    documents = [one.id for one in await store.aget_by_ids(KEYS[:150])]
    seen["right" if documents == KEYS[:150] else "wrong"] += 1
    body = json.dumps({"pid": os.getpid(), "parent": PARENT, "seen": seen}).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
