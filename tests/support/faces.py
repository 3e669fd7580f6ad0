"""Clients of both kinds, called alike; those of a live service wait for what is shown late."""

import asyncio
import os
import time

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient


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


class PatientFace:
    """Call a face, and wait after each write until the account's service shows it."""

    def __init__(self, face, record):
        self.face = face
        lags = {name: record.behaviour.get(f"{name}_seconds", 0.0) for name in LAGS}
        shown = max(lags["get_delay"], lags["query_delay"])
        self.waits = {"put_vector_index": lags["index_creation"] + lags["enable_failure"]}
        self.waits |= dict.fromkeys(WRITES, shown)

    def __getattr__(self, name):
        method = getattr(self.face, name)
        if not self.waits.get(name):
            return method

        def call(*arguments, **options):
            try:
                return method(*arguments, **options)
            finally:
                time.sleep(self.waits[name] + ROUNDING)

        return call


LAGS = ("index_creation", "enable_failure", "get_delay", "query_delay")
WRITES = ("put_vectors", "upsert", "delete_vectors", "delete", "update_metadata")
ROUNDING = 0.1  # seconds, to which a record tells them
FACES = {"sync": (OSSVectorClient, SyncFace), "async": (AsyncOSSVectorClient, AsyncFace)}


def live_face(how, index):
    """Return a face of the live service that the environment names, or None."""
    bucket = os.environ.get("OSS_VECTORS_LIVE_BUCKET")
    if bucket is None:
        return None
    kind, wrap = FACES[how]
    record = os.environ.get("OSS_VECTORS_LIVE_RECORD")
    face = wrap(kind(index=index, bucket=bucket, record=record))
    return face if record is None else PatientFace(face, face.client.config.record)


def close_face(face, index):
    """Close a face; its index goes with it."""
    if any(found.index_name == index for found in face.list_vector_indexes(prefix=index)):
        face.delete_vector_index(index=index)
    face.close()
