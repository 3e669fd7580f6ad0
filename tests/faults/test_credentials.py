"""Sources of credentials that hang, fail, or are asked by many at once: no call pays for another's.

The callables are real, sync and async, and so are the clients, threads and event loops.
"""

import asyncio
import contextvars
import gc
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from support.calls import settings
from support.fault_server import FaultServer
from support.faults import refuse
from support.replies import error_body, http
from support.vector_server import VectorServer

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    ConfigurationError,
    Credentials,
    DeadlineExceededError,
    OSSVectorClient,
    SecurityTokenError,
)

pytestmark = pytest.mark.over_tls("long")

KEYS = [f"key-{n}" for n in range(150)]
AN_HOUR = timedelta(hours=1)


def ending(span=AN_HOUR, name="id"):
    return Credentials(name, "secret", "token", datetime.now(UTC) + span)


class Hanging:
    """A provider that answers when it is let go, and counts how often it was asked."""

    def __init__(self):
        self.asked, self._gate = 0, threading.Event()

    def let_go(self):
        self._gate.set()

    def __call__(self):
        self.asked += 1
        self._gate.wait(30)
        return ending()


class HangingOnLoops(Hanging):
    async def __call__(self):
        self.asked += 1
        while not self._gate.is_set():  # noqa: ASYNC110 - it is let go by a thread
            await asyncio.sleep(0.01)
        return ending()


class Chain(Hanging):
    """A client as alibabacloud-credentials has it, of a metadata service that drops packets."""

    __call__ = None

    def get_credential(self):
        self.asked += 1
        self._gate.wait(30)
        return ending()


def fetch_all(client, requests):
    """Make fetches at once on either client; return outcome and seconds of each."""

    def blocking(keys):
        began = time.monotonic()
        try:
            outcome = client.fetch(keys)
        except Exception as error:  # noqa: BLE001 - the tests look at it
            outcome = error
        return outcome, time.monotonic() - began

    async def on_loop(keys):
        began = time.monotonic()
        try:
            outcome = await client.fetch(keys)
        except Exception as error:  # noqa: BLE001 - the tests look at it
            outcome = error
        return outcome, time.monotonic() - began

    async def main():
        async with client:
            return await asyncio.gather(*map(on_loop, requests))

    if isinstance(client, AsyncOSSVectorClient):
        return asyncio.run(main())
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(blocking, requests))


HUNG = {
    ("sync", "callable"): (OSSVectorClient, Hanging),
    ("sync", "chain"): (OSSVectorClient, Chain),
    ("async", "callable"): (AsyncOSSVectorClient, Hanging),
    ("async", "async callable"): (AsyncOSSVectorClient, HangingOnLoops),
    ("async", "chain"): (AsyncOSSVectorClient, Chain),
}


@pytest.mark.promise("R2")
@pytest.mark.parametrize("kind", HUNG, ids=" ".join)
@pytest.mark.parametrize("coalesce", [True, False, 0.05])
@pytest.mark.parametrize("count", [1, 150])
def test_a_source_that_hangs_holds_no_call_beyond_its_timeout(kind, coalesce, count):
    client_class, source_class = HUNG[kind]
    source = source_class()
    requests = [KEYS[:count], KEYS[:count], KEYS[-count:]]
    options = settings("http://127.0.0.1:9", credentials=source, timeout=0.15, coalesce=coalesce)
    client = client_class(**options)
    try:
        for outcome, seconds in fetch_all(client, requests):
            assert isinstance(outcome, DeadlineExceededError)
            what = "credential chain" if kind[1] == "chain" else "credentials callable"
            assert f"the {what} had not answered" in str(outcome)
            assert seconds < 1.3
        assert source.asked == 1
    finally:
        source.let_go()
        if kind[0] == "sync":
            client.close()


@pytest.mark.parametrize("kind", [("sync", "callable"), ("async", "callable")], ids=" ".join)
def test_what_comes_too_late_for_one_call_serves_the_next(kind):
    source = Hanging()
    with VectorServer(KEYS[:1]) as server:
        options = settings(server.endpoint, credentials=source)
        if kind[0] == "sync":
            with OSSVectorClient(**options) as client:
                with pytest.raises(DeadlineExceededError):
                    client.fetch(KEYS[:1], timeout=0.2)
                source.let_go()
                assert len(client.fetch(KEYS[:1])) == 1
        else:

            async def main():
                async with AsyncOSSVectorClient(**options) as client:
                    with pytest.raises(DeadlineExceededError):
                        await client.fetch(KEYS[:1], timeout=0.2)
                    source.let_go()
                    assert len(await client.fetch(KEYS[:1])) == 1

            asyncio.run(main())
    assert source.asked == 1


def test_a_sync_callable_does_not_hold_up_an_event_loop_nor_its_end():
    source = Hanging()

    async def main():
        ticks = 0
        async with AsyncOSSVectorClient(**settings("http://127.0.0.1:9", credentials=source)) as c:
            task = asyncio.ensure_future(c.fetch(KEYS[:1], timeout=0.3))
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
            with pytest.raises(DeadlineExceededError):
                await task
        return ticks

    began = time.monotonic()
    try:
        # `asyncio.run` joins the threads of the loop's own executor; this is none of them
        assert asyncio.run(main()) > 5
        assert time.monotonic() - began < 5
    finally:
        source.let_go()


class MineError(Exception):
    """A provider's own."""


@pytest.mark.parametrize("client_class", [OSSVectorClient, AsyncOSSVectorClient])
@pytest.mark.parametrize("coalesce", [False, True])
def test_an_error_of_a_callable_is_each_waiters_own(client_class, coalesce):
    def fail():
        time.sleep(0.1)
        raise MineError("sealed")

    options = settings("http://127.0.0.1:9", credentials=fail, coalesce=coalesce)
    client = client_class(**options)
    outcomes = [outcome for outcome, _ in fetch_all(client, [[key] for key in KEYS[:5]])]
    if client_class is OSSVectorClient:
        client.close()
    assert [type(each) for each in outcomes] == [MineError] * 5
    assert len({id(each) for each in outcomes}) == 5
    for each in outcomes:
        frames, traceback = 0, each.__traceback__
        while traceback is not None:
            frames, traceback = frames + 1, traceback.tb_next
        assert frames < 30


class Vending:
    """A provider that counts, of credentials that can be made to be refused."""

    def __init__(self, span=AN_HOUR):
        self.calls, self.span, self.down = 0, span, False

    def __call__(self):
        self.calls += 1
        time.sleep(0.02)
        if self.down:
            raise MineError
        return Credentials("id", "secret", f"token{self.calls}", datetime.now(UTC) + self.span)


class VendingOnLoops(Vending):
    async def __call__(self):
        await asyncio.sleep(0.02)
        return super().__call__()


@pytest.mark.promise("P4", figure="64 calls, one expiry: 1 renewal")
@pytest.mark.parametrize(
    ("client_class", "source_class"),
    [
        (OSSVectorClient, Vending),
        (AsyncOSSVectorClient, Vending),
        (AsyncOSSVectorClient, VendingOnLoops),
    ],
)
def test_one_end_is_met_by_one_renewal_however_many_calls_meet_it(client_class, source_class):
    source, numbers, seen = source_class(), itertools.count(), []
    together = threading.Barrier(64)

    def handle(connection):
        token = connection.read_request().headers["x-oss-security-token"]
        seen.append(token)
        expired = token == "token1"
        if expired:  # all are asked before the first is answered
            together.wait(30)
        # each takes another time, so that calls meet the end one after the other
        time.sleep(next(numbers) % 16 * 0.01)
        body = error_body("SecurityTokenExpired", "No.") if expired else b'{"vectors": []}'
        connection.send(http(body, status=403 if expired else 200))
        return True

    with FaultServer(then=handle) as server:
        options = settings(server.endpoint, credentials=source, coalesce=False, max_concurrency=64)
        client = client_class(**options)
        outcomes = fetch_all(client, [[f"k{n}"] for n in range(64)])
        if client_class is OSSVectorClient:
            client.close()
    assert [type(outcome).__name__ for outcome, _ in outcomes] == ["FetchResult"] * 64
    assert seen.count("token1") == 64
    assert source.calls == 2


@pytest.mark.promise(
    "P4", figure="10 fetches with credentials of 290 s: 1 inquiry, and 10 answered while it fails"
)
@pytest.mark.parametrize(
    ("client_class", "source_class"),
    [
        (OSSVectorClient, Vending),
        (AsyncOSSVectorClient, Vending),
        (AsyncOSSVectorClient, VendingOnLoops),
    ],
)
def test_a_provider_that_gives_290_s_is_asked_once_and_may_fail_meanwhile(
    client_class, source_class, caplog
):
    source = source_class(timedelta(seconds=290))
    with VectorServer(KEYS[:1]) as server:
        client = client_class(**settings(server.endpoint, credentials=source))

        def ten(client):
            return [client.fetch(KEYS[:1]) for _ in range(10)]

        def pass_time():
            client._context.clock.offset = timedelta(seconds=230)

        async def main():
            async with client:
                first = [await each for each in ten(client)]
                assert source.calls == 1
                pass_time()
                source.down = True
                second = [await each for each in ten(client)]
                await asyncio.sleep(0.2)
                return first, second

        if client_class is AsyncOSSVectorClient:
            first, second = asyncio.run(main())
        else:
            with client:
                first = ten(client)
                assert source.calls == 1
                pass_time()
                source.down = True
                second = ten(client)
                time.sleep(0.2)
    assert [len(result) for result in (*first, *second)] == [1] * 20
    assert source.calls == 2  # one try behind the calls, and a pause
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "were not renewed by the credentials callable (MineError)" in warnings[0]


TENANT = contextvars.ContextVar("tenant")


@pytest.mark.parametrize("client_class", [OSSVectorClient, AsyncOSSVectorClient])
@pytest.mark.parametrize("coalesce", [True, False])
@pytest.mark.parametrize("count", [1, 150])
def test_a_callable_that_needs_its_callers_variables_fails_at_once(client_class, coalesce, count):
    async def on_loops():
        return Credentials(TENANT.get(), "secret")

    sources = [lambda: Credentials(TENANT.get(), "secret")]
    if client_class is AsyncOSSVectorClient:
        sources.append(on_loops)
    token = TENANT.set("alice")
    try:
        for source in sources:
            options = settings("http://127.0.0.1:9", credentials=source, coalesce=coalesce)
            client = client_class(**options)
            ((outcome, _),) = fetch_all(client, [KEYS[:count]])
            if client_class is OSSVectorClient:
                client.close()
            assert isinstance(outcome, ConfigurationError)
            assert "reads the context variable 'tenant'" in str(outcome)
            assert "with_options(credentials=...)" in str(outcome)
    finally:
        TENANT.reset(token)


def test_an_async_callable_is_no_part_of_the_task_that_asked_first():
    seen, source = [], HangingOnLoops()

    async def main():
        async def vend():
            seen.append(asyncio.current_task())
            return await source()

        with VectorServer(KEYS[:2]) as server:
            async with AsyncOSSVectorClient(
                **settings(server.endpoint, credentials=vend, coalesce=False)
            ) as client:
                first = asyncio.ensure_future(client.fetch(KEYS[:1]))
                second = asyncio.ensure_future(client.fetch(KEYS[1:2]))
                await asyncio.sleep(0.05)
                first.cancel()
                await asyncio.sleep(0.05)
                source.let_go()
                assert len(await second) == 1
                assert seen[0] not in {first, second}
                assert first.cancelled()

    asyncio.run(main())
    assert source.asked == 1


def test_an_inquiry_that_ends_with_its_event_loop_is_made_again_on_another():
    source = HangingOnLoops()
    with VectorServer(KEYS[:1]) as server:
        client = OSSVectorClient(**settings(server.endpoint, credentials=source))

        async def leave():
            task = asyncio.ensure_future(client.to_async().fetch(KEYS[:1]))
            await asyncio.sleep(0.05)
            assert not task.done()

        async def stay():
            async with client.to_async() as other:
                source.let_go()
                return await other.fetch(KEYS[:1], timeout=5)

        asyncio.run(leave())
        assert len(asyncio.run(stay())) == 1
        # the twin that blocks is served by what came of it
        assert len(client.fetch(KEYS[:1])) == 1
        client.close()
    gc.collect()
    assert source.asked == 2


@pytest.mark.parametrize("client_class", [OSSVectorClient, AsyncOSSVectorClient])
def test_close_ends_whoever_waits_for_credentials(client_class):
    source = Hanging()
    client = client_class(**settings("http://127.0.0.1:9", credentials=source))
    closes = threading.Timer(0.2, lambda: None)
    try:
        began = time.monotonic()
        if client_class is OSSVectorClient:
            closes.function = client.close
            closes.start()
            with pytest.raises(ConfigurationError, match="is closed"):
                client.fetch(KEYS)
            closes.join()
        else:

            async def main():
                task = asyncio.ensure_future(client.fetch(KEYS))
                await asyncio.sleep(0.2)
                await client.close()
                with pytest.raises(ConfigurationError, match="is closed"):
                    await task

            asyncio.run(main())
        assert time.monotonic() - began < 1.5
    finally:
        source.let_go()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_was_forked_beside_a_hanging_inquiry_asks_by_itself():
    source = Hanging()
    with VectorServer(KEYS[:1]) as server:
        client = OSSVectorClient(**settings(server.endpoint, credentials=source))
        with pytest.raises(DeadlineExceededError):
            client.fetch(KEYS[:1], timeout=0.1)
        child = os.fork()
        if child == 0:
            source.let_go()
            try:
                good = len(client.fetch(KEYS[:1], timeout=5)) == 1 and source.asked == 2
            finally:
                os._exit(0 if good else 1)
        _, status = os.waitpid(child, 0)
        source.let_go()
        assert os.waitstatus_to_exitcode(status) == 0
        assert len(client.fetch(KEYS[:1], timeout=5)) == 1
        assert source.asked == 1
        client.close()


def test_a_renewal_that_is_too_late_says_what_was_refused():
    gate = threading.Event()
    numbers = itertools.count()

    def vend():
        if next(numbers):
            gate.wait(30)
        return ending()

    with FaultServer(then=refuse(403, "SecurityTokenExpired")) as server:
        options = settings(server.endpoint, credentials=vend, timeout=0.4)
        with OSSVectorClient(**options) as client:
            with pytest.raises(DeadlineExceededError) as late:
                client.fetch(KEYS[:1])
            gate.set()
    assert "the credentials callable had not answered" in str(late.value)
    assert "The last attempt failed with: SecurityTokenExpired" in str(late.value)
    assert isinstance(late.value.errors[0], SecurityTokenError)
