r"""The query: a JSON array of keys, or one key a line, and nothing is guessed."""

import pytest

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.records import query_of

ODD_KEYS = [
    "a,b",
    "a, b; c",
    "two words",
    "日本語/キー",
    "naïve café",
    "🜚",
    '"quoted"',
    "back\\slash",
    "tab\tinside",
    "{}",
    "ends with ]",
]
ONLY_IN_ARRAYS = ["[draft] 1", " leading blank", "trailing blank ", "two\nlines", "["]


def keys_of(seen):
    return [one.key for one in seen]


@pytest.mark.parametrize("query", ["", "  \n\t\r\n ", "[]", " [ ] "])
def test_a_query_without_keys_gives_nothing_and_makes_no_call(get, service, query):
    assert get(query) == []
    assert service.gets == []


def test_any_key_goes_into_a_json_array(get, put):
    keys = ODD_KEYS + ONLY_IN_ARRAYS
    put(keys)
    assert keys_of(get(query_of(keys))) == keys


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_key_a_line(get, put, end):
    put(ODD_KEYS)
    assert keys_of(get(end.join(ODD_KEYS) + end)) == ODD_KEYS


def test_blank_lines_and_blanks_around_a_line_do_not_count(get, put):
    put(["a", "b"])
    assert keys_of(get("\r\n  a \n\n\tb\r\n")) == ["a", "b"]


@pytest.mark.parametrize("query", ["[draft] 1", '["a"', "[1, 2]", '["a", null]', "[[]]"])
def test_a_broken_array_is_refused_before_any_call(get, service, query):
    with pytest.raises(InvalidRequestError):
        get(query)
    assert service.gets == []


@pytest.mark.parametrize(
    "keys", [["a", "k" * 1025], ["", "a"], [*(str(n) for n in range(150)), ""]]
)
def test_an_illegal_key_is_refused_before_any_call_whatever_k_is(get, service, keys):
    for k in (None, 1):
        with pytest.raises(InvalidRequestError, match="1 to 1024 characters"):
            get(query_of(keys), k=k)
    assert service.gets == []


def test_a_parser_of_ones_own_replaces_both_forms(get, put):
    put(["a", "b"])
    assert keys_of(get("b;a", key_parser=lambda query: query.split(";"))) == ["b", "a"]


def test_a_parser_may_give_any_iterable_of_keys(get, put):
    put(["a", "b"])
    assert keys_of(get("b;a", key_parser=lambda query: iter(query.split(";")))) == ["b", "a"]


def test_a_parser_that_gives_one_string_is_refused_not_taken_for_its_letters(get, put, service):
    put(["a", "b"])
    with pytest.raises(InvalidRequestError, match=r"pass \[key\]"):
        get("ab", key_parser=lambda query: query)
    assert service.gets == []
