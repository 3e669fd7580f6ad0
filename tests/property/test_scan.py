"""The compiled scan against the reading in Python: what it takes it reads as that does."""

import random

import pytest
from support.promises import sized
from support.scan_cases import Maker, compare

scan = pytest.importorskip("oss_vector_scan", reason="make fast builds it").scan

CASES = sized(20_000, 200_000, 1_000_000)


@pytest.mark.promise("R8")
@pytest.mark.timeout(3600)
def test_what_the_scan_takes_it_reads_as_python_does(figure):
    seed = random.SystemRandom().getrandbits(32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    maker = Maker(seed)
    taken = sum(compare(maker.case(), scan) for _ in range(CASES))
    figure(f"{CASES:,} hostile replies, {taken:,} taken by the scan, 0 read otherwise")
    assert taken > CASES // 10
