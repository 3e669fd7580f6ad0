"""Maximal marginal relevance against `get_top_k_mmr_embeddings` of llama-index-core.

    make bench

100 candidates of 1,536 floats, top 20, the two in turns; the figure is the ratio of the medians.
Core's takes lists of floats and gives scores and ids. Ours is given the same lists, and, printed
beside, the packed float32 that a fetch brings. Core's looks at its last pick alone, so the picks
differ (`test_core_looks_at_its_last_pick_alone`); the definition that ours keeps is tested in
`tests/unit/embeddings/test_diversity.py`.
"""

import statistics
import time

import numpy as np
import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings

from oss_vector_retriever import Float32Array
from oss_vector_retriever.embeddings import maximal_marginal_relevance

COUNT, DIMENSION, TOP = 100, 1536, 20
ROUNDS = 15
MOST = 1 / 10

pytestmark = pytest.mark.benchmark


@pytest.fixture(scope="module")
def numbers():
    """Give a query and its candidates, as lists of floats."""
    rows = np.random.default_rng(3).standard_normal((COUNT + 1, DIMENSION), dtype=np.float32)
    query, *candidates = rows.tolist()
    return query, candidates


def milliseconds(pick):
    started = time.perf_counter()
    pick()
    return (time.perf_counter() - started) * 1000


def test_20_of_100_take_a_tenth_of_cores_time(numbers):
    query, candidates = numbers
    packed = [Float32Array(row) for row in candidates]

    def ours():
        return maximal_marginal_relevance(query, candidates, TOP)

    def of_packed():
        return maximal_marginal_relevance(query, packed, TOP)

    def cores():
        return get_top_k_mmr_embeddings(query, candidates, similarity_top_k=TOP)

    rounds = [tuple(milliseconds(one) for one in (ours, of_packed, cores)) for _ in range(ROUNDS)]
    mine, fetched, other = (statistics.median(one) for one in zip(*rounds, strict=True))
    print(
        f"\nMMR, {TOP} of {COUNT} x {DIMENSION}: ours {mine:.1f} ms of lists, {fetched:.1f} ms of "
        f"packed float32, core {other:.0f} ms, ratio {mine / other:.3f} (target {MOST:.2f})"
    )
    assert ours() == of_packed()
    assert len(set(ours())) == len(cores()[1]) == TOP
    assert mine / other <= MOST


def test_core_looks_at_its_last_pick_alone():
    """Say why the picks of the two are not compared: core's third is its first over again."""
    candidates = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.02, 0.0], [0.0, 0.0, 1.0]]
    query = [1.0, 0.9, 0.8]
    assert maximal_marginal_relevance(query, candidates, 3) == [2, 1, 3]
    assert get_top_k_mmr_embeddings(query, candidates, similarity_top_k=3)[1] == [2, 1, 0]
