"""Services that bear so many requests a second, over real sockets: used to the full, not overrun.

At soak each runs for a minute, with a fetch of one key each half second beside the bulk. Rates are
asserted against the service's limit, which a slow machine reaches as well: 200 requests a second of
a few bytes each. The same in simulated time: tests/unit/client/test_rate_limiter.py.
"""

import asyncio
import itertools
import json
import statistics
import threading
import time

import pytest
from support.limited_services import Allowance, Asked
from support.promises import sized

from oss_vector_retriever import AsyncOSSVectorClient, Limits, OSSVectorClient

pytestmark = pytest.mark.soak
SECONDS = sized(10, 20, 60)
LATENCY = 0.02
TICK = 0.01
STANDSTILL = 0.05
BATCH = 20  # keys; more would cost both ends, in one process, more than a slow machine has
SERVICES = {"50 with 10": (50, 10), "200 with 20": (200, 20), "10 with 2": (10, 2)}


class LimitedServer:
    """A server on an event loop of its own, in a thread, that keeps an allowance."""

    def __init__(self, allowance):
        self.allowance = allowance
        self.changes = []  # when the limit changes, and to what
        self.restart()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def settings(self):
        return {
            "bucket": "bucket-a", "account_id": "123456", "region": "cn-hangzhou", "index": "idx",
            "endpoint": f"http://127.0.0.1:{self.port}", "credentials": ("id", "secret"),
            "limits": Limits(keys_per_get=BATCH),
        }  # fmt: skip

    def since(self):
        return time.monotonic() - self.began

    def taken_a_second(self, start, end):
        """Return how many were taken in each second in which the machine did not stand still."""
        stood = sum(seconds for at, seconds in self._stood_still if start <= at < end)
        taken = sum(one.taken for one in self.asked if start <= one.at < end)
        return taken / (end - start - stood)

    def restart(self):
        """Begin to count."""
        self.began, self.asked, self._stood_still = time.monotonic(), [], []

    def refused(self, start, end):
        outcomes = [one.taken for one in self.asked if start <= one.at < end]
        return outcomes.count(False) / max(len(outcomes), 1)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._loop.create_task(self._watch())
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _watch(self):
        # of a machine that others use: in such a time neither end can do anything, and what the
        # allowance does not hold is lost
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK)
            late = time.monotonic() - began - TICK
            if late > STANDSTILL:
                self._stood_still.append((self.since(), late))

    async def _serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                keys = json.loads(await reader.readexactly(length))["keys"]
                await asyncio.sleep(LATENCY)
                if self.changes and self.since() > self.changes[0][0]:
                    self.allowance.rate = self.changes.pop(0)[1]
                taken = self.allowance.take(time.monotonic())
                self.asked.append(Asked(self.since(), taken, len(keys)))
                if taken:
                    found = (f'{{"key":"{key}","data":{{"float32":[1.5]}}}}' for key in keys)
                    body = f'{{"vectors":[{",".join(found)}]}}'.encode()
                else:
                    body = b'{"Error":{"Code":"QpsLimitExceeded","Message":"too fast"}}'
                status = b"200 OK" if taken else b"503 Service Unavailable"
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def keys_of(server, seconds):
    """Yield keys for so many seconds, as a stream takes them."""
    for number in itertools.count():
        if number % BATCH == 0 and server.since() > seconds:
            return
        yield f"key-{number}"


def run_blocking(server, connections, seconds):
    """Return how many vectors came, and how long fetches of one key took, idle and beside."""
    with OSSVectorClient(**server.settings, max_concurrency=connections) as client:
        idle = [_timed(lambda: client.fetch(["idle"])) for _ in range(20) if not time.sleep(0.15)]
        server.restart()
        beside, over = [], threading.Event()

        def ask():
            while not over.wait(0.5):
                beside.append(_timed(lambda: client.fetch(["small"])))

        asker = threading.Thread(target=ask)
        asker.start()
        count = sum(1 for _ in client.stream(keys_of(server, seconds)))
        over.set()
        asker.join()
    return count, idle, beside


def _timed(do):
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def run_on_a_loop(server, connections, seconds):
    return asyncio.run(_run_on_a_loop(server, connections, seconds))


async def _run_on_a_loop(server, connections, seconds):
    async with AsyncOSSVectorClient(**server.settings, max_concurrency=connections) as client:

        async def timed(key):
            began = time.perf_counter()
            await client.fetch([key])
            return time.perf_counter() - began

        idle = []
        for _ in range(20):
            await asyncio.sleep(0.15)
            idle.append(await timed("idle"))
        server.restart()
        beside = []

        async def ask():
            while True:
                await asyncio.sleep(0.5)
                beside.append(await timed("small"))

        asker = asyncio.ensure_future(ask())
        count = 0
        async for _ in client.stream(keys_of(server, seconds)):
            count += 1
        asker.cancel()
    return count, idle, beside


RUNS = {"blocking": run_blocking, "async": run_on_a_loop}


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize("connections", [8, 32])
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_used_to_the_full_and_not_overrun(way, connections, name):
    rate, burst = SERVICES[name]
    with LimitedServer(Allowance(rate, burst)) as server:
        count, idle, beside = RUNS[way](server, connections, SECONDS)
        whole, later = server.taken_a_second(0, SECONDS), server.taken_a_second(5, SECONDS)
        refused = server.refused(1, SECONDS)
    median, late = statistics.median(beside), sorted(beside)[int(len(beside) * 0.95)]
    usual = statistics.median(idle)
    print(  # noqa: T201 - the figures are what the run is for
        f"\n{name}, {connections} connections, {way}: {whole / rate:.3f} of the rate, after 5 s "
        f"{later / rate:.3f}, refused {refused:.2%}; a key beside {median / usual:.2f} times idle "
        f"({usual * 1000:.0f} ms), p95 {late / usual:.2f}"
    )
    assert count == BATCH * sum(one.taken and one.keys == BATCH for one in server.asked)
    assert whole >= 0.88 * rate
    assert later >= 0.95 * rate
    assert refused <= 0.04
    assert median <= 3 * usual
    assert late <= 6 * usual


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize("name", SERVICES)
def test_a_limit_that_is_halved_and_doubled_is_found_again_within_ten_seconds(way, name):
    rate, burst = SERVICES[name]
    step = sized(13, 15, 20)
    with LimitedServer(Allowance(rate, burst)) as server:
        server.changes = [(step, rate / 2), (2 * step, rate)]
        RUNS[way](server, 32, 3 * step)
        spans = [(step + 10, 2 * step, rate / 2), (2 * step + 10, 3 * step, rate)]
        found = [server.taken_a_second(begin, end) / limit for begin, end, limit in spans]
        refused = [server.refused(begin, end) for begin, end, _ in spans]
    print(  # noqa: T201 - the same
        f"\n{name}, {way}: from 10 s on {found[0]:.3f} of half the limit, refused "
        f"{refused[0]:.2%}; then {found[1]:.3f} of the whole, refused {refused[1]:.2%}"
    )
    assert min(found) >= 0.88
    # every other second or so one asks for more than the limit; of few requests that is many
    for (begin, end, limit), share in zip(spans, refused, strict=True):
        assert share <= min(max(0.04, 0.6 / limit), 0.08), (begin, end)
