"""What was asked for comes back: in order, all of it, and in no more calls than it needs."""

import random

import pytest

from oss_vector_retriever.client.errors import MissingKeysError
from oss_vector_retriever.records import query_of


def keys_of(seen):
    return [one.key for one in seen]


def test_results_come_in_the_order_asked(get, put):
    keys = [f"key {n}" for n in range(30)]
    put(keys)
    random.Random(3).shuffle(keys)
    seen = get(query_of(keys))
    assert keys_of(seen) == keys
    assert [one.text for one in seen] == [f"text of {key}" for key in keys]
    assert [one.metadata for one in seen] == [{"of": key} for key in keys]


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 1), (100, 1), (101, 2), (1000, 10)])
def test_any_number_of_keys_takes_one_call_a_hundred(get, put, service, count, calls):
    keys = [f"k{n}" for n in range(count)]
    put(keys)
    assert keys_of(get(query_of(reversed(keys)))) == keys[::-1]
    assert len(service.gets) == calls
    assert sorted(key for asked in service.gets for key in asked) == sorted(keys)


def test_a_repeated_key_is_answered_each_time_unless_the_framework_drops_it(get, put, face):
    put(["a", "b"])
    found = keys_of(get("a\nb\na\na"))
    assert found == (["a", "b", "a", "a"] if face.answers_duplicates else ["a", "b"])


def test_a_repeated_key_crosses_the_network_once(get, put, service):
    put(["a", "b"])
    get(query_of(["a", "b"] * 300))
    assert [sorted(asked) for asked in service.gets] == [["a", "b"]]


def test_missing_keys_are_left_out(get, put):
    put(["a", "b"])
    assert keys_of(get("gone\na\ngone too\nb\ngone")) == ["a", "b"]


def test_nothing_comes_back_where_all_keys_are_missing(get):
    assert get("gone\ngone too") == []


def test_missing_keys_are_raised_when_asked_for(get, put):
    put(["a"])
    with pytest.raises(MissingKeysError) as caught:
        get("gone\na\nlost\ngone", on_missing="raise")
    assert caught.value.missing == ("gone", "lost")


def test_nothing_is_raised_where_no_key_is_missing(get, put):
    put(["a"])
    assert keys_of(get("a", on_missing="raise")) == ["a"]


def test_an_unknown_policy_is_refused_when_the_retriever_is_made(face, client):
    with pytest.raises(ValueError, match="omit"):
        face.retriever(client, on_missing="rise")
    with pytest.raises(ValueError, match="skip"):
        face.retriever(client, on_decode_error="ignore")


def test_another_index_than_the_clients_own_can_be_named(get, put, client):
    client.put_vector_index(index="other", dimension=4)
    put(["a"])
    put({"a": {"text": "from the other index"}}, index="other")
    assert [one.text for one in get("a", index="other")] == ["from the other index"]
    assert [one.text for one in get("a")] == ["text of a"]
