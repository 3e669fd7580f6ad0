"""Files of the emulator between processes, and the emulator without numpy."""

import subprocess
import sys
from pathlib import Path

import pytest

from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.emulator import Service

OPEN = """
import sys
from oss_vector_retriever.emulator import Service
service = Service.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_gets_a_clear_answer_until_the_first_is_gone(tmp_path):
    path = tmp_path / "vectors.db"
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(ConfigurationError, match=f"process {process.pid}"):
            Service.open(path)
        process.kill()
    Service.open(path).close()


TESTS = str(Path(__file__).parents[2])

BARE = """
import sys
sys.modules["numpy"] = sys.modules["uvicorn"] = None
sys.path.insert(0, sys.argv[1])
from support.caller import Caller
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service
with Service() as service:
    service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
    caller = Caller(service)
    caller.make_index()
    caller.put(("a", [1, 2.5, 3], {"t": "x"}), ("b", [1, 2, 3]))
    print(caller.post("deleteVectors", {"indexName": "index1", "keys": ["b"]}))
    print(caller.get(["a", "b"]))
    print(caller.post("listVectors", {"indexName": "index1", "filter": {"t": "x"}}))
    query = {"indexName": "index1", "topK": 1, "queryVector": {"float32": [1, 2, 3]}}
    print(caller.code("queryVectors", query))
"""


def test_put_get_list_and_delete_work_without_numpy():
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", BARE, TESTS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "(204, None)",
        "[{'key': 'a', 'data': {'float32': [1.0, 2.5, 3.0]}, 'metadata': {'t': 'x'}}]",
        "(200, {'vectors': [{'key': 'a'}]})",
        "(501, 'NotImplemented')",
    ]
