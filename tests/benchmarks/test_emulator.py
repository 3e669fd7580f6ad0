"""The emulator's own speed, and that of others at the same work, in the same run.

    make bench                      # pip install -e '.[bench]' brings the rivals

moto's s3vectors stores and fetches, and cannot search; sqlite-vec and LanceDB search exactly, here
with the same vectors. A rival that is not installed is said to be missing. The promises are the
emulator's, at the door of the service: what a client adds (JSON, MD5, signing) is shown beside it.
"""

import importlib
import importlib.metadata
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from support.caller import Caller

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service

DIMENSION = 1024
COUNT = 10_000
LARGE = 100_000
BATCH = 500

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]


def rival(*names):
    """Return modules, or say that one is missing and return None."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        print(f"\n  not installed: {error.name}; pip install -e '.[bench]'")
        return None


def made(count):
    """Return normal vectors, shape (count, DIMENSION)."""
    return np.random.default_rng(7).standard_normal((count, DIMENSION), dtype=np.float32)


def items(rows, start=0):
    return [
        {"key": f"k{start + n}", "data": row, "metadata": {"title": "A title", "n": str(n % 10)}}
        for n, row in enumerate(rows)
    ]


def shown(what, **figures):
    text = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
    print(f"\n{what}: {text}")


def rate(put, data, batch=BATCH):
    """Return vectors a second: those of the median batch."""
    times = []
    for start in range(0, len(data), batch):
        part = items(data[start : start + batch], start)
        began = time.perf_counter()
        put(part)
        times.append(time.perf_counter() - began)
    return round(batch / statistics.median(times))


def milliseconds(call, rounds=30):
    """Return the median time of a call."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        call(number)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


@pytest.fixture(params=["memory", "file"])
def caller(request, tmp_path):
    with Service(tmp_path / "v.db" if request.param == "file" else None) as service:
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        caller = Caller(service)
        caller.make_index(dimension=DIMENSION, metric="cosine")
        caller.where = request.param
        yield caller


class Door:
    """Send requests that are signed and written beforehand: only the service is timed."""

    def __init__(self, caller):
        self.caller = caller

    def request(self, operation, **members):
        body = orjson.dumps({"indexName": "index1", **members}, option=orjson.OPT_SERIALIZE_NUMPY)
        return self.caller.sign("POST", operation, body)

    def send(self, request):
        reply = self.caller.service.handle(request)
        assert reply.ok, reply.body
        return reply

    def put(self, part):
        vectors = [{**item, "data": {"float32": item["data"]}} for item in part]
        return self.request("putVectors", vectors=vectors)

    def get(self, keys):
        return self.request("getVectors", keys=keys, returnData=True, returnMetadata=True)


def keys_of(number):
    return [f"k{(number * 100 + place) * 7 % COUNT}" for place in range(100)]


def test_ingest_and_get(caller):
    data, door = made(COUNT), Door(caller)
    requests = iter([door.put(items(data[s : s + BATCH], s)) for s in range(0, COUNT, BATCH)])
    ingest = rate(lambda _: door.send(next(requests)), data)
    gets = [door.get(keys_of(number)) for number in range(30)]
    get = milliseconds(lambda number: door.send(gets[number]))
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=DIMENSION)
        through = rate(client.put_vectors, data)
        fetched = milliseconds(lambda number: client.fetch(keys_of(number)))
    shown(
        f"{COUNT} x {DIMENSION}, {caller.where}",
        ingest=f"{ingest} vectors/s",
        through_the_client=f"{through} vectors/s",
        get_100_keys=f"{get:.1f} ms",
        through_fetch=f"{fetched:.1f} ms",
    )
    assert ingest >= 10_000
    assert get <= 5


def test_ingest_and_get_by_moto():
    modules = rival("moto", "boto3")
    if modules is None:
        return
    moto, boto3 = modules
    fake = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    names = {"vectorBucketName": "bucket", "indexName": "index1"}
    with moto.mock_aws():
        theirs = boto3.client("s3vectors", region_name="us-east-1", **fake)
        theirs.create_vector_bucket(vectorBucketName="bucket")
        theirs.create_index(
            **names, dataType="float32", dimension=DIMENSION, distanceMetric="cosine"
        )

        def put(part):
            vectors = [{**item, "data": {"float32": item["data"].tolist()}} for item in part]
            theirs.put_vectors(**names, vectors=vectors)

        def get(number):
            keys = [f"k{(number * 100 + place) * 7 % 2000}" for place in range(100)]
            wanted = {"returnData": True, "returnMetadata": True}
            assert len(theirs.get_vectors(**names, keys=keys, **wanted)["vectors"]) == 100

        ingest = rate(put, made(2000))
        shown(
            f"moto {moto.__version__} through boto3, 2000 x {DIMENSION}",
            ingest=f"{ingest} vectors/s",
            get_100_keys=f"{milliseconds(get, 5):.0f} ms",
            search="none",
        )


@pytest.fixture(scope="module")
def large():
    return made(LARGE)


@pytest.fixture(scope="module")
def large_file(large, tmp_path_factory):
    """Return a database file with the large index."""
    path = tmp_path_factory.mktemp("large") / "v.db"
    with Service(path) as service:
        service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        caller = Caller(service)
        caller.make_index(dimension=DIMENSION, metric="cosine")
        door = Door(caller)
        rate(lambda part: door.send(door.put(part)), large)
    return path


def test_search(large, large_file):
    with Service(large_file) as service:
        door = Door(Caller(service))
        asked = [
            door.request("queryVectors", queryVector={"float32": row}, topK=10)
            for row in large[:20]
        ]
        cold = milliseconds(lambda _: door.send(asked[0]), 1)
        warm = milliseconds(lambda number: door.send(asked[number]), 20)
        filtered = door.request(
            "queryVectors", queryVector={"float32": large[0]}, topK=10, filter={"n": {"$eq": "3"}}
        )
        chosen = milliseconds(lambda _: door.send(filtered), 5)
        found = orjson.loads(door.send(asked[5]).body)["vectors"]
    expected = np.argsort(-(large @ large[5]) / np.linalg.norm(large, axis=1))[:10]
    assert [hit["key"] for hit in found] == [f"k{row}" for row in expected]
    shown(
        f"exact top-10 of {LARGE} x {DIMENSION}",
        first=f"{cold:.0f} ms",
        warm=f"{warm:.1f} ms",
        with_a_filter=f"{chosen:.0f} ms",
    )
    assert warm <= 50
    assert cold <= 3000


def test_search_by_sqlite_vec(large):
    modules = rival("apsw", "sqlite_vec")
    if modules is None:
        return
    apsw, sqlite_vec = modules
    db = apsw.Connection(":memory:")
    db.enable_load_extension(True)
    db.load_extension(sqlite_vec.loadable_path())
    db.execute(
        f"CREATE VIRTUAL TABLE v USING vec0(embedding float[{DIMENSION}] distance_metric=cosine)"
    )
    began = time.perf_counter()
    with db:
        rows = ((n, row.tobytes()) for n, row in enumerate(large))
        db.executemany("INSERT INTO v(rowid, embedding) VALUES (?, ?)", rows)
    ingest = LARGE / (time.perf_counter() - began)
    query = "SELECT rowid FROM v WHERE embedding MATCH ? AND k = 10 ORDER BY distance"

    def search(number):
        assert db.execute(query, (large[number].tobytes(),)).fetchone() == (number,)

    shown(
        f"sqlite-vec {importlib.metadata.version('sqlite-vec')}, no HTTP, no JSON",
        ingest=f"{ingest:.0f} vectors/s",
        exact_top_10=f"{milliseconds(search, 5):.0f} ms",
    )


def test_search_by_lancedb(large, tmp_path):
    modules = rival("lancedb", "pyarrow")
    if modules is None:
        return
    lancedb, pyarrow = modules
    database = lancedb.connect(tmp_path)
    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(large.ravel()), DIMENSION)
    keys = pyarrow.array([f"k{n}" for n in range(LARGE)])
    began = time.perf_counter()
    table = database.create_table("v", pyarrow.table({"key": keys, "vector": vectors}))
    ingest = LARGE / (time.perf_counter() - began)

    def search(number):
        found = table.search(large[number]).metric("cosine").limit(10).to_arrow()
        assert found["key"][0].as_py() == f"k{number}"

    shown(
        f"LanceDB {lancedb.__version__}, no HTTP, no JSON",
        ingest=f"{ingest:.0f} vectors/s",
        exact_top_10=f"{milliseconds(search, 5):.0f} ms",
    )


BUDGET = """
import sys, time
sys.path.insert(0, sys.argv[1])
from support.caller import Caller
from oss_vector_retriever.emulator import Service
def most():
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
with Service(sys.argv[2], search_bytes=int(sys.argv[3])) as service:
    caller = Caller(service)
    caller.query([1.0] * 1023 + [0.5], 1, index="index1", filter={"n": "never"})
    before = most()
    began = time.perf_counter()
    caller.query([1.0] * 1024, 10)
    print(service._core.search().kept_bytes, most(), round((time.perf_counter() - began) * 1000))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
@pytest.mark.parametrize("budget", [64 << 20, 1 << 30], ids=["64 MB", "1 GB"])
def test_the_memory_budget_is_kept(large_file, budget):
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", BUDGET, tests, str(large_file), str(budget)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, most, took = map(int, done.stdout.split())
    size = LARGE * DIMENSION * 4
    shown(
        f"{size >> 20} MB of vectors, budget {budget >> 20} MB",
        kept=f"{kept >> 20} MB",
        most_memory=f"{most} MB",
        query=f"{took} ms",
    )
    assert kept <= budget
    assert most <= (200 if budget < size else 2 * (size >> 20))
