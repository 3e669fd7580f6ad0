"""What docs/ray.md shows runs, and its model of a job's time is that of a job."""

import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.pages import blocks, python_module, read_pages

from oss_vector_retriever import Limits, OSSVectorClient
from oss_vector_retriever.ray import run_fetch

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # of two keys there are fewer tasks than workers
    pytest.mark.filterwarnings("ignore:The maximum number of concurrent tasks:UserWarning"),
]
PAGE = read_pages()["docs/ray.md"]


def marked(mark):
    return "\n".join(blocks(PAGE, "python", before=True, marks=(mark,)))


@pytest.fixture
def page(client, monkeypatch, tmp_path):
    """Lead the page's code to an index of its own, in a folder of its own."""
    monkeypatch.setenv("OSS_ENDPOINT", str(client.config.endpoint))
    monkeypatch.setenv("OSS_VECTORS_INDEX", "page")
    monkeypatch.chdir(tmp_path)
    for index in ("page", "copies"):
        client.put_vector_index(index=index, dimension=4)
    client.upsert([{"key": "doc-001", "data": [1.0] * 4, "metadata": {"a": "b"}}], index="page")
    yield client
    for index in ("page", "copies"):
        client.delete_vector_index(index=index)


def test_the_blocks_for_ray(page, tmp_path):
    (tmp_path / "keys").mkdir()
    pq.write_table(pa.table({"key": ["doc-001", "gone"]}), tmp_path / "keys" / "1.parquet")
    dataset, job = blocks(PAGE, "python", before=True, marks=("on Ray",))
    names = {}
    exec(compile(dataset, "docs/ray.md", "exec"), names)
    assert [row["found"] for row in names["found"].sort("n").take_all()] == [True, False]
    assert names["refused"].count() == 0
    assert page.fetch(["doc-001"], index="copies")[0] == page.fetch(["doc-001"], index="page")[0]
    before, after = job.split("report = run_upsert")
    exec(compile(before, "docs/ray.md", "exec"), names)
    assert (names["report"].rows, names["report"].flagged) == (2, 1)
    exec(compile(f"report = run_upsert{after}", "docs/ray.md", "exec"), names)
    # what is not found has no data to write
    assert (names["report"].rows, names["report"].flagged) == (2, 1)


@pytest.mark.usefixtures("page")
def test_the_function_for_spark():
    names = {}
    exec(compile(marked("on Spark"), "docs/ray.md", "exec"), names)
    batches = [pa.record_batch({"key": ["doc-001", "gone"]}), pa.record_batch({"key": ["gone"]})]
    found = pa.Table.from_batches(names["fetch_batches"](iter(batches)))
    assert found["key"].to_pylist() == ["doc-001", "gone", "gone"]
    assert found["data"].to_pylist() == [[1.0] * 4, None, None]


@pytest.mark.usefixtures("page")
def test_the_block_for_dask():
    pytest.importorskip("dask.dataframe", reason="Dask is not installed")
    names = {"__name__": "__main__"}  # Dask sends by value what is defined there
    exec(compile(marked("on Dask"), "docs/ray.md", "exec"), names)
    assert names["found"]["data"].tolist() == [[1.0] * 4, None]


def test_the_model_is_near_a_run(client, tmp_path):
    names = {}
    exec(compile(python_module(PAGE), "docs/ray.md", "exec"), names)
    keys = [f"key-{n}" for n in range(20_000)]
    pq.write_table(pa.table({"key": keys}), tmp_path / "keys.parquet")
    few = replace(Limits(), keys_per_get=25)
    with OSSVectorClient(endpoint=str(client.config.endpoint), index="docs", limits=few) as other:
        options = {"rate_limit": 150, "concurrency": 2, "task_rows": 1000, "return_data": False}
        # the first run begins Ray's workers, and with them the time that `start` stands for
        for name in ("first", "second"):
            began = time.monotonic()
            run_fetch(tmp_path / "keys.parquet", tmp_path / name, other.settings, **options)
            took = time.monotonic() - began
    usual = {"per_call": 25, "latency": 0.02, "connections": 8, "workers": 2, "cpu": 100e-6}
    told, bound = names["seconds"](len(keys), rate=150, start=0.0, **usual)
    assert bound == "rate"
    assert 0.95 * told <= took <= 1.6 * told + 2
