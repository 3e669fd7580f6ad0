"""Updates of one record by two processes: the service keeps neither out, and `verify` tells."""

import json
import subprocess
import sys
import threading

import pytest

from oss_vector_retriever import ConflictError, OSSVectorClient, emulator

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from oss_vector_retriever.langchain import OSSVectorStore

pytestmark = pytest.mark.promise("P5")

OTHER = """
import json, sys
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from oss_vector_retriever import ConflictError, OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorStore

store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=OSSVectorClient(timeout=20))
print("ready", flush=True)
for line in sys.stdin:
    patch = json.loads(line)
    try:
        if "whole" in patch:  # all of the record is written, whatever stands there
            store.add_documents([Document(id="k", page_content="text", metadata=patch)])
        else:
            store.update_metadata(["k"], patch, verify=True)
        print("done", flush=True)
    except ConflictError:
        print("conflict", flush=True)
"""


class Watched(emulator.Service):
    """The service, with a moment after each operation at which another process may act."""

    after = staticmethod(lambda _: None)

    def handle(self, request):
        reply = super().handle(request)
        self.after(request.query)
        return reply


@pytest.fixture(scope="module")
def service():
    with Watched.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture(scope="module")
def server(service):
    with emulator.Server(service) as server:
        yield server


@pytest.fixture
def store(server):
    with OSSVectorClient(index="big", timeout=20, **server.settings) as client:
        store = OSSVectorStore(DeterministicFakeEmbedding(size=2), client=client)
        store.add_documents([Document(id="k", page_content="text")])
        yield store
        store.delete(["k"])


@pytest.fixture(scope="module")
def other(server, make_environment):
    """Give another process, which updates the record when it is told to."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER],
        env=make_environment(server.endpoint),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
        assert process.wait(20) == 0


def tell(process, patch):
    process.stdin.write(json.dumps(patch) + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture
def act_at(service, other):
    """Give a function that has the other process act once, after an operation of this one."""
    said = []

    def act_at(moment, patch):
        acting = threading.Lock()

        def act(query):
            if query == moment and acting.acquire(blocking=False):
                said.append(tell(other, patch))

        service.after = act
        return said

    yield act_at
    del service.after


@pytest.mark.parametrize("patch", [{"theirs": 1}, {"theirs": 1, "whole": True}])
def test_a_write_of_another_process_since_the_reading_is_a_conflict(store, act_at, patch):
    said = act_at("getVectors", patch)
    with pytest.raises(ConflictError, match="'k'") as caught:
        store.update_metadata(["k"], {"ours": 1}, verify=True)
    assert said == ["done"]
    assert (caught.value.keys, caught.value.written) == (("k",), False)
    assert store.get_by_ids(["k"])[0].metadata == patch  # nothing of theirs is lost
    assert store.update_metadata(["k"], {"ours": 2}, verify=True) == ["k"]  # again, as it says
    assert store.get_by_ids(["k"])[0].metadata == {**patch, "ours": 2}


def test_an_update_that_another_process_overwrites_is_a_conflict(store, act_at):
    said = act_at("putVectors", {"theirs": 1, "whole": True})
    with pytest.raises(ConflictError, match=r"'k'.*lost") as caught:
        store.update_metadata(["k"], {"ours": 1}, verify=True)
    assert said == ["done"]
    assert (caught.value.keys, caught.value.written) == (("k",), True)
    assert store.get_by_ids(["k"])[0].metadata == {"theirs": 1, "whole": True}


def test_an_update_that_another_process_adds_to_is_none(store, act_at):
    said = act_at("putVectors", {"theirs": 1})
    assert store.update_metadata(["k"], {"ours": 1}, remove=["gone"], verify=True) == ["k"]
    assert said == ["done"]
    assert store.get_by_ids(["k"])[0].metadata == {"theirs": 1, "ours": 1}


def test_one_process_after_the_other_meets_no_conflict(store, other):
    for number in range(5):
        assert tell(other, {f"theirs {number}": 1}) == "done"
        store.update_metadata(["k"], {f"ours {number}": 1}, verify=True)
    assert len(store.get_by_ids(["k"])[0].metadata) == 10
