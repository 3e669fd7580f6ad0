"""Our client: fetches, blocking and awaited, streams, and many at once."""

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from content import make_vectors
from worker import essence_of_vector, serve


def choose_path(job):
    """Have replies read by Python, or see to it that the compiled scan is there."""
    if job.get("path") == "scan":
        import oss_vector_scan  # noqa: F401 - whoever has not built it is told so
    else:
        sys.modules["oss_vector_scan"] = None  # its import fails, as where it is not installed


def options(job):
    choose_path(job)
    return {
        **{name: job[name] for name in ("bucket", "account_id", "region", "index", "endpoint")},
        "credentials": (job["access_key_id"], job["access_key_secret"]),
        "timeout": 120,
        **job.get("options", {}),
    }


def request_options(job):
    return {"return_data": job.get("data", True), "return_metadata": job.get("metadata", True)}


def fetch(job):
    from oss_vector_retriever import OSSVectorClient

    client, keys, asked = OSSVectorClient(**options(job)), job["keys"], request_options(job)
    assert client.stats().decoder == job.get("path", "pure")
    return lambda: client.fetch(keys, **asked), essence


def fetch_awaited(job):
    from oss_vector_retriever import AsyncOSSVectorClient

    client, keys, asked = AsyncOSSVectorClient(**options(job)), job["keys"], request_options(job)
    assert client.stats().decoder == job.get("path", "pure")

    async def call():
        return await client.fetch(keys, **asked)

    return call, essence


def fetch_at_once(job):
    """Fetch each key by a call of its own, all at once on one loop."""
    from oss_vector_retriever import AsyncOSSVectorClient

    client, keys = AsyncOSSVectorClient(**options(job)), job["keys"]

    async def call():
        found = await asyncio.gather(*(client.fetch([key]) for key in keys))
        return [one for (one,) in found]

    return call, essence


def fetch_in_threads(job):
    """Fetch each key by a call of its own, many threads at once."""
    from oss_vector_retriever import OSSVectorClient

    client, pool = OSSVectorClient(**options(job)), ThreadPoolExecutor(job["at_once"])
    return lambda: [
        one for (one,) in pool.map(lambda key: client.fetch([key]), job["keys"])
    ], essence


def fetch_beside_a_thread(job):
    """Fetch by one thread while another idles, so that calls might be shared."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return fetch(job)


def stream(job):
    from oss_vector_retriever import OSSVectorClient

    client, keys = OSSVectorClient(**options(job)), job["keys"]
    client.fetch(keys[:100])
    return lambda: sum(1 for _ in client.stream(keys)), int


def stream_arrow(job):
    import pyarrow.compute  # noqa: F401 - what is loaded once does not count

    from oss_vector_retriever import OSSVectorClient

    client, keys = OSSVectorClient(**options(job)), job["keys"]
    client.fetch(keys[:100])
    return lambda: sum(batch.num_rows for batch in client.stream(keys).to_arrow_batches()), int


def stream_awaited(job):
    from oss_vector_retriever import AsyncOSSVectorClient

    client, keys = AsyncOSSVectorClient(**options(job)), job["keys"]
    job["run"](client.fetch(keys[:100]))

    async def call():
        return sum([1 async for _ in client.stream(keys)])

    return call, int


def fetch_in_parts(job):
    """Fetch 10,000 keys at a time, as who has no stream would: all at once are 400 MB."""
    from oss_vector_retriever import OSSVectorClient

    client, keys = OSSVectorClient(**options(job)), job["keys"]

    def call():
        parts = (keys[start : start + 10_000] for start in range(0, len(keys), 10_000))
        return sum(len(client.fetch(part)) for part in parts)

    return call, int


def write(job):
    """Put vectors whose floats are lists, as embedders give them."""
    from oss_vector_retriever import OSSVectorClient

    client = OSSVectorClient(**options(job))
    client.put_vector_index(dimension=job["dimension"])
    vectors = make_vectors(job["count"], job["dimension"], lists=True)

    def call():
        client.put_vectors(vectors)
        return len(vectors)

    return call, int


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
    serve(
        {
            "fetch": fetch,
            "fetch awaited": fetch_awaited,
            "fetch at once": fetch_at_once,
            "fetch in threads": fetch_in_threads,
            "fetch in parts": fetch_in_parts,
            "fetch beside a thread": fetch_beside_a_thread,
            "stream": stream,
            "stream arrow": stream_arrow,
            "write": write,
            "stream awaited": stream_awaited,
        }
    )
