"""LangGraph's memory, shared by processes: what one has put the others find, and no put is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("langgraph")

from support.promises import sized

from oss_vector_retriever import emulator

SECONDS = sized(0.6, 30.0)
TESTS = str(Path(__file__).parents[2])

# One process loads everything, and its children do the work: each is a process of its own, with a
# client of its own, and none has to load what takes longer than it lives.
WORK = """
import json, os, sys, time, traceback
sys.path.insert(0, sys.argv[1])
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from support.embedded import settings

class Letters(Embeddings):
    def embed_documents(self, texts):
        return [[text.count(letter) + 0.1 for letter in "tcwx"] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]

PLACE, MET, TTL = ("users", "u1"), ("met",), 0.02  # minutes: each refresh is due after 12 ms

def open_store():
    index = {"dims": 4, "embed": Letters(), "fields": ["text", "more[*]"]}
    return OSSVectorGraphStore(client=OSSVectorClient(**settings(sys.argv[2])), index=index)

def have_met(store):
    return store.get(MET, "one") is not None and store.get(MET, "two") is not None

def put_and_refresh(who):
    store, seen, ends, number = open_store(), {}, time.monotonic() + float(sys.argv[3]), 0
    reads = 0
    # on a busy machine one may be done before the other has begun: both go on until both have met
    while time.monotonic() < ends or (not have_met(store) and time.monotonic() < ends + 30):
        if len(seen) == 2:
            store.put(MET, who, {})
        number += 1
        value = {"who": who, "n": number, "text": "ttt" * (number % 3 + 1), "more": ["ccc", "w"]}
        store.put(PLACE, "k", value, ttl=TTL)
        seen[who] = number
        for _ in range(3):
            item = store.get(PLACE, "k")
            assert item is not None
            other, n = item.value["who"], item.value["n"]
            assert n >= seen.get(other, 0), (who, other, n, seen)  # no older put comes back
            seen[other] = n
            reads += 1
            time.sleep(0.013)
    # unbuffered, print writes a line and its end by themselves, and the other comes between
    sys.stdout.write(json.dumps([who, number, reads, seen]) + "\\n")

def write():
    store = open_store()
    store.put(PLACE, "small", {"text": "xxx", "more": ["www", "tttt"]})
    store.put(PLACE, "large", {"text": "ccc", "data": "0123456789" * 30_000})

def find():
    store = open_store()
    assert store.get(PLACE, "large").value["data"] == "0123456789" * 30_000
    for query, key in [("xx", "small"), ("tt", "small"), ("cc", "large")]:
        assert [item.key for item in store.search(PLACE, query=query, limit=1)] == [key]
    assert store.list_namespaces() == [PLACE]
    assert sorted(item.key for item in store.search(("users",))) == ["large", "small"]

def run(*works):
    children = []
    for work in works:
        if not (child := os.fork()):
            status = 1
            try:
                work()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)

run(lambda: put_and_refresh("one"), lambda: put_and_refresh("two"))
gone = [PutOp(PLACE, "k", None), PutOp(MET, "one", None), PutOp(MET, "two", None)]
run(lambda: open_store().batch(gone))
run(write)
run(find)

# these end as a program does, while their threads sweep
children = []
for _ in range(4):
    if not (child := os.fork()):
        client = OSSVectorClient.local()
        store = OSSVectorGraphStore(client=client, ttl={"sweep_interval_minutes": 1e-9})
        store.batch([PutOp(PLACE, f"k{n}", {"n": n}, ttl=1e-4) for n in range(200)])
        store.start_ttl_sweeper()
        time.sleep(0.05)
        sys.exit()
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
"""


def test_no_put_is_lost_what_one_has_put_the_next_finds_and_all_end_in_peace():
    with emulator.Service.in_memory() as service, emulator.Server(service) as server:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        command = [sys.executable, "-c", WORK, TESTS, server.endpoint, str(SECONDS)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS * 3 + 60
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(who for who, *_ in told) == ["one", "two"]
    assert all(set(seen) == {"one", "two"} for *_, seen in told)
    puts, reads = sum(one[1] for one in told), sum(one[2] for one in told)
    print(f"{puts} puts and {reads} refreshing reads of one item, no put lost")  # noqa: T201 - the figure
