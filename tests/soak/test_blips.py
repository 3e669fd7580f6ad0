"""Calls through blips of the service, in alternation with the official SDK on the same server.

    OSS_VECTORS_TESTS=full pytest tests/soak/test_blips.py -s

From the moment at which a call begins the service fails for so long, then it is well again. Each
side keeps one client for all of its calls. The default run has one blip of each kind, without the
SDK.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import alibabacloud_oss_v2 as oss
import alibabacloud_oss_v2.vectors as oss_vectors
import pytest
from support.official_sdk import official_client
from support.promises import FULL_SIZE

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient, OSSVectorError, emulator
from oss_vector_retriever.emulator import faults

INDEX = "blips"
KINDS = {
    "500": faults.ServerError(times=None, status=500),
    "502": faults.ServerError(times=None, status=502),
    "reset": faults.Reset(times=None),
}
LENGTHS = (0.1, 0.2, 0.4, 1.0)
CALLS = 12
# it takes minutes
only_in_long_runs = pytest.mark.timeout(600) if FULL_SIZE else pytest.mark.soak
# of twelve
LEAST = {0.1: 12, 0.2: 12, 0.4: 12, 1.0: 10}


@dataclass
class Side:
    """The calls of one client: how many came through, and the seconds that each took."""

    survived: int = 0
    seconds: list[float] = field(default_factory=list)

    def __str__(self):
        mean = sum(self.seconds) / len(self.seconds)
        return f"{self.survived} of {len(self.seconds)} ({mean:.2f} s)"


class Place:
    """A service that fails on demand, with a client of each kind."""

    def __init__(self, stack):
        self.service = stack.enter_context(emulator.Service.in_memory())
        server = stack.enter_context(emulator.Server(self.service))
        self.service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        options = {"index": INDEX, "timeout": 30.0, **server.settings}
        blocking = stack.enter_context(OSSVectorClient(**options))
        blocking.put_vector_index(dimension=2)
        blocking.upsert([{"key": "a", "data": [1.0, 2.0]}])
        runner = stack.enter_context(asyncio.Runner())
        on_loop = AsyncOSSVectorClient(**options)
        stack.callback(lambda: runner.run(on_loop.close()))
        sdk = official_client(server.endpoint)
        request = oss_vectors.models.GetVectorsRequest(
            bucket=emulator.DEVELOPMENT_BUCKET, index_name=INDEX, keys=["a"]
        )
        self.calls = {
            "sync": lambda: len(blocking.fetch(["a"])),
            "async": lambda: len(runner.run(on_loop.fetch(["a"]))),
            "sdk": lambda: len(sdk.get_vectors(request).vectors),
        }
        for call in self.calls.values():
            assert call() == 1  # connections are open when the first blip comes

    def call(self, name, fault, length, side):
        """Make a call that begins with a blip."""
        self.service.faults.add(fault)
        end = threading.Timer(length, self.service.faults.clear)
        end.start()
        began = time.monotonic()
        with suppress(OSSVectorError, oss.exceptions.OperationError):
            side.survived += self.calls[name]() == 1
        side.seconds.append(time.monotonic() - began)
        end.join()


def run_blips(kind, lengths, rounds):
    """Return, by length, what became of our calls and of the SDK's (of none where no round has it).

    Each round is a tuple of names of clients, called one after the other.
    """
    outcomes = {}
    with ExitStack() as stack:
        place = Place(stack)
        for length in lengths:
            ours, theirs = outcomes[length] = Side(), Side()
            for names in rounds:
                for name in names:
                    place.call(name, KINDS[kind], length, theirs if name == "sdk" else ours)
    return outcomes


def run_all_kinds(lengths, rounds):
    with ThreadPoolExecutor(len(KINDS)) as pool:  # they wait most of the time
        runs = {kind: pool.submit(run_blips, kind, lengths, rounds) for kind in KINDS}
        return {kind: run.result() for kind, run in runs.items()}


@pytest.mark.promise("R1")
def test_a_blip_of_each_kind_is_outlived_on_both_clients():
    for kind, outcomes in run_all_kinds([0.4], [("sync", "async")]).items():
        ours = outcomes[0.4][0]
        assert ours.survived == 2, (kind, ours)
        assert all(0.4 <= seconds < 20 for seconds in ours.seconds)


@pytest.mark.promise("R1")
@pytest.mark.timeout(600)
@only_in_long_runs
def test_blips_are_outlived_more_often_than_by_the_official_sdk(figure):
    rounds = [("sync", "sdk"), ("async", "sdk")] * (CALLS // 2)
    survived = dict.fromkeys(LENGTHS, 0)
    lines = ["blip    ours                SDK"]
    failed = []
    for kind, outcomes in run_all_kinds(LENGTHS, rounds).items():
        for length, (ours, theirs) in outcomes.items():
            lines.append(f"{kind:5} {length:.1f} s  {ours!s:18}  {theirs}")
            survived[length] += ours.survived
            if ours.survived < max(LEAST[length], theirs.survived):
                failed.append(lines[-1])
    print("\n".join(lines))  # noqa: T201 - the figures are what the run is for
    assert not failed
    of = CALLS * len(KINDS)
    shown = ", ".join(f"{length} s: {count} of {of}" for length, count in survived.items())
    figure(f"survived blips of 500, 502 and resets of {shown}")
