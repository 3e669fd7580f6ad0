"""Searches of a process that has just written, where another has overwritten or deleted since.

The service shows no write for seconds, and its clock stands still: what a search finds of the last
writes is what this process remembers of its own. The other process is none that it could know of.
"""

import json
import math
import random
import subprocess
import sys

import pytest
from support.embedded import let_writes_grow_old
from support.promises import sized

from oss_vector_retriever import OSSVectorClient, emulator

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from oss_vector_retriever.langchain import OSSVectorStore

ROUNDS = sized(20, 1000)
KEYS = [f"k{number}" for number in range(12)]

OTHER = """
import json, math, sys
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.records import encode

client = OSSVectorClient(timeout=20)
print("ready", flush=True)
for line in sys.stdin:
    key, text = json.loads(line)
    if text is None:
        client.delete([key])
    else:
        data = [math.cos(float(text)), math.sin(float(text))]
        client.upsert([encode(key, data, text=text, metadata={"by": "other"})])
    print("done", flush=True)
"""


class Angles(Embeddings):
    """Embed a text as the direction that it names."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [math.cos(float(text)), math.sin(float(text))]


@pytest.fixture
def clock():
    return emulator.ManualClock()


@pytest.fixture
def server(clock):
    behaviour = emulator.Behaviour(query_delay_seconds=3.0)
    with emulator.Service.in_memory(behaviour=behaviour, clock=clock) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with emulator.Server(service) as server:
            yield server


@pytest.fixture
def store(server):
    # nothing that is remembered grows old meanwhile, however slow this machine is
    with OSSVectorClient(index="big", timeout=20, **server.settings) as client:
        yield OSSVectorStore(Angles(), client=client, read_your_writes=3600.0)


@pytest.fixture
def write_as_other(server, store, make_environment):
    """Give what has another process write a text under a key, or delete it."""
    store.add_documents([Document(id="first", page_content="3.00", metadata={"by": "me"})])
    with subprocess.Popen(
        [sys.executable, "-c", OTHER],
        env=make_environment(server.endpoint),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def write_as_other(key, text):
            process.stdin.write(json.dumps([key, text]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield write_as_other
        process.stdin.close()
        assert process.wait(20) == 0


def some_angle(dice, truth):
    """Return one that nobody has yet: so the order is certain, however distances are rounded."""
    taken = {text for text, _ in truth.values()}
    return dice.choice([text for n in range(20, 310) if (text := f"{n / 100:.2f}") not in taken])


@pytest.mark.promise("P10")
@pytest.mark.timeout(sized(60, 400))
def test_what_another_process_has_done_since_wins(store, clock, write_as_other, figure):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown where it fails
    dice = random.Random(seed)
    truth, mine = {"first": ("3.00", "me")}, {"first"}  # of each key; which stand as I wrote them
    overwritten = 0
    for _ in range(ROUNDS):
        if dice.random() < 0.1:
            clock.advance(10)
            let_writes_grow_old(store.client)
        for key in dice.sample(KEYS, 2):
            text = some_angle(dice, truth)
            store.add_documents([Document(id=key, page_content=text, metadata={"by": "me"})])
            truth[key] = text, "me"
            mine.add(key)
        del truth[key]
        mine.discard(key)
        if dice.random() < 0.4:
            write_as_other(key, None)
        else:
            truth[key] = some_angle(dice, truth), "other"
            write_as_other(key, truth[key][0])
            overwritten += 1
        # all that either has written is as it is now, and in order; nothing that is gone is there
        nearest = store.similarity_search("0.0", k=20)
        found = {hit.id: (hit.page_content, hit.metadata["by"]) for hit in nearest}
        assert found == truth
        assert list(found) == sorted(truth, key=lambda name: float(truth[name][0]))
        by_me = store.similarity_search("0.0", k=20, filter={"by": "me"})
        assert {hit.id for hit in by_me} == mine
        # of fewer it is never a value that no longer stands
        [(one, distance)] = store.similarity_search_with_score("0.0", k=1)
        assert (one.page_content, one.metadata["by"]) == truth[one.id]
        assert distance == pytest.approx(1 - math.cos(float(one.page_content)), abs=1e-5)
        assert float(one.page_content) <= min(float(truth[name][0]) for name in mine)
    deleted = ROUNDS - overwritten
    figure(f"{overwritten} overwritings and {deleted} deletions by another process: its truth")
