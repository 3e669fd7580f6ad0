"""Ctrl-C and the interpreter's end, whatever a client is doing: real processes, a real signal.

Each program prints a line when it is about to wait for long, and is interrupted a moment later. It
must end at once, as Python itself ends after Ctrl-C, with one traceback and no further word.
"""

import signal
import subprocess
import sys
import textwrap
import time

import pytest
from support.fault_server import FaultServer
from support.faults import stall
from support.vector_server import VectorServer

# an interpreter's start takes most of the time: with the second library in the long run alone
LIBRARIES = [pytest.param("httpx", marks=pytest.mark.soak), "httpx2"]
# seconds; it should be one, and the machine may be busy: what each waits for takes 20
PROMPT = 4

PREAMBLE = """
import asyncio, atexit, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import numpy  # an interrupt in the midst of its import is orjson's and numpy's
from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient

KEYS = [f"key-{n}" for n in range(500)]
SETTINGS = dict(endpoint=sys.argv[1], bucket="bucket", account_id="1", region="cn-hangzhou",
                index="docs", credentials=("id", "secret"), timeout=20)

def ready():
    print("ready", flush=True)

def say_when_busy():
    # from a thread of its own, as the main thread is about to wait
    threading.Timer(0.2, ready).start()

def sleepy():
    ready()
    time.sleep(20)
    return ("id", "secret")
"""

INTERRUPTED = {
    "one key": """
        client = OSSVectorClient(**SETTINGS)
        say_when_busy()
        client.fetch(KEYS[:1])
        """,
    "500 keys": """
        client = OSSVectorClient(**SETTINGS)
        say_when_busy()
        client.fetch(KEYS)
        """,
    "500 keys, in with": """
        with OSSVectorClient(**SETTINGS) as client:
            say_when_busy()
            client.fetch(KEYS)
        """,
    "one key, beside a thread that lives": """
        client = OSSVectorClient(**SETTINGS)
        threading.Thread(target=client.fetch, args=[KEYS], daemon=True).start()
        say_when_busy()
        client.fetch(KEYS[:1])
        """,
    "in the threads of a pool, which the client's end comes before": """
        with ThreadPoolExecutor(4) as pool, OSSVectorClient(**SETTINGS) as client:
            say_when_busy()
            list(pool.map(client.fetch, [KEYS, KEYS[:1], KEYS[:2], KEYS[:3]]))
        """,
    "a slot": """
        client = OSSVectorClient(**SETTINGS, max_concurrency=1)
        threading.Thread(target=client.fetch, args=[KEYS], daemon=True).start()
        time.sleep(0.2)
        say_when_busy()
        client.fetch(KEYS[:1])
        """,
    "a stream": """
        client = OSSVectorClient(**SETTINGS)
        say_when_busy()
        for vector in client.stream(iter(KEYS)):
            pass
        """,
    "an upsert": """
        client = OSSVectorClient(**SETTINGS)
        say_when_busy()
        client.upsert({"key": f"key-{n}", "data": [1.0]} for n in range(2000))
        """,
    "a query": """
        client = OSSVectorClient(**SETTINGS)
        say_when_busy()
        client.query_vectors([1.0])
        """,
    "credentials": """
        client = OSSVectorClient(**SETTINGS | {"credentials": sleepy})
        client.fetch(KEYS[:1])
        """,
    "credentials of 500 keys": """
        client = OSSVectorClient(**SETTINGS | {"credentials": sleepy})
        client.fetch(KEYS)
        """,
    "a window": """
        client = OSSVectorClient(**SETTINGS, coalesce=1.0)
        ready()
        while True:
            client.fetch(KEYS[:1], timeout=0.9)
        """,
    "a pause before a retry": """
        client = OSSVectorClient(**SETTINGS | {"endpoint": "http://127.0.0.1:9"}, rate_limit=0.1)
        say_when_busy()
        client.fetch(KEYS[:1])
        """,
    "a name that is looked up": """
        import socket
        socket.getaddrinfo = lambda *_, **__: time.sleep(20)
        client = OSSVectorClient(**SETTINGS | {"endpoint": "https://slow.test"})
        say_when_busy()
        client.fetch(KEYS)
        """,
    "a name that is looked up, on an event loop": """
        import socket
        socket.getaddrinfo = lambda *_, **__: time.sleep(20)
        async def main():
            client = AsyncOSSVectorClient(**SETTINGS | {"endpoint": "https://slow.test"})
            asyncio.get_running_loop().call_later(0.2, ready)
            await client.fetch(KEYS)
        asyncio.run(main())
        """,
    "credentials on an event loop": """
        async def main():
            async with AsyncOSSVectorClient(**SETTINGS | {"credentials": sleepy}) as client:
                await client.fetch(KEYS)
        asyncio.run(main())
        """,
    "an embedded service": """
        from oss_vector_retriever.emulator import faults
        client = OSSVectorClient.local()
        client.put_vector_index(dimension=1)
        client._local.service.faults.add(faults.Delay(seconds=20))
        say_when_busy()
        client.fetch(KEYS)
        """,
    "one key on an event loop": """
        async def main():
            async with AsyncOSSVectorClient(**SETTINGS) as client:
                asyncio.get_running_loop().call_later(0.2, ready)
                await client.fetch(KEYS[:1])
        asyncio.run(main())
        """,
    "500 keys on an event loop": """
        async def main():
            client = AsyncOSSVectorClient(**SETTINGS)
            asyncio.get_running_loop().call_later(0.2, ready)
            await client.fetch(KEYS)
        asyncio.run(main())
        """,
    "a stream on an event loop": """
        async def main():
            client = AsyncOSSVectorClient(**SETTINGS)
            asyncio.get_running_loop().call_later(0.2, ready)
            async for vector in client.stream(iter(KEYS)):
                pass
        asyncio.run(main())
        """,
}


def begun(program, endpoint, library):
    # the tests' own warnings are errors; a program's are what a user would see
    return subprocess.Popen(
        [sys.executable, "-W", "always", "-c", PREAMBLE + textwrap.dedent(program), endpoint],
        env={"OSS_VECTORS_HTTP_LIBRARY": library, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def endpoint():
    with FaultServer(then=stall) as server:
        yield server.endpoint


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_ends_a_script_that_waits_for(what, library, endpoint):
    with begun(INTERRUPTED[what], endpoint, library) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            time.sleep(0.1)
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=10)
            wall = time.monotonic() - started
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT, said
    assert said.rstrip().endswith("KeyboardInterrupt"), said
    assert "ignored" not in said, said
    assert "Warning" not in said, said
    assert wall < PROMPT, wall


AT_EXIT = {
    "a fetch": """
        client = OSSVectorClient(**SETTINGS)
        atexit.register(lambda: print(len(client.fetch(KEYS)), len(client.fetch(KEYS[:1]))))
        """,
    "a fetch, registered before the client was made and used": """
        atexit.register(lambda: print(len(client.fetch(KEYS)), len(client.fetch(KEYS[:1]))))
        client = OSSVectorClient(**SETTINGS)
        client.fetch(KEYS)
        """,
    "a fetch by name": """
        client = OSSVectorClient(**SETTINGS | {"endpoint": NAMED})
        atexit.register(lambda: print(len(client.fetch(KEYS)), len(client.fetch(KEYS[:1]))))
        """,
    "a stream": """
        client = OSSVectorClient(**SETTINGS)
        atexit.register(lambda: print(len(list(client.stream(KEYS))), 1))
        """,
    "a fetch on an event loop": """
        async def main():
            async with AsyncOSSVectorClient(**SETTINGS) as client:
                print(len(await client.fetch(KEYS)), len(await client.fetch(KEYS[:1])))
        atexit.register(lambda: asyncio.run(main()))
        """,
    "a fetch by name on an event loop": """
        async def main():
            async with AsyncOSSVectorClient(**SETTINGS | {"endpoint": NAMED}) as client:
                print(len(await client.fetch(KEYS)), len(await client.fetch(KEYS[:1])))
        atexit.register(lambda: asyncio.run(main()))
        """,
    "a thread that the interpreter waits for": """
        client = OSSVectorClient(**SETTINGS)
        threading.Thread(target=lambda: print(len(client.fetch(KEYS)), 1)).start()
        """,
    "nothing, and the client of a loop was not closed": """
        client = AsyncOSSVectorClient(**SETTINGS)
        print(len(asyncio.run(client.fetch(KEYS))), 1)
        """,
    "nothing, and streams were read half": """
        client, other = OSSVectorClient(**SETTINGS), AsyncOSSVectorClient(**SETTINGS)
        vectors, others = client.stream(KEYS), other.stream(KEYS)
        next(vectors)
        asyncio.run(anext(others))
        print(500, 1)
        """,
}
PREAMBLE += """
NAMED = SETTINGS["endpoint"].replace("127.0.0.1", "localhost")
"""


@pytest.fixture(scope="module")
def answering():
    with VectorServer([f"key-{n}" for n in range(500)]) as server:
        yield server.endpoint


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("what", AT_EXIT)
def test_the_interpreter_ends_in_order_while_there_is(what, library, answering):
    with begun(AT_EXIT[what], answering, library) as process:
        told, said = process.communicate(timeout=30)
    assert (told, said, process.returncode) == ("500 1\n", "", 0)


def test_what_needs_a_thread_at_the_end_of_the_interpreter_says_so_in_a_sentence(answering):
    program = """
        client = AsyncOSSVectorClient(**SETTINGS | {"credentials": lambda: ("id", "secret")})
        def fetch():
            try:
                asyncio.run(client.fetch(KEYS))
            except Exception as error:
                print(type(error).__name__, error)
        atexit.register(fetch)
        """
    with begun(program, answering, "httpx2") as process:
        told, said = process.communicate(timeout=30)
    # or it needs none any more
    assert told.startswith("ConfigurationError the interpreter is ending") or told == "", told
    assert said == ""


TRIO = """
import trio
from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.langchain import OSSVectorDocStore

client, blocking = AsyncOSSVectorClient(**SETTINGS), OSSVectorClient(**SETTINGS)

async def stream():
    async for _ in client.stream(KEYS):
        pass

async def main():
    calls = [
        lambda: client.fetch(KEYS),
        lambda: client.fetch(KEYS[:1]),
        lambda: client.get_vectors(KEYS[:1]),
        lambda: client.upsert([{"key": "a", "data": [1.0]}]),
        stream,
        lambda: OSSVectorDocStore(client=blocking).amget(KEYS[:1]),
        lambda: OSSVectorDocStore(client=client).amget(KEYS[:1]),
    ]
    for call in calls:
        try:
            await call()
        except ConfigurationError as error:
            assert "need a running asyncio event loop" in str(error), error
        else:
            print("it was not refused")
    print(len(await trio.to_thread.run_sync(blocking.fetch, KEYS)), 1)

trio.run(main)
"""


def test_trio_is_told_in_a_sentence_what_to_use(answering):
    pytest.importorskip("trio")
    with begun(TRIO, answering, "httpx2") as process:
        told, said = process.communicate(timeout=30)
    assert (told, said, process.returncode) == ("500 1\n", "", 0)
