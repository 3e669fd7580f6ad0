"""A service on a file, killed again and again while it writes: nothing acknowledged may be lost.

The default run kills a few times, `make soak` 200 times. The moment of each kill is random, in some
trials so early that it falls into the opening of the file.
"""

import math
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.caller import Caller

from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service

TESTS = Path(__file__).parents[1]
BATCH = 20
# Each batch is new keys and a key that every batch overwrites; a third of them is deleted again.
WRITE = f"""
import sys
sys.path.insert(0, sys.argv[1])
from support.caller import Caller
from oss_vector_retriever.emulator import Service
caller = Caller(Service.open(sys.argv[2]))
name = sys.argv[3]
for batch in range(10**9):
    new = [(f"{{name}}-{{batch}}-{{i}}", [batch, i] + [1] * 62) for i in range({BATCH})]
    caller.put(*new, ("last", [batch, int(name)] + [0] * 62))
    print("put", batch, flush=True)
    if batch % 3 == 2:
        status, _ = caller.post(
            "deleteVectors", {{"indexName": "index1", "keys": [key for key, _ in new]}}
        )
        assert status == 204
        print("deleted", batch, flush=True)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


class Victim:
    """A process that writes, killed at a random moment, and what it had acknowledged by then."""

    def __init__(self, path, name, rng):
        command = [sys.executable, "-c", WRITE, str(TESTS), str(path), str(name)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            first = ""
            if rng.random() < 0.25:
                time.sleep(rng.uniform(0, 0.4))
            else:
                first = process.stdout.readline()
                time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            lines = (first + process.stdout.read()).split("\n")[:-1]
        self.done = [(verb, int(batch)) for verb, batch in map(str.split, lines)]
        assert process.returncode == -signal.SIGKILL

    def batches(self, verb):
        return [batch for done, batch in self.done if done == verb]


def stored(caller, trial, batch):
    """Return how many vectors of a batch there are, all of them right."""
    found = caller.get([f"{trial}-{batch}-{i}" for i in range(BATCH)], metadata=False)
    assert all(v["data"]["float32"][0] == batch for v in found)
    return len(found)


def check(caller, trial, victim):
    """Check what one killed process left; return the batches that must stay."""
    put, deleted = victim.batches("put"), set(victim.batches("deleted"))
    under_way = put[-1] if put and put[-1] % 3 == 2 and put[-1] not in deleted else None
    kept = [batch for batch in put if batch not in deleted and batch != under_way]
    assert all(stored(caller, trial, batch) == BATCH for batch in kept)
    assert all(stored(caller, trial, batch) == 0 for batch in deleted)
    for batch in (under_way, (put[-1] + 1) if put else 0):
        assert batch is None or stored(caller, trial, batch) in (0, BATCH), "half a batch"
    if put:
        (last,) = caller.get(["last"], metadata=False)
        assert last["data"]["float32"][:2] in ([put[-1], trial], [put[-1] + 1, trial])
    return kept


def check_search(caller):
    """Check that the first search after the start finds what there is, and no more."""
    asked = {"indexName": "index1", "maxResults": 1000, "returnData": True}
    distances, token = {}, None
    while token != "":
        page = caller.post("listVectors", asked | {"nextToken": token})[1]
        distances |= {v["key"]: math.hypot(*v["data"]["float32"]) for v in page["vectors"]}
        token = page.get("nextToken", "")
    found = caller.query([0] * 64, 30, returnDistance=True)
    nearest = sorted(distances, key=lambda key: (distances[key], key))[:30]
    assert [hit["key"] for hit in found] == nearest
    assert [hit["distance"] for hit in found] == pytest.approx([distances[k] for k in nearest])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("trials", [6, pytest.param(200, marks=pytest.mark.soak)])
def test_a_killed_service_loses_nothing_it_acknowledged(tmp_path, trials):
    path = tmp_path / "vectors.db"
    with Service.open(path) as service:
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        Caller(service).make_index(dimension=64)
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    kept = []
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    for trial in range(trials):
        victim = Victim(path, trial, rng)
        with Service.open(path) as service:
            if trial < 6:  # later ones would list ever more
                check_search(Caller(service))
            kept += [(trial, batch) for batch in check(Caller(service), trial, victim)]
            with service._database.read() as db:
                assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
    with Service.open(path) as service:
        caller = Caller(service)
        assert all(stored(caller, trial, batch) == BATCH for trial, batch in kept)
    print(f"{trials} kills: {len(kept)} batches acknowledged, 0 lost")  # noqa: T201 - a figure
