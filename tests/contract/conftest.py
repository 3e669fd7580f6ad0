"""One suite for every way to reach a service: embedded, over HTTP, and a live one if named.

A live service is named by OSS_VECTORS_LIVE_BUCKET beside the usual OSS_* variables; the suite then
makes and deletes an index of its own there (`pytest -m live tests/contract`).
"""

import asyncio
import os
import uuid

import pytest

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient, emulator


class SyncFace:
    """Call a sync client."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        return getattr(self.client, name)

    def stream(self, keys, **options):
        return list(self.client.stream(keys, **options))

    def close(self):
        self.client.close()


class AsyncFace:
    """Call an async client as if it were a sync one, on an event loop of its own."""

    def __init__(self, client):
        self.client = client
        self.runner = asyncio.Runner()

    def __getattr__(self, name):
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.runner.run(method(*args, **kwargs))

    def stream(self, keys, **options):
        async def collect():
            return [vector async for vector in self.client.stream(keys, **options)]

        return self.runner.run(collect())

    def close(self):
        self.runner.run(self.client.close())
        self.runner.close()


@pytest.fixture(scope="session")
def server():
    with emulator.Service.in_memory() as service, emulator.Server(service) as running:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield running


def settings_of(server):
    return {
        "endpoint": server.endpoint,
        "bucket": emulator.DEVELOPMENT_BUCKET,
        "account_id": emulator.DEVELOPMENT_ACCOUNT_ID,
        "region": emulator.DEVELOPMENT_REGION,
        "credentials": (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET),
    }


WAYS = [
    "embedded-sync",
    "embedded-async",
    "http-sync",
    "http-async",
    pytest.param("live-sync", marks=pytest.mark.live),
    pytest.param("live-async", marks=pytest.mark.live),
]


@pytest.fixture(params=WAYS)
def face(request, server):
    """Give a client to call, with an index of its own, which is gone afterwards."""
    where, how = request.param.split("-")
    kind, wrap = {"sync": (OSSVectorClient, SyncFace), "async": (AsyncOSSVectorClient, AsyncFace)}[
        how
    ]
    index = f"contract{uuid.uuid4().hex[:12]}"
    if where == "embedded":
        client = kind.local(index=index)
    elif where == "http":
        client = kind(index=index, **settings_of(server))
    elif "OSS_VECTORS_LIVE_BUCKET" in os.environ:
        client = kind(index=index, bucket=os.environ["OSS_VECTORS_LIVE_BUCKET"])
    else:
        pytest.skip("no live service is named")
    face = wrap(client)
    face.put_vector_index(dimension=3)
    yield face
    if any(found.index_name == index for found in face.list_vector_indexes(prefix=index)):
        face.delete_vector_index(index=index)
    face.close()
