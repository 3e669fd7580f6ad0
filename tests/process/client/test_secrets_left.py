"""What a client that is closed leaves of its credentials in a process: nothing."""

import subprocess
import sys

import pytest
from support.vector_server import VectorServer

# in a process of its own, where nobody else holds them; they stand there backwards
PROGRAM = """
import asyncio, contextlib, gc, os, sys, threading
from datetime import datetime, timedelta, timezone
from oss_vector_retriever import AsyncOSSVectorClient, Credentials, OSSVectorClient
from oss_vector_retriever.client import signing

SDRAWKCAB = ["dIyranaCyranaC", "terceSyranaCyranaC", "nekoTyranaCyranaC"]
PARTS = lambda: [text[::-1] for text in SDRAWKCAB]

def expiring():
    return Credentials(*PARTS(), datetime.now(timezone.utc) + timedelta(hours=1))

async def expiring_on_loops():
    return expiring()

def sources():
    return [tuple(PARTS()), Credentials(*PARTS()), expiring, expiring_on_loops]

def options(source):
    return dict(endpoint=sys.argv[1], bucket="examplebucket", account_id="1", region="cn-hangzhou",
                index="i", credentials=source, retry=1)

def use():
    for source in sources()[:3]:
        with OSSVectorClient(**options(source)) as client:
            assert len(client.fetch(["key-1"])) == 1
            client.fetch([f"key-{n}" for n in range(150)])
            client.with_options(timeout=2.0).fetch(["key-1"])
    for source in sources():
        asyncio.run(use_async(source))
    for bad in [(PARTS()[0], PARTS()[1] + "\\n"), [PARTS()[1]]]:
        with contextlib.suppress(ValueError):
            OSSVectorClient(**options(bad))

async def use_async(source):
    async with AsyncOSSVectorClient(**options(source)) as client:
        assert len(await client.fetch(["key-1"])) == 1

use()
if sys.argv[2] == "planted":
    signing.KEPT = {"key": PARTS()[1]}
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(5)
for _ in range(3):
    gc.collect()

def holders():
    wanted = PARTS()
    day = datetime.now(timezone.utc).strftime("%Y%m%d")
    derived = []
    key = f"aliyun_v4{wanted[1]}".encode()
    import hmac
    for part in (day, "cn-hangzhou", "oss", "aliyun_v4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    frame = sys._getframe()
    own = {id(wanted), id(frame), id(frame.f_locals), id(search)}
    for holder in gc.get_objects():
        if id(holder) in own:
            continue
        for value in values_of(holder):
            if type(value) is str and any(part in value for part in wanted):
                yield "text", holder
            elif type(value) in (bytes, bytearray):
                if key in value or any(part.encode() in value for part in wanted):
                    yield "bytes", holder

def values_of(holder):
    for value in gc.get_referents(holder):
        yield value
        # a dict or tuple of nothing but texts is none of the collector's own objects
        if type(value) in (dict, tuple, list) and not gc.is_tracked(value):
            yield from values_of(value)

search = holders()  # from 3.13 on the collector finds a frame's values in its generator
found = [(kind, type(holder).__name__) for kind, holder in search]
print(found, flush=True)
os._exit(0)  # Python 3.12.1 does not end after a search through all that it has
"""


@pytest.mark.promise("R5")
@pytest.mark.parametrize("mode", ["clean", "planted"])
def test_a_closed_client_leaves_no_secret_in_the_process(mode):
    with VectorServer([f"key-{n}" for n in range(150)]) as server:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, server.endpoint, mode],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    expected = [("text", "dict")] if mode == "planted" else []
    assert done.stdout.strip() == str(expected)
