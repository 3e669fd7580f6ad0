"""Operations that come together: few calls, none too many at once, and to each caller its own."""

import asyncio
import json
import threading
from collections import Counter

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp
from support.promises import sized

from oss_vector_retriever import InternalServiceError, InvalidRequestError, emulator
from oss_vector_retriever.langgraph import OSSVectorGraphStore

PLACE = ("a",)
MANY, MOST = sized(800, 16_000), sized(1_500, 60_000)  # operations in one turn


class Model:
    """Embed a text, and note the queries."""

    def __init__(self):
        self.queries = []

    def embed_documents(self, texts):
        return [[1.0, 2.0, 3.0, float(len(text))] for text in texts]

    def embed_query(self, text):
        self.queries.append(text)
        return self.embed_documents([text])[0]

    async def aembed_documents(self, texts):
        return self.embed_documents(texts)

    async def aembed_query(self, text):
        await asyncio.sleep(0)
        return self.embed_query(text)


class InFlight:
    """Count the calls in progress, and how long the longest took."""

    def __init__(self, service, monkeypatch):
        self.now = self.most = 0
        self.lock = threading.Lock()
        handle = service.handle

        def counted(request):
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            try:
                return handle(request)
            finally:
                with self.lock:
                    self.now -= 1

        monkeypatch.setattr(service, "handle", counted)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def store(client, model, monkeypatch):
    monkeypatch.setattr("langgraph.store.base.ensure_embeddings", lambda given: given)
    index = {"dims": 4, "embed": model, "fields": ["text"]}
    return OSSVectorGraphStore(client=client, index=index)


READS = {
    "get": (GetOp(PLACE, "k1"), "getVectors"),
    "search": (SearchOp(PLACE, filter={"n": 1}), "listVectors"),
    "query": (SearchOp(PLACE, query="text", limit=2), "queryVectors getVectors"),
    "namespaces": (ListNamespacesOp(), "listVectors"),
}


@pytest.fixture(params=READS)
def read(request):
    return READS[request.param]


@pytest.fixture
def filled(client, store):
    store.batch([PutOp(PLACE, f"k{n}", {"n": n, "text": f"text {n}"}) for n in range(3)])
    # the index is known by now, and nothing counts as written a moment ago
    options = {"read_your_writes": False, "filters_first": True}
    other = OSSVectorGraphStore(client=client, index=store.index, **options)
    other.search(PLACE, query="text")
    other.search(PLACE, filter={"n": 1})
    return other


WAYS = ["batch", "abatch", "turn"]


async def read_all(store, ops, way):
    """Read in one batch of either kind, or at once in one turn of the loop."""
    if way == "batch":
        return store.batch(ops)
    if way == "abatch":
        return await store.abatch(ops)
    return [one for [one] in await asyncio.gather(*(store.abatch([op]) for op in ops))]


@pytest.mark.parametrize("way", WAYS)
async def test_200_equal_reads_are_one_call(filled, read, operations, model, way):
    op, expected = read
    model.queries.clear()
    results = await read_all(filled, [op] * 200, way)
    assert operations == expected.split()
    assert len(results) == 200
    assert results[0]
    assert all(result == results[0] for result in results)
    assert model.queries == (["text"] if "queryVectors" in expected else [])


@pytest.mark.parametrize("way", WAYS)
async def test_what_equal_reads_bring_shares_nothing(filled, way):
    items = await read_all(filled, [GetOp(PLACE, "k1")] * 3, way)
    items[0].value["n"] = "changed"
    assert [item.value["n"] for item in items[1:]] == [1, 1]
    found = await read_all(filled, [SearchOp(PLACE, filter={"n": 1})] * 3, way)
    found[0][0].value["n"] = "changed"
    found[1].clear()
    assert [item.value["n"] for item in found[2]] == [1]
    places = await read_all(filled, [ListNamespacesOp()] * 2, way)
    places[0].clear()
    assert places[1] == [PLACE]


async def test_a_caller_that_changes_its_item_at_once_changes_nobody_elses(filled):
    async def read_and_change():
        item = await filled.aget(PLACE, "k1")
        before, item.value["n"] = item.value["n"], "changed"
        [found] = await filled.asearch(PLACE, filter={"n": 1})
        found_before, found.value["n"] = found.value["n"], "changed"
        return before, found_before

    assert await asyncio.gather(*(read_and_change() for _ in range(5))) == [(1, 1)] * 5


@pytest.mark.parametrize("way", WAYS)
async def test_an_error_of_the_model_is_what_the_caller_gets(client, way):
    class ModelError(Exception):
        """What an embedding model raises."""

    def embed(texts):
        raise ModelError(texts[0])

    index = {"dims": 4, "embed": embed, "fields": ["text"]}
    store = OSSVectorGraphStore(client=client, index=index)
    for op in (PutOp(PLACE, "k", {"text": "bad"}), SearchOp(PLACE, query="bad")):
        with pytest.raises(ModelError, match="bad"):
            await read_all(store, [op], way)
    assert store.get(PLACE, "k") is None
    # and a read of the same turn that needs no model is none the worse for it
    found, failed = await asyncio.gather(
        store.aget(PLACE, "k"), store.asearch(PLACE, query="bad"), return_exceptions=True
    )
    assert found is None
    assert isinstance(failed, ModelError)


async def test_reads_that_differ_in_anything_are_not_one(filled):
    ops = [
        SearchOp(PLACE),
        SearchOp(PLACE, limit=1),
        SearchOp(PLACE, limit=1, offset=1),
        SearchOp(("b",)),
        SearchOp(PLACE, filter={"n": 1}),
        SearchOp(PLACE, filter={"n": {"$gte": 1}}),
        SearchOp(PLACE, filter={"n": "1"}),
        SearchOp(PLACE, filter={"n": [1]}),
        SearchOp(PLACE, query="text"),
        SearchOp(PLACE, query="text", limit=1),
        GetOp(PLACE, "k1"),
        GetOp(PLACE, "k2"),
        ListNamespacesOp(),
        ListNamespacesOp(limit=0),
    ]
    expected = [filled.batch([op])[0] for op in ops]
    assert filled.batch(ops) == expected
    assert [one for [one] in await asyncio.gather(*(filled.abatch([op]) for op in ops))] == expected


async def test_one_text_is_embedded_once_whatever_is_searched_with_it(filled, model):
    model.queries.clear()
    await asyncio.gather(*(filled.asearch((f"n{n % 7}",), query=f"q{n % 3}") for n in range(60)))
    assert sorted(model.queries) == ["q0", "q1", "q2"]


async def test_what_is_wrong_with_one_read_is_said_to_its_caller_alone(filled, operations):
    reads = [
        filled.aget(PLACE, "k1"),
        filled.aget(PLACE, "x" * 2000),
        filled.asearch(PLACE, filter={"n": {"$regex": 1}}),
        filled.asearch(PLACE),
        filled.abatch(["no operation"]),
    ]
    item, too_long, unknown, found, none = await asyncio.gather(*reads, return_exceptions=True)
    assert item.value["n"] == 1
    assert len(found) == 3
    assert [type(one) for one in (too_long, unknown, none)] == [InvalidRequestError] * 3
    assert sorted(operations) == ["getVectors", "listVectors"]


async def test_an_error_of_a_call_is_told_to_each_caller_by_an_object_of_its_own(client, service):
    store = OSSVectorGraphStore(client=client.with_options(retry=1))
    service.faults.add(emulator.faults.ServerError(operation="GetVectors"))
    gets = (store.aget(PLACE, "k1") for _ in range(3))
    errors = await asyncio.gather(*gets, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    assert {type(error) for error in errors} == {InternalServiceError}


async def test_a_caller_that_is_cancelled_takes_nobody_along(filled):
    reads = [asyncio.create_task(filled.aget(PLACE, "k1")) for _ in range(3)]
    await asyncio.sleep(0)
    reads[0].cancel()
    await asyncio.wait(reads)
    assert reads[0].cancelled()
    assert [read.result().value["n"] for read in reads[1:]] == [1, 1]


async def test_all_that_comes_in_one_turn_ends_in_few_calls(
    client, model, service, operations, monkeypatch
):
    monkeypatch.setattr("langgraph.store.base.ensure_embeddings", lambda given: given)
    index = {"dims": 4, "embed": model, "fields": ["text"]}
    store = OSSVectorGraphStore(client=client.with_options(timeout=5.0), index=index)
    store.put(PLACE, "first", {"n": 0, "text": "first"})
    operations.clear()
    in_flight = InFlight(service, monkeypatch)
    half = MANY // 2
    done = await asyncio.gather(
        *(store.aput(PLACE, f"k{n}", {"n": n, "text": f"text {n}"}) for n in range(half)),
        *(store.aget(PLACE, f"k{n}") for n in range(MANY - half)),
        return_exceptions=True,
    )
    assert [one for one in done if isinstance(one, BaseException)] == []
    assert len(operations) <= 400
    assert len(operations) <= MANY // 40 + 5
    assert in_flight.most <= client.config.max_concurrency
    counted = Counter(operations)
    operations.clear()
    items = await asyncio.gather(*(store.aget(PLACE, f"k{n}") for n in range(half)))
    assert [item.value["n"] for item in items] == list(range(half))
    assert operations == ["getVectors"] * -(-half // 100), counted


async def test_however_many_operations_come_at_once_all_end(client, service, monkeypatch):
    store = OSSVectorGraphStore(client=client.with_options(timeout=5.0))
    in_flight = InFlight(service, monkeypatch)
    waiting = []
    for n in range(MOST // 6):
        place = ("test", str(n % 10))
        waiting += [
            store.aput(place, f"key{n % 3000}", {"n": n}),
            store.aget(place, f"key{n % 3000}"),
            store.asearch(place, limit=2),
            store.alist_namespaces(prefix=None, max_depth=n % 3 + 1),
            store.adelete(place, f"key{(n + 7) % 3000}"),
            store.aput(place, f"again{n % 50}", {"n": n}),
        ]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [one for one in results if isinstance(one, BaseException)] == []
    assert in_flight.most <= client.config.max_concurrency
    again = await asyncio.gather(
        *(store.aget(("test", str(n % 10)), f"again{n}") for n in range(50))
    )
    assert all(item is not None for item in again)


async def test_puts_to_an_item_that_is_being_written_wait_and_the_last_counts(client, service):
    store = OSSVectorGraphStore(client=client)
    store.put(PLACE, "k", {"n": -1})
    handle, puts = service.handle, []

    def noted(request):
        if request.query == "putVectors":
            puts.append(json.loads(request.body)["vectors"])
        return handle(request)

    service.handle = noted
    waiting = []
    for n in range(50):
        waiting.append(asyncio.create_task(store.aput(PLACE, "k", {"n": n})))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert store.get(PLACE, "k").value == {"n": 49}
    assert len(puts) < 20


def test_a_batch_of_a_thread_waits_for_no_more_than_its_turn(client, service, monkeypatch):
    store = OSSVectorGraphStore(client=client.with_options(timeout=5.0))
    in_flight = InFlight(service, monkeypatch)
    ops = [PutOp(PLACE, f"k{n}", {"n": n}) for n in range(MANY // 4)]
    errors = []

    def run(part):
        try:
            store.batch(part)
            store.batch([GetOp(PLACE, op.key) for op in part])
        except Exception as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    threads = [threading.Thread(target=run, args=[ops[n::4]]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert in_flight.most <= client.config.max_concurrency + 1  # the index is made beside them
    assert len(store.search(PLACE, limit=len(ops) + 1)) == len(ops)
