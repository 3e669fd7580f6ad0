"""Exact search in the embedded service keeps to its budget of memory.

make bench TESTS=tests/benchmarks/test_search_memory.py
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from oss_vector_retriever import OSSVectorClient

COUNT, DIMENSION = 100_000, 1024

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """Return a database file with a large index."""
    path = tmp_path_factory.mktemp("large") / "v.db"
    dice = np.random.default_rng(7)
    with OSSVectorClient.local(path, index="index1") as client:
        client.put_vector_index(dimension=DIMENSION)
        for start in range(0, COUNT, 500):
            rows = dice.standard_normal((500, DIMENSION), dtype=np.float32)
            client.put_vectors(
                {"key": f"k{number}", "data": row, "metadata": {"n": str(number % 10)}}
                for number, row in enumerate(rows, start)
            )
    return path


BUDGET = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.caller import Caller
from oss_vector_retriever.emulator import Service
def most():
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
with Service(sys.argv[2], search_bytes=int(sys.argv[3])) as service:
    caller = Caller(service)
    caller.query([1.0] * 1023 + [0.5], 1, index="index1", filter={"n": "never"})
    began = time.perf_counter()
    caller.query([1.0] * 1024, 10)
    took = round((time.perf_counter() - began) * 1000)
    print(service._core.search.matrices.kept_bytes, most(), took)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize("budget", [64 << 20, 1 << 30], ids=["64 MB", "1 GB"])
def test_the_memory_budget_is_kept(large_file, budget):
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", BUDGET, tests, str(large_file), str(budget)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, most, took = map(int, done.stdout.split())
    size = COUNT * DIMENSION * 4
    print(
        f"\n{size >> 20} MB of vectors, budget {budget >> 20} MB: kept {kept >> 20} MB, at most "
        f"{most} MB, a query {took} ms"
    )
    assert kept <= budget
    assert most <= (200 if budget < size else 2 * (size >> 20))
