"""Import of what other programs wrote: gzip, pages of listings, and lines of other stores."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command_line import call

PINECONE = {"id": "a", "values": [1, 2], "metadata": {"t": "x"}}
QDRANT = {"id": 7, "vector": [1, 2], "payload": {"t": "x"}}
NAMED = {"id": 7, "vector": {"text": [1, 2]}, "payload": {"t": "x"}}


@pytest.fixture
def importing(index, tmp_path):
    """Give what writes lines to a file and imports it into an index that it makes."""

    def run(*items, name="x.jsonl", words=(), pack=bytes):
        text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in items)
        (tmp_path / name).write_bytes(pack(text.encode()))
        return call("import", tmp_path / name, *index.flags, "--create-index", *words)

    return run


@pytest.mark.parametrize(
    "case",
    [
        (PINECONE, "no 'key' and no 'data'; it has 'id', 'values', 'metadata'",
         "--key-field id --data-field values", "a"),
        (QDRANT, "no 'key' and no 'data'; it has 'id', 'vector', 'payload'",
         "--key-field id --data-field vector --metadata-field payload", "7"),
        (NAMED, "no 'key' and no 'data'; it has 'id', 'vector', 'payload'",
         "--key-field id --data-field vector.text --metadata-field payload", "7"),
        ({"key": "a", "embedding": [1, 2], "metadata": {"t": "x"}},
         "no 'data'; it has 'key', 'embedding', 'metadata'", "--data-field embedding", "a"),
        ({"pk": "a", "data": {"float32": [1, 2]}, "metadata": {"t": "x"}},
         "no 'key'; it has 'pk', 'data', 'metadata'", "--key-field pk", "a"),
    ],
)  # fmt: skip
def test_lines_of_other_stores_are_taken_with_the_flags_that_the_refusal_names(
    importing, index, case
):
    item, said, flags, key = case
    refused = importing(item)
    assert refused.status == 2
    assert f"x.jsonl, line 1: it has {said}: {flags}\n" in f"{refused.errors}\n"
    taken = importing(item, words=flags.split())
    assert taken.status == 0, taken.errors
    assert index.contents() == [(key, np.array([1, 2], np.float32).tobytes(), {"t": "x"})]


def test_of_several_named_vectors_each_is_named(importing):
    sparse = {"indices": [1], "values": [0.5]}
    item = {**QDRANT, "vector": {"text": [1, 2], "words": sparse, "image": [3, 4]}}
    assert "--data-field vector.text or vector.image " in importing(item).errors
    assert importing(item, words=["--key-field", "id", "--data-field", "vector.image"]).status == 0


def test_a_line_that_lacks_what_nobody_can_guess_is_told_the_flags(importing):
    done = importing({"name": "a", "numbers": [1]})
    assert "--key-field and --data-field name them" in done.errors
    done = importing({"name": "a"}, words=("--key-field", "nom", "--data-field", "nombres"))
    assert "it has no 'nom' and no 'nombres'; it has 'name'" in done.errors


def test_a_key_that_is_a_number_is_taken_only_where_its_field_is_named(importing):
    assert "a key must be a string" in importing({"key": 5, "data": [1, 2]}).errors
    assert "a key must be a string" in importing(
        {"id": True, "data": [1, 2]}, words=("--key-field", "id")
    ).errors  # fmt: skip


def test_other_fields_are_another_import(importing, index):
    two = {"key": "a", "one": [1, 2], "other": [3, 4]}
    assert importing(two, words=("--data-field", "one")).status == 0
    assert "1 vector written" in importing(two, words=("--data-field", "other")).errors
    assert index.contents()[0][1] == np.array([3, 4], np.float32).tobytes()


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.ndjson.GZ", "named-otherwise.jsonl"])
def test_gzip_is_read_whatever_it_is_called(importing, index, name):
    lines = [{"key": f"k{number:03}", "data": [number, 1]} for number in range(1, 300)]
    done = importing(*lines, name=name, words=("--batch", 50), pack=gzip.compress)
    assert f"{name}: 299 lines, 299 vectors written" in done.errors
    assert len(index.contents()) == 299
    again = importing(*lines, {"key": "new", "data": [1, 1]}, name=name, pack=gzip.compress)
    assert "300 lines (299 of them before), 1 vector written" in again.errors


def test_gzip_that_is_cut_off_is_named_and_imported_as_far_as_it_goes(importing, index):
    lines = [{"key": f"k{number}", "data": [number, 1]} for number in range(1, 3000)]
    done = importing(*lines, name="x.jsonl.gz", pack=lambda text: gzip.compress(text)[:-2000])
    assert done.status == 2
    assert "x.jsonl.gz is damaged, or cut off: it is no whole gzip" in done.errors
    there = len(index.contents())
    assert f"{there:,} lines are imported; the same command again goes on" in done.errors
    assert 1000 < there < 2999
    whole = importing(*lines, name="x.jsonl.gz", pack=gzip.compress)
    assert f"2,999 lines ({there:,} of them before)" in whole.errors
    assert len(index.contents()) == 2999
    broken = importing(name="y.jsonl.gz", pack=lambda _: b"\x1f\x8bno gzip at all")
    assert "y.jsonl.gz is damaged, or cut off" in broken.errors


@pytest.mark.parametrize("words", [(), ("--format", "jsonl")])
def test_gzip_is_not_written_and_of_nothing_but_lines(index, tmp_path, words):
    done = call("export", tmp_path / "x.jsonl.gz", *index.flags, *words)
    assert done.status == 2
    assert f"export to {tmp_path / 'x.jsonl'}, then gzip it" in done.errors
    (tmp_path / "x.npy.gz").write_bytes(b"")
    done = call("import", tmp_path / "x.npy.gz", *index.flags)
    assert "gzip is read of JSON lines alone" in done.errors


@pytest.mark.parametrize("shape", ["a line", "lines", "indented", "an array", "jsonl"])
def test_what_list_vectors_prints_is_imported(importing, index, shape):
    pages, listed = [], []
    for number in (0, 10):
        vectors = [{"key": f"k{number + n}", "data": [n + 1, 1], "metadata": {"t": "x"}}
                   for n in range(3)]  # fmt: skip
        assert importing(*vectors, name=f"{number}.jsonl").status == 0
    token = ()
    for _ in range(3):
        words = ("--return-data", "--return-metadata", "--max-results", 2, *token)
        page = call("list-vectors", *index.flags, *words).json
        pages.append(page)
        listed += page["vectors"]
        token = ("--next-token", page.get("nextToken"))
    expected = index.contents()
    text = {
        "a line": [{"vectors": listed}],
        "lines": pages,
        "indented": [json.dumps({"vectors": listed}, indent=2)],
        "an array": [json.dumps(listed, indent=1)],
        "jsonl": listed,
    }[shape]
    with index.opened() as client:
        client.delete([vector["key"] for vector in listed])
    done = importing(*text, name="page.json")
    unit = "lines" if shape == "jsonl" else "vectors"
    assert f"page.json: 6 {unit}, 6 vectors written" in done.errors
    assert index.contents() == expected


def test_a_bad_vector_of_a_page_is_counted_within_it(importing):
    page = {"vectors": [{"key": "a", "data": [1, 2]}, {"key": "b"}], "nextToken": "t"}
    assert "x.jsonl, vector 2: vector 'b' has no data" in importing(page).errors
    assert "x.json, vector 2: vector 'b' has no data" in importing(
        json.dumps(page, indent=2), name="x.json"
    ).errors  # fmt: skip
    assert "without a list of vectors" in importing('{\n"vectors": 5\n}', name="y.json").errors
    assert "is not JSON, neither whole nor by lines" in importing("{\n1}", name="z.json").errors


def test_metadata_that_are_called_vectors_make_no_page(importing, index):
    line = {"key": "a", "data": [1, 2], "metadata": {"vectors": "x"}}
    assert "1 line, 1 vector written" in importing(line, line | {"key": "b"}).errors.replace(
        "2 lines, 2 vectors", "1 line, 1 vector"
    )
    assert len(index.contents()) == 2


def test_columns_of_parquet_are_named_too(index, tmp_path):
    table = pa.table({"id": [7], "embedding": [[1.0, 2.0]], "payload": ['{"t": "x"}']})
    pq.write_table(table, tmp_path / "x.parquet")
    words = ("import", tmp_path / "x.parquet", *index.flags, "--create-index")
    refused = call(*words)
    assert refused.status == 2
    assert "it has id, embedding, payload: --key-field, --data-field and" in refused.errors
    fields = ("--key-field", "id", "--data-field", "embedding", "--metadata-field", "payload")
    assert call(*words, *fields).status == 0
    assert index.contents() == [("7", np.array([1, 2], np.float32).tobytes(), {"t": "x"})]


def test_lines_beside_a_matrix_have_fields_as_well(index, tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1, 2]], np.float32))
    (tmp_path / "x.jsonl").write_text('{"id": 7, "payload": {"t": "x"}}')
    fields = ("--key-field", "id", "--metadata-field", "payload")
    done = call("import", tmp_path / "x.npy", *index.flags, "--create-index", *fields)
    assert done.status == 0, done.errors
    assert index.contents() == [("7", np.array([1, 2], np.float32).tobytes(), {"t": "x"})]
