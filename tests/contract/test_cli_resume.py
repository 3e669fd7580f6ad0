"""Import and export are killed at any moment, and given again: nothing is lost or written twice.

Each runs as a process of its own against a service with a file; the service notes every vector that
it is sent, and answers slowly enough to be interrupted.
"""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from support.command_line import COMMAND, as_sorted, random_vectors
from support.promises import sized

from oss_vector_retriever import OSSVectorClient, emulator

COUNT, DIMENSION = 1000, 8
PATIENCE = 30


class SlowService(emulator.Service):
    """Take a moment for each request, and note the keys that were put."""

    def __init__(self, path):
        super().__init__(path)
        self.put = Counter()

    def handle(self, request):
        time.sleep(0.01)
        reply = super().handle(request)
        if "putVectors" in request.query and reply.ok:
            self.put.update(vector["key"] for vector in json.loads(request.body)["vectors"])
        return reply


@pytest.fixture
def seed():
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")  # noqa: T201 - a failure must be repeatable
    return chosen


@pytest.fixture
def service(tmp_path):
    with SlowService(tmp_path / "served.db") as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def server(service, monkeypatch):
    settings = {
        "OSS_REGION": emulator.DEVELOPMENT_REGION,
        "OSS_ACCOUNT_ID": emulator.DEVELOPMENT_ACCOUNT_ID,
        "OSS_VECTORS_BUCKET": emulator.DEVELOPMENT_BUCKET,
        "OSS_VECTORS_INDEX": "big",
        "OSS_ACCESS_KEY_ID": emulator.DEVELOPMENT_ACCESS_KEY_ID,
        "OSS_ACCESS_KEY_SECRET": emulator.DEVELOPMENT_ACCESS_KEY_SECRET,
    }
    with emulator.Server(service) as server:
        for name, value in {**settings, "OSS_ENDPOINT": server.endpoint}.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def vectors(seed):
    return random_vectors(COUNT, DIMENSION, seed)


@contextmanager
def started(*words):
    """Run a command, and see that it ends with the test."""
    process = subprocess.Popen(
        [COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended_by(how, seconds, *words):
    """Run a command, end it after some seconds, and return its status and what it said."""
    with started(*words) as process:
        try:
            _, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
            _, errors = process.communicate(timeout=PATIENCE)
        return process.returncode, errors


def killed_until_done(source, *words):
    """Kill a command at random moments until it lives to its end; return how often."""
    kills = 0
    while True:
        # the first moments are Python's own start
        seconds = source.uniform(0.3, 0.6 + kills * kills / 40)
        status, errors = ended_by(signal.SIGKILL, seconds, *words)
        if status == 0:
            return kills, errors
        assert status == -signal.SIGKILL, errors
        kills += 1


def in_the_index():
    with OSSVectorClient() as client:
        return as_sorted(client.iter_vectors(return_data=True, return_metadata=True))


@pytest.mark.usefixtures("server")
def test_a_killed_import_loses_nothing_and_writes_nothing_twice(service, vectors, seed, tmp_path):
    path = tmp_path / "big.jsonl"
    path.write_text("".join(json.dumps(line_of(vector)) + "\n" for vector in vectors))
    made = ("--create-index", "--distance-metric", "euclidean", "--batch", 10, "--parallel", 2)
    kills, said = killed_until_done(random.Random(seed), "import", path, *made)
    assert kills >= 2
    # what this run wrote and found, and what the killed ones had noted, is all there is
    counted = re.search(
        r"1,000 lines(?: \(([\d,]+) of them before\))?, (?:([\d,]+) vectors? written to index "
        r"'\w+'|nothing new to write .*?)(?:, ([\d,]+) vectors? there already)?,",
        said,
    )
    assert counted is not None, said
    before, written, there = (int((number or "0").replace(",", "")) for number in counted.groups())
    assert before + written + there == COUNT
    assert written < COUNT
    assert set(service.put.values()) == {1}
    assert in_the_index() == as_sorted(vectors)


def line_of(vector):
    return {"key": vector.key, "data": vector.data.tolist(), "metadata": vector.metadata}


@pytest.fixture
def filled(request, vectors):
    request.getfixturevalue("server")
    with OSSVectorClient() as client:
        client.put_vector_index(dimension=DIMENSION, distance_metric="euclidean")
        client.upsert(vectors)
    return as_sorted(vectors)


@pytest.mark.parametrize(("file", "segments"), [("big.jsonl", 1), ("big.npy", 3)])
def test_a_killed_export_loses_nothing_and_writes_nothing_twice(
    filled, seed, tmp_path, file, segments
):
    path = tmp_path / "out" / file
    path.parent.mkdir()
    words = ("export", path, "--batch", 10, "--segments", segments)
    kills, _ = killed_until_done(random.Random(seed), *words)
    assert kills >= 1
    lines = [json.loads(line) for line in path.with_suffix(".jsonl").read_bytes().splitlines()]
    rows = np.load(path) if file.endswith("npy") else [np.float32(line["data"]) for line in lines]
    found = [
        (line["key"], row.tobytes(), line["metadata"])
        for line, row in zip(lines, rows, strict=True)
    ]
    assert sorted(found) == filled
    assert {left.name for left in path.parent.iterdir()} == {path.name, "big.jsonl"}


@pytest.mark.usefixtures("filled")
def test_ctrl_c_in_an_export_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "out.jsonl"
    words = ("export", path, "--batch", 10)
    with started(*words) as process:
        while not list(tmp_path.glob("out.jsonl.partial")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted: " in errors
    assert "the same command again goes on from there" in errors
    assert "Traceback" not in errors
    assert not path.exists()
    assert ended_by(signal.SIGINT, PATIENCE, *words)[0] == 0
    assert len(path.read_bytes().splitlines()) == COUNT


@pytest.mark.usefixtures("server")
def test_ctrl_c_at_any_moment_is_clean(seed, tmp_path):
    source = random.Random(seed)
    path = tmp_path / "big.jsonl"
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(4000)))
    for _ in range(sized(5, 20)):
        words = ("import", path, "--create-index", "--batch", 20, "--parallel", 1, "--restart")
        moment = first_moment() + source.uniform(0, 1.2)  # looked at each time: load comes and goes
        status, errors = ended_by(signal.SIGINT, moment, *words)
        assert status == 130, errors
        assert "Traceback" not in errors
        assert errors.strip() == "" or errors.startswith("interrupted: ")


def first_moment():
    """Return the seconds after which Python has started; before that no program has a say."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", ""], check=True)
    return 2 * (time.monotonic() - started)


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("second", ["big.jsonl", "link.jsonl"])
def test_two_imports_of_one_file_do_not_mix(tmp_path, second):
    path = tmp_path / "big.jsonl"
    (tmp_path / "link.jsonl").symlink_to(path)
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(1000)))
    words = ("import", path, "--create-index", "--batch", 20, "--parallel", 1)
    with started(*words) as first:
        # something is written into it once it is locked
        while not any(found.stat().st_size for found in tmp_path.glob("big.jsonl.import-*")):
            time.sleep(0.01)
        # held, or on a busy machine it is through before the other has begun
        first.send_signal(signal.SIGSTOP)
        again = ("import", tmp_path / second, *words[2:])
        status, errors = ended_by(signal.SIGKILL, PATIENCE, *again)
        first.send_signal(signal.SIGCONT)
        assert status == 2
        assert "another process is at it" in errors
        assert first.wait(PATIENCE) == 0


def test_an_import_that_loses_its_service_goes_on_with_the_next(service, server, tmp_path):
    path = tmp_path / "big.jsonl"
    path.write_text("".join(f'{{"key": "k{n}", "data": [{n}, 1]}}\n' for n in range(800)))
    words = ["import", path, "--create-index", "--batch", 20, "--parallel", 2, "--timeout", 2]
    port = int(server.endpoint.rpartition(":")[2])
    with started(*words) as process:
        while len(service.put) < 200:
            time.sleep(0.01)
        server.stop()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the same command again goes on from there" in errors
    with emulator.Server(service, port=port):
        status, errors = ended_by(signal.SIGKILL, PATIENCE, *words)
    assert status == 0, errors
    assert len(service.put) == 800
    assert set(service.put.values()) == {1}
