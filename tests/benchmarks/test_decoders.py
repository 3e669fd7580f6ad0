"""Fetching by key in Python and by the compiled scan, against the official SDK and the floor.

    make fast bench TESTS=tests/benchmarks/test_decoders.py

The floor is the same POST by httpx2 (httpx, where that is not installed) and orjson, unsigned, its
floats left as lists. The server is another process that answers with ready bytes. All take turns;
CPU is this process's, and a ratio is the median of those of each turn, with its quartiles. Texts of
float32: the shortest, all digits of the double, whole numbers, and with a zero in each vector.
"""

import statistics
import subprocess
import sys
import time
from importlib import import_module

import alibabacloud_oss_v2.vectors as oss_vectors
import numpy as np
import orjson
import pytest
from support.official_sdk import official_client

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.client import wire
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_operation

KEYS = [f"doc-{number:03d}" for number in range(100)]
DIMENSION = 1024
ROUNDS = 60
SERVE = """
import pathlib, socket, sys, threading
body = pathlib.Path(sys.argv[1]).read_bytes()
reply = b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body
def answer(connection):
    waiting = b""
    while True:
        while b"\\r\\n\\r\\n" not in waiting:
            more = connection.recv(65536)
            if not more:
                return
            waiting += more
        head, _, waiting = waiting.partition(b"\\r\\n\\r\\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while len(waiting) < length:
            waiting += connection.recv(65536)
        waiting = waiting[length:]
        connection.sendall(reply)
listener = socket.create_server(("127.0.0.1", 0))
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
while True:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=answer, args=(connection,), daemon=True).start()
"""

pytestmark = pytest.mark.benchmark


def written(kind):
    """Return the reply's text."""
    rows = np.random.default_rng(7).standard_normal((len(KEYS), DIMENSION), dtype=np.float32)
    if kind == "whole":
        rows = np.clip(np.rint(rows * 40), -127, 127)
    if kind == "zeros":
        rows[:, 5] = 0
    items = [
        {
            "key": key,
            "data": {"float32": row.tolist() if kind in {"full", "whole"} else row},
            "metadata": {"title": f"Document {key}", "tags": ["a", "b"], "text": "word " * 200},
        }
        for key, row in zip(KEYS, rows, strict=True)
    ]
    return orjson.dumps({"vectors": items}, option=orjson.OPT_SERIALIZE_NUMPY)


@pytest.fixture(params=["shortest", "full", "whole", "zeros"])
def endpoint(request, tmp_path):
    path = tmp_path / "reply.json"
    path.write_bytes(written(request.param))
    command = [sys.executable, "-c", SERVE, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.terminate()
        process.stdout.close()


def cpu(call):
    began = time.process_time()
    call()
    return time.process_time() - began


def ratio_of(times, one, other):
    ratios = [mine / theirs for mine, theirs in zip(times[one], times[other], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def test_100_keys_of_1024_floats(endpoint, request, monkeypatch):
    text = request.node.callspec.params["endpoint"]
    scan = wire._compiled_scan()
    sdk = official_client(endpoint)
    asked = oss_vectors.models.GetVectorsRequest(
        bucket=emulator.DEVELOPMENT_BUCKET,
        index_name="benchmark",
        keys=KEYS,
        return_data=True,
        return_metadata=True,
    )
    try:
        library = import_module("httpx2")
    except ImportError:
        library = import_module("httpx")
    sent = orjson.dumps(
        {"indexName": "benchmark", "keys": KEYS, "returnData": True, "returnMetadata": True}
    )
    headers = {"content-type": "application/json"}
    options = {
        "bucket": emulator.DEVELOPMENT_BUCKET,
        "account_id": emulator.DEVELOPMENT_ACCOUNT_ID,
        "region": emulator.DEVELOPMENT_REGION,
        "credentials": ("id", "secret"),
        "index": "benchmark",
    }
    with OSSVectorClient(endpoint=endpoint, **options) as client, library.Client() as plain:

        def fetch():
            assert len(client.fetch(KEYS)) == len(KEYS)

        def in_python():
            monkeypatch.setattr(wire, "_compiled_scan", lambda: None)
            fetch()

        def by_scan():
            monkeypatch.setattr(wire, "_compiled_scan", lambda: scan)
            fetch()

        def by_sdk():
            assert len(sdk.get_vectors(asked).vectors) == len(KEYS)

        def by_post():
            reply = plain.post(f"{endpoint}/?getVectors", content=sent, headers=headers)
            assert len(orjson.loads(reply.content)["vectors"]) == len(KEYS)

        calls = {"pure": in_python, "SDK": by_sdk, f"{library.__name__} POST + orjson": by_post}
        if scan is not None:
            calls["scan"] = by_scan
        times = {name: [] for name in calls}
        for turn in range(ROUNDS + 3):  # the first ones load what is loaded once
            names = list(calls) if turn % 2 else list(calls)[::-1]
            for name in names:
                taken = cpu(calls[name])
                if turn >= 3:
                    times[name].append(taken)
    milliseconds = {name: statistics.median(times[name]) * 1000 for name in calls}
    print(f"\n{len(KEYS)} x {DIMENSION}, {text} text, CPU in ms:", end="")
    print(", ".join(f" {name} {figure:.2f}" for name, figure in milliseconds.items()))
    for one in ("pure", "scan") if scan is not None else ("pure",):
        for other in ("SDK", f"{library.__name__} POST + orjson"):
            print(f"  {one} / {other}: {ratio_of(times, one, other)}")


@pytest.mark.parametrize("path", ["pure", "scan"])
def test_zeros_and_whole_numbers_are_not_dearer_than_others(path, monkeypatch):
    if path == "scan" and wire._compiled_scan() is None:
        pytest.skip("make fast builds it")
    if path == "pure":
        monkeypatch.setattr(wire, "_compiled_scan", lambda: None)
    decode = get_operation("benchmark", KEYS, return_data=True, return_metadata=True).decode
    replies = {kind: Reply(200, {}, written(kind)) for kind in ("shortest", "zeros", "whole")}
    times = {kind: [] for kind in replies}
    for _ in range(ROUNDS):
        for kind, reply in replies.items():
            times[kind].append(cpu(lambda reply=reply: decode(reply)))
    for kind in ("zeros", "whole"):
        print(f"\ndecoding alone, {path}, {kind} / gaussian: {ratio_of(times, kind, 'shortest')}")
        assert statistics.median(times[kind]) <= 1.1 * statistics.median(times["shortest"])
