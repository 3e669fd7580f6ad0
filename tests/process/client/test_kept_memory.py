"""The memory that one large reply took serves the next: it is not got anew from the system."""

import json
import platform
import random
import subprocess
import sys
from pathlib import Path

import pytest
from support.calls import MODES
from support.fault_server import FaultServer
from support.replies import http

TESTS = Path(__file__).parents[2]
# what its memory has become by other tests would count
PROGRAM = """
import json, resource, sys
from support.calls import run, settings

KEYS = [f"key-{number}" for number in range(100)]

def count():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fetch(client):
    before = count()
    assert len(client.fetch(KEYS)) == 100
    return count() - before

async def fetch_on_a_loop(client):
    before = count()
    assert len(await client.fetch(KEYS)) == 100
    return count() - before

way = fetch if sys.argv[1] == "sync" else fetch_on_a_loop
print(json.dumps(run(sys.argv[1], settings(sys.argv[2]), *[way] * 12)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep memory or not")
@pytest.mark.parametrize("mode", MODES)
def test_memory_of_a_large_reply_is_kept_for_the_next(mode):
    dice = random.Random(5)
    row, text = ",".join(f"{dice.gauss(0, 1):.8f}" for _ in range(1024)), "word " * 200

    def reply(connection):
        keys = connection.read_request().json()["keys"]
        parts = [
            f'{{"key":"{key}","data":{{"float32":[{row}]}},"metadata":{{"text":"{text}"}}}}'
            for key in keys
        ]
        connection.send(http(f'{{"vectors":[{",".join(parts)}]}}'.encode()))
        return True

    with FaultServer(then=reply) as server:
        command = [sys.executable, "-c", PROGRAM, mode, server.endpoint]
        done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True)
    # got anew it came to 330 to 500 faults each time; the first calls load what they use
    assert sum(json.loads(done.stdout)[2:]) < 1_000
