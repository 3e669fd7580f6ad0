"""Puts at the same time share calls, and each caller gets the outcome of its own."""

import asyncio
import gc

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import GetOp, PutOp

from oss_vector_retriever import InvalidRequestError, PartialWriteError, emulator
from oss_vector_retriever.langgraph import OSSVectorGraphStore

PLACE = ("a",)


@pytest.fixture
def store(client):
    return OSSVectorGraphStore(client=client)


async def test_250_concurrent_puts_are_three_gets_and_one_put(store, operations):
    store.put(PLACE, "first", {"n": 0})  # the first number of an index is read back, once
    operations.clear()
    await asyncio.gather(*(store.aput(PLACE, f"k{number}", {"n": number}) for number in range(250)))
    assert operations.count("getVectors") == 3
    assert operations.count("putVectors") == 1
    operations.clear()
    await asyncio.gather(*(store.adelete(PLACE, f"k{number}") for number in range(240)))
    assert operations == ["deleteVectors"]
    assert len(store.search(PLACE, limit=100)) == 11


async def test_of_puts_to_one_place_the_last_counts(store):
    await asyncio.gather(*(store.aput(PLACE, "k", {"n": number}) for number in range(5)))
    assert store.get(PLACE, "k").value == {"n": 4}
    await asyncio.gather(store.aput(PLACE, "k", {"n": 5}), store.adelete(PLACE, "k"))
    assert store.get(PLACE, "k") is None


async def test_what_cannot_be_put_fails_alone(client, operations):
    store = OSSVectorGraphStore(client=client, side_index=False)  # large values are not cut
    values = [{"n": number} for number in range(100)]
    values[17], values[60] = {"n": object()}, {"n": "x" * 50_000}
    done = await asyncio.gather(
        *(store.aput(PLACE, f"k{number}", value) for number, value in enumerate(values)),
        return_exceptions=True,
    )
    failed = [number for number, outcome in enumerate(done) if outcome is not None]
    assert failed == [17, 60]
    assert all(isinstance(done[number], InvalidRequestError) for number in failed)
    assert len(store.search(PLACE, limit=200)) == 98
    assert operations.count("putVectors") < 20


async def test_a_call_that_fails_fails_those_whose_items_it_held(client, service):
    store = OSSVectorGraphStore(client=client.with_options(retry=1))
    service.faults.add(emulator.faults.ServerError(operation="PutVectors"))
    done = await asyncio.gather(
        *(store.aput(PLACE, f"k{number}", {"n": number}) for number in range(700)),
        store.adelete(PLACE, "never there"),
        return_exceptions=True,
    )
    failed = {f"k{number}" for number, outcome in enumerate(done[:700]) if outcome is not None}
    assert 0 < len(failed) < 700
    assert all(isinstance(outcome, PartialWriteError) for outcome in done[:700] if outcome)
    assert done[700] is None
    there = {item.key for item in store.search(PLACE, limit=1000)}
    assert there == {f"k{number}" for number in range(700)} - failed


async def test_a_cancelled_caller_puts_nothing_and_takes_nobody_along(store):
    first = asyncio.create_task(store.aput(PLACE, "first", {"n": 1}))
    others = [asyncio.create_task(store.aput(PLACE, f"k{n}", {"n": n})) for n in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*others)
    assert first.cancelled()
    assert {item.key for item in store.search(PLACE)} == {"k0", "k1", "k2"}


async def test_items_of_one_turn_are_embedded_together(client):
    calls = []

    async def embed(texts):
        calls.append(list(texts))
        return [[1.0, 2.0, 3.0, float(len(text))] for text in texts]

    store = OSSVectorGraphStore(client=client, index={"dims": 4, "embed": embed, "fields": ["t"]})
    await asyncio.gather(*(store.aput(PLACE, f"k{n}", {"t": f"text {n % 5}"}) for n in range(20)))
    assert calls == [[f"text {n}" for n in range(5)]]


def test_a_store_serves_one_loop_after_another_and_threads(store):
    async def put(number):
        await asyncio.gather(*(store.aput(PLACE, f"{number}-{n}", {"n": n}) for n in range(5)))

    for number in range(3):
        asyncio.run(put(number))
    store.put(PLACE, "blocking", {"n": 0})
    assert len(store.search(PLACE, limit=50)) == 16
    gc.collect()
    assert not [queue for queue in store._puts._queues.values() if queue.waiting or queue.busy]
    assert len(store._reads._turns) == 0


async def test_a_batch_of_reads_and_writes_keeps_its_order(store):
    await store.aput(PLACE, "k", {"n": 0})
    ops = [GetOp(PLACE, "k"), PutOp(PLACE, "k", {"n": 1})]
    (before, _), _ = await asyncio.gather(store.abatch(ops), store.aput(PLACE, "x", {"n": 2}))
    assert before.value == {"n": 0}
    assert store.get(PLACE, "k").value == {"n": 1}
