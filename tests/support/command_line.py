"""The command line, called in this process for speed, or run as a process of its own."""

from __future__ import annotations

import array
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from oss_vector_retriever import Vector
from oss_vector_retriever.cli.application import commands

COMMAND = str(Path(sys.executable).parent / "oss-vectors")


class Called:
    """Hold what a command printed and how it ended."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status = status
        self.output = output
        self.errors = errors

    @property
    def json(self) -> Any:
        return json.loads(self.output)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.output.rstrip("\n").split("\n")]


def call(*words: object, stdin: str | None = None) -> Called:
    """Call a command in this process; anything but an exit is raised."""
    done = CliRunner().invoke(commands, [str(word) for word in words], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Called(done.exit_code, done.stdout, done.stderr)


def run(*words: object, stdin: str | None = None, **environment: str) -> Called:
    """Run a command as a user does."""
    done = subprocess.run(
        [COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        input=stdin,
        env={**os.environ, **environment},
    )
    return Called(done.returncode, done.stdout, done.stderr)


def random_vectors(count: int, dimension: int, seed: int, *, metadata: bool = True) -> list[Vector]:
    """Return vectors of random float32 bits, with texts that JSON must escape."""
    source = random.Random(seed)
    made = []
    for number in range(count):
        bits = [source.getrandbits(32) for _ in range(3 * dimension)]
        values = array.array("f", array.array("I", bits).tobytes())
        finite = [value for value in values if math.isfinite(value)][:dimension]
        fields = {"n": str(number), "text": 'é"\\\n\u2028', "tags": ["a", ""]} if metadata else None
        made.append(Vector(f"k,{number} é", finite, fields))
    return made


def as_sorted(vectors: Any) -> list[tuple[str, bytes, dict[str, Any]]]:
    """Return what must come back exactly: key, float32 bits, metadata."""
    return sorted((v.key, v.data.tobytes(), v.metadata or {}) for v in vectors)
