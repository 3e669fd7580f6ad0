"""The command line: how fast files go.

make bench TESTS=tests/benchmarks/test_cli.py
"""

import json
import resource
import subprocess
import time

import numpy as np
import pytest
from support.command_line import COMMAND

COUNT, DIMENSION = 40_000, 256

pytestmark = pytest.mark.benchmark


def seconds(*words):
    started = time.perf_counter()
    subprocess.run([*map(str, words)], check=True, capture_output=True)
    return time.perf_counter() - started


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "big.jsonl"
    numbers = np.random.default_rng(1)
    with path.open("w") as file:
        for number in range(COUNT):
            data = numbers.standard_normal(DIMENSION, dtype=np.float32).tolist()
            item = {"key": f"k{number}", "data": data, "metadata": {"text": "word " * 40}}
            file.write(json.dumps(item) + "\n")
    return path


@pytest.fixture
def served(tmp_path, monkeypatch):
    command = [COMMAND, "serve", "--port", "0", "--data", str(tmp_path / "served.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = 0
        while told < 6:
            if (line := process.stdout.readline()).startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                monkeypatch.setenv(name, value.strip())
                told += 1
        monkeypatch.setenv("OSS_VECTORS_INDEX", "big")
        yield
        process.terminate()


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("file", ["out.jsonl", "out.npy", "out.parquet"])
def test_files_in_and_out(lines, tmp_path, file):
    came = seconds(COMMAND, "import", lines, "--create-index")
    went = seconds(COMMAND, "export", tmp_path / file)
    again = seconds(COMMAND, "import", tmp_path / file)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"\n{COUNT:,} x {DIMENSION}, {lines.stat().st_size / 1e6:.0f} MB of JSON lines: import "
        f"{COUNT / came:,.0f} vectors/s, export to {file} {COUNT / went:,.0f}, import of it "
        f"{COUNT / again:,.0f}; memory at most {memory:.0f} MB"
    )
