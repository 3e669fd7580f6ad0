"""Values of flags: on the command line, in a file, on standard input; and what cannot be read."""

import json
import re

import pytest
from support.command_line import call

from oss_vector_retriever.cli.catalogue import LEVELS
from oss_vector_retriever.emulator import Service

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


def listed(words, flag, values):
    return (*words, *(part for value in values for part in (flag, value)))


@pytest.mark.parametrize("prefix", [(), ("vectors-api",)])
@pytest.mark.parametrize(
    "values",
    [
        ["a", "c"],
        ["a,c"],
        ['["a", "c"]'],
        ["a", '["c"]'],
        ["FILE", "c"],
        ["FILE", "-"],
        ['["a"]', "-"],
    ],
)
def test_keys_given_again_are_added(stored, tmp_path, prefix, values):
    (tmp_path / "keys.txt").write_text("a\n")
    given = [value.replace("FILE", f"file://{tmp_path}/keys.txt") for value in values]
    one = '[{"key": "a", "data": {"float32": [1, 1]}}]'
    assert call("put-vectors", *stored, "--vectors", one).status == 0
    words = listed((*prefix, "get-vectors", *stored), "--keys", given)
    found = call(*words, stdin="c\n").json
    assert found == {"vectors": [{"key": "a"}, {"key": "c"}], "missing": []}
    words = listed((*prefix, "delete-vectors", *stored), "--keys", given)
    assert call(*words, stdin="c\n").status == 0
    assert keys_of(call, stored) == ["a,b"]


def test_vectors_given_again_are_added(stored, tmp_path):
    (tmp_path / "x.json").write_text(json.dumps(VECTORS))
    more = '[{"key": "y", "data": {"float32": [1, 1]}}]'
    words = listed(("put-vectors", *stored), "--vectors", [f"file://{tmp_path}/x.json", more, "[]"])
    assert call(*words).status == 0
    assert keys_of(call, stored) == ["a,b", "c", "x", "y"]
    done = call(*listed(("put-vectors", *stored), "--vectors", [more, more]))
    assert (done.status, done.output) == (2, "")
    assert "'y'" in done.errors


def test_names_of_fields_given_again_are_added(stored):
    words = ("vectors-api", "put-vector-index", *stored[:2], "--index-name", "made")
    names = ["a,b", '["c"]', "d"]
    assert call(*listed(words, "--non-filterable-key", names)).status == 0
    query = "index.metadata.nonFilterableMetadataKeys"
    shown = ("get-vector-index", *stored[:2], "--index-name", "made", "--output-query", query)
    assert call(*shown).json == ["a", "b", "c", "d"]


def test_clauses_of_a_fusion_query_given_again_are_added(stored, monkeypatch):
    sent = []
    handle = Service.handle

    def record(self, request):
        sent.append(json.loads(request.body))
        return handle(self, request)

    monkeypatch.setattr(Service, "handle", record)
    clause = {"field": "v", "queryVector": [0.5], "topK": 1}
    words = ("query-vectors-fusion", *stored, "--partition-keys", "p,q", "--partition-keys", "r")
    words = listed(words, "--sort", ['[{"a": {"order": "asc"}}]', '[{"b": {"order": "desc"}}]'])
    words = listed(words, "--return-metadata-fields", ["m", '["n"]'])
    for clauses, expected in (
        ([clause], clause),
        ([clause, [clause]], [clause, clause]),
        ([[clause]], [clause]),
    ):
        sent.clear()
        assert call(*listed(words, "--knn", map(json.dumps, clauses))).status == 1  # no Fusion here
        assert sent[0]["knn"] == expected
        assert sent[0]["partitionKeys"] == ["p", "q", "r"]
        assert sent[0]["returnMetadataFields"] == ["m", "n"]
        assert sent[0]["sort"] == [{"a": {"order": "asc"}}, {"b": {"order": "desc"}}]


def test_standard_input_is_read_once(stored):
    done = call("put-vectors", *stored, "--vectors", "-", "--vectors", "-", stdin="[]")
    assert (done.status, done.output) == (2, "")
    assert "'--vectors': standard input is read already" in done.errors


def test_of_a_flag_that_is_no_list_the_last_one_counts(stored):
    found = call("get-vector-index", *stored, "--index-name", "no", "--index-name", "notes")
    assert found.json["index"]["indexName"] == "notes"


@pytest.mark.parametrize(
    "given", [[], ["--dimension", "2"], ["--distance-metric", "cosine"]], ids=str
)
def test_an_index_is_made_with_what_cannot_be_changed_later_or_not_at_all(stored, given):
    done = call("put-vector-index", *stored[:2], "--index-name", "new", *given)
    assert (done.status, done.output) == (2, "")
    for said in ("--dimension N", "--distance-metric cosine|euclidean", "changed later"):
        assert said in done.errors
    assert call("get-vector-index", *stored[:2], "--index-name", "new").status == 1


def test_vectors_api_makes_an_index_with_ossutil_s_defaults(stored):
    made = (*stored[:2], "--index-name", "new")
    assert call("vectors-api", "put-vector-index", *made).status == 0
    index = call("vectors-api", "get-vector-index", *made).json["index"]
    assert (index["dimension"], index["distanceMetric"]) == (512, "euclidean")


def test_help_says_which_defaults_an_index_has():
    asked = " ".join(call("put-vector-index", "--help").output.split())
    assert asked.count("cannot be changed later. There is no default.") == 2
    assert "default: 512" not in asked
    assumed = " ".join(call("vectors-api", "put-vector-index", "--help").output.split())
    assert "cannot be changed later. [default: 512]" in assumed
    assert "cannot be changed later. [default: euclidean]" in assumed


def test_help_is_asked_for_as_ossutil_has_it():
    for words in ((), ("vectors-api",), ("vectors-api", "get-vectors"), ("import",)):
        assert call(*words, "-h").output == call(*words, "--help").output


def test_vectors_api_has_every_command_of_the_service_and_no_other():
    service = {name for name, level in LEVELS.items() if level}
    shown = call("vectors-api", "--help").output
    for name in [re.sub(r"(?<=.)(?=[A-Z])", "-", name).lower() for name in service]:
        assert f"  {name} " in shown
    for name in ("import", "doctor", "vectors-api"):
        done = call("vectors-api", name)
        assert done.status == 2
        assert "No such command" in done.errors


def test_a_page_of_nothing_is_the_service_s_own_size(stored):
    assert call("list-vector-indexes", *stored[:2], "--max-results", "0").status == 0


SECRET = "canaryCANARY0123456789abcdefgh"


@pytest.mark.parametrize(
    "words",
    [
        ["-i", SECRET],
        ["-k", SECRET],
        [f"-k{SECRET}"],
        ["-t", SECRET],
        ["--access-key-id", SECRET],
        [f"--access-key-secret={SECRET}"],
        ["--sts-token", SECRET],
        ["-c", "/etc/config"],
        ["--config-file", "/etc/config"],
        ["--profile", "work"],
    ],
    ids=str,
)
@pytest.mark.parametrize("prefix", [(), ("vectors-api",)])
def test_keys_and_ossutil_s_configuration_are_refused_with_a_remedy(stored, prefix, words):
    done = call(*prefix, "get-vectors", *stored, "--keys", "c", *words)
    assert (done.status, done.output) == (2, "")
    assert "OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET" in done.errors
    assert "--credentials chain" in done.errors
    assert SECRET not in done.errors


def test_a_bucket_is_made_in_a_resource_group_with_tags(tmp_path):
    here = ("--bucket", "groups", "--local", str(tmp_path / "groups.db"))
    tags = ("--bucket-tagging", "Team=search&Stage=a%26b")
    assert call("put-vector-bucket", *here, "--resource-group-id", "rg-1", *tags).status == 0
    assert call("get-vector-bucket", *here).json["BucketInfo"]["ResourceGroupId"] == "rg-1"
    for group, count in (("rg-1", 1), ("rg-2", 0)):
        found = call("list-vector-buckets", *here, "--resource-group-id", group).json
        assert len(found["ListAllMyBucketsResult"]["Buckets"]) == count


@pytest.mark.parametrize("tags", ["Team", "Team=a&Team=b", "=&"])
def test_what_is_no_tags_is_refused(tmp_path, tags):
    done = call("put-vector-bucket", "--local", str(tmp_path / "x.db"), "--bucket-tagging", tags)
    assert done.status == 2
    assert "--bucket-tagging" in done.errors
