"""`k`: at most so many results, and no more calls than they need."""

import pytest

from oss_vector_retriever.client.errors import MissingKeysError
from oss_vector_retriever.records import DecodeError, query_of

BROKEN = {"_record": "{", "_record_text": "lost"}


def keys_of(seen):
    return [one.key for one in seen]


def test_k_takes_the_first_of_what_was_asked_for(get, put):
    put(["a", "b", "c"])
    assert keys_of(get("c\nb\na", k=2)) == ["c", "b"]


def test_k_above_what_was_asked_for_changes_nothing(get, put):
    put(["a", "b"])
    assert keys_of(get("a\nb", k=50)) == ["a", "b"]


@pytest.mark.parametrize(("k", "calls"), [(1, 1), (100, 1), (150, 2), (1000, 10)])
def test_keys_beyond_k_are_not_fetched(get, put, service, k, calls):
    keys = [f"k{n}" for n in range(1000)]
    put(keys)
    assert keys_of(get(query_of(keys), k=k)) == keys[:k]
    assert len(service.gets) == calls


def test_missing_keys_do_not_count(get, put, service):
    put(["a", "b", "c"])
    keys = [*(f"gone {n}" for n in range(150)), "a", "b", "c"]
    assert keys_of(get(query_of(keys), k=2)) == ["a", "b"]
    assert len(service.gets) == 2


def test_unreadable_records_do_not_count(get, put):
    put({"a": {"text": "a"}, "broken": BROKEN, "b": {"text": "b"}, "c": {"text": "c"}})
    assert keys_of(get("broken\na\nb\nc", k=2, on_decode_error="skip")) == ["a", "b"]


def test_a_record_beyond_k_is_not_read(get, put):
    put({"a": {"text": "a"}, "broken": BROKEN})
    assert keys_of(get("a\nbroken", k=1)) == ["a"]
    with pytest.raises(DecodeError, match="broken"):
        get("a\nbroken", k=2)


def test_missing_keys_are_raised_with_k_too(get, put):
    put(["a"])
    with pytest.raises(MissingKeysError):
        get("a\ngone", k=5, on_missing="raise")


@pytest.mark.parametrize("k", [0, -1, 1.5, "many"])
def test_an_impossible_k_is_refused_when_the_retriever_is_made(face, client, k):
    with pytest.raises(ValueError, match="k"):
        face.retriever(client, k=k)
