"""Times to live: when items end, what puts that off, and what is then deleted."""

import gc
import threading
import time
from datetime import timedelta

import pytest

pytest.importorskip("langgraph")

from adapters.conftest import CountingService
from langgraph.store.base import GetOp, PutOp
from support.watched_service import DENIED

from oss_vector_retriever import AccessDeniedError, PartialWriteError, emulator
from oss_vector_retriever.client.context import Clock
from oss_vector_retriever.langgraph import OSSVectorGraphStore

PLACE = ("a",)
SIDE = "vectorsside"


def embed(texts):
    return [[float(text.count(letter)) + 0.1 for letter in "tcwx"] for text in texts]


INDEX = {"dims": 4, "embed": embed, "fields": ["text", "more[*]"]}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def service(clock):
    with CountingService.in_memory(clock=clock.now) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def wait(client, clock):
    """Give a function that lets minutes pass, for the client and the service alike."""

    def wait(minutes):
        for one in (clock, client._context.clock):
            one.offset += timedelta(minutes=minutes)

    return wait


@pytest.fixture(params=[True, False], ids=["embedded", "plain"])
def store(client, request):
    index = INDEX if request.param else None
    return OSSVectorGraphStore(client=client, index=index, ttl={"refresh_on_read": False})


def all_reads(store):
    """Return what each way of reading shows of one item."""
    found = [
        store.get(PLACE, "k"),
        *store.search(PLACE),
        *store.search(PLACE, filter={"n": 1}),
        *store.list_namespaces(),
    ]
    return found + store.search(PLACE, query="ttt") if store.embeddings else found


async def test_an_item_ends_when_its_time_is_over(store, wait):
    store.put(PLACE, "k", {"n": 1, "text": "tt", "more": ["c", "w"]}, ttl=10)
    wait(9.9)
    assert None not in all_reads(store)
    assert len(all_reads(store)) == (5 if store.embeddings else 4)
    wait(0.2)
    assert all_reads(store) == [None]
    assert await store.aget(PLACE, "k") is None
    assert await store.asearch(PLACE) == []


async def test_reading_puts_the_end_off_and_writes_no_value(store, client, wait, operations):
    store.put(PLACE, "k", {"n": 1, "text": "tt"}, ttl=10)
    stored = client.fetch(["a..k"], return_data=True)[0]
    reads = [
        lambda: store.get(PLACE, "k", refresh_ttl=True),
        lambda: store.search(PLACE, refresh_ttl=True),
        *([lambda: store.search(PLACE, query="t", refresh_ttl=True)] if store.embeddings else []),
    ]
    for read in reads * 2:
        wait(9)
        assert read()
    wait(9)
    assert await store.aget(PLACE, "k", refresh_ttl=True) is not None
    assert client.fetch(["a..k"], return_data=True)[0] == stored
    wait(9)
    operations.clear()
    assert store.get(PLACE, "k") is not None  # `ttl` says that reading puts nothing off
    assert "putVectors" not in operations
    wait(2)
    assert store.get(PLACE, "k") is None


def test_of_several_reads_at_once_one_puts_the_end_off(store, wait, operations):
    store.put(PLACE, "k", {"n": 1}, ttl=100)
    wait(50)
    operations.clear()
    store.batch([GetOp(PLACE, "k"), GetOp(PLACE, "k"), GetOp(PLACE, "x")])
    assert operations.count("putVectors") == 1
    operations.clear()
    assert store.get(PLACE, "k", refresh_ttl=True) is not None  # not even a minute later
    assert "putVectors" not in operations


def test_reading_what_has_no_end_costs_no_call_more(store, operations):
    store.put(PLACE, "k", {"n": 1})
    operations.clear()
    assert store.get(PLACE, "k", refresh_ttl=True) is not None
    assert operations == ["getVectors"]


def test_a_put_decides_anew(store, wait):
    store.put(PLACE, "k", {"n": 1}, ttl=10)
    wait(5)
    store.put(PLACE, "k", {"n": 2}, ttl=10)
    wait(9)
    assert store.get(PLACE, "k").value == {"n": 2}
    store.put(PLACE, "k", {"n": 3}, ttl=None)
    wait(1000)
    assert store.get(PLACE, "k").value == {"n": 3}
    assert store.sweep_ttl() == 0
    assert store.get(PLACE, "k").value == {"n": 3}


def test_a_refresh_of_a_version_that_is_gone_keeps_nothing_alive(store, client, wait):
    store.put(PLACE, "k", {"n": 1}, ttl=10)
    wait(5)
    other = OSSVectorGraphStore(client=client, index=store.index)
    # a refresh that began before the put ends after it
    old = client.run(store._writer._read_old, ["a..k"])[0]["a..k"]
    other.put(PLACE, "k", {"n": 2}, ttl=2)
    client.run(store._memory.expiry.put_off, [old], {"a..k": old.ends_at()})
    assert store.get(PLACE, "k").value == {"n": 2}
    wait(3)
    assert store.get(PLACE, "k") is None
    assert store.sweep_ttl() == 1
    wait(20)
    assert store.sweep_ttl() == 0
    assert [one.key for one in client.iter_vectors(index=SIDE)] == []


async def test_the_default_and_whether_reading_counts_are_configured(client, wait):
    store = OSSVectorGraphStore(client=client, ttl={"default_ttl": 10})
    assert store.supports_ttl
    assert store.ttl_config == {"default_ttl": 10}
    store.put(PLACE, "k", {"n": 1})
    await store.aput(PLACE, "for ever", {"n": 1}, ttl=None)
    for _ in range(3):
        wait(9)
        assert store.get(PLACE, "k") is not None
    wait(9)
    assert len(await store.asearch(PLACE, refresh_ttl=False)) == 2
    wait(2)
    assert [item.key for item in await store.asearch(PLACE)] == ["for ever"]


def test_what_has_ended_may_be_shown_until_it_is_swept(client, wait):
    store = OSSVectorGraphStore(client=client, ttl={"omit_expired": False})
    store.put(PLACE, "k", {"n": 1}, ttl=1)
    wait(5)
    assert store.get(PLACE, "k", refresh_ttl=False) is not None
    assert store.sweep_ttl() == 1
    assert store.get(PLACE, "k") is None


async def test_a_sweep_deletes_what_has_ended_and_all_that_belongs_to_it(store, client, wait):
    value = {"n": 1, "text": "tt", "more": ["c", "w"], "large": "x" * 50_000}
    store.batch([PutOp(PLACE, f"k{n}", value, ttl=10 + n % 2) for n in range(8)])
    store.put(PLACE, "stays", {"n": 1, "text": "t"})
    wait(10.5)
    assert await store.asweep_ttl() == 4
    assert len(store.search(PLACE, limit=100)) == 5
    wait(10)
    assert (store.sweep_ttl(), store.sweep_ttl()) == (4, 0)
    assert [one.key for one in client.iter_vectors()] == ["a..stays"]
    assert [one.key for one in client.iter_vectors(index=SIDE)] == []


def test_what_is_read_while_the_sweep_goes_on_stays(store, client, wait, service):
    store.put(PLACE, "k", {"n": 1}, ttl=10)
    wait(5)
    # a read that began before the end, and whose refresh is written after the listing
    old = client.run(store._writer._read_old, ["a..k"])[0]["a..k"]
    wait(5.1)
    handle, expiry = service.handle, store._memory.expiry

    def read_after_the_listing(request):
        reply = handle(request)
        if request.query == "listVectors":
            service.handle = handle
            client.run(expiry.put_off, [old], {"a..k": old.ends_at()})
        return reply

    service.handle = read_after_the_listing
    assert store.sweep_ttl() == 0
    assert store.get(PLACE, "k") is not None


def test_limit_and_offset_count_what_has_not_ended(store, wait):
    store.batch(
        [
            PutOp(PLACE, f"k{n:02}", {"n": n, "text": "t" * n}, ttl=1 if n % 2 else None)
            for n in range(40)
        ]
    )
    wait(2)
    for query in [None, "ttt"] if store.embeddings else [None]:
        pages = [store.search(PLACE, query=query, limit=7, offset=at) for at in range(0, 28, 7)]
        assert [len(page) for page in pages] == [7, 7, 6, 0]
        assert {item.value["n"] % 2 for page in pages for item in page} == {0}
        assert len({item.key for page in pages for item in page}) == 20


def test_who_may_not_write_reads_all_the_same(store, wait, service):
    store.put(PLACE, "k", {"n": 1}, ttl=10)
    wait(5)
    handle = service.handle
    denied = []

    def deny(request):
        if request.query == "putVectors":
            denied.append(request)
            return DENIED
        return handle(request)

    service.handle = deny
    assert store.get(PLACE, "k", refresh_ttl=True) is not None
    assert denied


async def test_a_role_without_the_side_index_reads_what_has_not_ended(
    store, wait, service, monkeypatch
):
    store.put(PLACE, "k", {"n": 1, "text": "t"}, ttl=10)
    wait(5)
    handle = service.handle
    monkeypatch.setattr(
        service, "handle", lambda one: DENIED if SIDE.encode() in one.body else handle(one)
    )
    reads = [
        store.get(PLACE, "k", refresh_ttl=True),
        *store.search(PLACE, refresh_ttl=True),
        *await store.asearch(PLACE, query="t", refresh_ttl=True),
    ]
    assert [item.key for item in reads] == ["k"] * 3
    with pytest.raises(PartialWriteError) as refused:
        store.put(PLACE, "other", {"n": 1}, ttl=10)
    assert str(refused.value).count("calls failed") == 1
    [batch] = refused.value.report.batches
    assert isinstance(batch.error, AccessDeniedError)
    wait(6)  # whether it has ended only the side index knows
    with pytest.raises(AccessDeniedError, match=SIDE):
        store.get(PLACE, "k")


def sweepers():
    """Return the threads that sweep."""
    return {thread for thread in threading.enumerate() if thread.name == "oss-vectors-ttl"}


@pytest.fixture
def failed_threads(monkeypatch):
    """Give a list of what ended threads by an error."""
    failed = []
    monkeypatch.setattr(threading, "excepthook", lambda args: failed.append(args.exc_value))
    return failed


def test_a_thread_sweeps_from_time_to_time(client, wait):
    store = OSSVectorGraphStore(client=client, ttl={"sweep_interval_minutes": 0.001})
    store.put(PLACE, "k", {"n": 1}, ttl=1)
    wait(2)
    done = store.start_ttl_sweeper()
    assert store.start_ttl_sweeper() is done
    for _ in range(500):
        if not list(client.iter_vectors()):
            break
        time.sleep(0.01)
    assert list(client.iter_vectors()) == []
    assert not done.done()
    assert store.stop_ttl_sweeper(5)
    assert done.done()
    assert store.stop_ttl_sweeper(0)


def test_cancelling_what_the_sweeper_returned_ends_its_thread(client, failed_threads):
    store = OSSVectorGraphStore(client=client, ttl={"sweep_interval_minutes": 60})
    others = sweepers()
    done = store.start_ttl_sweeper()
    [thread] = sweepers() - others
    assert done.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert failed_threads == []
    again = store.start_ttl_sweeper()
    assert again is not done
    assert len(sweepers() - others) == 1
    assert store.stop_ttl_sweeper(5)


def test_the_thread_ends_with_its_store(client):
    store = OSSVectorGraphStore(client=client, ttl={"sweep_interval_minutes": 0.001})
    done = store.start_ttl_sweeper()
    del store
    gc.collect()
    assert done.result(5) is None
    plain = OSSVectorGraphStore(client=client)
    assert plain.start_ttl_sweeper().done()
    assert plain.stop_ttl_sweeper()
    with OSSVectorGraphStore(client=client, ttl={}) as closed:
        done = closed.start_ttl_sweeper(60)
    assert done.result(5) is None
