"""`stream`: an unbounded iterable of keys, read no further than asked."""

import asyncio
import itertools
import json
import threading

import pytest

from oss_vector_retriever import FetchResult, InvalidRequestError, Limits, OSSVectorClient, Vector
from oss_vector_retriever.client.fetch import async_fetch_flows, fetch_flows
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.streams import BYTES_IN_THREADS, ByteWindow
from oss_vector_retriever.client.transport.runner import Helpers

FOUND = Reply(200, {}, b'{"vectors":[]}')


def counted():
    """Return an endless iterator of keys, and the list of those that were read."""
    read = []

    def keys():
        for number in itertools.count():
            read.append(number)
            yield f"k{number}"

    return keys(), read


def test_each_batch_is_read_when_it_is_asked_for(machine):
    keys, read = counted()
    flows = fetch_flows(machine.context(), keys, on_missing="omit")
    assert read == []
    assert machine.play(next(flows), [FOUND]).value.missing[-1] == "k99"
    assert len(read) == 100
    assert machine.play(next(flows), [FOUND]).value.missing[0] == "k100"
    assert len(read) == 200


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (100, [100]), (250, [100, 100, 50])]
)
def test_the_last_batch_holds_the_rest(machine, count, sizes):
    flows = fetch_flows(machine.context(), (f"k{n}" for n in range(count)))
    results = [machine.play(flow, [FOUND]).value for flow in flows]
    assert [len(result.keys) for result in results] == sizes


def test_a_batch_is_as_large_as_the_accounts_limit(machine):
    flows = fetch_flows(machine.context(limits=Limits(keys_per_get=7)), map(str, range(8)))
    assert [len(machine.play(flow, [FOUND]).value.keys) for flow in flows] == [7, 1]


@pytest.mark.parametrize("keys", ["abc", b"abc", {"a": 1}, 5, None])
def test_what_is_no_iterable_of_keys_is_refused(machine, keys):
    with pytest.raises(InvalidRequestError, match="keys must be"):
        list(fetch_flows(machine.context(), keys))


def test_a_bad_key_is_refused_when_its_batch_comes(machine):
    flows = fetch_flows(machine.context(), [*map(str, range(100)), ""])
    next(flows).close()
    with pytest.raises(InvalidRequestError, match="1 to 1024"):
        next(flows)


async def test_an_async_iterable_is_read_the_same_way(machine):
    keys, read = counted()

    async def slowly():
        for key in keys:
            yield key

    flows = async_fetch_flows(machine.context(), slowly())
    assert len(machine.play(await anext(flows), [FOUND]).value.keys) == 100
    assert len(read) == 100
    await flows.aclose()


@pytest.mark.parametrize("count", [0, 1, 100, 101])
async def test_an_async_client_takes_both_kinds(machine, count):
    async def keys():
        for number in range(count):
            yield str(number)

    for given in (keys(), map(str, range(count))):
        sizes = [
            len(machine.play(flow, [FOUND]).value.keys)
            async for flow in async_fetch_flows(machine.context(), given)
        ]
        assert (sum(sizes), max(sizes, default=0) <= 100) == (count, True)


@pytest.mark.parametrize("keys", ["abc", b"abc", {"a": 1}, 5, None])
async def test_an_async_client_refuses_the_same(machine, keys):
    with pytest.raises(InvalidRequestError, match="keys must be"):
        [flow async for flow in async_fetch_flows(machine.context(), keys)]


ASKED = {"index": "other", "return_data": False, "return_metadata": False, "timeout": 3.0}


def assert_is_as_asked(machine, flow):
    played = machine.play(flow, [FOUND])
    body = json.loads(played.requests[0].body)
    body.pop("keys")
    assert body == {"indexName": "other", "returnData": False, "returnMetadata": False}
    assert played.seconds_left == [3.0]


def test_every_batch_is_asked_for_as_the_user_said(machine):
    flows = list(fetch_flows(machine.context(), map(str, range(101)), **ASKED))
    assert len(flows) == 2
    for flow in flows:
        assert_is_as_asked(machine, flow)


@pytest.mark.parametrize("is_async", [False, True])
async def test_every_batch_of_an_async_client_is_asked_for_as_the_user_said(machine, is_async):
    async def slowly():
        for number in range(101):
            yield str(number)

    keys = slowly() if is_async else map(str, range(101))
    flows = [flow async for flow in async_fetch_flows(machine.context(), keys, **ASKED)]
    assert len(flows) == 2
    for flow in flows:
        assert_is_as_asked(machine, flow)


def ahead_of(client, keys, how):
    """Return how many keys were read before the first vector of each hundred was yielded."""
    read, seen = [], []
    source = (read.append(key) or key for key in keys)
    if how == "sync":
        for number, _ in enumerate(client.stream(source)):
            if number % 100 == 0:
                seen.append(len(read) - number)
        return seen

    async def run():
        number = 0
        async with client.to_async() as other:
            async for _ in other.stream(source):
                if number % 100 == 0:
                    seen.append(len(read) - number)
                number += 1

    asyncio.run(run())
    return seen


@pytest.mark.parametrize(("how", "size"), [("sync", 30_000), ("async", 36_000)])
def test_what_is_read_ahead_is_bounded_in_bytes(how, size):
    names = [f"k{n}" for n in range(100)]
    keys = names * 12
    with OSSVectorClient.local(max_concurrency=4 if how == "async" else 8) as client:
        client.put_vector_index(dimension=1, non_filterable_metadata_keys=["t"])
        client.upsert({"key": key, "data": [1.0]} for key in names)
        small = ahead_of(client, keys, how)
        # it begins with half of the connections, and takes all when it has seen that it may
        most = client.config.max_concurrency * 100
        assert small[0] == most / 2
        assert max(small) == most
        client.upsert({"key": k, "data": [1.0], "metadata": {"t": "t" * size}} for k in names)
        large = ahead_of(client, keys, how)
        assert large[0] == most / 2
        assert max(large[3:]) <= 200


def test_no_more_threads_are_started_than_are_needed():
    helpers, free, done = Helpers(8), threading.Event(), threading.Event()
    try:
        helpers.offer([free.wait], 1)
        # one that is busy may have finished its task already, and takes the next
        helpers.offer([done.set], 1)
        assert len(helpers._threads) == 1
        helpers.offer([free.wait], 2)
        assert len(helpers._threads) == 2
        assert done.wait(10)
        helpers.offer([free.wait, free.wait])
        # the one that has finished takes one of them, if it has come to wait for the next already
        assert len(helpers._threads) in {3, 4}
    finally:
        free.set()
        helpers.close(10)


@pytest.mark.parametrize("metadata", [None, {}, {"a": 1}, {"t": "t" * 36_000}])
@pytest.mark.parametrize("connections", [1, 2, 8, 100])
def test_a_window_is_never_empty_nor_wider_than_the_connections(connections, metadata):
    window = ByteWindow(connections, BYTES_IN_THREADS)
    found = {f"k{n}": Vector(f"k{n}", [0.0] * 100, metadata) for n in range(100)}
    for by_key in ({}, found, {}):
        assert window.note(result := FetchResult(tuple(by_key), by_key)) is result
        assert min(connections, 2) <= window.size <= connections


def test_a_window_opens_again_behind_large_replies():
    window = ByteWindow(8, BYTES_IN_THREADS)
    large = {f"k{n}": Vector(f"k{n}", [0.0] * 4096) for n in range(100)}
    window.note(FetchResult(tuple(large), large))
    assert window.size == 2
    for _ in range(30):
        window.note(FetchResult((), {}))
    assert window.size == 8


def test_metadata_as_deep_as_json_is_read_do_not_end_a_stream():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    window = ByteWindow(8, BYTES_IN_THREADS)
    window.note(FetchResult(("a",), {"a": Vector("a", [0.0], {"deep": deep})}))
    assert window.size == 8
    while deep:  # or the collector would follow it to its end
        deep = deep.pop()
