"""Large values under one key, by many writers and readers, and by writers that are killed.

Nobody reads half a value, and nothing is left of the old ones. The default run takes a second,
`make soak` as long as was promised.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.embedded import embedded, settings

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.emulator.http.server import Server
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

WRITERS = READERS = 4
LARGE = 120_000


def text_of(name, size=LARGE):
    """Return a text that tells its name and that no other has a part of."""
    return f"{name}:" + random.Random(name).randbytes(size // 2).hex()


def is_one(text):
    """Tell whether a text is one that was written, the whole of it."""
    name = text.partition(":")[0]
    return text in (text_of(name), text_of(name, 100))


def write(client, name, size):
    store = RecordStore(StoreSettings())
    client.run(store.write, [store.encode("k", [1.0], text=text_of(name, size))])


def read(client):
    store = RecordStore(StoreSettings())
    found = client.run(store.fetch, ["k"])
    return [store.decode(vector).text for vector in found]


def parts(client):
    return list(client.iter_vectors(index="vectorsside"))


# Processes that write, or read, the key until they are killed; what they have read is checked here.
# One that has loaded everything makes all of them, since each would take longer to load than it
# lives.
WORK = """
import json, os, random, signal, sys, time
sys.path[:0] = json.loads(sys.argv[1])
from oss_vector_retriever import OSSVectorClient
from soak import test_parts as own

def work(number, calls):
    done = []

    def die(call):
        done.append(call)
        if len(done) == 1:
            os.write(at_work[1], b".")
        if len(done) == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    with OSSVectorClient(**own.settings(sys.argv[2]), on_call=die) as client:
        count = 0
        while True:
            if number % 2:
                assert all(map(own.is_one, own.read(client)))
            else:
                own.write(client, f"{number}-{count}", 100 if count % 3 == 2 else own.LARGE)
            count += 1

def start(number, calls):
    child = os.fork()
    if not child:
        try:
            work(number, calls)
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
    return child

dice, at_work = random.Random(int(sys.argv[3])), os.pipe()
for line in sys.stdin:
    numbers, calls = json.loads(line)
    children = [start(number, calls) for number in numbers]
    if not calls:
        os.read(at_work[0], 1)  # to connect takes longer than all that follows
        time.sleep(float(sys.argv[4]) or dice.uniform(0, 0.4))
    for child in children:
        calls or os.kill(child, signal.SIGKILL)
    codes = [os.waitpid(child, 0)[1] for child in children]
    os.close(at_work[0]), os.close(at_work[1])
    at_work = os.pipe()
    print(json.dumps(codes), flush=True)
"""


class Workers:
    """A process that makes others, which work and are killed."""

    def __init__(self, endpoint, seed, seconds=0.0):
        tests = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", WORK, json.dumps([tests]), endpoint, str(seed)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [*command, str(seconds)], stdin=pipe, stdout=pipe, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(self, *numbers, calls=0):
        """Have some work until they are killed: those of even numbers write, the others read.

        They are killed when so many calls are done; by default at any time.
        """
        self._process.stdin.write(json.dumps([numbers, calls]) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        assert codes == [signal.SIGKILL] * len(numbers), "one ended before, with an error"


@pytest.fixture
def served(tmp_path):
    with emulator.Service.open(tmp_path / "vectors.db") as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with Server(service) as server, OSSVectorClient(**settings(server.endpoint)) as client:
            write(client, "first", LARGE)
            yield server.endpoint, client


def check_sweep(client):
    """Check that a sweep leaves the parts of what is there, and no others; return how many went."""
    (text,) = read(client)
    assert is_one(text)
    store = RecordStore(StoreSettings())
    swept = client.run(store.sweep, 0)
    assert read(client) == [text]
    assert bool(parts(client)) == (len(text) > 1000)
    return swept


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("trials", [4, pytest.param(200, marks=pytest.mark.soak)])
def test_killed_writers_leave_a_whole_value_and_what_a_sweep_removes(served, trials):
    endpoint, client = served
    seed = random.randrange(1 << 32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    swept = 0
    with Workers(endpoint, seed) as workers:
        for trial in range(trials):
            # looks at both indexes, what stands there, parts, head, what stands there, old parts
            workers.run(2 * trial, calls=trial + 3 if trial < 4 else 0)
            (text,) = read(client)
            assert is_one(text)
            swept += check_sweep(client) if trial % 5 == 3 else 0
    swept += check_sweep(client)
    assert swept
    client.run(RecordStore(StoreSettings()).delete, ["k"])
    assert parts(client) == []
    print(f"{trials} kills: 0 half values, {swept} parts swept")  # noqa: T201 - a figure


@pytest.mark.soak
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.timeout(300)
def test_processes_read_what_one_of_them_wrote_and_a_sweep_leaves_no_parts(served):
    endpoint, client = served
    with Workers(endpoint, 0, seconds=30) as workers:
        workers.run(*range(WRITERS + READERS))
    swept = check_sweep(client)
    client.run(RecordStore(StoreSettings()).delete, ["k"])
    assert parts(client) == []
    print(f"{swept} parts swept")  # noqa: T201 - a figure


class Crowd:
    """Threads that each do something again and again, until the time is up or one has failed."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds
        self.errors = []
        self.threads = []

    def start(self, work, *arguments):
        thread = threading.Thread(target=self._repeat, args=(work, *arguments), daemon=True)
        self.threads.append(thread)
        thread.start()

    def _repeat(self, work, *arguments):
        number = 0
        while time.monotonic() < self.end and not self.errors:
            try:
                work(number, *arguments)
            except Exception as error:  # noqa: BLE001 - raised where they are joined
                self.errors.append(error)
            number += 1

    def join(self):
        for thread in self.threads:
            thread.join(60)
        if self.errors:
            raise self.errors[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [0.5, pytest.param(30, marks=pytest.mark.soak)])
def test_threads_read_what_one_of_them_wrote_and_leave_no_parts(seconds):
    with emulator.Service.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with embedded(service) as client:
            write(client, "first", LARGE)
            crowd, seen = Crowd(seconds), []

            def put(number, writer):
                # every third is small, so that large and small take each other's place
                write(client, f"{writer}-{number}", 100 if number % 3 == 2 else LARGE)

            def get(_, __):
                seen.extend(read(client))

            for one in range(WRITERS):
                crowd.start(put, one)
            for one in range(READERS):
                crowd.start(get, one)
            crowd.join()
            assert len(seen) > READERS
            assert all(map(is_one, set(seen)))
            (last,) = read(client)
            assert bool(parts(client)) == (len(last) > 1000)
            client.run(RecordStore(StoreSettings()).delete, ["k"])
            assert parts(client) == []
