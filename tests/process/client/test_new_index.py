"""Processes that write their first documents into an index that nobody has made yet."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from support.command_line import COMMAND
from support.promises import FULL_SIZE
from support.served_index import IDENTITY

from oss_vector_retriever import OSSVectorClient, emulator

CREATION, FAILURE = (3.0, 5.0) if FULL_SIZE else (0.5, 0.5)
THREADS = 8

FORKING = """
import os, sys, threading, time
from oss_vector_retriever import OSSVectorClient

def write(key):
    assert client.upsert([{"key": key, "data": [1, 2]}]).ok

client = OSSVectorClient()
client.put_vector_index(dimension=2)
client.get_vector_index()
waiting = threading.Thread(target=write, args=["parent"])
waiting.start()
time.sleep(0.1)  # its turn to try
if (child := os.fork()) == 0:
    write("child")
    os._exit(0)
waiting.join()
write("parent again")
sys.exit(os.waitpid(child, 0)[1])
"""

INTERRUPTED = """
import logging, sys
from oss_vector_retriever import OSSVectorClient

logging.basicConfig(level=logging.INFO)
client = OSSVectorClient()
client.put_vector_index(dimension=2, wait=sys.argv[1] == "made")
client.get_vector_index()
client.upsert([{"key": "a", "data": [1, 2]}])
"""

# All stores of a process share one client, as its documentation has it.
PROGRAM = f"""
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
from langchain_core.embeddings import Embeddings
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorByteStore, OSSVectorStore

name, client = sys.argv[1], OSSVectorClient()
class Fixed(Embeddings):
    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [float(len(text)), 1.0, 2.0, 3.0]

embedding = Fixed()
documents = OSSVectorStore(embedding, client=client)
rows = OSSVectorByteStore(client=client, dimension=4)

def add_text(store, key):
    store.add_texts([key], ids=[key])

ways = [
    lambda key: add_text(documents, key),
    lambda key: add_text(OSSVectorStore(embedding, client=client), key),
    lambda key: rows.mset([(key, b"value")]),
]
if {FULL_SIZE}:  # these take seconds to load
    from llama_index.core.schema import TextNode
    from oss_vector_retriever import langgraph, llama_index

    memory = langgraph.OSSVectorGraphStore(client=client, index={{"dims": 4, "embed": embedding}})
    nodes = llama_index.OSSVectorStore(client)
    ways += [
        lambda key: memory.put(("m",), key, {{"a": 1}}),
        lambda key: nodes.add([TextNode(id_=key, text=key, embedding=[1, 2, 3, 4])]),
    ]
together = threading.Barrier({THREADS})

def write(number):
    together.wait()
    ways[number % len(ways)](f"{{name}}-{{number}}")

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor({THREADS}) as pool:
    list(pool.map(write, range({THREADS})))
stats = client.stats().operations
print(json.dumps({{name: used.calls for name, used in stats.items()}}))
"""


@contextmanager
def serve_new_service(creation=CREATION):
    """Serve what is documented, with an index that takes its time; yield what leads to it."""
    behaviour = replace(
        emulator.Behaviour.documented(),
        index_creation_seconds=creation,
        creating_refuses_writes=True,
        enable_failure_seconds=FAILURE,
    )
    service = emulator.Service.in_memory(behaviour=behaviour)
    with service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        environment = {name: value for name, value in os.environ.items() if "OSS_" not in name}
        environment |= IDENTITY
        environment |= {"OSS_VECTORS_INDEX": "new", "OSS_ENDPOINT": server.settings["endpoint"]}
        with OSSVectorClient(index="new", **server.settings) as client:
            yield client, environment


@contextmanager
def start(environment, program, *arguments):
    """Start a program, and end it whatever comes."""
    pipes = dict.fromkeys(["stdin", "stdout", "stderr"], subprocess.PIPE)
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def list_keys(client):
    return {vector.key for vector in client.iter_vectors()}


def test_two_processes_with_threads_write_first_into_one_new_index():
    with serve_new_service() as (client, environment):
        with ExitStack() as stack:
            processes = [
                stack.enter_context(start(environment, PROGRAM, name)) for name in ("one", "two")
            ]
            assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
            began = time.monotonic()
            for process in processes:
                process.stdin.write("go\n")
                process.stdin.flush()
            outputs = [process.communicate(timeout=60)[0] for process in processes]
            took = time.monotonic() - began
        assert [process.returncode for process in processes] == [0, 0]
        assert len(list_keys(client)) == 2 * THREADS
        assert len(client.list_vector_indexes()) == 1
        for output in outputs:
            calls = json.loads(output)
            assert calls["GetVectorIndex"] <= 3, calls
        # the index is as old as its description says, to a part of a second
        assert took > CREATION + FAILURE - 1.0


@pytest.fixture
def vectors(tmp_path):
    path = tmp_path / "vectors.jsonl"
    lines = [json.dumps({"key": f"k{n}", "data": [n, 1]}) for n in range(1200)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("made_by", ["import", "another"] if FULL_SIZE else ["import"])
def test_an_import_succeeds_at_the_first_try(vectors, made_by):
    with serve_new_service() as (client, environment):
        flags = ["--create-index"]
        if made_by == "another":
            client.put_vector_index(dimension=2)
            flags = []
        done = subprocess.run(
            [COMMAND, "import", vectors, *flags],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if made_by == "import":
            assert "index 'new' is being made; it is waited for" in done.stderr
        assert "1,200 vectors written to index 'new'" in done.stderr
        assert len(list_keys(client)) == 1200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_child_that_is_forked_during_a_wait_waits_for_itself():
    with serve_new_service() as (client, environment), start(environment, FORKING) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert list_keys(client) == {"parent", "parent again", "child"}


@pytest.mark.skipif(os.name == "nt", reason="signals are other there")
@pytest.mark.parametrize("wait", ["made", "written"] if FULL_SIZE else ["written"])
def test_an_interrupt_ends_a_wait_at_once(wait):
    with serve_new_service(creation=60.0) as (_, environment):
        with start(environment, INTERRUPTED, wait) as process:
            # the line that says that it waits
            assert any("it is waited for" in line for line in process.stderr)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
            took = time.monotonic() - began
        assert process.returncode != 0
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert took < 5.0
