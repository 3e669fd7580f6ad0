"""Order, duplicates and missing keys, against a server that shuffles, collapses and leaves out."""

import random
from collections import Counter

import pytest
from support.calls import run, settings
from support.replies import data_of
from support.vector_server import VectorServer

pytestmark = pytest.mark.usefixtures("library")

SEED = 41
STORED = [f"key-{n}" for n in range(9_000)]
ABSENT = [f'absent, or\teins-é 🔑 "-{n}' for n in range(1_000)]


def asked_for(distinct, dice):
    """Return that many distinct keys, a tenth of them absent, in random order, some repeated."""
    absent = distinct // 10
    keys = dice.sample(STORED, distinct - absent) + dice.sample(ABSENT, absent)
    dice.shuffle(keys)
    repeated = dice.choices(keys, k=distinct // 5) if keys else []
    for key in repeated:
        keys.insert(dice.randrange(len(keys)), key)
    return keys


def check(result, keys, server):
    stored = set(STORED)
    assert [vector.key for vector in result] == [key for key in keys if key in stored]
    assert all(vector.data.tolist() == data_of(vector.key) for vector in result)
    assert all(vector.metadata == {"name": vector.key} for vector in result)
    assert result.missing == tuple(key for key in dict.fromkeys(keys) if key not in stored)
    assert [vector and vector.key for vector in result.aligned()] == [
        key if key in stored else None for key in keys
    ]
    sent = Counter(key for call in server.calls for key in call)
    assert sent == Counter(set(keys))
    assert all(len(call) <= 100 for call in server.calls)
    assert result.calls == len(server.calls) == -(-len(set(keys)) // 100)


@pytest.mark.parametrize("distinct", [0, 1, 100, 101, 10_000])
def test_every_key_is_answered_in_order_and_sent_once(distinct, mode, measurement):
    keys = asked_for(distinct, random.Random(SEED))
    with VectorServer(STORED, seed=SEED, delay=lambda: 0.01) as server:
        options = settings(server.endpoint, max_concurrency=8)
        (result,) = run(mode, options, lambda client: client.fetch(keys))
    check(result, keys, server)
    if distinct == 10_000:
        measurement(
            f"seed {SEED}: {len(keys)} keys, {server.most_in_hand} requests in flight at once"
        )
        assert 4 <= server.most_in_hand <= 8
        assert server.connections <= 8


def test_what_matches_nothing_is_missing_and_no_error(mode):
    with VectorServer([]) as server:
        (result,) = run(mode, settings(server.endpoint), lambda client: client.fetch(ABSENT[:150]))
    assert list(result) == []
    assert result.missing == tuple(ABSENT[:150])


@pytest.mark.parametrize("width", [1, 3])
def test_no_more_requests_are_in_flight_than_allowed(width, mode):
    with VectorServer(STORED, delay=lambda: 0.01) as server:
        options = settings(server.endpoint, max_concurrency=width)
        run(mode, options, lambda client: client.fetch(STORED[:2_000]))
    assert server.most_in_hand == width
    assert server.connections == width


def test_calls_of_get_vectors_bring_what_was_asked_for_and_no_more(mode):
    keys = STORED[:3]
    with VectorServer(STORED) as server:
        bare, whole = run(
            mode,
            settings(server.endpoint),
            lambda client: client.get_vectors(keys),
            lambda client: client.get_vectors(keys, return_data=True, return_metadata=True),
        )
    assert [(vector.data, vector.metadata) for vector in bare] == [(None, None)] * 3
    assert sorted(vector.key for vector in whole) == keys
    assert all(vector.data.tolist() == data_of(vector.key) for vector in whole)


def streamed(mode, keys, **options):
    """Return work that lists a stream on either client."""

    async def listed(client):
        return [vector.key async for vector in client.stream(keys, **options)]

    def listed_blocking(client):
        return [vector.key for vector in client.stream(keys, **options)]

    return listed if mode == "async" else listed_blocking


def test_a_stream_keeps_the_order_and_reads_no_further_than_it_must(mode):
    read = []

    def watched():
        for key in STORED[:3_050]:
            read.append((key, len(server.calls)))
            yield key

    with VectorServer(STORED, delay=lambda: 0.005) as server:
        options = settings(server.endpoint, max_concurrency=4)
        (keys,) = run(mode, options, streamed(mode, watched()))
    assert keys == STORED[:3_050]
    assert server.most_in_hand <= 4
    assert all(place // 100 - calls <= 5 for place, (_, calls) in enumerate(read))
