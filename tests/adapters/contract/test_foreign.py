"""Records of other writers mean the same in both frameworks."""

import pytest
from support.foreign_records import CASES, by_llama_index, expected_metadata


@pytest.mark.parametrize("case", CASES)
def test_text_and_metadata_are_found(get, put, case):
    put({"k": CASES[case]()})
    [seen] = get("k")
    assert (seen.key, seen.text) == ("k", "hello")
    assert seen.metadata == expected_metadata(case)


def test_the_key_is_the_id_whatever_the_record_says_of_itself(get, put):
    put({"k": by_llama_index("hello", {"id": "another", "_id": "a third"})})
    [seen] = get("k")
    assert seen.key == "k"
    assert seen.metadata == {"id": "another", "_id": "a third"}


def test_a_field_can_be_named_that_holds_the_text(get, put):
    put({"k": {"body": "hello", "text": "a summary"}})
    [seen] = get("k", text_key="body")
    assert (seen.text, seen.metadata) == ("hello", {"text": "a summary"})
    [seen] = get("k")
    assert (seen.text, seen.metadata) == ("a summary", {"body": "hello"})


def test_a_record_without_text_has_empty_text_and_all_its_metadata(get, put):
    put({"k": {"title": "only this"}})
    [seen] = get("k")
    assert (seen.text, seen.metadata) == ("", {"title": "only this"})


def test_a_record_without_metadata_comes_back(get, client):
    client.put_vectors([{"key": "k", "data": [1, 2, 3, 4]}])
    [seen] = get("k")
    assert (seen.key, seen.text, seen.metadata) == ("k", "", {})


def test_each_record_of_one_answer_is_read_by_itself(get, put):
    put({name: make() for name, make in CASES.items()})
    seen = get("\n".join(CASES))
    assert [(one.key, one.text) for one in seen] == [(name, "hello") for name in CASES]
