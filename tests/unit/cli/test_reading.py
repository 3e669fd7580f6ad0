"""Reading commands beyond one call: Documents, neighbours of a key, files that are not there."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from support.command_line import call

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.cli.catalogue import SECTIONS
from oss_vector_retriever.records import ENVELOPE_KEYS, encode
from oss_vector_retriever.records.settings import ROW_FIELD, ROW_ID_FIELD, StoreSettings
from oss_vector_retriever.records.store import RecordStore

LARGE = "large " * 10_000


@pytest.fixture
def records(tmp_path):
    """Give the flags that lead to records of several writers, one of them broken, one in parts."""
    path = tmp_path / "records.db"
    store = RecordStore(StoreSettings())
    with OSSVectorClient.local(path, index="notes") as client:
        client.put_vector_index(dimension=2, non_filterable_metadata_keys=ENVELOPE_KEYS)
        plain = [
            {"key": "plain", "data": [1, 1], "metadata": {"text": "Plain.", "n": "1"}},
            {"key": "broken", "data": [0, 1], "metadata": {"_record": "{", "text": "Left."}},
            {"key": "bare", "data": [1, 0.5]},
        ]
        client.put_vectors([encode("own", [1, 0], text="Own.", metadata={"n": 1}), *plain])
        client.run(store.write, [store.encode("large", [1, 0.1], text=LARGE)])
    return ("--local", str(path), "--index-name", "notes")


def test_as_document_prints_what_a_retriever_returns(records):
    done = call("get-vectors", *records, "--keys", "own,gone,plain,large,bare", "--as-document")
    assert done.json == {
        "documents": [
            {"id": "own", "page_content": "Own.", "metadata": {"n": 1}},
            {"id": "plain", "page_content": "Plain.", "metadata": {"n": "1"}},
            {"id": "large", "page_content": LARGE, "metadata": {}},
            {"id": "bare", "page_content": "", "metadata": {}},
        ],
        "missing": ["gone"],
    }


TYPED = {
    "day": date(2024, 1, 2),
    "price": Decimal("1.50"),
    "seen": {1},
    "missing": math.nan,
    "huge": 2**70,
    "nested": {"at": datetime(2024, 1, 2, 3, tzinfo=UTC)},
}


@pytest.mark.parametrize("style", ["json", "jsonl", "yaml", "xml", "table"])
def test_values_that_json_lacks_are_printed_as_their_texts(records, style):
    store = RecordStore(StoreSettings())
    with OSSVectorClient.local(records[1], index="notes") as client:
        client.run(store.write, [store.encode("typed", [0.1, 0.3], text="", metadata=TYPED)])
    words = ("get-vectors", *records, "--key", "typed", "--as-document", "--return-data")
    printed = call(*words, "--output-format", style).output
    for text in ("2024-01-02", "1.50", "1180591620717411303424", "2024-01-02T03:00:00Z"):
        assert text in printed
    if style == "json":
        (found,) = json.loads(printed)["documents"]
        assert found["metadata"] == {
            "day": "2024-01-02",
            "price": "1.50",
            "seen": [1],
            "missing": None,
            "huge": 2**70,
            "nested": {"at": "2024-01-02T03:00:00Z"},
        }
        assert found["data"] == {"float32": [0.1, 0.3]}


def test_what_a_key_value_store_notes_for_itself_is_left_out(records):
    # as the retrievers do
    row = {ROW_FIELD: "documents", ROW_ID_FIELD: "x", "own": "1", "text": "Row."}
    with OSSVectorClient.local(records[1], index="notes") as client:
        client.put_vectors([{"key": "row", "data": [1, 2], "metadata": row}])
    (found,) = call("get-vectors", *records, "--key", "row", "--as-document").json["documents"]
    assert found["metadata"] == {"own": "1"}


def test_a_broken_record_spoils_no_other_and_says_what_is_wrong(records):
    done = call("get-vectors", *records, "--keys", "broken,plain", "--as-document")
    broken, plain = done.json["documents"]
    assert plain == {"id": "plain", "page_content": "Plain.", "metadata": {"n": "1"}}
    assert broken["page_content"] == "Left."
    assert broken["error"].startswith("_record cannot be read: it is not JSON")
    table = call(
        "get-vectors", *records, "--keys", "broken", "--as-document", "--output-format", "table"
    )
    assert "_record cannot be read" in " ".join(table.output.split())


def test_data_and_distance_stand_beside_a_document(records):
    (found,) = call(
        *("query-vectors", *records, "--query-vector", "[1, 0]", "--top-k", 1),
        *("--return-distance", "--as-document"),
    ).json["documents"]
    assert found == {
        "id": "own",
        "page_content": "Own.",
        "metadata": {"n": 1},
        "distance": pytest.approx(0, abs=1e-6),
    }
    (found,) = call("get-vectors", *records, "--key", "own", "--as-document", "--return-data").json[
        "documents"
    ]
    assert found["data"] == {"float32": [1.0, 0.0]}


def test_all_pages_of_documents_are_printed_line_by_line(records):
    page = call("list-vectors", *records, "--max-results", 2, "--as-document").json
    assert len(page["documents"]) == 2
    assert page["nextToken"]
    words = ("list-vectors", *records, "--max-results", 2, "--as-document", "--all")
    lines = call(*words, "--output-format", "jsonl").lines
    assert {line["id"] for line in lines} == {"own", "plain", "broken", "bare", "large"}
    whole = call(*words).json
    assert whole == {"documents": lines}


def test_a_query_picks_from_documents(records):
    words = ("--as-document", "--output-query", "documents[].page_content")
    assert call("get-vectors", *records, "--keys", "own,plain", *words).json == ["Own.", "Plain."]


def test_the_vector_of_a_key_finds_what_is_near_but_not_itself(records):
    words = ("query-vectors", *records, "--key", "own", "--top-k")
    near = [hit["key"] for hit in call(*words, 4).json["vectors"]]
    assert near == ["large", "bare", "plain", "broken"]
    assert [hit["key"] for hit in call(*words, 1).json["vectors"]] == ["large"]
    # the largest that is allowed cannot be one more
    assert len(call(*words, 500).json["vectors"]) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--key", "gone"], "--key: there is no vector 'gone'."),
        (["--key", "own", "--top-k", "0"], "--top-k must be a whole number from 1 to 500, not 0"),
        (["--key", "own", "--top-k", "501"], "--top-k must be a whole number from 1 to 500"),
        (["--key", ""], "--key"),
        ([], "give --query-vector, or --key for what is close to a stored one"),
        (["--key", "own", "--query-vector", "[1, 0]"], "give --query-vector, or --key"),
    ],
)
def test_a_key_to_search_by_that_cannot_be_is_a_wrong_use(records, words, said):
    done = call("query-vectors", *records, *words)
    assert (done.status, done.output) == (2, "")
    assert said in done.errors


MAKE = {"put-vector-index", "put-vector-index-fusion", "put-vector-bucket"}
VALUES = {
    "--vectors": '[{"key": "k", "data": [1, 2]}]',
    "--query-vector": "[1, 2]",
    "--keys": "k",
    "--body": "{}",
    "--bucket-logging-status": '{"LoggingEnabled": {"TargetBucket": "b"}}',
    "--schema-configuration": '{"fields": []}',
    "--index-name": "notes",
    "--dimension": "2",
    "--distance-metric": "cosine",
}
OTHERS = {
    "explain": ["k"],
    "doctor": [],
    "export": ["out.jsonl"],
    "invoke-operation": ["--op-name", "X", "--method", "GET", "--parameters", "x"],
}


def words_of(name):
    """Return a right use of a command, or nothing of one that has no service to ask."""
    for entry in (entry for entries in SECTIONS.values() for entry in entries):
        if entry.name == name and entry.operation is not None:
            flags = [flag.opts[0] for flag in entry.operation.flags]
            return [part for flag in flags if flag in VALUES for part in (flag, VALUES[flag])]
    return OTHERS.get(name)


NAMES = [entry.name for entries in SECTIONS.values() for entry in entries]


@pytest.mark.parametrize("name", [name for name in NAMES if words_of(name) is not None])
def test_a_file_that_is_not_there_is_made_only_by_what_makes_something(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mistyped.db"
    done = call(name, *words_of(name), "--local", path)
    assert path.exists() == (name in MAKE)
    if name not in MAKE:
        assert "cannot be opened: it is not there" in " ".join((done.errors + done.output).split())
        assert done.status in (1, 2)
        assert list(tmp_path.iterdir()) == []


def test_an_index_for_documents_hides_what_the_stores_write(tmp_path):
    local = ("--local", tmp_path / "x.db", "--index-name", "notes")
    metric = ("--dimension", 2, "--distance-metric", "cosine")
    done = call("put-vector-index", *local, *metric, "--for-documents",
                "--non-filterable-key", "body,_record")  # fmt: skip
    assert (done.status, done.errors) == (0, "")
    made = call("get-vector-index", *local).json["index"]
    assert made["metadata"] == {"nonFilterableMetadataKeys": ["body", "_record", "_record_text"]}
    (index,) = (
        check for check in call("doctor", *local, "--output-format", "json").json["checks"]
        if check["check"] == "index"
    )  # fmt: skip
    assert index["status"] == "ok"
    assert json.dumps(index).count("make another") == 0
