"""What deployed programs do in their tests: fetches and queries whose answers follow from the keys.

Imported by the tests and by the programs that they start, so that all count in one way.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient

COUNT = 300
KEYS = [f"k{number}" for number in range(COUNT)]
INDEX = "big"
SIZES = (1, 1, 3, 120)


def records() -> Iterator[dict[str, Any]]:
    """Yield what the index holds: the number of a key is in its data and in its metadata."""
    for number, key in enumerate(KEYS):
        metadata = {"_record_text": f"text of {key}", "number": str(number)}
        yield {"key": key, "data": [number, 1], "metadata": metadata}


def work(client: OSSVectorClient, seed: int, count: int) -> Counter[str]:
    """Make fetches and queries, and count what came of them."""
    seen: Counter[str] = Counter()
    for asked in _questions(seed, count):
        try:
            if isinstance(asked, list):
                seen[_judge(asked, client.fetch(asked))] += 1
            else:
                found = client.query_vectors([asked, 1], top_k=1, return_metadata=True).vectors
                seen[_judge_hit(asked, found)] += 1
        except Exception as error:  # noqa: BLE001 - counted, and shown by the test
            seen[f"error {type(error).__name__}: {error}"] += 1
    return seen


async def awork(
    client: AsyncOSSVectorClient, seed: int, count: int, tasks: int = 4
) -> Counter[str]:
    """Do what `work` does, in several tasks at once."""
    questions, seen = _questions(seed, count), Counter[str]()

    async def go_on() -> None:
        for asked in questions:
            try:
                if isinstance(asked, list):
                    seen[_judge(asked, await client.fetch(asked))] += 1
                else:
                    answer = await client.query_vectors([asked, 1], top_k=1, return_metadata=True)
                    seen[_judge_hit(asked, answer.vectors)] += 1
            except Exception as error:  # noqa: BLE001 - counted, and shown by the test
                seen[f"error {type(error).__name__}: {error}"] += 1

    await asyncio.gather(*(go_on() for _ in range(tasks)))
    return seen


def _questions(seed: int, count: int) -> Iterator[list[str] | int]:
    dice = random.Random(seed)
    for _ in range(count):
        if dice.random() < 0.4:
            yield dice.randrange(COUNT)
        else:  # some keys that are not there among those that are
            keys = dice.sample(KEYS, dice.choice(SIZES))
            yield [*keys, f"gone{dice.random()}"] if dice.random() < 0.2 else keys


def _judge(asked: list[str], found: Any) -> str:
    there = [key for key in asked if not key.startswith("gone")]
    if set(found.missing) & set(there):
        return "missing"
    right = (
        [vector.key for vector in found] == there
        and list(found.missing) == [key for key in asked if key.startswith("gone")]
        and all(
            vector.data.tolist() == [float(vector.key[1:]), 1.0]
            and vector.metadata["number"] == vector.key[1:]
            for vector in found
        )
    )
    return "right" if right else "wrong"


def _judge_hit(number: int, hits: Any) -> str:
    right = [(hit.key, hit.metadata["number"]) for hit in hits] == [(f"k{number}", str(number))]
    return "right" if right else "wrong"


def in_child(work: Callable[[], object], leave: Callable[[int], object] = os._exit) -> int:
    """Fork, do some work in the child and end it; print there what the work returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        say(work())
        status = 0
    except BaseException:  # noqa: BLE001 - the parent is told by the status
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        leave(status)
    raise AssertionError


def say(result: object) -> None:
    """Print a result for the test, as one line that no other process writes into."""
    if result is not None:
        os.write(1, (json.dumps(result) + "\n").encode())


def wait_for(pids: Iterable[int], seconds: float) -> None:
    """Wait for children; one that goes on for too long is ended, and so is this program."""
    ends = time.monotonic() + seconds
    for pid in pids:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                assert status == 0, status
                break
            if time.monotonic() > ends:
                os.kill(pid, signal.SIGKILL)
                sys.exit("a child hangs")
            time.sleep(0.01)
