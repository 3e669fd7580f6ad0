"""Import: lines that hold no vector, and what a journal remembers."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command_line import call


def lines_of(*items):
    return "".join(f"{item if isinstance(item, str) else json.dumps(item)}\n" for item in items)


def good(key, *numbers):
    return {"key": key, "data": numbers or (1, 2)}


@pytest.fixture
def made(index):
    """Give an index of dimension 2."""
    with index.opened() as client:
        client.put_vector_index(dimension=2)
    return index


@pytest.fixture
def keys(made):
    """Give the keys that are in the index."""
    return lambda: [key for key, *_ in made.contents()]


BAD = {
    "not json": ("{", "it is not JSON"),
    "no object": ("[1]", "it is no JSON object"),
    "no key": ({"data": [1, 2]}, "a key must be a string"),
    "no data": ({"key": "x"}, "vector 'x' has no data"),
    "a word": ({"key": "x", "data": [1, "2"]}, "must be numbers"),
    "not finite": ('{"key": "x", "data": [1, 1e99]}', "float32 can hold"),
    "long key": (good("k" * 1025), "1 to 1024 characters"),
    "dimension": (good("x", 1, 2, 3), "it has 3 values; the index has 2"),
    "metadata": ({**good("x"), "metadata": [1]}, "metadata of 'x' must be an object"),
    "large": ({**good("x"), "metadata": {"t": "x" * 50_000}}, "over the limit of 40,960"),
    "filterable": ({**good("x"), "metadata": {"t": "x" * 3_000}}, "filterable bytes"),
    "nested": ({**good("x"), "metadata": {"t": {"u": 1}}}, "VectorIndexParameterInvalid"),
    "zero": (good("x", 0, 0), "all zero"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_line_without_a_vector_ends_the_import_where_it_stands(made, keys, tmp_path, bad):
    item, said = BAD[bad]
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a"), good("b"), item, good("c")))
    done = call("import", path, *made.flags)
    assert done.status == 2
    assert "x.jsonl, line 3: " in done.errors
    assert said in done.errors
    assert "the same command again goes on from there" in done.errors
    path.write_text(lines_of(good("a"), good("b"), good("mended"), good("c")))
    assert call("import", path, *made.flags).status == 0
    assert keys() == ["a", "b", "c", "mended"]


@pytest.mark.parametrize("bad", BAD)
def test_a_line_without_a_vector_can_be_left_out(made, keys, tmp_path, bad):
    item, said = BAD[bad]
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a"), item, *(good(f"b{n}") for n in range(9))))
    done = call("import", path, *made.flags, "--on-error", "skip")
    assert done.status == 3
    assert "x.jsonl, line 2: " in done.errors
    assert said in done.errors
    assert "11 lines, 10 vectors written to index 'x', 1 line skipped" in done.errors
    assert keys() == ["a", *(f"b{n}" for n in range(9))]


def test_blank_lines_and_a_byte_order_mark_are_nothing(made, keys, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines_of("", good("a"), " \r", good("b")).encode() + b"\n")
    assert call("import", path, *made.flags).status == 0
    assert keys() == ["a", "b"]


def test_of_two_lines_with_one_key_the_later_counts(made, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a", 1, 1), good("a", 2, 2), good("a", 3, 3)))
    assert call("import", path, *made.flags, "--batch", 1, "--parallel", 2).status == 0
    assert made.contents()[0][1] == np.array([3, 3], np.float32).tobytes()


def test_the_same_command_again_writes_nothing(made, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a")))
    call("import", path, *made.flags)
    with made.opened() as client:
        client.put_vectors([{"key": "a", "data": [9, 9]}])
    again = call("import", path, *made.flags)
    assert "1 line (1 of them before), nothing new to write (--restart" in again.errors
    assert "written" not in again.errors
    assert made.contents()[0][1] == np.array([9, 9], np.float32).tobytes()
    call("import", path, *made.flags, "--restart")
    assert made.contents()[0][1] == np.array([1, 2], np.float32).tobytes()


def test_lines_that_are_added_later_are_imported_alone(made, keys, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a")).rstrip())
    call("import", path, *made.flags)
    path.write_text(lines_of(good("a"), good("b")))
    said = call("import", path, *made.flags).errors
    assert "2 lines (1 of them before), 1 vector written to index" in said
    assert keys() == ["a", "b"]


@pytest.mark.parametrize(
    "changed", [lines_of(good("a", 3, 4), good("b")), lines_of(good("a")), "", '{"key": "a"}']
)
def test_a_source_that_changed_where_it_was_read_is_refused(made, tmp_path, changed):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a"), good("b")))
    call("import", path, *made.flags)
    path.write_text(changed)
    done = call("import", path, *made.flags)
    assert done.status == 2
    assert "x.jsonl has changed in its first 2 lines" in done.errors
    assert "--restart" in done.errors


def test_another_index_of_the_same_name_is_filled_anew(made, keys, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a")))
    call("import", path, *made.flags)
    with made.opened() as client:
        client.delete_vector_index(index="x")
        client.put_vector_index(dimension=2)
    assert call("import", path, *made.flags).status == 0
    assert keys() == ["a"]


def test_each_index_has_a_journal_of_its_own(made, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a")))
    call("import", path, *made.flags)
    elsewhere = ("--local", str(tmp_path / "other.db"), "--index-name", "x", "--create-index")
    assert "1 line, 1 vector written" in call("import", path, *elsewhere).errors
    assert len(list(tmp_path.glob("x.jsonl.import-*"))) == 2


def test_an_index_is_made_only_on_demand_and_only_as_it_is_there(index, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a")))
    done = call("import", path, *index.flags)
    assert (done.status, index.path.exists()) == (2, False)
    assert "cannot be opened: it is not there" in done.errors
    with index.opened():
        pass
    assert call("import", path, *index.flags).status == 1
    assert call("import", path, *index.flags, "--create-index").status == 0
    other = ("--create-index", "--distance-metric", "euclidean")
    done = call("import", path, *index.flags, *other)
    assert done.status == 2
    assert "index 'x' is there already, with metric cosine" in done.errors
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    nothing = call("import", empty, *index.flags[:2], "--index-name", "y", "--create-index")
    assert "no vector to take the new index's dimension from" in nothing.errors


def test_files_that_are_something_else_are_named(made, tmp_path):
    (tmp_path / "x.npy").write_text("no matrix")
    np.save(tmp_path / "flat.npy", np.zeros(3, np.float32))
    np.save(tmp_path / "two.npy", np.zeros((2, 2), np.float32))
    (tmp_path / "two.jsonl").write_text('{"key": "a"}\n')
    (tmp_path / "x.parquet").write_text("no parquet")
    pq.write_table(pa.table({"key": ["a"], "data": [1.5]}), tmp_path / "flat.parquet")
    for name, said in {
        "x.npy": "is no .npy file",
        "flat.npy": "must hold a matrix of floats",
        "two.npy": "has 2 rows",
        "x.parquet": "cannot be read as Parquet",
        "flat.parquet": "a list of floats",
    }.items():
        done = call("import", tmp_path / name, *made.flags)
        assert done.status == 2
        assert said in done.errors


def test_rows_of_parquet_are_named_by_number(made, tmp_path):
    data = pa.array([[1.0, 2.0], None, [1.0, None], [3.0, 4.0]], pa.list_(pa.float64()))
    table = pa.table(
        {"key": ["a", "b", "c", "d"], "data": data, "metadata": [None, None, None, "["]}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    done = call("import", tmp_path / "x.parquet", *made.flags, "--on-error", "skip")
    for said in ("row 2: vector 'b' has no data", "row 3: data of 'c'", "row 4: it is not JSON"):
        assert said in done.errors
    assert done.status == 3


def test_what_is_said_of_one_line_is_in_the_singular(made, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(lines_of(good("a"), "no JSON"))
    assert "1 line is imported; the same" in call("import", path, *made.flags).errors
    path.write_text(lines_of(good("other"), good("b")))
    assert "in its first 1 line, imported before" in call("import", path, *made.flags).errors


def test_of_lines_beside_one_that_the_service_refuses_it_is_said_that_they_may_be_written(
    made, tmp_path
):
    path = tmp_path / "x.jsonl"
    refused = json.dumps({"key": "b", "data": [1, 2], "metadata": {"nested": {"a": 1}}})
    path.write_text(lines_of(good("a"), refused, good("c")))
    done = call("import", path, *made.flags)
    assert done.status != 0
    assert "line 2" in done.errors
    assert "0 lines are imported, and of the next 3 lines some may be; the same" in done.errors


def test_a_run_after_a_crash_says_what_it_wrote_and_what_was_there(made, tmp_path):
    path, journal = tmp_path / "x.jsonl", tmp_path / "journal"
    path.write_text(lines_of(*(good(f"k{n}") for n in range(6)), "no JSON"))
    call("import", path, *made.flags, "--batch", 2, "--parallel", 1, "--journal", journal)
    # a crash after a window was written and before it was noted
    noted = journal.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["rows"] for line in noted[-2:]] == [4, 6]
    journal.write_bytes(b"".join(noted[:-1]))
    path.write_text(lines_of(*(good(f"k{n}") for n in range(8))))
    words = ("--batch", 2, "--parallel", 1, "--journal", journal)
    said = call("import", path, *made.flags, *words).errors
    assert "8 lines (4 of them before), 2 vectors written to index 'x', 2 vectors there" in said
