"""Whole jobs on a real Ray: they end, are killed, begin again, and neither lose nor double."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.arrivals import noted_arrivals

from oss_vector_retriever import (
    ConfigurationError,
    InvalidRequestError,
    NoSuchVectorIndexError,
    OSSVectorClient,
    OSSVectorError,
    Vector,
)
from oss_vector_retriever.ray import JobReport, run_fetch, run_upsert

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
KEYS = [f"key-{n}" for n in range(500, 3100)]  # 100 of them are not there
SIZES = {"part_rows": 1000, "task_rows": 300}


@pytest.fixture
def keys(tmp_path):
    for at in range(2):
        table = pa.table({"id": KEYS[at * 1300 :][:1300], "more": range(1300)})
        pq.write_table(table, tmp_path / f"keys-{at}.parquet", row_group_size=400)
    return [tmp_path / "keys-0.parquet", tmp_path / "keys-1.parquet"]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "output"


def read(output):
    return pq.read_table(output)


def key_column(output):
    return sorted(read(output)["id"].to_pylist())


def test_a_job_writes_a_row_for_each_key_and_says_what_it_found(client, keys, output):
    report = run_fetch(keys, output, client.settings, key_field="id", **SIZES)
    assert report == JobReport(rows=2600, flagged=100, parts=3, parts_before=0)
    found = read(output).sort_by("id").combine_chunks()
    assert found.column_names == ["id", "found", "data", "metadata"]
    alone = client.fetch(KEYS).to_arrow().sort_by("key").combine_chunks()
    assert found.drop(["found"]).rename_columns(["key", "data", "metadata"]).equals(alone)
    names = sorted(path.name for path in output.iterdir())
    # 4 tasks of each whole part: no slice lies in two files
    assert names[0] == "_checkpoint"
    assert names[1:5] == [f"part-000000-000{n}.parquet" for n in range(4)]
    again = run_fetch(keys, output, client.settings, key_field="id", **SIZES)
    assert again == JobReport(rows=2600, flagged=100, parts=3, parts_before=3)


_SCRIPT = """
import sys
import ray
from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.ray import run_fetch
address, endpoint, output, *keys = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
client = OSSVectorClient(endpoint=endpoint, index="docs")
sizes = {"part_rows": 1000, "task_rows": 300}
run_fetch(keys, output, client.settings, key_field="id", rate_limit=5, **sizes)
"""


def test_a_job_that_is_killed_goes_on_with_the_first_part_that_is_not_done(
    ray, client, keys, output
):
    address = ray.get_runtime_context().gcs_address
    with noted_arrivals(str(client.config.endpoint)) as arrivals:
        words = [address, arrivals.endpoint, str(output), *map(str, keys)]
        with subprocess.Popen([sys.executable, "-W", "ignore", "-c", _SCRIPT, *words]) as job:
            records = output / "_checkpoint"
            while not list(records.glob("part-*.json")):
                assert job.poll() is None, "it has ended by itself"
                time.sleep(0.05)
            with pytest.raises(ConfigurationError, match="another job writes to output"):
                run_fetch(keys, output, client.settings, key_field="id", **SIZES)
            job.send_signal(signal.SIGKILL)
        done = len(list(records.glob("part-*.json")))
        assert done < 3
        assert set(key_column(output)) == set(KEYS[: 1000 * done])
    with noted_arrivals(str(client.config.endpoint)) as arrivals:
        other = OSSVectorClient(endpoint=arrivals.endpoint, index="docs")
        report = _run_when_free(keys, output, other.settings)
        # of 10 and 10 and 6 calls, and a look at the index of each worker
        assert len(arrivals.moments) <= 26 - 10 * done + 2
    assert report == JobReport(rows=2600, flagged=100, parts=3, parts_before=done)
    assert key_column(output) == sorted(KEYS)


def _run_when_free(keys, output, settings):
    """Run the job as soon as the cluster has noticed that the other's process is gone."""
    for _ in range(100):
        try:
            return run_fetch(keys, output, settings, key_field="id", **SIZES)
        except ConfigurationError as error:
            assert "another job writes" in str(error)  # noqa: PT017
            time.sleep(0.2)
    raise AssertionError


def test_an_input_that_changes_under_the_job_is_not_recorded(client, keys, output):
    with noted_arrivals(str(client.config.endpoint)) as arrivals:
        other = OSSVectorClient(endpoint=arrivals.endpoint, index="docs")

        def change():
            while len(arrivals.moments) < 3:
                time.sleep(0.02)
            changed = keys[0].with_suffix(".new")
            pq.write_table(pa.table({"id": [f"key-{n}" for n in range(1300)]}), changed)
            changed.replace(keys[0])

        thread = threading.Thread(target=change)
        thread.start()
        options = {"key_field": "id", "part_rows": 1300, "task_rows": 100}
        with pytest.raises(OSSVectorError, match="part 0 has 1,300 rows in the output"):
            run_fetch(keys[:1], output, other.settings, rate_limit=4, concurrency=1, **options)
        thread.join()
    report = run_fetch(keys[:1], output, client.settings, **options)
    assert report == JobReport(rows=1300, flagged=0, parts=1, parts_before=0)
    assert key_column(output) == sorted(f"key-{n}" for n in range(1300))


def test_an_input_that_has_changed_is_refused_and_one_that_has_grown_is_done(
    client, keys, output, tmp_path
):
    run_fetch(keys, output, client.settings, key_field="id", part_rows=1300, task_rows=1300)
    pq.write_table(pa.table({"id": ["key-1", "no"]}), tmp_path / "keys-2.parquet")
    sizes = {"key_field": "id", "part_rows": 1300, "task_rows": 1300}
    more = [*keys, tmp_path / "keys-2.parquet"]
    report = run_fetch(more, output, client.settings, **sizes)
    assert report == JobReport(rows=2602, flagged=101, parts=3, parts_before=2)
    with pytest.raises(ConfigurationError, match="part 2 is done already: it has shrunk"):
        run_fetch(keys, output, client.settings, **sizes)
    changed = pa.table({"id": [*KEYS[:1299], "another"]})
    pq.write_table(changed, keys[0])
    with pytest.raises(ConfigurationError, match="part 0 of the input has changed"):
        run_fetch(more, output, client.settings, **sizes)
    report = run_fetch(more, output, client.settings, **sizes, restart=True)
    assert report == JobReport(rows=2602, flagged=102, parts=3, parts_before=0)
    assert key_column(output) == sorted([*KEYS[:1299], "another", *KEYS[1300:], "key-1", "no"])


def test_the_keys_of_a_dataset_are_written_down_first_and_must_stay_the_same(ray, client, output):
    dataset = ray.data.from_items([{"id": key, "n": 1} for key in KEYS], override_num_blocks=3)
    report = run_fetch(dataset, output, client.settings, key_field="id", **SIZES)
    assert report == JobReport(rows=2600, flagged=100, parts=3, parts_before=0)
    assert key_column(output) == sorted(KEYS)
    assert [path.name for path in (output / "_checkpoint").glob("keys*")] == []
    mixed = dataset.random_shuffle(seed=3)
    again = run_fetch(mixed, output, client.settings, key_field="id", **SIZES)
    assert again == JobReport(rows=2600, flagged=100, parts=3, parts_before=3)
    with pytest.raises(ConfigurationError, match="the dataset has other keys"):
        run_fetch(dataset.limit(9), output, client.settings, key_field="id", **SIZES)


def test_what_fails_in_a_worker_is_raised_as_an_error_of_ours(client, keys, output, tmp_path):
    with pytest.raises(NoSuchVectorIndexError):
        run_fetch(keys, output, client.settings, key_field="id", index="nowhere")
    with pytest.raises(ConfigurationError, match="differs in index"):
        run_fetch(keys, output, client.settings, key_field="id")
    with pytest.raises(InvalidRequestError, match="there is no column 'key'"):
        run_fetch(keys, tmp_path / "other", client.settings)


def test_vectors_are_written_from_parquet_and_what_became_of_each_is_told(
    ray, client, output, tmp_path
):
    client.put_vector_index(index="written", dimension=4)
    data = [[float(n), 0.5, 0.25, 0.1] for n in range(2500)]
    data[77] = [1.0]
    rows = {"key": [f"k{n}" for n in range(2500)], "data": pa.array(data, pa.list_(pa.float32()))}
    rows["metadata"] = ['{"n": "%d"}' % n for n in range(2500)]  # noqa: UP031 - braces of JSON
    pq.write_table(pa.table(rows), tmp_path / "vectors.parquet")
    options = {"index": "written", "part_rows": 1000, "task_rows": 400}
    report = run_upsert(tmp_path / "vectors.parquet", output, client.settings, **options)
    assert report == JobReport(rows=2500, flagged=1, parts=3, parts_before=0)
    told = {row["key"]: row["error"] for row in read(output).to_pylist()}
    assert [key for key, error in told.items() if error is not None] == ["k77"]
    assert "has 1 values; the index has 4" in told["k77"]
    there = client.fetch(rows["key"], index="written")
    assert there.missing == ("k77",)
    assert there[500] == Vector("k501", data[501], {"n": "501"})
    again = run_upsert(tmp_path / "vectors.parquet", output, client.settings, **options)
    assert again.parts_before == 3
    rows["data"] = pa.array([[float(n), 0.5, 0.25, 9.0] for n in range(2500)])
    pq.write_table(pa.table(rows), tmp_path / "vectors.parquet")
    with pytest.raises(ConfigurationError, match="part 0 of the input has changed"):
        run_upsert(tmp_path / "vectors.parquet", output, client.settings, **options)
    run_upsert(tmp_path / "vectors.parquet", output, client.settings, **options, restart=True)
    assert client.fetch(["k501"], index="written")[0].data.tolist() == [501.0, 0.5, 0.25, 9.0]
    # what one process reads of an output another can transform
    assert ray.data.read_parquet(str(output)).count() == 2500


def test_a_folder_of_parquet_is_an_input_as_well(client, keys, output):
    folder = Path(keys[0]).parent
    report = run_fetch(folder, output, client.settings, key_field="id", return_data=False, **SIZES)
    assert (report.rows, report.flagged) == (2600, 100)
    assert read(output).column_names == ["id", "found", "metadata"]
    assert os.environ["OSS_ACCESS_KEY_SECRET"] not in "".join(
        path.read_text() for path in (output / "_checkpoint").iterdir()
    )
