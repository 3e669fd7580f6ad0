"""Columns of what was fetched: Arrow, pandas and polars, bit for bit what `matrix()` holds."""

import asyncio
import importlib
import json
import sys

import numpy as np
import pytest

from oss_vector_retriever import (
    AsyncOSSVectorClient,
    FetchResult,
    InvalidRequestError,
    OSSVectorClient,
    ResponseError,
    Vector,
)
from oss_vector_retriever.client.models import DEFAULT_LIMITS, columns

pa = pytest.importorskip("pyarrow")

# a number that no shorter text has, a subnormal one, the two zeros, the largest
HARD = [0.1, 1e-45, -0.0, 3.4028235e38]
A = Vector("a", HARD, {"title": "é", "n": [1, {"x": None}], "half": 0.5})
B = Vector("b", [0.0, 1.0, -1.5, 7.038531e-26])
ASKED = ("b", "x", "a", "b", "y", "x")


def fetched(*keys, found=(A, B)):
    return FetchResult(keys, {vector.key: vector for vector in found if vector.key in keys})


def rows_of(table):
    """Return the bytes of each row of the column `data`, or None."""
    numbers = table["data"].combine_chunks()
    block = numbers.values.to_numpy(zero_copy_only=True).reshape(len(numbers), -1)
    return [
        block[n].tobytes() if numbers.is_valid()[n].as_py() else None for n in range(len(table))
    ]


class TestAnArrowTable:
    def test_has_a_row_for_each_key_asked_for_in_order(self):
        table = fetched(*ASKED).to_arrow()
        table.validate(full=True)
        assert table.column_names == ["key", "data", "metadata"]
        assert table.schema.field("data").type == pa.list_(pa.float32(), 4)
        assert table["key"].to_pylist() == list(ASKED)
        b = B.data.tobytes()
        assert rows_of(table) == [b, None, A.data.tobytes(), b, None, None]

    def test_holds_the_bits_of_the_matrix(self):
        result = fetched(*ASKED)
        known = [row for row in rows_of(result.to_arrow()) if row is not None]
        assert b"".join(known) == result.matrix().tobytes()

    def test_holds_metadata_as_json_text(self):
        texts = fetched("a", "b", "x").to_arrow()["metadata"].to_pylist()
        assert texts[1:] == [None, None]
        assert json.loads(texts[0]) == A.metadata
        assert "é" in texts[0]

    @pytest.mark.parametrize("count", [1, 7, 8, 9, 64, 1001])
    def test_marks_the_missing_whatever_the_count(self, count):
        keys = ["a" if n % 3 else "x" for n in range(count)]
        table = fetched(*keys).to_arrow()
        table.validate(full=True)
        assert table["data"].is_valid().to_pylist() == [key == "a" for key in keys]

    def test_without_data_has_no_column_of_it(self):
        table = fetched("a", "x", found=[Vector("a", None, {"n": 1})]).to_arrow()
        assert table.column_names == ["key", "metadata"]
        assert table["metadata"].to_pylist() == ['{"n":1}', None]

    @pytest.mark.parametrize("keys", [(), ("x", "y")])
    def test_of_nothing_goes_with_one_of_something(self, keys):
        table = fetched(*keys).to_arrow()
        assert table.schema.field("data").type == pa.null()
        whole = pa.concat_tables([table, fetched("a").to_arrow()], promote_options="default")
        assert whole["data"].null_count == len(keys)

    def test_is_refused_where_some_data_are_missing_or_differ(self):
        with pytest.raises(InvalidRequestError, match="return_data=True"):
            fetched("a", "b", found=[A, Vector("b")]).to_arrow()
        other = fetched("a", "b", found=[A, Vector("b", [1.0])])
        for make in (other.to_arrow, other.matrix):
            with pytest.raises(ResponseError, match="4 numbers and 1"):
                make()

    def test_makes_no_list_of_floats(self):
        import tracemalloc  # noqa: PLC0415 - only here

        found = [Vector(str(n), np.ones(1000, dtype=np.float32)) for n in range(200)]
        result = fetched(*map(str, range(200)), found=found)
        result.to_arrow()
        tracemalloc.start()
        result.to_arrow()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000  # the block of 800,000 bytes is Arrow's own


class TestAMatrixInPlace:
    def test_fills_what_it_is_given(self):
        result, out = fetched(*ASKED), np.full((3, 4), 7, dtype=np.float32)
        assert result.matrix(out=out) is out
        assert out.tobytes() == result.matrix().tobytes()

    @pytest.mark.parametrize(
        "out",
        [
            np.empty((2, 4), dtype=np.float32),
            np.empty((3, 4), dtype=np.float64),
            np.empty((4, 3), dtype=np.float32).T,
            np.empty((3, 8), dtype=np.float32)[:, :4],
            np.frombuffer(bytes(48), dtype=np.float32).reshape(3, 4),
        ],
    )
    def test_refuses_what_does_not_fit(self, out):
        with pytest.raises(InvalidRequestError, match="out"):
            fetched(*ASKED).matrix(out=out)


def test_pandas_has_an_array_in_each_row():
    pytest.importorskip("pandas")
    result = fetched(*ASKED)
    frame = result.to_pandas()
    assert list(frame.columns) == ["key", "data", "metadata"]
    assert [row is None for row in frame["data"]] == [False, True, False, False, True, True]
    matrix = np.stack(list(frame["data"].dropna()))
    assert (matrix.dtype, matrix.tobytes()) == (np.float32, result.matrix().tobytes())


def test_polars_has_arrays_of_fixed_size():
    pl = pytest.importorskip("polars")
    result = fetched(*ASKED)
    frame = result.to_polars()
    assert frame.schema["data"] == pl.Array(pl.Float32, 4)
    assert frame["data"].is_null().to_list() == [False, True, False, False, True, True]
    assert frame["data"].drop_nulls().to_numpy().tobytes() == result.matrix().tobytes()
    assert fetched("x").to_polars().height == 1


@pytest.mark.parametrize(
    ("module", "make", "install"),
    [
        ("pyarrow", "to_arrow", '"oss-vector-retriever[arrow]"'),
        ("pandas", "to_pandas", '"oss-vector-retriever[arrow]" pandas'),
        ("polars", "to_polars", '"oss-vector-retriever[arrow]" polars'),
    ],
)
def test_what_is_not_installed_is_named_with_the_extra(module, make, install, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        getattr(fetched("a"), make)()
    assert str(caught.value) == f"{make}() needs {module}: pip install {install}"


def test_a_table_in_parquet_is_what_the_command_line_imports(tmp_path):
    pytest.importorskip("click")
    from oss_vector_retriever.cli.transfer.parquet import Parquet  # noqa: PLC0415 - it needs extras

    importlib.import_module("pyarrow.parquet").write_table(
        fetched("a", "b").to_arrow(), tmp_path / "vectors.parquet"
    )
    file = Parquet(tmp_path / "vectors.parquet", DEFAULT_LIMITS)
    read = [file.vector(row) for row in file.rows()]
    assert [(v.key, v.data.tobytes(), v.metadata) for v in read] == [
        (v.key, v.data.tobytes(), v.metadata) for v in (A, B)
    ]


COUNT = 1234


@pytest.fixture(scope="module")
def client():
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=3)
        items = ({"key": f"k{n}", "data": [n, 0.1, -n], "metadata": {"n": n}} for n in range(COUNT))
        client.upsert(items)
        yield client


async def listed(iterator):
    return [one async for one in iterator]


def batches_of(client, keys, how, rows=1000, **options):
    if how == "sync":
        return list(client.stream(keys, **options).to_arrow_batches(rows))

    async def run():
        async with client.to_async() as other:
            assert isinstance(other, AsyncOSSVectorClient)
            return await listed(other.stream(keys, **options).to_arrow_batches(rows))

    return asyncio.run(run())


@pytest.mark.parametrize("how", ["sync", "async"])
class TestAStreamOfBatches:
    def test_is_what_a_fetch_of_all_would_be(self, client, how):
        keys = [f"k{n * 7 % (COUNT + 99)}" for n in range(COUNT)]
        batches = batches_of(client, keys, how, rows=170)
        for batch in batches:
            batch.validate(full=True)
        assert [batch.num_rows for batch in batches] == [170] * 7 + [44]
        assert pa.Table.from_batches(batches).equals(client.fetch(keys).to_arrow())

    def test_waits_for_the_dimension(self, client, how):
        keys = [*(f"x{n}" for n in range(250)), "k1", "y"]
        batches = batches_of(client, keys, how, rows=100)
        assert [batch.num_rows for batch in batches] == [100, 100, 51, 1]
        assert {batch.schema.field("data").type for batch in batches} == {pa.list_(pa.float32(), 3)}

    def test_of_nothing(self, client, how):
        assert batches_of(client, [], how) == []
        (batch,) = batches_of(client, ["x", "y"], how)
        assert (batch.num_rows, batch.schema.field("data").type) == (2, pa.null())

    def test_without_data_waits_for_nothing(self, client, how):
        batches = batches_of(client, ["x", "k1"], how, rows=1, return_data=False)
        assert [batch.to_pydict() for batch in batches] == [
            {"key": ["x"], "metadata": [None]},
            {"key": ["k1"], "metadata": ['{"n":1}']},
        ]

    @pytest.mark.parametrize("rows", [0, -1, 1.5, True, None])
    def test_refuses_what_is_no_number_of_rows(self, client, how, rows):
        with pytest.raises(InvalidRequestError, match="rows"):
            batches_of(client, ["k1"], how, rows=rows)


def test_a_batch_ends_before_its_rows_where_metadata_are_large():
    batches = columns.ArrowBatches(1000, with_data=True)
    large = [Vector(f"k{n}", [1.0], {"text": "t" * 36_000}) for n in range(1000)]
    keys = [vector.key for vector in large]
    made = [*batches.add(keys, large), *batches.rest()]
    assert sum(batch.num_rows for batch in made) == 1000
    assert max(batch.nbytes for batch in made) < 16_100_000


def test_a_stream_is_read_in_one_way(client):
    stream = client.stream(["k1", "k2"])
    assert next(stream).key == "k1"
    with pytest.raises(InvalidRequestError, match="read once"):
        stream.to_arrow_batches()
    assert [vector.key for vector in stream] == ["k2"]
    stream = client.stream(["k1"])
    assert sum(batch.num_rows for batch in stream.to_arrow_batches()) == 1
    with pytest.raises(InvalidRequestError, match="read once"):
        next(stream)


async def test_an_async_stream_is_read_in_one_way(client):
    async with client.to_async() as other:
        stream = other.stream(["k1", "k2"])
        assert (await anext(stream)).key == "k1"
        with pytest.raises(InvalidRequestError, match="read once"):
            stream.to_arrow_batches()
        assert [vector.key async for vector in stream] == ["k2"]
        await stream.aclose()


def test_a_closed_stream_reads_no_further(client):
    read = []
    stream = client.stream(read.append(n) or f"k{n}" for n in range(COUNT))
    next(stream)
    stream.close()
    seen = len(read)
    assert seen < COUNT
    assert list(client.stream([])) == []
    with pytest.raises(StopIteration):
        next(stream)
    assert len(read) == seen
