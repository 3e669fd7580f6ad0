"""Fetching by key against the official SDK, on the same server, in the same run.

    make bench

Each side is run in turns, so that a noisy moment of the machine falls on both; the figure is the
ratio of the medians. CPU is this process's, user and system; the server is another process. What
text the real service writes for a float32 is not known, so both are measured: the shortest
(`0.1`), and all digits of the double (`0.10000000149011612`).
"""

import statistics
import time

import alibabacloud_oss_v2.vectors as oss_vectors
import numpy as np
import pytest
from support.official_sdk import official_client

from oss_vector_retriever import emulator

KEYS = [f"doc-{number:03d}" for number in range(100)]
DIMENSION = 1024
ROUNDS = 40
INDEX = "benchmark"

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def loaded(client):
    random = np.random.default_rng(7)
    client.put_vector_index(index=INDEX, dimension=DIMENSION)
    vectors = [
        {
            "key": key,
            "data": random.standard_normal(DIMENSION, dtype=np.float32),
            "metadata": {"title": f"Document {key}", "tags": ["a", "b"], "text": "word " * 200},
        }
        for key in KEYS
    ]
    client.put_vectors(vectors, index=INDEX)
    return client


@pytest.fixture(scope="module")
def sdk(served):
    return official_client(served)


def measured(call):
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def test_100_keys_of_1024_floats_against_the_official_sdk(loaded, sdk, request):
    text = request.node.callspec.params["served"]
    theirs_request = oss_vectors.models.GetVectorsRequest(
        bucket=emulator.DEVELOPMENT_BUCKET,
        index_name=INDEX,
        keys=KEYS,
        return_data=True,
        return_metadata=True,
    )

    def ours():
        assert len(loaded.fetch(KEYS, index=INDEX)) == len(KEYS)

    def theirs():
        assert len(sdk.get_vectors(theirs_request).vectors) == len(KEYS)

    for call in (ours, theirs):
        call()
    pairs = [(measured(ours), measured(theirs)) for _ in range(ROUNDS)]
    for number, what in enumerate(("CPU", "wall")):
        mine = statistics.median(pair[0][number] for pair in pairs) * 1000
        other = statistics.median(pair[1][number] for pair in pairs) * 1000
        print(
            f"\nfetch 100 x {DIMENSION} with metadata, {text} text, {what}: ours {mine:.1f} ms, "
            f"official SDK {other:.1f} ms, ratio {other / mine:.1f}"
        )
    assert loaded.fetch(KEYS[:1], index=INDEX)[0].data.tolist() == pytest.approx(
        sdk.get_vectors(theirs_request).vectors[0]["data"]["float32"]
    )
