"""What doctor finds in an index: old records, and whether its search filters first."""

import json

import pytest
from support.embedded import embedded
from support.watched_service import Watched

from oss_vector_retriever import AccessDeniedError, emulator
from oss_vector_retriever.cli.recording.stored import ask_order, count_old, sample_of
from oss_vector_retriever.client.pair import ClientPair
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore


@pytest.fixture
def make(request):
    """Return a function that makes a client of a service of some behaviour, with an index."""

    def made(**switches):
        service = Watched.in_memory(behaviour=emulator.Behaviour(**switches))
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        client = embedded(service)
        request.addfinalizer(service.close)
        request.addfinalizer(client.close)
        hidden = ["_record", "_record_text", "hidden"]
        client.put_vector_index(dimension=2, non_filterable_metadata_keys=hidden)
        client.service = service
        return client

    return made


def records(count, old=()):
    """Return records of this package, of which some are of the first version."""
    store = RecordStore(StoreSettings(filterable=None))
    for number in range(count):
        metadata = {"tag": "even" if number % 2 == 0 else "odd"}
        vector = store.encode(f"k{number:04}", [1.0, number], text="t", metadata=metadata)
        stored = vector.metadata
        if number in old:
            envelope = json.loads(stored["_record"]) | {"v": 1}
            stored = {name: one for name, one in stored.items() if name != "_unsure"}
            stored["_record"] = json.dumps(envelope)
        yield {"key": vector.key, "data": vector.data, "metadata": stored}


def order(client, hidden=("hidden",)):
    return ask_order(client, sample_of(client)[0], hidden)


def test_records_of_the_first_version_are_counted_until_they_are_written_anew(make):
    client = make()
    client.upsert(records(120, old=range(0, 120, 3)))
    client.put_vectors(
        [
            {"key": "foreign", "data": [1, 0], "metadata": {"_record": "?", "text": "t"}},
            {"key": "row", "data": [1, 0], "metadata": {"_row": "x", "_record": '{"v": 1}'}},
            {"key": "bare", "data": [1, 0]},
        ]
    )
    sample, is_all = sample_of(client)
    seen = count_old(sample, is_all=is_all)
    assert seen.detail == "40 of all 123 vectors are records of version 1"
    assert "update_metadata(ids, {})" in seen.hint
    keys = [f"k{number:04}" for number in range(0, 120, 3)]
    store = RecordStore(StoreSettings(filterable=None))
    ClientPair(client).run(store.update_metadata, keys, {})
    seen = count_old(*sample_of(client)[:1], is_all=True)
    assert seen == ("0 of all 123 vectors are records of version 1", "")


def test_of_a_large_index_the_first_are_looked_at(make):
    client = make()
    client.upsert(records(620, old=range(620)))
    client.service.seen.clear()
    sample, is_all = sample_of(client)
    assert (len(sample), is_all) == (500, False)
    assert client.service.seen == ["listVectors"] * 5
    assert count_old(sample, is_all=is_all).detail.startswith("500 of the first 500 vectors")


@pytest.mark.parametrize("first", [True, False])
def test_whether_a_search_filters_first_is_told_with_the_setting(make, first):
    client = make(filter_after_ranking=not first)
    client.upsert(records(20))
    seen = order(client)
    assert seen.detail.startswith("filters first" if first else "ranks first")
    assert ("filters_first=True" in seen.hint) is first


@pytest.mark.parametrize("first", [True, False])
def test_what_others_wrote_tells_it_too(make, first):
    client = make(filter_after_ranking=not first, scalars="refused")
    rows = [("a", [1, 0], {"hidden": "p"}), ("b", [1, 1], {"hidden": "q", "tags": ["x"]})]
    rows += [("c", [1, 2], {"hidden": "r", "size": "3"}), ("d", [1, 3], None)]
    client.put_vectors([{"key": k, "data": d, "metadata": m} for k, d, m in rows])
    assert order(client).detail.startswith("filters first" if first else "ranks first")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "vectors",
    [
        [],
        [{"key": "a", "data": [1, 0], "metadata": {"tag": "x"}}],
        # all the same, and all in one place: which is the nearest is anybody's guess
        [{"key": k, "data": [1, 0], "metadata": {"tag": "x"}} for k in "abc"],
        [{"key": k, "data": [1, 0], "metadata": {"tag": k}} for k in "abc"],
        [{"key": k, "data": [1, ord(k)], "metadata": {"hidden": k}} for k in "abc"],
    ],
)
def test_where_nothing_tells_it_nothing_is_said(make, vectors, first):
    client = make(filter_after_ranking=not first)
    if vectors:
        client.put_vectors(vectors)
    assert "cannot be told" in order(client).detail


def test_what_is_not_found_yet_is_no_sign(make):
    client = make(query_delay_seconds=60, filter_after_ranking=False)
    client.put_vectors(list(records(4)))
    assert "cannot be told" in order(client).detail


def test_a_refused_filter_is_said(make):
    client = make(ignore_non_filterable=False)
    client.put_vectors([{"key": k, "data": [1, ord(k)], "metadata": {"hidden": k}} for k in "abc"])
    assert "refuses the filter {'hidden'" in order(client, hidden=()).detail


@pytest.mark.parametrize("denied", ["queryVectors", "getVectors"])
def test_who_may_not_ask_hears_so(make, denied):
    client = make()
    client.put_vectors(list(records(4)))
    client.service.denied = {denied}
    with pytest.raises(AccessDeniedError):
        order(client)
