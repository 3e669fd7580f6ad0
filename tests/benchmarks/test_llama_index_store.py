"""Nodes by id against `llama-index-vector-stores-s3` doing the same work, in the same run.

    pip install -e '.[bench]' && make bench

Both get 100 nodes of 1,000 characters with metadata and relationships over HTTP from a server in
another process: ours from the emulator, theirs from one that answers as S3 Vectors does, with the
same records. Theirs cannot return embeddings, so ours leaves them out too; what they add is printed
beside. CPU is this process's, user and system; the two take turns.
"""

import hashlib
import json
import statistics
import subprocess
import sys
import time

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.schema import NodeRelationship, ObjectType, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from oss_vector_retriever.llama_index import OSSVectorStore

KEYS = [f"doc-{number:03d}" for number in range(100)]
DIMENSION = 1024
ROUNDS, IN_A_ROW = 30, 10
TARGET = 1 / 3
HASH = hashlib.sha256(b"source").hexdigest()

pytestmark = pytest.mark.benchmark

SERVE = """
import http.server, sys
reply = sys.stdin.buffer.read()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def nodes():
    source = RelatedNodeInfo(node_id="source", node_type=ObjectType.DOCUMENT, hash=HASH)
    return [
        TextNode(
            id_=key,
            text="word " * 200,
            metadata={"title": f"Document {key}", "page": number, "tag": "a"},
            relationships={NodeRelationship.SOURCE: source},
            embedding=[1.0, *(number / (place + 1) for place in range(DIMENSION - 1))],
        )
        for number, key in enumerate(KEYS)
    ]


@pytest.fixture(scope="module")
def ours(client):
    OSSVectorStore(client, index="benchmark").add(nodes())
    return OSSVectorStore(client, index="benchmark", return_data=False)


@pytest.fixture(scope="module")
def theirs():
    """Run what answers their GetVectors, and give their store on it."""
    s3 = pytest.importorskip("llama_index.vector_stores.s3", reason="the extra bench is not there")
    reply = {"vectors": [{"key": n.node_id, "metadata": node_to_metadata_dict(n)} for n in nodes()]}
    with subprocess.Popen(
        [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(json.dumps(reply).encode())
        process.stdin.close()
        port = int(process.stdout.readline())
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
            environment.setenv("AWS_ACCESS_KEY_ID", "id")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            yield s3.S3VectorStore(index_name_or_arn="benchmark", bucket_name_or_arn="bucket")
        process.terminate()
        process.stdout.close()


def cpu_of(store):
    """Return the seconds of one get, of several in a row: single ones find the caches cold."""
    started = time.process_time()
    for _ in range(IN_A_ROW):
        store.get_nodes(KEYS)
    return (time.process_time() - started) / IN_A_ROW


def same(found, expected):
    return [(n.node_id, n.text, n.metadata, n.relationships) for n in found] == [
        (n.node_id, n.text, n.metadata, n.relationships) for n in expected
    ]


def test_100_nodes_by_id_take_a_third_of_the_cpu(ours, theirs):
    full = OSSVectorStore(ours.client, index="benchmark")
    for store in (ours, theirs, full):
        assert same(store.get_nodes(KEYS), nodes())
    rounds = [(cpu_of(ours), cpu_of(theirs)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(one[side] for one in rounds) * 1000 for side in (0, 1))
    ratio = statistics.median(one / rival for one, rival in rounds)
    print(
        f"\n100 nodes by id, CPU: ours {mine:.1f} ms, theirs {other:.1f} ms, ratio {ratio:.2f} "
        f"(target {TARGET:.2f}); ours with 100 x {DIMENSION} floats {cpu_of(full) * 1000:.1f} ms"
    )
    assert ratio <= TARGET
