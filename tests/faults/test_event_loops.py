"""An async client and its event loop: one loop each, and nothing open behind a loop that ended."""

import asyncio
import subprocess
import sys
import warnings

import pytest
import trustme
from support import faults
from support.calls import collect, open_sockets, settings, settled
from support.fault_server import FaultServer
from support.socket_server import server_context
from support.vector_server import VectorServer

from oss_vector_retriever import AsyncOSSVectorClient, ConfigurationError, DeadlineExceededError

pytestmark = pytest.mark.usefixtures("library")

KEYS = [f"key-{n}" for n in range(250)]


def keys_of(result):
    return [vector.key for vector in result]


def run_strictly(main):
    """Run a coroutine on a loop of its own; any warning, also a late one, is an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcome = asyncio.run(main, debug=True)
        collect()
    assert [str(warning.message) for warning in caught] == []
    return outcome


def test_a_loop_may_end_without_the_client_being_closed():
    async def main():
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        return keys_of(await client.fetch(KEYS))

    before = open_sockets()
    with VectorServer(KEYS) as server:
        assert run_strictly(main()) == KEYS
        server.wait_until_idle()
    assert open_sockets() == before


@pytest.mark.parametrize("turns", range(6))
def test_a_client_that_refers_to_itself_is_let_go_as_cleanly(turns):
    async def main():
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        client.itself = client
        await client.fetch(KEYS)
        del client
        collect()
        for _ in range(turns):
            await asyncio.sleep(0)

    before = open_sockets()
    with VectorServer(KEYS) as server:
        run_strictly(main())
        server.wait_until_idle()
    assert open_sockets() == before


def test_a_client_that_is_let_go_closes_its_connections_while_the_loop_runs():
    async def main():
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        await client.fetch(KEYS)
        del client
        collect()
        await settled()
        await asyncio.to_thread(server.wait_until_idle)

    with VectorServer(KEYS) as server:
        run_strictly(main())


def test_a_loop_may_end_right_after_a_call_was_cancelled():
    async def main():
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.fetch(KEYS)

    with FaultServer(then=faults.stall) as server:
        run_strictly(main())
        server.wait_until_idle()


@pytest.mark.parametrize("coalesce", [True, False], ids=["merged", "alone"])
def test_a_client_may_be_closed_right_after_a_call_was_cancelled(coalesce):
    async def main():
        options = settings(server.endpoint, coalesce=coalesce)
        async with AsyncOSSVectorClient(**options) as client:
            tasks = [asyncio.ensure_future(client.fetch([key])) for key in KEYS[:8]]
            await asyncio.to_thread(server.wait_for_requests, 1)
            for task in tasks:
                task.cancel()

    with FaultServer(then=faults.stall) as server:
        run_strictly(main())
        server.wait_until_idle()


def test_a_loop_may_end_while_calls_are_in_flight():
    async def main():
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        tasks = [asyncio.ensure_future(client.fetch([key])) for key in KEYS[:20]]
        await asyncio.sleep(0.05)
        return len(tasks)

    with FaultServer(then=faults.stall) as server:
        assert run_strictly(main()) == 20
        server.wait_until_idle()


def test_closing_waits_for_nothing_and_closes_all():
    async def main():
        async with AsyncOSSVectorClient(**settings(server.endpoint)) as client:
            await client.fetch(KEYS)
        await client.close()
        await settled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(server.wait_until_idle)

    with VectorServer(KEYS) as server:
        run_strictly(main())


@pytest.mark.parametrize("wanted", ["cancelled", "late"])
def test_a_tls_handshake_that_is_given_up_leaves_nothing_open(wanted):
    async def main():
        secure = server.endpoint.replace("http:", "https:")
        client = AsyncOSSVectorClient(**settings(secure, timeout=5.0))
        task = asyncio.ensure_future(client.fetch(["key-1"], timeout=0.1))
        await asyncio.sleep(0.05)
        if wanted == "cancelled":
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        expected = asyncio.CancelledError if wanted == "cancelled" else DeadlineExceededError
        assert isinstance(outcome, expected)
        await asyncio.to_thread(server.wait_until_idle)

    with FaultServer(then=faults.silent) as server:
        run_strictly(main())


@pytest.mark.parametrize("coalesce", [True, False], ids=["merged", "alone"])
def test_a_loop_may_end_any_number_of_turns_after_a_cancelled_handshake(coalesce):
    async def main(endpoint, turns):
        client = AsyncOSSVectorClient(**settings(endpoint, coalesce=coalesce))
        tasks = [asyncio.ensure_future(client.fetch([key])) for key in KEYS[:4]]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)

    for turns in range(6):
        with FaultServer(then=faults.silent) as server:
            run_strictly(main(server.endpoint.replace("http:", "https:"), turns))
            server.wait_until_idle()


def test_a_client_belongs_to_the_loop_of_its_first_use():
    with VectorServer(KEYS) as server:
        client = AsyncOSSVectorClient(**settings(server.endpoint))
        run_strictly(client.fetch(["key-1"]))
        with pytest.raises(ConfigurationError, match="another event loop"):
            run_strictly(client.fetch(["key-1"]))
        again = client.with_options(timeout=1.0)
        with pytest.raises(ConfigurationError, match="one client for each loop"):
            run_strictly(again.fetch(["key-1"]))


def test_a_stream_that_is_left_early_leaves_nothing_running():
    async def main():
        async with AsyncOSSVectorClient(**settings(server.endpoint)) as client:
            stream = client.stream(KEYS * 20)
            first = await anext(stream)
            await stream.aclose()
            await settled()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert keys_of(await client.fetch(["key-7"])) == ["key-7"]
        return first.key

    with VectorServer(KEYS, delay=lambda: 0.01) as server:
        assert run_strictly(main()) == "key-0"


SCRIPT = """
import asyncio, sys
from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient

settings = {
    "bucket": "examplebucket", "account_id": "123456", "region": "cn-hangzhou", "index": "i",
    "endpoint": sys.argv[1], "credentials": ("id", "secret"),
}
keys = [f"key-{n}" for n in range(250)]

async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is no slow callback
    client = AsyncOSSVectorClient(**settings)
    return len(await client.fetch(keys))

print(asyncio.run(main()))
client = OSSVectorClient(**settings)
print(len(client.fetch(keys)))
"""


def test_a_program_may_end_without_closing_anything():
    with VectorServer(KEYS) as server:
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT, server.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "250\n250\n", "")


def test_https_connections_close_with_the_loop_too(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = server_context(authority.issue_cert("127.0.0.1"))

    async def main():
        options = settings(server.endpoint, ca_file=str(tmp_path / "ca.pem"))
        return keys_of(await AsyncOSSVectorClient(**options).fetch(KEYS))

    with VectorServer(KEYS, tls=tls) as server:
        assert run_strictly(main()) == KEYS
