"""What takes arrays out of a reply, compiled or not, against the reading of it as one value."""

import random

import pytest
from support.promises import sized
from support.scan_cases import Maker, compare, read

from oss_vector_retriever.client import wire

CASES = sized(10_000, 200_000, 1_000_000)


@pytest.mark.promise("R8")
@pytest.mark.timeout(3600)
def test_what_the_scan_takes_it_reads_as_python_does(figure):
    scan = pytest.importorskip("oss_vector_scan", reason="make fast builds it").scan
    seed = random.SystemRandom().getrandbits(32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    maker = Maker(seed)
    taken = sum(compare(maker.case(), scan) for _ in range(CASES))
    figure(f"{CASES:,} hostile replies, {taken:,} taken by the scan, 0 read otherwise")
    assert taken > CASES // 10


@pytest.mark.promise("R8")
@pytest.mark.timeout(3600)
def test_arrays_read_by_themselves_are_read_as_in_one_value(figure, monkeypatch):
    taken = []
    take = wire.VectorReader._take_arrays
    monkeypatch.setattr(
        wire.VectorReader, "_take_arrays", lambda self: taken.append(take(self)) or taken[-1]
    )
    seed = random.SystemRandom().getrandbits(32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    maker = Maker(seed)
    for _ in range(CASES):
        body = maker.case()
        assert read(body, in_parts=True) == read(body), body
    count = sum(each is not None for each in taken)
    figure(f"{CASES:,} hostile replies, {count:,} read array by array, 0 read otherwise")
    assert count > CASES // 10
