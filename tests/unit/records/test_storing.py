"""The flows under every store: making the index, racing for it, and reports of what was written."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.embedded import embedded
from support.watched_service import Watched

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.client.errors import AccessDeniedError, PartialWriteError
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.records.search import mmr_search, relevance, search
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore


@pytest.fixture
def behaviour():
    return emulator.Behaviour()


@pytest.fixture
def service(behaviour):
    with Watched.in_memory(behaviour=behaviour) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service):
    with embedded(service, timeout=5.0) as client:
        yield client


@pytest.fixture
def run(client):
    return ClientPair(client).run


def records(store, count=1, data=(1.0, 2.0)):
    return [store.encode(f"k{n}", data, text=f"text {n}", metadata={"n": n}) for n in range(count)]


def test_the_first_write_looks_once_makes_the_index_and_puts(service, run):
    store = RecordStore(StoreSettings())
    run(store.write, records(store))
    assert service.seen == ["getVectorIndex", "putVectorIndex", "getVectorIndex", "putVectors"]
    run(store.write, records(store))
    assert service.seen[4:] == ["putVectors"]


def test_no_vectors_are_no_call(service, run):
    store = RecordStore(StoreSettings())
    assert run(store.write, []).batches == ()
    assert service.seen == []


def test_threads_that_race_for_the_index_all_write(run):
    together = threading.Barrier(8)

    def write(number):
        store = RecordStore(StoreSettings())
        together.wait()
        return run(store.write, [store.encode(f"k{number}", [1, 2], text="")])

    with ThreadPoolExecutor(8) as threads:
        assert all(report.ok for report in threads.map(write, range(8)))
    assert len(run(RecordStore(StoreSettings()).list_page)) == 8


def test_a_racer_with_another_dimension_is_told(client, run):
    store = RecordStore(StoreSettings())
    assert run(store.fetch, ["x"]).missing == ("x",)
    client.put_vector_index(dimension=3)
    with pytest.raises(InvalidRequestError, match="has dimension 3"):
        run(store.write, records(store))


def test_an_index_made_anew_with_another_dimension_is_named(client, run):
    store = RecordStore(StoreSettings())
    run(store.write, records(store))
    client.delete_vector_index(index="vectors")
    client.put_vector_index(dimension=3)
    with pytest.raises(InvalidRequestError, match="has dimension 3, and the embeddings have 2"):
        run(store.write, records(store))
    with pytest.raises(InvalidRequestError, match="has dimension 3, and the query has 2"):
        run(search, store, [1, 2])


class TestIndexThatTakesTime:
    @pytest.fixture
    def behaviour(self):
        return emulator.Behaviour(index_creation_seconds=0.3, creating_refuses_writes=True)

    def test_a_new_index_is_waited_for(self, service, run):
        store = RecordStore(StoreSettings())
        assert run(store.write, records(store)).ok
        assert service.seen.count("putVectors") == 1


def test_who_may_not_look_at_the_index_writes_all_the_same(client, service, run):
    client.put_vector_index(dimension=2)
    service.denied = {"getVectorIndex", "putVectorIndex"}
    store = RecordStore(StoreSettings())
    assert run(store.write, records(store)).ok
    assert run(store.metric) == "cosine"


def test_who_may_not_make_the_index_is_told(service, run):
    service.denied = {"putVectorIndex"}
    store = RecordStore(StoreSettings())
    with pytest.raises(AccessDeniedError):
        run(store.write, records(store))
    assert "putVectors" not in service.seen


def test_large_metadata_in_an_index_that_vanished_are_put_again(client, run):
    store = RecordStore(StoreSettings())
    run(store.write, records(store))
    client.delete_vector_index(index="vectors")
    large = store.encode("large", [1, 2], text="x" * 30_000)
    assert run(store.write, [large]).written == ("large",)


def test_an_index_of_others_that_lets_filters_see_the_text_is_named(client, run):
    client.put_vector_index(dimension=2)
    store = RecordStore(StoreSettings())
    with pytest.raises(InvalidRequestError, match="non_filterable_metadata_keys"):
        run(store.write, [store.encode("x", [1, 2], text="x" * 30_000)])


def test_each_failed_call_is_in_the_report(client, service):
    store = RecordStore(StoreSettings())
    run = ClientPair(client.with_options(retry=1)).run
    run(store.write, records(store))
    service.faults.add(emulator.faults.ServerError(operation="PutVectors", times=2))
    with pytest.raises(PartialWriteError) as caught:
        run(store.write, records(store, 1200))
    report = caught.value.report
    assert len(report.batches) == 3
    assert len({*report.written, *report.failed}) == 1200
    assert run(store.fetch, [f"k{n}" for n in range(1200)]).missing == tuple(
        key for key in report.failed if key != "k0"
    )


def test_deletes_are_counted_by_what_was_there(run):
    store = RecordStore(StoreSettings())
    assert run(store.delete_counted, ["x"]).missing == ("x",)
    run(store.write, records(store, 3))
    result = run(store.delete_counted, ["k2", "x", "k0", "k2"])
    assert (result.deleted, result.missing) == (("k2", "k0"), ("x",))
    assert run(store.delete_all) == 1
    assert run(store.delete_all) == 0


def test_hits_that_vanish_between_query_and_get_are_left_out(client, service, run, monkeypatch):
    store = RecordStore(StoreSettings())
    run(store.write, records(store, 3))
    handle = service.handle

    def losing(request):
        if request.query == "getVectors":
            client.delete_vectors(["k1"])
        return handle(request)

    monkeypatch.setattr(service, "handle", losing)
    hits = run(search, store, [1, 2], 3, return_data=True).hits
    assert sorted(hit.record.key for hit in hits) == ["k0", "k2"]
    picked = run(mmr_search, store, [1, 2], lambda _, rows, k: list(range(len(rows)))[:k], k=2).hits
    assert len(picked) == 2


def test_a_patch_keeps_copies_that_another_store_made_filterable(client, run):
    written = RecordStore(StoreSettings(filterable=["n"]))
    run(written.write, records(written))
    run(RecordStore(StoreSettings()).update_metadata, ["k0"], {"m": 1})
    [vector] = client.fetch(["k0"])
    assert vector.metadata["n"] == 0
    assert json.loads(vector.metadata["_record"])["metadata"] == {"n": 0, "m": 1}


def test_relevance_is_clamped_to_0_and_1():
    assert [relevance("cosine", d) for d in (-1e-7, 0, 1, 2, 2.1)] == [1, 1, 0.5, 0, 0]
    assert [relevance("euclidean", d) for d in (0, 1, 3)] == [1, 0.5, 0.25]


def test_an_index_that_never_gets_ready_is_waited_for_no_longer_than_the_timeout(client, service):
    run = ClientPair(client.with_options(timeout=0.2, retry=1)).run
    store = RecordStore(StoreSettings())
    handle = service.handle

    def unready(request):
        reply = handle(request)
        if request.query != "getVectorIndex" or reply.status != 200:
            return reply
        return Reply(200, reply.headers, reply.body.replace(b'"enable"', b'"creating"'))

    service.handle = unready
    started = time.monotonic()
    assert run(store.write, records(store)).ok
    assert 0.2 <= time.monotonic() - started < 10
    assert store.keeper.peek(client._context) is None
