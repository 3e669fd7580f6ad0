"""What sharing calls costs a lone thread: nothing that can be measured.

    make bench

One thread fetches beside an idle one, in turns with calls that are shared and with calls that are
not; the figure is the ratio of the medians.
"""

import statistics
import threading
import time

import pytest
from support.calls import settings
from support.vector_server import VectorServer

from oss_vector_retriever import OSSVectorClient

KEYS = ["key-1"]
ROUNDS = 4_000

pytestmark = pytest.mark.benchmark


def seconds(client):
    began = time.perf_counter()
    client.fetch(KEYS)
    return time.perf_counter() - began


def test_a_lone_fetch_beside_an_idle_thread():
    over = threading.Event()
    idle = threading.Thread(target=over.wait)
    idle.start()
    with VectorServer(KEYS) as server, OSSVectorClient(**settings(server.endpoint)) as sharing:
        # on the same connection: two differ by where the system runs the threads at their ends
        alone = sharing.with_options(coalesce=False)
        for client in (sharing, alone):
            client.fetch(KEYS)
        pairs = []
        for turn in range(ROUNDS):  # who comes first changes, for the second finds a warmer cache
            first, second = (sharing, alone) if turn % 2 else (alone, sharing)
            times = {first: seconds(first), second: seconds(second)}
            pairs.append((times[sharing], times[alone]))
    over.set()
    idle.join()
    with_sharing, without = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(
        f"\na lone fetch beside an idle thread: {with_sharing * 1e6:.0f} us, with coalesce=False "
        f"{without * 1e6:.0f} us, ratio {with_sharing / without:.3f}"
    )
