import math
import random
import sqlite3

import numpy as np
import pytest

from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.emulator.search.changes import Changes
from oss_vector_retriever.emulator.search.nearest import Search

HUGE = 1 << 40


def truth(values, query, metric, keys):
    """Return (distance, key) of all rows, worked out in extended precision."""
    rows = np.asarray(values, dtype="f4").astype(np.longdouble)
    target = np.asarray(query, dtype="f4").astype(np.longdouble)
    if metric == "cosine":
        lengths = np.sqrt((rows**2).sum(1)) * np.sqrt((target**2).sum())
        distances = 1 - (rows * target).sum(1) / lengths
    else:
        distances = np.sqrt(((rows - target) ** 2).sum(1))
    return sorted(zip(distances, keys, strict=True))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    "kind", ["normal", "clustered", "far from zero", "large", "small", "mixed lengths"]
)
@pytest.mark.parametrize("memory", [HUGE, 0], ids=["kept", "streamed"])
def test_the_result_is_exact(shelf, metric, kind, memory):
    seed = random.randrange(1 << 32)
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((5000, 24))
    scale = {"clustered": 1e-4, "far from zero": 1e-3, "large": 3e37, "small": 1e-37}.get(kind, 1)
    values *= scale
    if kind in ("clustered", "far from zero"):
        values += {"clustered": 1, "far from zero": 1000}[kind]
    if kind == "mixed lengths":
        values *= 10 ** rng.uniform(-18, 18, (5000, 1))
    values = values.astype(np.float32)
    keys = [f"k{i:05}" for i in rng.permutation(5000)]
    query = values[17] * np.float32(0.9) + values[18] * np.float32(0.1)
    shelf.fill("a", values, metric, keys)
    hits = shelf.nearest(Search(memory, Changes()), "a", query, 50)
    expected = truth(values, query, metric, keys)
    distances = [float(distance) for distance, _ in expected]
    assert [h.distance for h in hits] == pytest.approx(distances[:50], rel=1e-9, abs=1e-12), seed
    # Two rows closer together than float64 resolves may change places.
    for hit, (distance, key) in zip(hits, expected[:50], strict=True):
        assert hit.key == key or hit.distance == pytest.approx(float(distance), rel=1e-12), seed


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("memory", [HUGE, 0], ids=["kept", "streamed"])
def test_equal_distances_are_ordered_by_key(shelf, metric, memory):
    row = np.random.default_rng(3).standard_normal(37)
    keys = [f"k{i:05}" for i in np.random.default_rng(4).permutation(3001)]
    shelf.fill("a", np.tile(row, (3001, 1)), metric, keys)
    hits = shelf.nearest(Search(memory, Changes()), "a", row[::-1], 100)
    assert [hit.key for hit in hits] == sorted(keys)[:100]
    assert len({hit.distance for hit in hits}) == 1


def test_values_at_the_edge_of_float32_are_found(shelf):
    largest = float(np.finfo(np.float32).max)
    values = np.zeros((3000, 8))
    values[:, 0] = 1
    values[7] = largest
    values[8] = -largest
    values[9] = 1e-45
    for metric in ("cosine", "euclidean"):
        shelf.fill(metric, values, metric)
        hits = shelf.nearest(Search(HUGE, Changes()), metric, [largest] * 8, 3000)
        assert all(math.isfinite(hit.distance) for hit in hits)
        assert (hits[0].key, hits[0].distance) == ("k00007", pytest.approx(0, abs=1e-12))
        assert hits[-1].key == "k00008"
        (first,) = shelf.nearest(Search(HUGE, Changes()), metric, [1e-45] * 8, 1)
        assert first.key == ("k00007" if metric == "cosine" else "k00009")


def test_a_filter_and_a_time_limit_choose_before_the_ranking(shelf):
    values = np.arange(6000).reshape(-1, 1)
    texts = [f'{{"n":"{i % 3}"}}' for i in range(6000)]
    shelf.fill("a", values, filterable=texts)
    metadata_filter = parse_filter({"n": {"$eq": "1"}})
    for memory in (HUGE, 0):
        search = Search(memory, Changes())
        hits = shelf.nearest(search, "a", [0], 4, metadata_filter=metadata_filter)
        assert [hit.distance for hit in hits] == [1.0, 4.0, 7.0, 10.0]
        hits = shelf.nearest(search, "a", [9000], 2, metadata_filter=metadata_filter, at=100)
        assert [hit.key for hit in hits] == ["k00100", "k00097"]
        assert shelf.nearest(search, "a", [0], 4, metadata_filter=parse_filter({"n": "9"})) == []


def test_a_closed_database_says_so(shelf):
    shelf.fill("a", [[1.0]])
    shelf.database.close()
    with pytest.raises(sqlite3.ProgrammingError):
        shelf.nearest(Search(HUGE, Changes()), "a", [1])
