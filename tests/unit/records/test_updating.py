"""Updates of metadata among threads, tasks and clients: none is lost, nothing deleted comes back.

The service is slow on purpose, a little, so that what can come in between does.
"""

import asyncio
import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.embedded import embedded

from oss_vector_retriever import (
    ConfigurationError,
    ConflictError,
    DeadlineExceededError,
    PartialWriteError,
    emulator,
)
from oss_vector_retriever.client import holds
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models import Vector
from oss_vector_retriever.client.operations.vectors import (
    acknowledge,
    delete_operation,
    post,
    put_operation,
)
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

UPDATES = 60

pytestmark = pytest.mark.promise("P5")


class Slow(emulator.Service):
    """The service, with a pause before and after each operation, where a hook may act."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.before = self.after = lambda _: None
        self.pause = 0.001

    def handle(self, request):
        time.sleep(self.pause)
        self.before(request.query)
        reply = super().handle(request)
        self.after(request.query)
        time.sleep(self.pause)
        return reply


@pytest.fixture
def service():
    with Slow.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service
    assert not holds._table._indexes  # nothing stays behind


@pytest.fixture
def client(service):
    with embedded(service, timeout=20.0) as client:
        yield client


@pytest.fixture
def other(service):
    """Give another client of the same index, made by itself, as another module would."""
    with embedded(service, timeout=20.0) as client:
        yield client


@pytest.fixture
def store(client):
    store = RecordStore(StoreSettings())
    put(store, client, "k")
    return store


def put(store, client, *keys):
    client.run(store.write, [store.encode(key, [1, 2], text=f"of {key}") for key in keys])


def metadata_of(store, client, key="k"):
    found = client.run(store.fetch, [key])
    return {key: store.decode(vector).metadata for key, vector in found.by_key.items()}.get(key)


def held_keys():
    shared = [hold for one in list(holds._table._indexes.values()) for hold in list(one.shared)]
    return {key for hold in shared for key in list(hold.keys)}


class Elsewhere:
    """Another process, which takes no part in the holds of this one: bare calls."""

    def __init__(self, client):
        self.client = client

    def write(self, *vectors):
        deadline = self.client._context.deadline()
        self.client.run(call, put_operation("vectors", list(vectors), deadline))

    def delete(self, *keys):
        self.client.run(call, delete_operation("vectors", list(keys)))


def test_60_updates_of_one_key_from_8_threads_are_kept(store, client, other):
    def update(number):
        run = (client if number % 2 else other).run
        return run(store.update_metadata, ["k"], {f"field {number}": number})

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(update, range(UPDATES))) == [("k",)] * UPDATES
    assert metadata_of(store, client) == {f"field {n}": n for n in range(UPDATES)}


def test_60_updates_of_one_key_from_8_tasks_are_kept(store, client, other):
    async def worker(numbers, mine):
        for number in numbers:
            await mine.run(store.update_metadata, ["k"], {f"field {number}": number})

    async def main():
        twins = [client.to_async(), other.to_async()]
        numbers = iter(range(UPDATES))
        await asyncio.gather(*(worker(numbers, twins[n % 2]) for n in range(8)))

    asyncio.run(main())
    assert metadata_of(store, client) == {f"field {n}": n for n in range(UPDATES)}


def test_threads_and_the_tasks_of_two_loops_keep_each_others_updates(store, client, other):
    pair = ClientPair(other)

    async def tasks(first):
        numbers = range(first, first + 15)
        runs = [pair.arun(store.update_metadata, ["k"], {f"field {n}": n}) for n in numbers]
        await asyncio.gather(*runs)

    def blocking(first):
        for number in range(first, first + 15):
            client.run(store.update_metadata, ["k"], {f"field {number}": number})

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(asyncio.run, tasks(first)) for first in (0, 15)]
        threads = [pool.submit(blocking, first) for first in (30, 45)]
        for one in (*loops, *threads):
            one.result()
    assert metadata_of(store, client) == {f"field {n}": n for n in range(UPDATES)}


@pytest.mark.parametrize("way", ["store", "client", "one call", "index"])
def test_beside_deletions_nothing_comes_back(store, client, other, service, way):
    # whoever comes second sees what the first has done: the update finds nothing, or is deleted
    keys = [f"d{n}" for n in range(8)]
    service.pause = 0.0005
    ways = {
        "store": lambda: other.run(store.delete, keys),
        "client": lambda: other.delete(keys),
        "one call": lambda: other.delete_vectors(keys),
        "index": lambda: other.delete_vector_index(index="vectors"),
    }
    for number in range(UPDATES // 4):
        put(store, client, *keys)
        start = threading.Barrier(3)

        def update(some, start=start, number=number):
            start.wait()
            time.sleep(number * 0.0003)
            client.run(store.update_metadata, some, {"n": 1})

        threads = [threading.Thread(target=update, args=[some]) for some in (keys, keys[::-1])]
        for thread in threads:
            thread.start()
        start.wait()
        time.sleep((number % 5) * 0.001)
        ways[way]()
        for thread in threads:
            thread.join()
        assert client.run(store.fetch, keys).missing == tuple(keys)


@pytest.mark.parametrize("many", [False, True])
def test_a_record_that_is_written_anew_meanwhile_stays_the_new_one(store, client, other, many):
    # a put of the whole record beside an update: the new text is never overwritten with the old one
    def write_later(new, seconds):
        time.sleep(seconds)
        _ = other.upsert([new]) if many else other.put_vectors([new])

    for number in range(20):
        text = f"text {number}"
        new = store.encode("k", [3, 4], text=text)
        writing = threading.Thread(target=write_later, args=[new, number % 10 * 0.0005])
        writing.start()
        client.run(store.update_metadata, ["k"], {"n": number})
        writing.join()
        assert store.decode(client.fetch(["k"])[0]).text == text


def test_updates_of_many_keys_in_any_order_do_not_block_one_another(store, client, other):
    keys = [f"m{n}" for n in range(40)]
    put(store, client, *keys)

    def update(number):
        some = keys[number % 7 :] if number % 2 else keys[::-1][: 40 - number % 5]
        (client if number % 3 else other).run(store.update_metadata, some, {f"f{number}": 1})
        return some

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        touched = list(pool.map(update, range(24)))
    assert time.monotonic() - started < 15
    for key in keys:
        expected = {f"f{number}": 1 for number, some in enumerate(touched) if key in some}
        assert metadata_of(store, client, key) == expected


def test_an_update_does_not_wait_for_the_rest_of_a_large_write(store, client, other, service):
    vectors = [store.encode(f"b{n}", [1, 2], text="t") for n in range(4000)]
    writer = other.with_options(timeout=20)
    going, release = threading.Event(), threading.Event()
    seen = []

    def hold_up_the_last(query):
        if query == "putVectors":
            seen.append(query)
            if len(seen) == 8:
                going.set()
                release.wait(10)

    put(store, client, "b0")
    service.before = hold_up_the_last
    writing = threading.Thread(target=writer.run, args=[store.write, vectors])
    writing.start()
    assert going.wait(10)
    while len(held := held_keys()) > 500:  # until the one batch that is held up is left
        time.sleep(0.005)
    free = next(vector.key for vector in vectors if vector.key not in held)
    assert client.run(store.update_metadata, [free], {"n": 1}) == (free,)
    release.set()
    writing.join()


@pytest.mark.parametrize("seconds", [0.2])
def test_whoever_waits_too_long_is_told_and_others_go_on(store, client, service, seconds):
    going, release = threading.Event(), threading.Event()

    def hold_up(query):
        if query == "getVectors" and not going.is_set():
            going.set()
            release.wait(10)

    service.before = hold_up
    updating = threading.Thread(
        target=client.run, args=[store.update_metadata, ["k"], {"first": 1}]
    )
    updating.start()
    assert going.wait(10)
    quick = client.with_options(timeout=seconds)
    vector = store.encode("k", [1, 2], text="new")
    for attempt in (
        lambda: quick.run(store.update_metadata, ["k"], {"second": 1}),
        lambda: asyncio.run(quick.to_async().run(store.update_metadata, ["k"], {"second": 1})),
        lambda: quick.put_vectors([vector]),
        lambda: quick.delete_vectors(["k"]),
        lambda: client.delete(["k"], timeout=seconds),
        lambda: client.upsert([vector], timeout=seconds),
    ):
        started = time.monotonic()
        with pytest.raises((DeadlineExceededError, PartialWriteError), match="other writes of 'k'"):
            attempt()
        assert seconds <= time.monotonic() - started < seconds + 1
    report = client.upsert([vector], timeout=seconds, on_error="report")
    assert report.failed == ("k",)
    client.put_vectors([store.encode("elsewhere", [1, 2], text="t")])  # of another key
    release.set()
    updating.join()
    client.run(store.update_metadata, ["k"], {"third": 1})
    assert metadata_of(store, client) == {"first": 1, "third": 1}


def test_no_event_loop_stands_still_while_a_task_waits(store, client, service):
    release, released = threading.Event(), []
    service.before = lambda _: released.append(release.wait(10))

    async def main():
        mine = client.to_async()
        updates = [
            asyncio.ensure_future(mine.run(store.update_metadata, ["k"], {f"f{n}": n}))
            for n in range(4)
        ]
        for _ in range(5000):
            await asyncio.sleep(0.002)
            if any(one.last["k"].waits_for for one in holds._table._indexes.values()):
                break
        # the service answers only where the loop comes to this, with tasks that wait for another
        release.set()
        await asyncio.gather(*updates)

    asyncio.run(main())
    assert released
    assert all(released)
    assert metadata_of(store, client) == {f"f{n}": n for n in range(4)}


def test_a_cancelled_waiter_holds_up_nobody(store, client, service):
    async def main():
        mine = client.to_async()
        service.pause = 0.02
        runs = [mine.run(store.update_metadata, ["k"], {f"f{n}": n}) for n in range(6)]
        tasks = [asyncio.ensure_future(run) for run in runs]
        await asyncio.sleep(0.01)
        for task in tasks[1::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in done] == [False, True] * 3

    asyncio.run(main())
    assert metadata_of(store, client) == {"f0": 0, "f2": 2, "f4": 4}


def test_closing_a_client_ends_what_waits_with_a_sentence(store, client, service):
    other = client.to_async().to_sync()  # with connections of its own
    going, release = threading.Event(), threading.Event()

    def hold_up(query):
        if query == "getVectors" and not going.is_set():
            going.set()
            release.wait(10)

    service.before = hold_up
    updating = threading.Thread(target=client.run, args=[store.update_metadata, ["k"], {"a": 1}])
    updating.start()
    assert going.wait(10)
    said = []

    def wait():
        try:
            other.run(store.update_metadata, ["k"], {"b": 1})
        except ConfigurationError as error:
            said.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not any(one.last["k"].waits_for for one in holds._table._indexes.values()):
        time.sleep(0.001)
    started = time.monotonic()
    other.close()
    waiting.join(5)
    assert time.monotonic() - started < 1
    assert "is closed" in said[0]
    release.set()
    updating.join()


def test_a_flow_that_is_dropped_lets_go(store, client):
    hold = store.hold(client._context, ["k"])
    flow = holds.run_with(hold, iter_forever(), client._context.deadline())
    next(flow)
    gone = weakref.ref(flow)
    cycle = [flow]
    cycle.append(cycle)
    del flow, cycle
    gc.collect()
    assert gone() is None
    assert client.run(store.update_metadata, ["k"], {"n": 1}) == ("k",)


def iter_forever():
    while True:
        yield None


def test_a_waiter_on_an_event_loop_that_has_ended_harms_nobody(store, client):
    hold = store.hold(client._context, ["k"])
    holds._table.request(hold)
    later = store.hold(client._context, ["k"])
    holds._table.request(later)
    loop = asyncio.new_event_loop()
    later.call_when_given(lambda: loop.call_soon_threadsafe(print))
    loop.close()
    hold.release()
    later.release()


@pytest.fixture(params=["sync", "async"])
def update(request, store, client):
    """Give `update_metadata`, blocking or on an event loop."""
    pair, flow = ClientPair(client), store.update_metadata
    if request.param == "sync":
        return lambda *args, **options: pair.run(flow, *args, **options)
    return lambda *args, **options: asyncio.run(pair.arun(flow, *args, **options))


@pytest.mark.parametrize(("moment", "written"), [("read", False), ("put", True), ("deleted", True)])
def test_a_write_from_elsewhere_is_reported(store, other, service, update, *, moment, written):
    client = other
    put(store, client, "a", "b", "c")
    elsewhere, acted = Elsewhere(other), []

    def act(query):
        wanted = "getVectors" if moment == "read" else "putVectors"
        if query == wanted and not acted:
            acted.append(query)
            if moment == "deleted":
                elsewhere.delete("b")
            else:
                elsewhere.write(Vector("b", [1, 2], {"theirs": "yes"}))

    service.after = act
    with pytest.raises(ConflictError) as caught:
        update(["a", "b", "c"], {"ours": 1}, verify=True)
    assert (caught.value.keys, caught.value.written) == (("b",), written)
    assert "'b'" in str(caught.value)
    # what the error says of the others is so
    assert metadata_of(store, client, "a") == ({"ours": 1} if written else {})
    expected = None if moment == "deleted" else {"theirs": "yes"}
    assert metadata_of(store, client, "b") == expected


def test_what_nobody_disturbs_verifies_whatever_it_holds(store, client):
    plain = Vector("other program's", [1, 2], {"n": 1, "f": 1.5, "yes": True, "list": ["a", "b"]})
    client.put_vectors([plain, Vector("bare", [3, 4])])
    keys = ["k", "other program's", "bare", "gone"]
    changed = client.run(store.update_metadata, keys, {"x": "y"}, verify=True)
    assert changed == ("k", "other program's", "bare")
    assert client.run(store.update_metadata, ["gone"], {"x": "y"}, verify=True) == ()


def test_an_update_does_not_make_an_index_that_is_gone_again(store, client, other, service):
    name = "DeleteVectorIndex"
    deletion = post(name, lambda r: acknowledge(r, name), idempotent=False, indexName="vectors")

    def drop(query):
        if query == "getVectors":
            service.after = lambda _: None
            other.run(call, deletion)  # as from elsewhere: of this process it would wait

    service.after = drop
    assert client.run(store.update_metadata, ["k"], {"n": 1}) == ()
    assert list(client.iter_vector_indexes()) == []
