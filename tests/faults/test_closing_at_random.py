"""A client that is closed at random moments of calls and streams of all kinds: all of it ends.

Each closing has a client of its own, on a plain connection or over TLS, with several callers that
go on until they are told. What they were in the midst of differs from run to run; what they do, and
when the client is closed, comes from the seed.
"""

import asyncio
import json
import random
import threading
import time

import pytest
import trustme
from support.calls import collect, open_sockets, settings, threads
from support.promises import sized
from support.replies import http, record
from support.socket_server import SocketServer, server_context

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    OSSVectorClient,
    PartialWriteError,
)
from oss_vector_retriever.client.concurrency import run_together
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.langchain import OSSVectorFetcher
from oss_vector_retriever.llama_index import OSSVectorDocumentStore

# its own servers speak plain HTTP and TLS in turn
pytestmark = [pytest.mark.usefixtures("library"), pytest.mark.plain]

KEYS = [f"key-{n}" for n in range(500)]
VECTORS = [{"key": key, "data": [1.0, 2.0, 3.0]} for key in KEYS * 3]
for number, vector in enumerate(VECTORS):
    vector["key"] = f"key-{number}"
# seconds; on an idle machine none takes a tenth of one
PATIENCE = 3.0
ROUNDS = sized(12, 250)


class SlowService(SocketServer):
    """Answer all operations that the callers make, each a little later than it could."""

    def __init__(self, dice, tls=None):
        self._dice = dice
        super().__init__(tls=tls)

    def handle(self, connection):
        while connection.wait_for_bytes():
            received = connection.read_request()
            connection.pause(self._dice.uniform(0, 0.03))
            connection.send(http(json.dumps(self._answer(received)).encode()))

    def _answer(self, received):
        if "getVectors" in received.target:
            return {"vectors": [record(key) for key in received.json()["keys"]]}
        if "queryVectors" in received.target:
            return {"vectors": [{"key": key, "distance": 0.5} for key in KEYS[:5]]}
        if "listVectors" in received.target:
            page = int(received.json().get("nextToken", 0)) + 1  # there is always one more
            return {"vectors": [{"key": key} for key in KEYS[:50]], "nextToken": str(page)}
        return {}


def slowly(dice):
    """Return a credentials callable that takes a moment now and then."""

    def resolve():
        time.sleep(dice.choice([0, 0, 0.02]))
        return "id", "secret"

    return resolve


# what the blocking client's callers do, and the async client's


def read_half(client):
    vectors = client.stream(iter(KEYS * 10))
    for _ in range(150):
        next(vectors)
    time.sleep(0.02)
    list(vectors)


CALLS = {
    "fetch of one key": lambda client: client.fetch(KEYS[:1]),
    "fetch of a few keys": lambda client: client.fetch(KEYS[:7]),
    "fetch of 500 keys": lambda client: client.fetch(KEYS),
    "stream": lambda client: list(client.stream(iter(KEYS))),
    "stream that is read half": read_half,
    "upsert": lambda client: client.upsert(VECTORS),
    "delete": lambda client: client.delete(KEYS),
    "put_vectors": lambda client: client.put_vectors(VECTORS[:3]),
    "query": lambda client: client.query_vectors([1.0, 2.0, 3.0]),
    "iter_vectors": lambda client: list(client.iter_vectors()),
    "run_together": lambda client: raise_first(
        client.run(run_together, fetch, [KEYS[:1], KEYS[5:200], KEYS[3:9]])
    ),
    "LangChain batch": lambda client: OSSVectorFetcher(client=client).batch(
        [KEYS[:2], KEYS[5:200], KEYS[3:9]]
    ),
    "LlamaIndex docstore": lambda client: OSSVectorDocumentStore(client).get_nodes(KEYS[:150]),
}


async def aread(client, keys):
    return [vector async for vector in client.stream(iter(keys))]


async def aread_half(client):
    vectors = client.stream(iter(KEYS * 10))
    for _ in range(150):
        await anext(vectors)
    await asyncio.sleep(0.02)
    return [vector async for vector in vectors]


async def alist(client):
    return [vector async for vector in client.iter_vectors()]


async def arun_together(client):
    inputs = [KEYS[:1], KEYS[5:200], KEYS[3:9]]
    return raise_first(await client.run(run_together, fetch, inputs))


ASYNC_CALLS = {
    "fetch of one key": lambda client: client.fetch(KEYS[:1]),
    "fetch of a few keys": lambda client: client.fetch(KEYS[:7]),
    "fetch of 500 keys": lambda client: client.fetch(KEYS),
    "stream": lambda client: aread(client, KEYS),
    "stream that is read half": aread_half,
    "upsert": lambda client: client.upsert(VECTORS),
    "delete": lambda client: client.delete(KEYS),
    "put_vectors": lambda client: client.put_vectors(VECTORS[:3]),
    "query": lambda client: client.query_vectors([1.0, 2.0, 3.0]),
    "iter_vectors": alist,
    "run_together": arun_together,
    "LangChain batch": lambda client: OSSVectorFetcher(client=client).abatch(
        [KEYS[:2], KEYS[5:200], KEYS[3:9]]
    ),
    "LlamaIndex docstore": lambda client: OSSVectorDocumentStore(client).aget_nodes(KEYS[:150]),
}


def raise_first(results):
    """Raise the first error among what flows that ran together came to."""
    for result in results:
        if isinstance(result, Exception):
            raise result


def check(outcomes, begun):
    """Look at whether each caller was told that the client is closed, and in time."""
    for name, error, ended in outcomes:
        assert isinstance(error, ConfigurationError | PartialWriteError), (name, repr(error))
        assert "is closed" in str(error), (name, repr(error))
        assert ended - begun < PATIENCE, name
    return max((ended - begun for _, _, ended in outcomes), default=0.0)


class Rounds:
    """Servers, and the settings of the clients that are closed."""

    def __init__(self, seed, folder):
        self.dice = random.Random(seed)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        self._ca_file = str(folder / "ca.pem")
        tls = server_context(authority.issue_cert("127.0.0.1"))
        self.servers = [SlowService(random.Random(seed)), SlowService(random.Random(seed), tls)]

    def options(self):
        server = self.dice.choice(self.servers)
        return settings(
            server.endpoint,
            ca_file=self._ca_file,
            max_concurrency=self.dice.choice([1, 3, 8]),
            coalesce=self.dice.choice([True, False, 0.05, 1.0]),
            credentials=self.dice.choice([("id", "secret"), slowly(self.dice)]),
            timeout=60,
        )

    def names(self):
        return self.dice.choices(list(CALLS), k=self.dice.randint(1, 6))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.close()

    def wait_until_idle(self):
        for server in self.servers:
            server.wait_until_idle()


def close_beside_threads(rounds):
    client = OSSVectorClient(**rounds.options())
    outcomes = []

    def work(name):
        try:
            while True:
                CALLS[name](client)
        except Exception as error:  # noqa: BLE001 - it is looked at in `check`
            outcomes.append((name, error, time.monotonic()))

    callers = [threading.Thread(target=work, args=[name]) for name in rounds.names()]
    for caller in callers:
        caller.start()
    time.sleep(rounds.dice.uniform(0, 0.12))
    begun = time.monotonic()
    client.close()
    for caller in callers:
        caller.join(PATIENCE)
    assert not any(caller.is_alive() for caller in callers)
    return check(outcomes, begun)


async def close_beside_tasks(rounds):
    client = AsyncOSSVectorClient(**rounds.options())
    outcomes = []

    async def work(name):
        try:
            while True:
                await ASYNC_CALLS[name](client)
        except Exception as error:  # noqa: BLE001 - it is looked at in `check`
            outcomes.append((name, error, time.monotonic()))

    callers = [asyncio.ensure_future(work(name)) for name in rounds.names()]
    await asyncio.sleep(rounds.dice.uniform(0, 0.12))
    begun = time.monotonic()
    await client.close()
    done, late = await asyncio.wait(callers, timeout=PATIENCE)
    assert not late
    for caller in done:
        caller.result()
    return check(outcomes, begun)


async def close_many_beside_tasks(rounds):
    times = [await close_beside_tasks(rounds) for _ in range(ROUNDS)]
    # credentials callables run in threads of their own, which end by themselves
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return times


# of a connection that is reset just when TLS begins, `ssl` leaves the socket to be freed
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")
@pytest.mark.promise("P2")
def test_every_caller_is_told_and_nothing_is_left(mode, tmp_path, figure, measurement):
    seed = random.randrange(10**9)
    print("seed", seed)  # noqa: T201 - shown where it fails
    with Rounds(seed, tmp_path) as rounds:
        sockets, running = open_sockets(), threads()
        if mode == "sync":
            times = [close_beside_threads(rounds) for _ in range(ROUNDS)]
        else:
            times = asyncio.run(close_many_beside_tasks(rounds))
        rounds.wait_until_idle()
        collect()
        last = time.monotonic() + 2  # for threads in which credentials are given, slowly
        while threads() - running and time.monotonic() < last:
            time.sleep(0.01)
        assert threads() <= running
        assert (open_sockets() or set()) <= (sockets or set())
    figure(f"{ROUNDS} closings beside {mode} callers: each caller told within a second")
    measurement(f"the last was told after {max(times):.3f} s")
