"""Ten clients that read and write at once: no error, no lost write, and no read held up by writes.

The default run takes seconds, `make soak` a minute each. The server is another process, and says
how long it had each request in hand: waiting for its turn and for a thread included, but not for
the ten threads that share this interpreter.
"""

import json
import random
import statistics
import subprocess
import sys
import threading
import time

import pytest

from oss_vector_retriever import OSSVectorClient, emulator

CLIENTS = 10
BATCH = 200
DIMENSION = 64
SERVE = """
import json, sys, time
from oss_vector_retriever import emulator
from oss_vector_retriever.emulator import transport
from oss_vector_retriever.emulator.http.server import run

took, respond = {"write": [], "read": [], "search": []}, transport.Offload.respond

async def timed(self, request):
    started = time.perf_counter()
    outcome = await respond(self, request)
    took[transport._pool_name(request)].append((time.perf_counter() - started) * 1000)
    return outcome

transport.Offload.respond = timed
with emulator.Service(sys.argv[1] or None) as service:
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    run(service, port=0, on_ready=lambda endpoint: print(endpoint, flush=True))
print(json.dumps(took))
"""


class Served:
    """A server in a process of its own; `took` holds milliseconds for each request, at the end."""

    def __init__(self, path):
        command = [sys.executable, "-c", SERVE, path]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().strip()
        self.took = None

    def end(self):
        self.process.terminate()
        self.took = json.loads(self.process.communicate(timeout=30)[0])


@pytest.fixture(params=["memory", "file"])
def served(request, tmp_path):
    served = Served(str(tmp_path / "vectors.db") if request.param == "file" else "")
    yield served
    if served.took is None:
        served.end()


def connect(endpoint):
    return OSSVectorClient(
        endpoint=endpoint,
        bucket=emulator.DEVELOPMENT_BUCKET,
        account_id=emulator.DEVELOPMENT_ACCOUNT_ID,
        region=emulator.DEVELOPMENT_REGION,
        credentials=(emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET),
        index="mixed",
        retry=1,
        timeout=60,
    )


class Worker(threading.Thread):
    """One client: it writes to keys of its own, and reads its own and everybody's."""

    def __init__(self, number, endpoint, until, seed):
        super().__init__(name=f"worker-{number}")
        self.number = number
        self.rng = random.Random(f"{seed}-{number}")
        self.client = connect(endpoint)
        self.until = until
        self.acknowledged = {}
        self.version = 0
        self.error = None

    def run(self):
        try:
            with self.client:
                while time.monotonic() < self.until:
                    self.step()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def step(self):
        choice = self.rng.random()
        if choice < 0.3:
            self.write()
        elif choice < 0.35:
            self.delete()
        elif choice < 0.6:
            self.read(self.number)
        elif choice < 0.85:
            self.read(self.rng.randrange(CLIENTS))
        elif choice < 0.95:
            query = [self.rng.random() for _ in range(DIMENSION)]
            assert len(self.client.query_vectors(query)) <= 10
        else:
            self.client.list_vectors(max_results=100)

    def keys(self, number):
        return [f"w{number}-{i}" for i in self.rng.sample(range(1000), BATCH)]

    def write(self):
        self.version += 1
        keys = self.keys(self.number)
        data = [self.version, self.number] + [1] * (DIMENSION - 2)
        self.client.put_vectors([{"key": key, "data": data} for key in keys])
        self.acknowledged |= dict.fromkeys(keys, self.version)

    def delete(self):
        keys = self.keys(self.number)
        self.client.delete_vectors(keys)
        for key in keys:
            self.acknowledged.pop(key, None)

    def read(self, number):
        keys = self.keys(number)[:100]
        found = {v.key: v.data for v in self.client.fetch(keys)}
        assert all(data[1] == number for data in found.values())
        if number == self.number:
            assert {key: data[0] for key, data in found.items()} == {
                key: self.acknowledged[key] for key in keys if key in self.acknowledged
            }


def check_all(client, workers):
    """Check that each vector is there as it was last acknowledged, and nothing else."""
    expected = {key: v for worker in workers for key, v in worker.acknowledged.items()}
    found = {vector.key: vector.data[0] for vector in client.stream(iter(expected))}
    assert found == expected
    listed, token = 0, None
    while listed == 0 or token:
        page = client.list_vectors(max_results=1000, next_token=token)
        listed, token = listed + len(page), page.next_token
    assert listed == len(expected)


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60, marks=pytest.mark.soak)])
def test_ten_clients_read_and_write_at_once(served, seconds):
    seed = random.randrange(1 << 32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    with connect(served.endpoint) as client:
        client.put_vector_index(dimension=DIMENSION, distance_metric="euclidean")
        until = time.monotonic() + seconds
        workers = [Worker(number, served.endpoint, until, seed) for number in range(CLIENTS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.error for worker in workers] == [None] * CLIENTS
        check_all(client, workers)
    served.end()
    for what, times in served.took.items():
        middle, longest = statistics.median(times), max(times)
        print(f"{len(times)} x {what}: median {middle:.0f} ms, longest {longest:.0f} ms")  # noqa: T201 - figures
    assert max(served.took["read"]) <= max(*served.took["write"], 1000)
