import asyncio
import threading

import orjson
import pytest

from oss_vector_retriever.emulator import InProcessTransport
from oss_vector_retriever.emulator.operations import vectors
from oss_vector_retriever.emulator.transport import Offload

GET = b'{"indexName":"index1","keys":["a"]}'
QUERY = b'{"indexName":"index1","queryVector":{"float32":[1,2,3]},"topK":1}'


@pytest.fixture(params=["memory", "file"])
def caller(request, make_caller, tmp_path):
    caller = make_caller(tmp_path / "v.db" if request.param == "file" else None, index=True)
    caller.put(("a", [1, 2, 3]))
    return caller


class Gate:
    """Hold up every call of a function inside its transaction until it is let through."""

    def __init__(self, function):
        self.function = function
        self.entered = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def __call__(self, *arguments, **options):
        self.entered.release()
        assert self.let.acquire(timeout=20)
        return self.function(*arguments, **options)


def put(caller, number):
    vector = {"key": f"k{number}", "data": {"float32": [number, 1, 1]}}
    return caller.sign(
        "POST", "putVectors", orjson.dumps({"indexName": "index1", "vectors": [vector]})
    )


async def test_a_read_waits_for_one_write_at_most_however_many_wait(caller, monkeypatch):
    gate = Gate(vectors.table.put)
    monkeypatch.setattr(vectors.table, "put", gate)
    transport = InProcessTransport(caller.service)
    writes = [asyncio.ensure_future(transport.send_async(put(caller, n))) for n in range(20)]
    assert await asyncio.to_thread(gate.entered.acquire, timeout=20)
    read = asyncio.ensure_future(transport.send_async(caller.sign("POST", "getVectors", GET)))
    if caller.service._database._path is None:
        await asyncio.sleep(0.05)
        assert not read.done()
        gate.let.release()
    reply = await asyncio.wait_for(read, 20)
    assert orjson.loads(reply.body) == {"vectors": [{"key": "a"}]}
    assert sum(write.done() for write in writes) <= 1
    gate.let.release(20)
    assert [reply.status for reply in await asyncio.gather(*writes)] == [200] * 20


@pytest.mark.parametrize("caller", ["file"], indirect=True)  # in memory there is one connection
async def test_a_long_search_holds_up_no_read_of_a_file(caller, monkeypatch):
    gate = Gate(vectors.table.by_id)
    monkeypatch.setattr(vectors.table, "by_id", gate)
    transport = InProcessTransport(caller.service)
    request = caller.sign("POST", "queryVectors", QUERY)
    searches = [asyncio.ensure_future(transport.send_async(request)) for _ in range(20)]
    assert await asyncio.to_thread(gate.entered.acquire, timeout=20)
    for _ in range(5):
        reply = await transport.send_async(caller.sign("POST", "getVectors", GET))
        assert reply.status == 200
    gate.let.release(20)
    assert {reply.status for reply in await asyncio.gather(*searches)} == {200}


async def test_closing_ends_the_threads(caller):
    before = set(threading.enumerate())
    offload = Offload(caller.service)
    await offload.respond(caller.sign("POST", "getVectors", GET))
    started = set(threading.enumerate()) - before
    assert len(started) == 1
    offload.close()
    offload.close()
    for thread in started:
        thread.join(10)
        assert not thread.is_alive()


async def test_what_is_no_operation_is_answered_too(caller):
    outcome = await Offload(caller.service).respond(caller.sign("POST", "unheardOf"))
    assert outcome.reply.status == 405
