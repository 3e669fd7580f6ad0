"""Our client: fetches, blocking and awaited, streams, and many at once."""

import asyncio
import sys

from worker import essence_of_vector, serve

PLACE = {"bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou"}


def choose_path(job):
    """Have replies read by Python, or see to it that the compiled scan is there."""
    if job.get("path") == "scan":
        import oss_vector_scan  # noqa: F401 - whoever has not built it is told so
    else:
        sys.modules["oss_vector_scan"] = None  # its import fails, as where it is not installed


def options(job):
    choose_path(job)
    return {
        **PLACE,
        "index": job["index"],
        "endpoint": job["endpoint"],
        "credentials": ("id", "secret"),
        "timeout": 120,
        **job.get("options", {}),
    }


def wanted(job):
    return {"return_data": job.get("data", True), "return_metadata": job.get("metadata", True)}


def fetch(job):
    from oss_vector_retriever import OSSVectorClient

    client, keys, asked = OSSVectorClient(**options(job)), job["keys"], wanted(job)
    assert client.stats().decoder == job.get("path", "pure")
    return lambda: client.fetch(keys, **asked), essence


def fetch_awaited(job):
    from oss_vector_retriever import AsyncOSSVectorClient

    client, keys, asked = AsyncOSSVectorClient(**options(job)), job["keys"], wanted(job)
    assert client.stats().decoder == job.get("path", "pure")

    async def call():
        return await client.fetch(keys, **asked)

    return call, essence


def essence(found):
    return [
        essence_of_vector(
            one.key,
            None if one.data is None else one.data.tolist(),
            None if one.metadata is None else dict(one.metadata),
        )
        for one in found
    ]


if __name__ == "__main__":
    serve({"fetch": fetch, "fetch awaited": fetch_awaited})
