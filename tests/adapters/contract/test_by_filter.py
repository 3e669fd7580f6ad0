"""Records read and deleted by filter: what does not pass is neither, whatever the service does."""

import random

import pytest
from support.promises import sized
from support.store_faces import STORES, Given

from oss_vector_retriever import emulator
from oss_vector_retriever.client.errors import InvalidRequestError

RED = [("tag", "==", "red")]


@pytest.fixture(params=["honoured", "ignored", "refused"])
def behaviour(request):
    return emulator.Behaviour(list_filter=request.param, omit_empty_vectors=True)


@pytest.fixture(params=STORES)
def make(request, client):
    """Give a function that makes a store of given settings on the client."""
    return lambda **options: STORES[request.param](client, **options)


@pytest.fixture
def store(make):
    """Give a store of six records, of which two are red."""
    store = make()
    tags = ["red", "green", "red", "blue", None, "redder"]
    store.add(
        [
            Given(f"k{n}", "text", {} if tag is None else {"tag": tag, "size": n})
            for n, tag in enumerate(tags)
        ]
    )
    return store


def left(store):
    return sorted(store.where(None))


def test_those_that_pass_are_read(store):
    assert sorted(store.where(RED)) == ["k0", "k2"]
    assert store.where(RED, ["k2", "k1", "gone", "k2"]) == ["k2", "k2"]
    assert left(store) == [f"k{n}" for n in range(6)]


def test_those_that_pass_are_deleted_and_no_others(store):
    store.delete_where(RED)
    assert left(store) == ["k1", "k3", "k4", "k5"]
    store.delete_where(RED)
    assert left(store) == ["k1", "k3", "k4", "k5"]


def test_of_the_keys_that_are_named_those_that_pass_are_deleted(store):
    store.delete_where(RED, ["k1", "k2", "gone"])
    assert left(store) == ["k0", "k1", "k3", "k4", "k5"]


def test_a_field_that_has_no_copy_counts_all_the_same(make):
    store = make(filterable=())
    store.add([Given(f"k{n}", "text", {"tag": "red" if n % 2 else "green"}) for n in range(4)])
    store.delete_where(RED)
    assert left(store) == ["k0", "k2"]


@pytest.mark.parametrize("where", [[("tag", "nin", [])], [("size", "nin", []), ("tag", "nin", [])]])
def test_a_filter_that_restricts_nothing_deletes_nothing(store, where):
    with pytest.raises(InvalidRequestError):
        store.delete_where(where)
    assert len(left(store)) == 6


def test_an_empty_list_of_what_may_be_deletes_nothing_without_a_call(store, operations):
    store.delete_where([("tag", "in", [])])
    assert store.where([("tag", "in", [])]) == []
    assert operations == []


@pytest.mark.parametrize("seed", range(sized(1, 20)))
def test_random_records_are_deleted_as_a_plain_list_has_it(make, seed):
    dice = random.Random(seed)
    store = make(filterable=dice.choice([["tag"], [], None]))
    records = [
        Given(f"k{n:02}", "text", {"tag": dice.choice("abc"), "size": dice.randrange(4)})
        for n in range(20)
    ]
    store.add(records)
    while records:
        tag, size = dice.choice("abc"), dice.randrange(4)
        if dice.random() < 0.5:
            where, kept = [("tag", "==", tag)], [one.metadata["tag"] != tag for one in records]
        else:
            where = [("tag", "!=", tag), ("size", "<=", size)]
            kept = [one.metadata["tag"] == tag or one.metadata["size"] > size for one in records]
        store.delete_where(where)
        records = [one for one, stays in zip(records, kept, strict=True) if stays]
        assert left(store) == [one.key for one in records]
