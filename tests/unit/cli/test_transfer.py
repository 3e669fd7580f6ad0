"""Export and import: everything comes back exactly, in every format."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command_line import call, random_vectors

from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

SEED = 20261122
FILES = ["out.jsonl", "out.npy", "out.parquet"]


@pytest.fixture
def other(tmp_path, index):
    """Give a second index, elsewhere."""
    return type(index)(tmp_path / "other.db")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("more", [(), ("--batch", 7), ("--segments", 3, "--batch", 5)])
def test_what_is_exported_is_imported_exactly(index, other, tmp_path, file, more):
    index.fill(random_vectors(60, 5, SEED), distance_metric="euclidean")
    path = tmp_path / file
    done = call("export", path, *index.flags, *more)
    assert (done.status, done.output) == (0, "")
    assert done.errors.startswith(f"60 vectors of index 'x' in {path}, ")
    made = call(
        *("import", path, *other.flags, "--create-index", "--distance-metric", "euclidean"),
        *("--batch", 8, "--parallel", 3),
    )
    assert made.status == 0, made.errors
    assert "60 vectors written to index 'x'" in made.errors
    assert other.contents() == index.contents()
    assert {left.name for left in tmp_path.glob("*.partial")} == set()


def test_a_pipe_carries_everything(index, other):
    index.fill(random_vectors(30, 3, SEED), distance_metric="euclidean")
    other.fill(random_vectors(1, 3, SEED), distance_metric="euclidean")
    lines = call("export", "-", *index.flags)
    assert "in standard output" in lines.errors
    done = call("import", "-", *other.flags, stdin=lines.output)
    assert "standard input: 30 lines, 30 vectors written" in done.errors
    assert other.contents() == index.contents()


def test_exported_lines_are_plain_json(index, tmp_path):
    with index.opened() as client:
        client.put_vector_index(dimension=2)
        client.put_vectors([{"key": "a", "data": [0.1, 7.038531e-26], "metadata": {"t": "é"}}])
        client.put_vectors([{"key": "b", "data": [1, 2]}])
    call("export", tmp_path / "x.jsonl", *index.flags)
    first, second = map(json.loads, (tmp_path / "x.jsonl").read_text().rstrip("\n").split("\n"))
    assert first["data"][0] == pytest.approx(0.1)
    assert np.float32(first["data"][1]).tobytes() == np.float32(7.038531e-26).tobytes()
    assert first["metadata"] == {"t": "é"}
    assert second == {"key": "b", "data": [1.0, 2.0]}


def test_an_exported_matrix_is_read_by_numpy_row_for_row(index, tmp_path):
    index.fill(random_vectors(9, 4, SEED), distance_metric="euclidean")
    lines = tmp_path / "names.jsonl"
    call("export", tmp_path / "x.npy", *index.flags, "--lines", lines)
    matrix = np.load(tmp_path / "x.npy")
    assert (matrix.shape, matrix.dtype) == ((9, 4), np.float32)
    rows = zip(matrix, map(json.loads, lines.read_text().rstrip("\n").split("\n")), strict=True)
    found = sorted((line["key"], row.tobytes(), line["metadata"]) for row, line in rows)
    assert found == index.contents()


def test_exported_parquet_has_three_columns(index, tmp_path):
    index.fill(random_vectors(3, 4, SEED, metadata=False), distance_metric="euclidean")
    call("export", tmp_path / "x.parquet", *index.flags)
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.schema.names == ["key", "data", "metadata"]
    assert table.schema.field("data").type == pa.list_(pa.float32())
    assert table.column("metadata").null_count == 3


@pytest.mark.parametrize("file", FILES)
def test_an_empty_index_is_an_empty_file(index, tmp_path, file):
    with index.opened() as client:
        client.put_vector_index(dimension=4)
    path = tmp_path / file
    assert call("export", path, *index.flags).errors.startswith("0 vectors of index")
    if file == "out.npy":
        assert np.load(path).shape == (0, 4)
    elif file == "out.parquet":
        assert pq.read_table(path).num_rows == 0
    else:
        assert path.read_bytes() == b""
    assert "0 vectors written" in call("import", path, *index.flags).errors


def test_an_export_takes_the_place_of_an_older_one_at_its_end(index, tmp_path):
    index.fill(random_vectors(5, 4, SEED), distance_metric="euclidean")
    path = tmp_path / "x.jsonl"
    path.write_text("old\n")
    assert call("export", path, *index.flags, "--index-name", "nosuch").status == 1
    assert path.read_text() == "old\n"
    assert call("export", path, *index.flags).status == 0
    assert len(path.read_text().rstrip("\n").split("\n")) == 5


def test_an_export_can_be_filtered(index, tmp_path):
    index.fill(random_vectors(5, 4, SEED), distance_metric="euclidean")
    only = ("--filter", '{"n": {"$eq": "3"}}')
    call("export", tmp_path / "x.jsonl", *index.flags, *only)
    assert json.loads((tmp_path / "x.jsonl").read_text())["key"] == "k,3 é"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_matrices_of_any_float_are_taken(index, tmp_path, dtype):
    np.save(tmp_path / "m.npy", np.asfortranarray(np.arange(6, dtype=dtype).reshape(3, 2)))
    (tmp_path / "m.jsonl").write_text('{"key": "a"}\n\n{"key": "b", "metadata": {}}\n{"key":"c"}')
    made = ("--create-index", "--distance-metric", "euclidean")
    assert call("import", tmp_path / "m.npy", *index.flags, *made).status == 0
    expected = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert [row[1] for row in index.contents()] == [row.tobytes() for row in expected]


@pytest.mark.parametrize(
    "metadata",
    [
        pa.array([{"n": "1", "m": None}], pa.struct({"n": pa.string(), "m": pa.string()})),
        pa.array([[("n", "1")]], pa.map_(pa.string(), pa.string())),
        pa.array(['{"n": "1"}'], pa.string()),
    ],
)
@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 2)]
)
def test_parquet_of_other_makers_is_taken(index, tmp_path, metadata, kind):
    data = pa.array([[1.0, 2.0]], kind)
    table = pa.table({"more": [1], "metadata": metadata, "data": data, "key": ["a"]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert call("import", tmp_path / "x.parquet", *index.flags, "--create-index").status == 0
    assert index.contents() == [("a", np.array([1, 2], np.float32).tobytes(), {"n": "1"})]


def test_a_made_index_keeps_this_packages_fields_unsearchable(index, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"key": "a", "data": {"float32": [1, 2, 3]}}\n')
    assert call("import", tmp_path / "x.jsonl", *index.flags, "--create-index").status == 0
    with index.opened() as client:
        made = client.get_vector_index()
    assert (made.dimension, made.distance_metric) == (3, "cosine")
    assert set(made.non_filterable_metadata_keys) == {"_record", "_record_text"}


def test_a_bar_is_shown_where_it_is_asked_for(index, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"key": "a", "data": [1]}\nx\n')
    shown = ("--progress", "--on-error", "skip")
    done = call("import", tmp_path / "x.jsonl", *index.flags, "--create-index", *shown)
    assert done.status == 3
    assert "import x.jsonl" in done.errors
    assert "x.jsonl, line 2: it is not JSON" in done.errors
    assert "export x" in call("export", tmp_path / "y.jsonl", *index.flags, "--progress").errors


@pytest.mark.parametrize("file", FILES)
def test_values_in_parts_are_exported_whole_and_imported_in_parts(index, other, tmp_path, file):
    store, large = RecordStore(StoreSettings()), random.Random(SEED).randbytes(40_000).hex()
    with index.opened() as client:
        texts = {"a": large, "b": "small", "c": large[::-1]}
        records = [store.encode(key, [1, 2], text=text) for key, text in texts.items()]
        client.run(store.write, records)
    call("export", tmp_path / file, *index.flags)
    made = call("import", tmp_path / file, *other.flags, "--create-index")
    assert made.status == 0, made.errors
    with other.opened() as client:
        found = client.run(store.fetch, list(texts), return_data=True)
        assert {one.key: store.decode(one).text for one in found} == texts
        assert len(client.list_vectors(index="xside")) > 2
    with index.opened() as client:
        keys = [part.key for part in client.iter_vectors(index="xside") if part.key[-1] == "c"]
        client.delete(keys, index="xside")
    done = call("export", tmp_path / f"again-{file}", *index.flags)
    assert (
        f"record 'c': {len(keys)} of its {len(keys)} parts are not in index 'xside'" in done.errors
    )
