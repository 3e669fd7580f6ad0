"""Values of flags: on the command line, in a file, on standard input; and what cannot be read."""

import json

import pytest
from support.command_line import call

NEW = ("--dimension", "2", "--distance-metric", "cosine")
VECTORS = [{"key": "x", "data": {"float32": [5, 6]}, "metadata": {"é": "ü"}}]


def keys_of(call, stored):
    return call("list-vectors", *stored, "--output-query", "vectors[].key").json


def test_json_may_stand_in_a_file_or_come_from_stdin(stored, tmp_path):
    file = tmp_path / "vectors.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(VECTORS, ensure_ascii=False).encode())
    for value, stdin in ((f"file://{file}", None), ("-", json.dumps(VECTORS))):
        assert call("put-vectors", *stored, "--vectors", value, stdin=stdin).status == 0
        assert keys_of(call, stored) == ["a,b", "c", "x"]
        assert call("delete-vectors", *stored, "--keys", "x,y").status == 0
        assert keys_of(call, stored) == ["a,b", "c"]


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        (["--keys", "c,gone"], None),
        (["--keys", '["c", "gone"]'], None),
        (["--keys", "-"], "c\n\n gone \r\n"),
        (["--key", "c", "--key", "gone"], None),
        (["--keys", "c", "--key", "gone"], None),
    ],
)
def test_keys_come_in_several_forms(stored, words, stdin):
    found = call("get-vectors", *stored, *words, stdin=stdin).json
    assert found == {"vectors": [{"key": "c"}], "missing": ["gone"]}


def test_a_file_of_keys_keeps_commas(stored, tmp_path):
    (tmp_path / "keys.txt").write_text("a,b\n")
    found = call("get-vectors", *stored, "--keys", f"file://{tmp_path}/keys.txt").json
    assert found["vectors"] == [{"key": "a,b"}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["put-vectors", "--vectors", "[1,"], "it is not JSON"),
        (["put-vectors", "--vectors", "{}"], "it must be an array, not an object"),
        (["put-vectors", "--vectors", "file:///nowhere"], "cannot be read: No such file"),
        (["put-vectors", "--vectors", "[1]"], "a vector to put is an object"),
        (["put-vectors", "--vectors", '[{"key": "k"}]'], "vector 'k' has no data"),
        (["put-vectors"], "Missing option '--vectors'"),
        (["get-vectors", "--keys", '["c"'], "begins with"),
        (["query-vectors", "--query-vector", '{"x": 1}'], 'no array "float32"'),
        (["query-vectors", "--query-vector", "[1, 2]", "--filter", "[]"], "must be an object"),
        (["query-vectors", "--query-vector", "[1, 2]", "--top-k", "0"], "from 1 to"),
        (["put-vector-index", "--dimension", "x"], "'x' is not a valid integer"),
        (["put-vector-index", *NEW, "--metadata", '{"a": 1}'], "nonFilterable"),
        (["put-vector-index", *NEW, "--data-type", "int8"], "'int8' is not"),
        (["put-bucket-logging", "--bucket-logging-status", "{}"], "LoggingEnabled"),
        (["put-bucket-policy", "--body", '"x"'], "it must be an object, not a string"),
        (["delete-vector-index"], "Missing option '--index-name'"),
        (["list-vectors", "--timeout", "0"], "timeout must be a number of seconds above 0"),
    ],
)
def test_a_value_that_cannot_be_is_a_wrong_use(stored, words, said):
    local = stored if "index" not in words[0] and "bucket" not in words[0] else stored[:2]
    done = call(*words, *local)
    assert (done.status, done.output) == (2, "")
    assert said in done.errors


def test_a_file_that_is_not_utf8_is_named(stored, tmp_path):
    (tmp_path / "latin").write_bytes(b"\xff")
    done = call("put-vectors", *stored, "--vectors", f"file://{tmp_path}/latin")
    assert done.status == 2
    assert "is not UTF-8" in done.errors


def test_what_ossutil_calls_fields_can_be_given_either_way(stored):
    made = ("put-vector-index", *stored[:2], "--dimension", 3, "--distance-metric", "euclidean")
    names = '{"nonFilterableMetadataKeys": ["a", "b"]}'
    assert call(*made, "--index-name", "one", "--metadata", names).status == 0
    keys = ("--non-filterable-key", "a", "--non-filterable-key", "b")
    assert call(*made, "--index-name", "two", *keys).status == 0
    query = "indexes[].[indexName, distanceMetric, metadata.nonFilterableMetadataKeys]"
    assert call("list-vector-indexes", *stored[:2], "--output-query", query).json == [
        ["notes", "cosine", None],
        ["one", "euclidean", ["a", "b"]],
        ["two", "euclidean", ["a", "b"]],
    ]
