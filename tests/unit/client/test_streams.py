"""`stream`: an unbounded iterable of keys, read no further than asked."""

import itertools
import json

import pytest

from oss_vector_retriever import InvalidRequestError, Limits
from oss_vector_retriever.client.fetch import async_fetch_flows, fetch_flows
from oss_vector_retriever.client.models.messages import Reply

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
