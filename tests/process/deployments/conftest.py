"""A service as a process of its own, and programs that use it as people deploy them."""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
from support.deployed import INDEX, records
from support.served_index import IDENTITY, serve_index

TESTS = Path(__file__).parents[2]
SETTINGS = {**IDENTITY, "OSS_VECTORS_INDEX": INDEX, "PYTHONPATH": str(TESTS)}
PREAMBLE = """
import asyncio, os, sys, threading, time
from support.deployed import *
from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
"""


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items if not hasattr(os, "fork") else ():
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="this platform has no fork"))


@pytest.fixture(scope="session")
def endpoint():
    described = {"dimension": 2, "distance_metric": "euclidean"}
    with serve_index(INDEX, records(), **described) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def make_environment():
    """Give a function that returns the environment of a deployed program."""

    def make(endpoint, library="httpx2", **more):
        bare = {
            n: v for n, v in os.environ.items() if "OSS_" not in n and "_proxy" not in n.lower()
        }
        return (
            bare
            | SETTINGS
            | {"OSS_ENDPOINT": endpoint, "OSS_VECTORS_HTTP_LIBRARY": library, **more}
        )

    return make


@pytest.fixture
def run(make_environment, tmp_path):
    """Give a function that runs a program, and sums up what its processes say."""

    def run(program, endpoint, library="httpx2", seconds=110, **more):
        path = tmp_path / "program.py"
        path.write_text(PREAMBLE + textwrap.dedent(program), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", path],
            env=make_environment(endpoint, library, **more),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        # nor what a child says at its end, where no exception comes through
        assert not re.search("Traceback|Exception ignored|Fatal", done.stderr), done.stderr
        said = Counter()
        for line in done.stdout.splitlines():
            said.update(json.loads(line))
        return said

    return run
