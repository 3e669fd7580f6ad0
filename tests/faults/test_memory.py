"""A reply may be as large as it likes: memory grows by the cap and a little, no more."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import faults
from support.calls import run, settings
from support.fault_server import FaultServer

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.client.errors import OSSVectorError, ResponseError

pytestmark = pytest.mark.usefixtures("library")

MEBIBYTE = 1 << 20
CAP = 32 * MEBIBYTE
MARGIN = 8 * MEBIBYTE
STATM = Path("/proc/self/statm")


def fetched(client):
    return client.fetch(["key-1"])


class Watch:
    """Watch the memory of this process while something happens."""

    def __enter__(self):
        self._over = threading.Event()
        self.least = self.most = self._now()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _now(self):
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _watch(self):
        while not self._over.wait(0.002):
            self.most = max(self.most, self._now())

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    @property
    def growth(self):
        return self.most - self.least


@pytest.mark.promise("R4")
@pytest.mark.skipif(not STATM.exists(), reason="the system does not tell a process its memory")
@pytest.mark.parametrize("fault", [faults.endless_chunks, faults.gigabyte, faults.gzip_bomb])
def test_memory_stays_within_the_cap(fault, mode, measurement):
    with FaultServer(then=faults.proper) as server:
        run(mode, settings(server.endpoint), fetched)  # what is loaded once does not count
    faults.bomb()
    with FaultServer(then=fault) as server, Watch() as watch:
        started = time.monotonic()
        (error,) = run(mode, settings(server.endpoint, max_reply_bytes=CAP), fetched)
        elapsed = time.monotonic() - started
    measurement(f"cap 32 MiB, growth {watch.growth / MEBIBYTE:.1f} MiB, {elapsed:.2f} s")
    assert isinstance(error, OSSVectorError)
    assert watch.growth < CAP + MARGIN


def test_a_reply_of_just_the_cap_is_read(mode):
    with FaultServer(then=faults.padded(100_000)) as server:
        options = settings(server.endpoint, max_reply_bytes=100_000)
        (result,) = run(mode, options, fetched)
    assert [vector.key for vector in result] == ["key-1"]


def test_a_reply_one_byte_over_the_cap_is_refused(mode):
    with FaultServer(then=faults.padded(100_001)) as server:
        options = settings(server.endpoint, max_reply_bytes=100_000)
        (error,) = run(mode, options, fetched)
    assert isinstance(error, ResponseError)
    assert "100000 bytes" in str(error)


@pytest.mark.parametrize(
    ("own", "others"), [(100_000, 2_000), (2_000, 100_000)], ids=["lowered", "raised"]
)
def test_a_call_has_the_cap_of_the_options_that_it_is_made_with(own, others, mode):
    def with_others(client):
        return client.with_options(max_reply_bytes=others).fetch(["key-1"])

    with FaultServer(then=faults.padded(50_000)) as server:
        options = settings(server.endpoint, max_reply_bytes=own)
        outcomes = run(mode, options, fetched, with_others, fetched)
    for cap, outcome in zip([own, others, own], outcomes, strict=True):
        if cap > 50_000:
            assert [vector.key for vector in outcome] == ["key-1"]
        else:
            assert isinstance(outcome, ResponseError)
            assert f"larger than max_reply_bytes ({cap} bytes)" in str(outcome)
    if own > 50_000:  # what broke off a reply took its connection with it, and no other
        assert [request.connection for request in server.requests] == [1, 1, 2]


def fetches_at_once(mode, caps):
    """Return work that fetches one key by each cap, all at once, and returns each outcome."""

    def on_threads(client):
        def fetch(cap):
            try:
                return client.with_options(max_reply_bytes=cap).fetch(["key-1"])
            except ResponseError as error:
                return error

        with ThreadPoolExecutor(len(caps)) as pool:
            return list(pool.map(fetch, caps))

    async def on_a_loop(client):
        clients = [client.with_options(max_reply_bytes=cap) for cap in caps]
        calls = [one.fetch(["key-1"]) for one in clients]
        return await asyncio.gather(*calls, return_exceptions=True)

    return on_a_loop if mode == "async" else on_threads


def test_fetches_of_different_caps_share_no_call(mode):
    caps = [2_000, 100_000, 3_000, 200_000] * 3
    with FaultServer(then=faults.padded(50_000)) as server:
        options = settings(server.endpoint, max_concurrency=2)
        (outcomes,) = run(mode, options, fetches_at_once(mode, caps))
    for cap, outcome in zip(caps, outcomes, strict=True):
        if cap > 50_000:
            assert [vector.key for vector in outcome] == ["key-1"]
        else:
            assert f"larger than max_reply_bytes ({cap} bytes)" in str(outcome)


async def test_an_embedded_service_keeps_the_cap_too():
    with OSSVectorClient.local(max_reply_bytes=100_000) as client:
        client.put_vector_index(dimension=1, non_filterable_metadata_keys=["text"])
        record = {"key": "a", "data": [1], "metadata": {"text": "x" * 20_000}}
        client.put_vectors([record])
        strict = client.with_options(max_reply_bytes=2_000)
        wide = strict.with_options(max_reply_bytes=100_000)
        assert [len(one.fetch(["a"])) for one in (client, wide)] == [1, 1]
        with pytest.raises(ResponseError, match=r"max_reply_bytes \(2000 bytes\)"):
            strict.fetch(["a"])
        twin = strict.to_async()
        with pytest.raises(ResponseError, match=r"max_reply_bytes \(2000 bytes\)"):
            await twin.fetch(["a"])
        assert len(await twin.with_options(max_reply_bytes=100_000).fetch(["a"])) == 1
        await twin.close()
