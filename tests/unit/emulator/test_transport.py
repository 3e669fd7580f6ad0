import asyncio
import threading

import orjson
import pytest

from oss_vector_retriever.emulator import InProcessTransport


@pytest.fixture
def request_for_a(caller):
    caller.put(("a", [1, 2, 3]))
    return caller.sign("POST", "getVectors", b'{"indexName":"index1","keys":["a"]}')


def test_a_request_is_handed_over(caller, request_for_a):
    reply = InProcessTransport(caller.service).send(request_for_a, 1.0)
    assert (reply.status, orjson.loads(reply.body)) == (200, {"vectors": [{"key": "a"}]})
    assert reply.ok
    assert len(reply.request_id) == 24


async def test_a_request_is_handed_over_from_a_loop_which_goes_on(caller, request_for_a):
    inside, go_on = threading.Event(), threading.Event()
    handle = caller.service.handle

    def slow(request):
        inside.set()
        assert go_on.wait(10)
        return handle(request)

    caller.service.handle = slow
    task = asyncio.create_task(InProcessTransport(caller.service).send_async(request_for_a))
    assert await asyncio.to_thread(inside.wait, 10)
    assert not task.done()
    go_on.set()
    reply = await task
    assert orjson.loads(reply.body) == {"vectors": [{"key": "a"}]}


async def test_many_requests_at_once_get_their_own_replies(caller):
    caller.put(*((f"k{i}", [i, 0, 0]) for i in range(50)))
    transport = InProcessTransport(caller.service)
    requests = [
        caller.sign("POST", "getVectors", b'{"indexName":"index1","keys":["k%d"]}' % i)
        for i in range(50)
    ]
    replies = await asyncio.gather(*(transport.send_async(r, timeout=5) for r in requests))
    keys = [orjson.loads(reply.body)["vectors"][0]["key"] for reply in replies]
    assert keys == [f"k{i}" for i in range(50)]
