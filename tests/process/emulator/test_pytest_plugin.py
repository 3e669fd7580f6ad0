import subprocess
import sys

import pytest

from oss_vector_retriever import pytest_plugin

pytest_plugins = ["pytester"]

SYNC = """
import pytest
from oss_vector_retriever import QpsLimitExceededError
from oss_vector_retriever.emulator.faults import Throttle


@pytest.mark.parametrize("number", range(8))
def test_state_is_fresh(oss_vectors_client, oss_vectors_server, number):
    assert oss_vectors_server.endpoint.startswith("http://127.0.0.1:")
    assert list(oss_vectors_client.list_vector_indexes()) == []
    oss_vectors_client.put_vector_index(dimension=2)
    oss_vectors_client.put_vectors([{"key": "a", "data": [number, 1]}])
    assert oss_vectors_client.fetch(["a"])[0].data.tolist() == [number, 1]


def test_faults(oss_vectors_client, oss_vectors_server):
    oss_vectors_client.put_vector_index(dimension=2)
    oss_vectors_server.service.faults.add(Throttle(times=1, operation="GetVectors"))
    with pytest.raises(QpsLimitExceededError):
        oss_vectors_client.with_options(retry=1).fetch(["a"])
    assert oss_vectors_client.fetch(["a"]).missing == ("a",)
"""

ASYNC = """
import asyncio
import pytest


async def use(client):
    await client.put_vector_index(dimension=2)
    await client.put_vectors([{"key": "a", "data": [1, 2]}])
    results = await asyncio.gather(*(client.fetch(["a"]) for _ in range(20)))
    assert {result[0].key for result in results} == {"a"}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_under_anyio(async_oss_vectors_client):
    await use(async_oss_vectors_client)


@pytest.mark.asyncio
async def test_under_pytest_asyncio(async_oss_vectors_client):
    await use(async_oss_vectors_client)


def test_under_neither(async_oss_vectors_client, oss_vectors_client):
    asyncio.run(use(async_oss_vectors_client))
    assert oss_vectors_client.fetch(["a"])[0].data.tolist() == [1, 2]
"""

OPTIONS = """
import pytest
from oss_vector_retriever import VectorIndexParameterInvalidError
from oss_vector_retriever.emulator import Behaviour


@pytest.fixture
def oss_vectors_options():
    return {"behaviour": Behaviour(scalars="refused")}


def test_numbers_are_refused(oss_vectors_client):
    oss_vectors_client.put_vector_index(dimension=1)
    with pytest.raises(VectorIndexParameterInvalidError, match="must be a string"):
        oss_vectors_client.put_vectors([{"key": "a", "data": [1], "metadata": {"n": 1}}])
"""


STRICT = """
import asyncio
from dataclasses import replace

import pytest
from oss_vector_retriever import VectorIndexParameterInvalidError, emulator

ROWS = [{"key": "a", "data": [1, 0]}]


def test_what_lags_does(strict_oss_vectors_client, oss_vectors_clock):
    strict_oss_vectors_client.put_vector_index(dimension=2)
    assert strict_oss_vectors_client.get_vector_index().status == "creating"
    strict_oss_vectors_client.put_vectors(ROWS)
    assert not strict_oss_vectors_client.query_vectors([1, 0], top_k=1)
    assert strict_oss_vectors_client.fetch(["a"])[0].key == "a"
    oss_vectors_clock.advance(3)
    assert strict_oss_vectors_client.get_vector_index().status == "enable"
    assert strict_oss_vectors_client.query_vectors([1, 0], top_k=1)[0].key == "a"


def test_what_is_not_documented_is_refused(strict_oss_vectors_client, strict_oss_vectors_server):
    documented = emulator.Behaviour.documented()
    assert strict_oss_vectors_server.service.behaviour == documented
    strict_oss_vectors_client.put_vector_index(dimension=2)
    with pytest.raises(VectorIndexParameterInvalidError, match="must be a string"):
        strict_oss_vectors_client.put_vectors([{**ROWS[0], "metadata": {"n": 1}}])


def test_asynchronously(strict_async_oss_vectors_client, oss_vectors_clock):
    async def use(client):
        await client.put_vector_index(dimension=2)
        await client.put_vectors(ROWS)
        oss_vectors_clock.advance(3 * 3600)  # the client's own clock stays
        return await client.query_vectors([1, 0], top_k=1)

    assert asyncio.run(use(strict_async_oss_vectors_client))[0].key == "a"


class TestOneSwitch:
    @pytest.fixture
    def oss_vectors_options(self):
        behaviour = replace(emulator.Behaviour.documented(), query_delay_seconds=0)
        return {"behaviour": behaviour}

    def test_is_changed(self, strict_oss_vectors_client):
        strict_oss_vectors_client.put_vector_index(dimension=2)
        strict_oss_vectors_client.put_vectors(ROWS)
        assert strict_oss_vectors_client.query_vectors([1, 0], top_k=1)[0].key == "a"
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a test file in a process of its own, with few plugins, where a warning is an error."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source, *options):
        pytester.makepyfile(source)
        ours = ("-W", "error", "-p", "no:cacheprovider", "-p", "oss_vector_retriever.pytest_plugin")
        return pytester.runpytest_subprocess(*ours, *options)

    return run


def test_pytest_finds_the_plugin_by_itself(pytestconfig):
    assert pytestconfig.pluginmanager.get_plugin("oss_vectors") is pytest_plugin


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "xdist"])
def test_each_test_has_a_service_of_its_own(run, options):
    run(SYNC, *options).assert_outcomes(passed=9)


def test_the_async_client_works_under_every_runner(run):
    runners = ("-p", "anyio.pytest_plugin", "-p", "pytest_asyncio.plugin")
    scope = ("-o", "asyncio_default_fixture_loop_scope=function")
    run(ASYNC, *runners, *scope).assert_outcomes(passed=3)


def test_options_of_the_service_can_be_chosen(run):
    run(OPTIONS).assert_outcomes(passed=1)


def test_the_strict_service_does_what_is_documented(run):
    run(STRICT).assert_outcomes(passed=4)


HEAVY = {"asyncio", "httpcore", "httpcore2", "httpx", "httpx2", "numpy", "orjson", "pydantic"}
HEAVY |= {"sqlite3", "uvicorn"}


def test_loading_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, pytest; before = set(sys.modules); import oss_vector_retriever.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    assert [name for name in loaded if name.startswith("oss_")] == [
        "oss_vector_retriever",
        "oss_vector_retriever.lazy",
        "oss_vector_retriever.pytest_plugin",
        "oss_vector_retriever.version",
    ]
