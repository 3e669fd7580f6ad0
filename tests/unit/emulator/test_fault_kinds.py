import threading

import pytest

from oss_vector_retriever.emulator.faults import (
    KINDS,
    Delay,
    Faults,
    Reorder,
    Reset,
    ServerError,
    Skew,
    Throttle,
    Truncate,
)


def test_threads_share_faults_without_losing_count():
    faults = Faults()
    faults.add(Throttle(times=500), Delay(times=None))

    def take():
        for _ in range(100):
            faults.take("GetVectors")

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults.counts == {"throttle": 500, "delay": 800}
    assert faults.pending == (Delay(times=None),)


@pytest.mark.parametrize(
    ("kind", "wrong", "reason"),
    [
        (Throttle, {"times": 0}, "times must be a whole number from 1"),
        (Throttle, {"times": True}, "times must be"),
        (Throttle, {"operation": "getVectors"}, "operation must be one of DeleteBucketLogging"),
        (Throttle, {"retry_after": -1}, "retry_after must be a number from 0"),
        (Delay, {"seconds": float("nan")}, "seconds must be a number"),
        (Delay, {"seconds": "1"}, "seconds must be a number"),
        (ServerError, {"status": 404}, "status must be a whole number from 500"),
        (ServerError, {"performed": 1}, "performed must be true or false"),
        (Truncate, {"keep": 1}, "keep must be a number from 0"),
        (Reset, {"performed": None}, "performed must be true or false"),
        (Skew, {"seconds": 1e10}, "seconds must be a number from -1e"),
        (Reorder, {"seed": 1.5}, "seed must be a whole number"),
    ],
)
def test_an_impossible_fault_is_refused(kind, wrong, reason):
    with pytest.raises(ValueError, match=reason):
        kind(**wrong)


def test_one_request_meets_each_kind_unless_times_says_more():
    assert {name: kind().times for name, kind in KINDS.items()} == dict.fromkeys(KINDS, 1) | {
        "skew": None
    }
