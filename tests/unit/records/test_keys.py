"""Keys in a query string: a JSON array, or one a line, and no guessing."""

import pytest

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.records import parse_keys, query_of


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("", []),
        (" \t\r\n\n", []),
        ("one", ["one"]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("\n  a \n\n\tb\t\n", ["a", "b"]),
        ("a,b", ["a,b"]),
        ("a b\tc", ["a b\tc"]),
        ("b\na\nb", ["b", "a", "b"]),
        ("plain\n[draft]", ["plain", "[draft]"]),
        ("doc]", ["doc]"]),
        ('{"a": 1}', ['{"a": 1}']),
        ("a\u2028b\x0bc\x85d", ["a\u2028b\x0bc\x85d"]),
        ("\u3000wide\u00a0", ["\u3000wide\u00a0"]),
        ("[]", []),
        ('["a", "b,c", "[d]", " e ", "f\\ng", ""]', ["a", "b,c", "[d]", " e ", "f\ng", ""]),
        (' \n ["a",\n "b"] \n', ["a", "b"]),
        ('["\\u00fc"]', ["ü"]),
    ],
)
def test_a_query_names_its_keys(query, keys):
    assert parse_keys(query) == keys


@pytest.mark.parametrize(
    "query", ["[", "[draft] 1", "['a']", '["a"', '["a"] b', '["a",]', "[NaN x"]
)
def test_a_query_that_begins_with_a_bracket_must_be_a_json_array(query):
    with pytest.raises(InvalidRequestError, match="goes into a JSON array") as caught:
        parse_keys(query)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("query", "position", "kind"),
    [
        ('["a", 5]', 1, "int"),
        ("[null]", 0, "NoneType"),
        ('["a", "b", ["c"]]', 2, "list"),
        ("[true]", 0, "bool"),
        ("[{}]", 0, "dict"),
    ],
)
def test_a_key_in_the_array_that_is_not_a_string_is_named_by_position(query, position, kind):
    with pytest.raises(InvalidRequestError, match=f"position {position} .*{kind}"):
        parse_keys(query)


def test_100_000_nested_arrays_are_refused():
    with pytest.raises(InvalidRequestError):
        parse_keys("[" * 100_000)


@pytest.mark.parametrize("query", [None, 5, ["a"], b"a"])
def test_a_query_that_is_not_a_string_is_refused(query):
    with pytest.raises(InvalidRequestError, match="a query of keys is a string"):
        parse_keys(query)


def test_a_lone_surrogate_in_an_array_is_refused():
    with pytest.raises(InvalidRequestError):
        parse_keys('["\ud800"]')


def test_query_of_always_writes_the_array():
    assert query_of([]) == "[]"
    assert query_of(["a"]) == '["a"]'
    assert query_of(key for key in ("ü", "a\nb")) == '["ü", "a\\nb"]'


def test_query_of_refuses_one_string_and_keys_that_are_not_strings():
    with pytest.raises(InvalidRequestError, match="put a single one into a list"):
        query_of("abc")
    with pytest.raises(InvalidRequestError, match="position 1"):
        query_of(["a", 5])
