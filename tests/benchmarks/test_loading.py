"""What loading the client costs, against what it is made of.

    make bench TESTS=tests/benchmarks/test_loading.py

Each in new processes, which take turns; the figure is the CPU of one, user and system, and the
ratio the median of those of each turn, with its quartiles.
"""

import os
import resource
import statistics
import subprocess
import sys

import pytest

ROUNDS = 25
BASIS = "import httpx2, pydantic"
CLIENT = "from oss_vector_retriever import OSSVectorClient"
MADE = "(bucket='abc', account_id='1', region='cn-hangzhou', credentials=('a', 'b'))"
CODES = ("pass", CLIENT, f"{CLIENT}\nOSSVectorClient{MADE}", "import alibabacloud_oss_v2.vectors")

pytestmark = pytest.mark.benchmark


def cpu(code):
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


def test_loading_the_client():
    pytest.importorskip("httpx2")
    times = {code: [] for code in (BASIS, *CODES)}
    for turn in range(ROUNDS + 1):  # the first one writes what is compiled
        for code, taken in times.items():
            taken.append(cpu(code))
            if not turn:
                taken.clear()
    print(
        f"\nload {os.getloadavg()[0]:.1f}; {BASIS}: {statistics.median(times[BASIS]) * 1e3:.0f} ms"
    )
    for code in CODES:
        ratios = [mine / other for mine, other in zip(times[code], times[BASIS], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        name = code.partition("(")[0].replace("\n", "; ")
        milliseconds = statistics.median(times[code]) * 1e3
        print(f"  {name}: {milliseconds:.0f} ms, ratio {middle:.2f} ({low:.2f} to {high:.2f})")
