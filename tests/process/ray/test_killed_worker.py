"""Many keys on two workers, of which one is killed: each key once, under the limit and near it."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.arrivals import noted_arrivals
from support.promises import sized
from support.served_index import serve_index

from oss_vector_retriever import Limits, OSSVectorClient
from oss_vector_retriever.ray import run_fetch

pytestmark = [
    pytest.mark.timeout(480),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
KEYS = sized(50_000, 50_000, 200_000)
RATE = sized(150, 150, 300)
KEYS_PER_CALL = 25  # so that it is the limit that bounds, and not this machine
SECONDS = 5.0
LEAST = sized(1.0, 1.0, 5.0)  # seconds of a time in which the rate is measured


def descendants():
    """Return this process, those that it has begun, and so on, by id, with their titles."""
    parents, titles = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            number = int(path.name)
            parents[number] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            titles[number] = (path / "cmdline").read_bytes().split(b"\0")[0].decode()
        except (OSError, IndexError):
            continue
    own = {os.getpid()}
    while more := {one for one, parent in parents.items() if parent in own} - own:
        own |= more
    return {one: titles.get(one, "") for one in own}


def busy_workers():
    return {one for one, title in descendants().items() if title.startswith("ray::MapBatches")}


class Watch(threading.Thread):
    """Who is at work when, and the end of one of them."""

    def __init__(self, arrivals, kill_after):
        super().__init__(daemon=True)
        self.samples = []
        self.killed_at = None
        self._arrivals = arrivals
        self._kill_after = kill_after
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            workers = busy_workers()
            self.samples.append((time.monotonic(), workers))
            halfway = len(self._arrivals.moments) >= self._kill_after
            if self.killed_at is None and halfway and len(workers) > 1:
                os.kill(min(workers), signal.SIGKILL)
                self.killed_at = time.monotonic()

    def spans_of_two(self):
        """Return the times in which two workers were up: from the first task of the later one on.

        The last ends when there are no longer two tasks left.
        """
        first_seen = {}
        for moment, workers in self.samples:
            for worker in workers:
                first_seen.setdefault(worker, moment)
        last = max(moment for moment, workers in self.samples if len(workers) > 1)
        before = sorted(moment for moment in first_seen.values() if moment < self.killed_at)
        after = [moment for moment in first_seen.values() if moment > self.killed_at]
        return [(before[1], self.killed_at), *((moment, last) for moment in after[:1])]


def test_every_key_once_under_the_limit_and_near_it_though_a_worker_is_killed(
    ray,  # noqa: ARG001 - it is begun
    tmp_path,
    figure,
):
    numbers = np.random.default_rng(15).standard_normal((KEYS, 8), dtype=np.float32)
    vectors = [
        {"key": f"key-{n}", "data": row.tolist(), "metadata": {"n": str(n)}}
        for n, row in enumerate(numbers)
        if n % 100 != 7  # some are missing
    ]
    keys = [f"key-{n}" for n in range(KEYS)]
    pq.write_table(pa.table({"key": keys}), tmp_path / "keys.parquet")
    with serve_index("many", vectors, dimension=8) as behind, noted_arrivals(behind) as arrivals:
        limits = replace(Limits(), keys_per_get=KEYS_PER_CALL)
        client = OSSVectorClient(endpoint=arrivals.endpoint, index="many", limits=limits)
        watch = Watch(arrivals, kill_after=KEYS // KEYS_PER_CALL // 2)
        watch.start()
        began = time.monotonic()
        report = run_fetch(
            tmp_path / "keys.parquet",
            tmp_path / "output",
            client.settings,
            rate_limit=RATE,
            concurrency=2,
            task_rows=sized(2_500, 2_500, 5_000),
        )
        took = time.monotonic() - began
        watch.ended.set()
        watch.join()
        direct = OSSVectorClient(endpoint=behind, index="many")
        alone = pa.Table.from_batches(direct.stream(keys).to_arrow_batches())
    assert watch.killed_at is not None
    assert (report.rows, report.flagged, report.parts_before) == (KEYS, KEYS // 100, 0)
    output = pq.read_table(tmp_path / "output")
    assert sorted(output["key"].to_pylist()) == sorted(keys)
    assert in_order(output.drop(["found"])).equals(in_order(alone))
    assert output["found"].to_pylist() == output["data"].is_valid().to_pylist()
    most = arrivals.most_within(SECONDS) / SECONDS / RATE
    spans = [(at, end) for at, end in watch.spans_of_two() if end - at > LEAST]
    shares = [arrivals.count(at, end) / (end - at) / RATE for at, end in spans]
    figure(
        f"{KEYS:,} keys, one of 2 workers killed: at most {most:.3f} of the limit in any 5 s, "
        f"{min(shares):.3f} of it while both are up; {took:.1f} s"
    )
    assert most <= 1.05
    assert shares
    # the small run is short: a new worker's start is a large part of it, and of a busy machine all
    assert min(shares) >= sized(0.6, 0.6, 0.9)


def in_order(table):
    return table.sort_by("key").combine_chunks()
