"""What a stream takes of the machine's memory: a bounded window, however many keys there are.

    make bench TESTS=tests/benchmarks/test_stream_memory.py

A process streams 100,000 vectors of 1,024 numbers from a service in another process. The figure is
the most that it took above what it had after a first fetch, and how long it took.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from support.served_index import IDENTITY, serve_index

COUNT, DIMENSION = 100_000, 1024
MEGABYTE = 1e6
# ways, connections, and the megabytes that they may take; Arrow keeps memory of its own, too
WAYS = [("sync", 8, 48), ("sync", 16, 80), ("async", 16, 32), ("arrow", 8, 120)]

STREAM = f"""
import asyncio, importlib.util, json, sys, threading, time
from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient

way, connections = sys.argv[1], int(sys.argv[2])
if way == "arrow":
    import pyarrow.compute  # what is loaded once does not count

def memory(what):
    return int(open("/proc/self/status").read().partition(what + ":")[2].split()[0]) * 1024

def keys(count):
    return (f"k{{n:06}}" for n in range(count))

def begin():
    open("/proc/self/clear_refs", "w").write("5")  # the most from now on
    return memory("VmRSS"), time.perf_counter()

def end(began, count):
    assert count == {COUNT}
    seconds = time.perf_counter() - began[1]
    print(json.dumps({{"most": memory("VmHWM") - began[0], "seconds": seconds}}))

async def stream_on_a_loop():
    async with AsyncOSSVectorClient(max_concurrency=connections, timeout=120) as client:
        await client.fetch(keys(100))
        began, count = begin(), 0
        async for vector in client.stream(keys({COUNT})):
            count += 1
        end(began, count)

def stream():
    with OSSVectorClient(max_concurrency=connections, timeout=120) as client:
        client.fetch(keys(100))
        began, stream = begin(), client.stream(keys({COUNT}))
        if way == "arrow":
            end(began, sum(batch.num_rows for batch in stream.to_arrow_batches()))
        else:
            end(began, sum(1 for _ in stream))

asyncio.run(stream_on_a_loop()) if way == "async" else stream()
"""

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform != "linux", reason="the figures are read from /proc"),
]


def vectors():
    dice = np.random.default_rng(5)
    for start in range(0, COUNT, 1000):
        for number, row in enumerate(dice.random((1000, DIMENSION), dtype=np.float32), start):
            yield {"key": f"k{number:06}", "data": row, "metadata": {"n": number}}


@pytest.fixture(scope="module")
def served():
    with serve_index("index1", vectors(), dimension=DIMENSION) as endpoint:
        yield IDENTITY | {"OSS_ENDPOINT": endpoint, "OSS_VECTORS_INDEX": "index1"}


@pytest.mark.parametrize(("way", "connections", "most"), WAYS)
def test_a_stream_takes_a_bounded_window(way, connections, most, served):
    if way == "arrow":
        pytest.importorskip("pyarrow")
    environment = {name: value for name, value in os.environ.items() if "OSS_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", STREAM, way, str(connections)],
        env=environment | served,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(
        f"\nstream of {COUNT:,} x {DIMENSION:,}, {way}, {connections} connections: "
        f"{told['most'] / MEGABYTE:.0f} MB above start, {told['seconds']:.1f} s"
    )
    assert told["most"] / MEGABYTE < most
