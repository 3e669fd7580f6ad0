"""Many flows that need the same index at once: one look serves all, and one write tries for all."""

import asyncio
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.embedded import embedded

from oss_vector_retriever import ConfigurationError, InvalidRequestError, RetryPolicy, emulator
from oss_vector_retriever.client import known_indexes
from oss_vector_retriever.client.clients import client_of
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    NoSuchVectorIndexError,
    OSSVectorError,
    PartialWriteError,
)
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.steps import Running, Sleep
from oss_vector_retriever.records import indexing
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

MANY = 50
REFUSALS = {
    403: b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
    500: b"<Error><Code>InternalError</Code><Message>sorry</Message></Error>",
}


class Held(emulator.Service):
    """A service that counts what it is asked, and holds or refuses what a test says."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = Counter()
        self.gates = {}
        self.refusing = {}
        self.arrived = threading.Event()

    def handle(self, request):
        self.seen[request.query] += 1
        self.arrived.set()
        if request.query in self.gates:
            self.gates[request.query].wait(20)
        status = self.refusing.get(request.query)
        if callable(status):
            status = status(request)
        if status:
            return Reply(status, {"content-type": "application/xml"}, REFUSALS[status])
        return super().handle(request)


@pytest.fixture
def behaviour():
    return emulator.Behaviour(
        index_creation_seconds=0.1, creating_refuses_writes=True, enable_failure_seconds=0.3
    )


@pytest.fixture
def service(behaviour):
    with Held.in_memory(behaviour=behaviour) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service, monkeypatch):
    monkeypatch.setattr(known_indexes, "_PAUSES", (0.1, 0.15, 0.2))
    monkeypatch.setattr(indexing, "_MAKING_SECONDS", 0.1)
    with embedded(service, timeout=15.0, max_concurrency=MANY) as client:
        yield client


def vectors(store, number):
    return [store.encode(f"k{number}", [1, 2], text=f"text {number}")]


def run_threads(client, work, count=MANY):
    together = threading.Barrier(count)

    def run(number):
        together.wait()
        return client.run(work, number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def write_with(store):
    return lambda context, number: store.write(context, vectors(store, number))


@pytest.mark.parametrize("fault", ["fails", "fails after it is done", "throttles"])
def test_an_index_that_cannot_be_made_at_once_is_made_a_moment_later(client, service, fault):
    kind = emulator.faults.Throttle if fault == "throttles" else emulator.faults.ServerError
    done = {"performed": True} if "after" in fault else {}
    times = 1 if done else 3
    service.faults.add(kind(operation="PutVectorIndex", times=times, **done))
    quick = RetryPolicy(transient_base=0.02, throttle_base=0.02, patience=0.0)
    hasty = client.with_options(retry=quick)
    store = RecordStore(StoreSettings())
    run_threads(hasty, write_with(store), 8)
    assert len(service.faults.applied) == times
    assert len(client.fetch([f"k{n}" for n in range(8)]).missing) == 0


def test_an_index_that_can_never_be_made_is_an_error_in_time(client, service):
    service.refusing["putVectorIndex"] = 500
    hasty = client.with_options(retry=RetryPolicy(transient_base=0.02, patience=0.1), timeout=5.0)
    with pytest.raises(OSSVectorError, match="PutVectorIndex") as caught:
        hasty.run(RecordStore(StoreSettings()).write, vectors(RecordStore(StoreSettings()), 1))
    assert caught.value.attempts == service.seen["putVectorIndex"] == 6
    once = client.with_options(retry=RetryPolicy(attempts=1))
    with pytest.raises(OSSVectorError, match="PutVectorIndex"):
        once.run(RecordStore(StoreSettings()).write, vectors(RecordStore(StoreSettings()), 1))
    assert service.seen["putVectorIndex"] == 7


@pytest.mark.parametrize("shared", [True, False], ids=["one store", "a store each"])
def test_threads_that_write_first_look_once_and_make_the_index_once(client, service, shared):
    one = RecordStore(StoreSettings())

    def write(context, number):
        store = one if shared else RecordStore(StoreSettings())
        return store.write(context, vectors(store, number))

    assert all(report.ok for report in run_threads(client, write))
    assert service.seen["putVectorIndex"] == 1
    assert service.seen["getVectorIndex"] <= 3
    # one tries for all: else there were 50 in vain at each try
    assert service.seen["putVectors"] <= MANY + 6
    assert len(client.list_vectors(max_results=1000)) == MANY


def test_who_needs_an_index_that_is_being_made_waits_for_its_maker(client, service):
    gate = service.gates["putVectorIndex"] = threading.Event()
    store = RecordStore(StoreSettings())
    pool = ThreadPoolExecutor(4)
    making = pool.submit(client.run, store.write, vectors(store, 0))
    deadline = time.monotonic() + 10
    while service.seen["putVectorIndex"] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    looks = [pool.submit(client.run, store.describe) for _ in range(3)]
    time.sleep(0.1)
    gate.set()
    assert {look.result().dimension for look in looks} == {2}
    assert making.result().ok
    # none there, and one that is being made
    assert service.seen["getVectorIndex"] == 2
    pool.shutdown()


def test_tasks_and_threads_share_a_look(client, service):
    store = RecordStore(StoreSettings())

    async def run_tasks():
        async with client.to_async() as twin:
            work = (twin.run(store.write, vectors(store, n)) for n in range(MANY))
            return await asyncio.gather(*work)

    with ThreadPoolExecutor(1) as pool:
        tasks = pool.submit(asyncio.run, run_tasks())
        run_threads(client, lambda context, n: store.write(context, vectors(store, MANY + n)))
        assert all(report.ok for report in tasks.result())
    assert service.seen["putVectorIndex"] == 1
    assert service.seen["getVectorIndex"] <= 3
    assert len(client.list_vectors(max_results=1000)) == 2 * MANY


class TestLookThatIsShared:
    @pytest.fixture
    def behaviour(self):
        return emulator.Behaviour()

    @pytest.fixture
    def gate(self, client, service):
        client.put_vector_index(dimension=2)
        gate = service.gates["getVectorIndex"] = threading.Event()
        yield gate
        gate.set()

    def ask(self, client, count=MANY):
        """Begin so many looks in threads, and return when all wait."""
        pool = ThreadPoolExecutor(count)
        looks = [pool.submit(client.run, known_indexes.describe) for _ in range(count)]
        pool.shutdown(wait=False)
        time.sleep(0.1)
        return looks

    def test_serves_all_who_wait_for_it(self, client, service, gate):
        looks = self.ask(client)
        gate.set()
        assert {look.result().dimension for look in looks} == {2}
        assert service.seen["getVectorIndex"] == 1

    @pytest.mark.parametrize("status", [403, 500])
    def test_fails_for_all_each_with_an_error_of_its_own(self, client, service, gate, status):
        service.refusing["getVectorIndex"] = status
        looks = self.ask(client.with_options(retry=1), 20)
        gate.set()
        if status == 403:
            assert {look.result().dimension for look in looks} == {0}
        else:
            raised = [look.exception() for look in looks]
            assert {error.status for error in raised} == {500}
            assert len({id(error) for error in raised}) == 20
        assert service.seen["getVectorIndex"] == 1

    def test_tells_all_that_there_is_no_index(self, client, service, gate):
        client.delete_vector_index(index="vectors")
        looks = self.ask(client, 20)
        gate.set()
        assert all(isinstance(look.exception(), NoSuchVectorIndexError) for look in looks)
        assert service.seen["getVectorIndex"] == 1

    def test_is_taken_over_where_its_own_time_is_up(self, client, service, gate):
        hasty = client.with_options(timeout=0.3)
        [first] = self.ask(hasty, 1)
        others = self.ask(client, 5)
        assert isinstance(first.exception(), OSSVectorError)
        gate.set()
        assert {look.result().dimension for look in others} == {2}
        assert service.seen["getVectorIndex"] == 2

    def test_is_taken_over_where_its_task_is_cancelled(self, client, service, gate):
        async def cancel_first():
            async with client.to_async() as twin:
                first = asyncio.ensure_future(twin.run(known_indexes.describe))
                await asyncio.sleep(0.1)
                others = [asyncio.ensure_future(twin.run(known_indexes.describe)) for _ in "abc"]
                await asyncio.sleep(0.1)
                first.cancel()
                await asyncio.sleep(0.1)
                gate.set()
                return await asyncio.gather(*others)

        assert {found.dimension for found in asyncio.run(cancel_first())} == {2}
        assert service.seen["getVectorIndex"] == 2

    def test_is_taken_over_where_its_event_loop_has_stopped(self, client, gate, monkeypatch):
        monkeypatch.setitem(known_indexes._STUCK, "look", 0.3)
        loop = asyncio.new_event_loop()
        twin = client.to_async()
        first = loop.create_task(twin.run(known_indexes.describe))
        loop.run_until_complete(asyncio.sleep(0.1))  # and never runs on, as in a notebook
        gate.set()
        began = time.monotonic()
        assert client.run(known_indexes.describe).dimension == 2
        assert 0.2 < time.monotonic() - began < 10
        assert loop.run_until_complete(first).dimension == 2
        loop.run_until_complete(twin.close())
        loop.close()

    @pytest.mark.usefixtures("gate")
    def test_is_taken_over_by_who_holds_up_its_event_loop(self, client, service, monkeypatch):
        monkeypatch.setitem(known_indexes._STUCK, "look", 0.3)

        async def block():
            async with client.to_async() as twin:
                first = asyncio.ensure_future(twin.run(known_indexes.describe))
                await asyncio.sleep(0.1)
                assert service.seen["getVectorIndex"] == 1
                threading.Timer(0.1, gate.set).start()
                began = time.monotonic()
                found = client.run(known_indexes.describe)  # a blocking call, on the loop
                return found, time.monotonic() - began, await first

        gate = service.gates["getVectorIndex"]
        found, took, first = asyncio.run(block())
        assert found == first
        assert took < 10

    @pytest.mark.usefixtures("gate")
    def test_ends_with_the_client_for_all_who_wait(self, client):
        looks = self.ask(client, 5)
        client.close()
        assert all(isinstance(look.exception(5), ConfigurationError) for look in looks)

    def test_is_given_up_by_who_is_interrupted(self, client, service, gate):
        gate.set()
        flow = known_indexes.describe(client._context)
        running = Running(flow)
        with pytest.raises(KeyboardInterrupt):
            running.throw(KeyboardInterrupt())
        assert client.run(known_indexes.describe).dimension == 2
        assert service.seen["getVectorIndex"] == 1

    def test_is_given_up_by_who_is_dropped(self, client, gate):
        gate.set()
        flow = known_indexes.describe(client._context)
        next(flow)
        behind = known_indexes.describe(client._context)
        assert isinstance(next(behind), Sleep)
        flow.close()
        assert not isinstance(behind.send(None), Sleep)  # it asks itself
        behind.close()
        assert client.run(known_indexes.describe).dimension == 2


def test_a_record_that_is_refused_for_itself_holds_up_no_other(client, service):
    refuse_bad = lambda request: 500 if b'"bad"' in request.body else None  # noqa: E731
    service.refusing["putVectors"] = refuse_bad
    store = RecordStore(StoreSettings())
    client.put_vector_index(dimension=2)
    pool = ThreadPoolExecutor(4)
    hasty = client.with_options(timeout=1.5)
    bad = pool.submit(hasty.run, store.write, [store.encode("bad", [1, 2], text="")])
    time.sleep(0.1)
    began = time.monotonic()
    for number in range(3):
        assert client.run(store.write, vectors(store, number)).ok
    assert time.monotonic() - began < 1.2
    assert not bad.done()
    assert isinstance(bad.exception(), PartialWriteError)
    pool.shutdown()


def test_a_wait_ends_with_the_client(client):
    client.put_vector_index(dimension=2)
    store = RecordStore(StoreSettings())
    pool = ThreadPoolExecutor(4)
    slow = [pool.submit(client.run, write_with(store), number) for number in range(4)]
    time.sleep(0.2)
    began = time.monotonic()
    client.close()
    assert all(isinstance(one.exception(5), OSSVectorError) for one in slow)
    assert time.monotonic() - began < 3.0
    pool.shutdown()


def test_who_interrupts_the_trial_leaves_it_to_the_next(client):
    client.put_vector_index(dimension=2)
    client.get_vector_index()  # it is creating
    store = RecordStore(StoreSettings())
    trial = store.write(client._context, vectors(store, 0))
    step = next(trial)
    while not isinstance(step, Sleep):
        step = trial.send(None)
    with pytest.raises(KeyboardInterrupt):
        trial.throw(KeyboardInterrupt())
    began = time.monotonic()
    assert client.run(store.write, vectors(store, 1)).ok
    assert time.monotonic() - began < 5.0


class TestIndexMadeAnew:
    @pytest.fixture
    def behaviour(self):
        return emulator.Behaviour()

    @pytest.fixture
    def other(self, client):
        """Return a client that knows nothing of what the first one does."""
        with client_of(client.config, client._local) as other:
            yield other

    def remake(self, client, **described):
        client.delete_vector_index(index="vectors")
        client.put_vector_index(**described)

    def test_by_others_with_another_dimension_takes_its_own_vectors(self, client, other):
        store = RecordStore(StoreSettings(distance_metric=None))
        client.run(store.write, vectors(store, 0))
        self.remake(other, dimension=3)
        long = [store.encode("k", [1, 2, 3], text="")]
        assert client.run(store.write, long).ok
        with pytest.raises(InvalidRequestError, match="has dimension 3, and the embeddings have 2"):
            client.run(store.write, vectors(store, 1))

    def test_by_others_with_another_metric_takes_vectors_of_its_own(self, client, other):
        store = RecordStore(StoreSettings(distance_metric=None))
        client.run(store.write, vectors(store, 0))
        self.remake(other, dimension=2, distance_metric="euclidean")
        assert client.run(store.write, [store.encode("zero", [0, 0], text="")]).ok
        assert client.run(store.metric) == "euclidean"

    def test_by_others_has_its_metric_after_some_minutes(self, client, other, monkeypatch):
        store = RecordStore(StoreSettings(distance_metric=None))
        client.run(store.write, vectors(store, 0))
        self.remake(other, dimension=2, distance_metric="euclidean")
        assert client.run(store.metric) == "cosine"
        monkeypatch.setattr(known_indexes, "_BELIEVED", 0.0)
        assert client.run(store.metric) == "euclidean"

    def test_is_found_anew_by_who_met_none_between(self, client, other):
        store = RecordStore(StoreSettings(distance_metric=None))
        client.run(store.write, vectors(store, 0))
        other.delete_vector_index(index="vectors")
        assert client.run(store.fetch, ["k0"]).missing == ("k0",)
        other.put_vector_index(dimension=2, distance_metric="euclidean")
        assert client.run(store.metric) == "euclidean"

    def test_lets_large_metadata_be_filtered_by_what_it_is_now(self, client, other):
        client.put_vector_index(dimension=2)
        large = {"key": "a", "data": [1, 2], "metadata": {"text": "x" * 3000}}
        with pytest.raises(InvalidRequestError, match="filterable bytes"):
            client.upsert([large])
        self.remake(other, dimension=2, non_filterable_metadata_keys=["text"])
        assert client.upsert([large]).ok


def test_large_metadata_are_judged_by_one_look(client, service):
    client.put_vector_index(dimension=2, non_filterable_metadata_keys=["text"], wait=True)
    service.seen.clear()
    large = {"key": "a", "data": [1, 2], "metadata": {"text": "x" * 3000}}
    for _ in range(5):
        assert client.upsert([large]).ok
    assert service.seen["getVectorIndex"] == 0


def test_who_may_not_look_is_answered_by_one_look_for_all(client, service):
    client.put_vector_index(dimension=2, wait=True)
    service.seen.clear()
    service.refusing["getVectorIndex"] = 403
    other = client.with_options(credentials=client.config.credentials._credentials)
    found = run_threads(other, lambda context, _: known_indexes.describe(context))
    assert {one.dimension for one in found} == {0}
    assert service.seen["getVectorIndex"] == 1
    with pytest.raises(AccessDeniedError):
        other.get_vector_index()
