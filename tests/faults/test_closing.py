"""A client that is closed beside calls in flight: whoever waits is told so at once."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from support import faults
from support.calls import settings
from support.fault_server import FaultServer
from support.promises import sized
from support.vector_server import VectorServer

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    OSSVectorClient,
    PartialWriteError,
)

pytestmark = pytest.mark.usefixtures("library")

KEYS = [f"key-{n}" for n in range(1000)]
MOMENT = sized(0.1, 0.2)  # for a call to come to where it waits
PATIENCE = 5  # seconds; it should take none, and a reply would take 30
DELAY = 30


def noted(outcomes, call):
    try:
        outcomes.append(call())
    except Exception as error:  # noqa: BLE001 - it is looked at by the test
        outcomes.append(error)


def told(outcomes):
    """Return whether each of some callers was told that the client is closed.

    A writer is told so with the report of what is written and what is not.
    """
    kinds = ConfigurationError | PartialWriteError
    return [isinstance(one, kinds) and "is closed" in str(one) for one in outcomes]


def test_threads_that_wait_for_anything_are_told():
    calls = [
        lambda client: client.fetch(KEYS),  # several calls at once, more than there are slots
        lambda client: client.fetch(KEYS[:1]),
        lambda client: client.fetch(KEYS[:2]),  # waits for a slot, and shares a call
        lambda client: client.get_vectors(KEYS[:3]),
        lambda client: client.upsert({"key": key, "data": [1.0]} for key in KEYS),
        lambda client: list(client.stream(iter(KEYS))),
    ]
    with VectorServer(KEYS, delay=lambda: DELAY) as server:
        client = OSSVectorClient(**settings(server.endpoint, max_concurrency=2, timeout=60))
        outcomes = []
        threads = [
            threading.Thread(target=noted, args=[outcomes, lambda call=call: call(client)])
            for call in calls
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        started = time.monotonic()
        client.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert time.monotonic() - started < PATIENCE
        assert told(outcomes) == [True] * len(threads), outcomes


def test_a_pause_before_a_retry_ends_too():
    refusal = faults.refuse(503, "QpsLimitExceeded", headers={"Retry-After": "20"})
    with FaultServer(then=refusal) as server:
        client = OSSVectorClient(**settings(server.endpoint, timeout=60))
        outcomes = []
        calls = [lambda: client.fetch(KEYS[:1]), lambda: client.fetch(KEYS)]
        threads = [threading.Thread(target=noted, args=[outcomes, call]) for call in calls]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        client.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert told(outcomes) == [True, True], outcomes


@contextlib.contextmanager
def stalled(what):
    """Yield the settings of a client whose calls stand still in a certain phase."""
    with contextlib.ExitStack() as stack:
        if what == "connecting":
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):  # the queue is full: a further connection is not even refused
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(listener.getsockname())
            yield {"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        elif what == "a name that is looked up":
            asked, real = threading.Event(), socket.getaddrinfo
            stack.callback(asked.set)

            def slow(host, *arguments, **options):
                if "slow.test" in str(host):
                    asked.wait(DELAY)
                    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
                return real(host, *arguments, **options)

            stack.enter_context(pytest.MonkeyPatch.context()).setattr(socket, "getaddrinfo", slow)
            yield {"endpoint": "https://slow.test"}
        elif what == "a TLS handshake":
            server = stack.enter_context(FaultServer(then=faults.silent))
            yield {"endpoint": f"https://127.0.0.1:{server.port}"}
        elif what == "the tunnel of a proxy":
            server = stack.enter_context(FaultServer(then=faults.silent))
            proxy = f"http://127.0.0.1:{server.port}"
            yield {"endpoint": "https://service.test", "proxy": proxy}
        elif what == "a reply":
            yield {"endpoint": stack.enter_context(FaultServer(then=faults.stall)).endpoint}
        elif what == "a window":
            server = stack.enter_context(VectorServer(KEYS))
            yield {"endpoint": server.endpoint, "coalesce": 1.0}
        elif what == "credentials":
            given = threading.Event()
            stack.callback(given.set)
            server = stack.enter_context(VectorServer(KEYS))
            hang = lambda: given.wait(DELAY) and ("id", "secret")  # noqa: E731
            yield {"endpoint": server.endpoint, "credentials": hang}


STALLS = [
    "connecting",
    "a name that is looked up",
    "a TLS handshake",
    "the tunnel of a proxy",
    "a reply",
    "a window",
    "credentials",
]


# a fetch of 100 keys and more waits for no others
CASES = [(what, count) for what in STALLS for count in (1, 7 if what == "a window" else 500)]


@pytest.mark.plain  # it has a TLS handshake, and a proxy
@pytest.mark.parametrize(("what", "count"), CASES)
def test_whatever_a_call_waits_for_it_ends_with_its_client(what, count, mode):
    options = {"timeout": 60, "connect_timeout": 60}
    with stalled(what) as more:
        if mode == "async":
            asyncio.run(close_beside_a_task(settings(**options, **more), KEYS[:count]))
            return
        client, outcomes = OSSVectorClient(**settings(**options, **more)), []
        keys = KEYS[:count]
        caller = threading.Thread(target=noted, args=[outcomes, lambda: client.fetch(keys)])
        caller.start()
        time.sleep(MOMENT)
        started = time.monotonic()
        client.close()
        caller.join(PATIENCE)
        assert time.monotonic() - started < PATIENCE
        assert told(outcomes) == [True], outcomes


async def close_beside_a_task(options, keys):
    client = AsyncOSSVectorClient(**options)
    caller = asyncio.ensure_future(client.fetch(keys))
    await asyncio.sleep(MOMENT)
    started = time.monotonic()
    await client.close()
    outcomes = await asyncio.wait_for(asyncio.gather(caller, return_exceptions=True), PATIENCE)
    assert time.monotonic() - started < PATIENCE
    assert told(outcomes) == [True], outcomes


def test_a_stream_that_is_read_half_ends_with_its_client():
    with VectorServer(KEYS) as server:
        client = OSSVectorClient(**settings(server.endpoint))
        vectors = client.stream(iter(KEYS * 5))
        next(vectors)
        client.close()
        with pytest.raises(ConfigurationError, match="is closed"):
            list(vectors)


async def test_tasks_that_wait_for_anything_are_told():
    with VectorServer(KEYS, delay=lambda: DELAY) as server:
        client = AsyncOSSVectorClient(**settings(server.endpoint, max_concurrency=2, timeout=60))

        async def stream():
            return [vector async for vector in client.stream(iter(KEYS))]

        calls = [
            client.fetch(KEYS),
            client.fetch(KEYS[:1]),
            client.get_vectors(KEYS[:3]),
            client.upsert({"key": key, "data": [1.0]} for key in KEYS),
            stream(),
        ]
        tasks = [asyncio.ensure_future(call) for call in calls]
        await asyncio.sleep(0.3)
        started = time.monotonic()
        await client.close()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        assert time.monotonic() - started < PATIENCE
        assert told(outcomes) == [True] * len(tasks), outcomes


async def test_a_stream_that_a_task_has_read_half_ends_with_its_client():
    with VectorServer(KEYS) as server:
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        vectors = client.stream(iter(KEYS * 5))
        await anext(vectors)
        await client.close()
        with pytest.raises(ConfigurationError, match="is closed"):
            [vector async for vector in vectors]
