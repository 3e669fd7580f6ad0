"""What counting a call costs: under a hundredth of the shortest fetch on loopback.

    make bench TESTS=tests/benchmarks/test_counters.py

Both are the CPU time of this process: a busy machine makes them longer alike.
"""

import statistics
import time

import pytest
from support.calls import settings
from support.vector_server import VectorServer

from oss_vector_retriever import OSSVectorClient

KEYS = ["key-1"]
ROUNDS = 2_000
NUMBERS = (False, 1, 0, 0, 0, 80, 120, 0.001)

pytestmark = pytest.mark.benchmark


def test_counting_a_call():
    counted, fetched = [], []
    with VectorServer(KEYS) as server, OSSVectorClient(**settings(server.endpoint)) as client:
        client.fetch(KEYS)
        for _ in range(ROUNDS):
            began = time.thread_time()
            client.fetch(KEYS)
            between = time.thread_time()
            for _ in range(100):  # to look at the clock takes longer than to count
                client._context.counters.count("GetVectors", *NUMBERS)
            counted.append((time.thread_time() - between) / 100)
            fetched.append(between - began)
    count, fetch = statistics.median(counted), statistics.median(fetched)
    print(
        f"\ncounting a call: {count * 1e6:.1f} us of {fetch * 1e6:.0f} us CPU of a fetch, "
        f"{100 * count / fetch:.2f} %"
    )
    assert count <= 0.01 * fetch
