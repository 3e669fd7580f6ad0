"""`fetch` and `upsert` as transforms of datasets, on a real Ray."""

import os
import threading
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from support.arrivals import noted_arrivals

from oss_vector_retriever import Limits, OSSVectorClient, Vector
from oss_vector_retriever.ray import fetch, upsert
from oss_vector_retriever.ray.workers import NAMESPACE, budget_name

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
KEYS = [f"key-{n}" for n in range(0, 6000, 7)]  # half of them are not there


def keyed(ray, keys, **more):
    return ray.data.from_arrow(pa.table({"key": keys, **more}))


def table_of(ray, dataset):
    return pa.concat_tables(ray.get(dataset.to_arrow_refs())).sort_by("key").combine_chunks()


def test_each_row_gets_what_one_process_fetches_bit_for_bit(ray, client):
    numbers = list(range(len(KEYS)))
    dataset = keyed(ray, KEYS, n=numbers).repartition(3)
    found = table_of(ray, fetch(dataset, client.settings, concurrency=2, batch_size=100))
    alone = client.fetch(KEYS).to_arrow().sort_by("key").combine_chunks()
    assert found.column_names == ["key", "n", "found", "data", "metadata"]
    assert found.select(["key", "data", "metadata"]).equals(alone)
    assert found["data"].type == pa.list_(pa.float32(), 4)
    # a vector without metadata exists, though it has nulls as well
    there = {f"key-{n}" for n in range(3000)}
    assert found["found"].to_pylist() == [key in there for key in found["key"].to_pylist()]
    assert sorted(found["n"].to_pylist()) == numbers


def test_only_what_is_asked_for_is_a_column(ray, client):
    dataset = keyed(ray, ["key-0", "key-9999"])
    without = fetch(dataset, client.settings, return_data=False, return_metadata=False)
    assert table_of(ray, without).to_pylist() == [
        {"key": "key-0", "found": True},
        {"key": "key-9999", "found": False},
    ]


def test_data_have_one_type_also_where_nothing_is_found(ray, client):
    dataset = ray.data.from_arrow([pa.table({"key": ["no-1"]}), pa.table({"key": ["key-1"]})])
    found = ray.get(fetch(dataset, client.settings).to_arrow_refs())
    assert {part.schema.field("data").type for part in found} == {pa.list_(pa.float32(), 4)}


def test_an_error_of_the_service_ends_the_run_and_is_named(ray, client):
    wrong = fetch(keyed(ray, ["a"]), client.settings, index="nowhere")
    with pytest.raises(Exception, match="NoSuchVectorIndex") as raised:
        wrong.materialize()
    shown = "".join(str(each) for each in (raised.value, raised.value.__cause__))
    assert os.environ["OSS_ACCESS_KEY_SECRET"] not in shown


def test_credentials_are_those_that_a_function_gets_in_the_worker(ray, client):
    key = os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]
    given = OSSVectorClient(endpoint=str(client.config.endpoint), index="docs", credentials=key)
    dataset = fetch(keyed(ray, ["key-1"]), given.settings, credentials=credentials_of_worker)
    assert dataset.take_all()[0]["found"]
    refused = fetch(keyed(ray, ["key-1"]), given.settings, credentials=wrong_credentials)
    with pytest.raises(Exception, match="InvalidAccessKeyId"):
        refused.materialize()


def credentials_of_worker():
    return os.environ["OSS_ACCESS_KEY_ID"], os.environ["OSS_ACCESS_KEY_SECRET"]


def wrong_credentials():
    return "nobody", "wrong"


# Writing


@pytest.fixture
def empty(client):
    client.put_vector_index(index="empty", dimension=4)
    yield client.with_options(index="empty")
    client.delete_vector_index(index="empty")


def test_rows_are_written_bit_for_bit_and_those_refused_are_named(ray, empty):
    data = np.random.default_rng(5).standard_normal((1200, 4), dtype=np.float32).tolist()
    data[700], data[900] = data[700][:3], None
    keys = [f"k{n}" for n in range(1200)]
    keys[5] = ""
    rows = pa.table(
        {
            "id": keys,
            "vector": pa.array(data, pa.list_(pa.float32())),
            "about": pa.array([{"n": str(n)} for n in range(1200)]),
        }
    )
    fields = {"key_field": "id", "data_field": "vector", "metadata_field": "about"}
    written = upsert(ray.data.from_arrow(rows), empty.settings, **fields)
    outcome = {row["key"]: row["error"] for row in written.take_all()}
    assert len(outcome) == 1200
    refused = {key: error for key, error in outcome.items() if error is not None}
    assert sorted(refused) == ["", "k700", "k900"]
    assert "1 to 1024 characters" in refused[""]
    assert "has 3 values; the index has 4" in refused["k700"]
    assert "has no data" in refused["k900"]
    there = empty.fetch([key for key in outcome if key])
    assert sorted(there.missing) == ["k700", "k900"]
    by_key = {
        key: Vector(key, row, {"n": str(n)})
        for n, (key, row) in enumerate(zip(keys, data, strict=True))
    }
    assert all(vector == by_key[vector.key] for vector in there)


def test_of_two_rows_with_one_key_the_later_counts_and_both_share_its_fate(ray, empty):
    rows = pa.table({"key": ["a", "a", "b", "b"], "data": [[1.0] * 4, [2.0] * 4, [3.0] * 4, [4.0]]})
    written = upsert(ray.data.from_arrow(rows), empty.settings)
    outcome = written.take_all()
    assert [(row["key"], row["error"] is None) for row in outcome] == [
        ("a", True),
        ("a", True),
        ("b", False),
        ("b", False),
    ]
    assert empty.fetch(["a", "b"]).by_key == {"a": Vector("a", [2.0] * 4, {})}


def test_a_row_that_is_refused_ends_the_run_where_that_is_asked(ray, empty):
    rows = pa.table({"key": ["a", "b"], "data": [[1.0] * 4, [2.0]]})
    with pytest.raises(Exception, match="the index has 4"):
        upsert(ray.data.from_arrow(rows), empty.settings, on_error="raise").materialize()


# One rate for all


def test_two_datasets_and_a_keeper_that_dies_keep_one_rate(ray, endpoint):
    rate, seconds = 60, 5.0
    with noted_arrivals(endpoint) as arrivals:
        limits = replace(Limits(), keys_per_get=5)
        client = OSSVectorClient(endpoint=arrivals.endpoint, index="docs", limits=limits)
        keys = [f"key-{n}" for n in range(2000)]
        two = [
            fetch(keyed(ray, keys[at::2]), client.settings, rate_limit=rate, concurrency=1)
            for at in range(2)
        ]
        threads = [threading.Thread(target=one.materialize) for one in two]
        for thread in threads:
            thread.start()
        while len(arrivals.moments) < 150:
            time.sleep(0.05)
        keeper = ray.get_actor(budget_name(client.settings), namespace=NAMESPACE)
        ray.kill(keeper)
        killed = time.monotonic()
        for thread in threads:
            thread.join()
    assert len(arrivals.moments) in (400, 401, 402)  # and at most a look of each worker
    assert arrivals.most_within(seconds) <= 1.05 * rate * seconds
    after = [moment for moment in arrivals.moments if moment > killed + 4]
    assert after, "the keys that were left were fetched with a new keeper"


def test_calls_that_wait_for_a_slow_rate_do_not_outlive_their_time(ray, client):
    # 16 connections would wait 8 seconds
    few = replace(Limits(), keys_per_get=1)
    impatient = OSSVectorClient(
        endpoint=str(client.config.endpoint), index="docs", limits=few, timeout=2.0
    )
    dataset = keyed(ray, [f"key-{n}" for n in range(16)]).repartition(2)
    found = fetch(dataset, impatient.settings, rate_limit=2, concurrency=2, batch_size=8)
    assert all(row["found"] for row in found.take_all())


def test_a_rate_in_keys_counts_each_request_as_full(ray, client):
    with noted_arrivals(str(client.config.endpoint)) as arrivals:
        limits = replace(Limits(), keys_per_get=10)
        slow = OSSVectorClient(endpoint=arrivals.endpoint, index="docs", limits=limits)
        dataset = keyed(ray, [f"key-{n}" for n in range(300)])
        began = time.monotonic()
        fetch(dataset, slow.settings, keys_per_second=100, concurrency=1).materialize()
        assert 30 <= len(arrivals.moments) <= 31
        assert time.monotonic() - began >= 30 / 10 * 0.95
