"""The side index: rows beside a store, made on first need, empty before."""

from collections import Counter

import pytest
from support.embedded import embedded

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.records.settings import StoreSettings, side_name
from oss_vector_retriever.records.side import Row, SideIndex, stored_key


class Counted(emulator.Service):
    """A service that counts what it is asked."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen = Counter()

    def handle(self, request):
        self.seen[request.query] += 1
        return super().handle(request)


@pytest.fixture
def list_filter():
    return "honoured"


@pytest.fixture
def behaviour(list_filter):
    return emulator.Behaviour(list_filter=list_filter)


@pytest.fixture
def service(behaviour):
    with Counted.in_memory(behaviour=behaviour) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service):
    with embedded(service) as client:
        yield client


@pytest.fixture
def side():
    return SideIndex(StoreSettings())


def test_a_side_index_that_is_not_there_reads_as_empty_and_is_not_made(client, side, caplog):
    assert client.run(side.get_rows, "note", ["a"]) == {}
    assert client.run(side.list_rows, "note") == []
    assert client.run(side.delete_rows, "note", ["a"]) == set()
    assert not client.list_vector_indexes().indexes
    assert not caplog.records


def test_the_first_row_makes_it_with_one_dimension_and_zeros(client, side):
    assert client.run(side.put_rows, [Row("note", "a", {"n": 1})]).ok
    described = client.get_vector_index(index="vectorsside")
    assert (described.dimension, described.distance_metric) == (1, "euclidean")
    (vector,) = client.list_vectors(index="vectorsside", return_data=True)
    assert list(vector.data) == [0.0]


KEYS = ["a", "", "a/b", "x" * 2000, "half \ud800", "日本", "%h/x", "y" * 1024]


def test_rows_of_any_name_come_back_and_go(client, side):
    rows = [Row("note", key, {"n": n}, "一/1", f"text {n}") for n, key in enumerate(KEYS)]
    client.run(side.put_rows, rows)
    found = client.run(side.get_rows, "note", [*KEYS, "other"], "一/1")
    assert found == {row.key: row for row in rows}
    assert client.run(side.get_rows, "note", KEYS) == {}
    assert client.run(side.get_rows, "memo", KEYS, "一/1") == {}
    listed = client.run(side.list_rows, "note", "一/1")
    assert sorted(listed, key=lambda row: row.value["n"]) == rows
    assert client.run(side.delete_rows, "note", [*KEYS, "other"], "一/1") == set(KEYS)
    assert not client.list_vectors(index="vectorsside")


def test_names_and_collections_are_never_taken_for_one_another():
    names = ["a", "b/a", "%", "%2F", "%h", "/", "", "h", "x" * 1200]
    keys = {stored_key("note", collection, key) for collection in names for key in names}
    assert len(keys) == len(names) ** 2


@pytest.mark.parametrize("list_filter", ["honoured", "ignored", "refused"])
@pytest.mark.parametrize("length", [3, 300], ids=["short", "long"])
def test_a_listing_shows_one_collection_and_kind(client, side, length):
    names = ["a" * length, "b" * length, ""]
    rows = [Row(kind, f"k{n}", {}, name) for kind in ("x", "y") for name in names for n in range(3)]
    client.run(side.put_rows, rows)
    client.put_vectors(
        [{"key": "odd", "data": [0.0], "metadata": {"_row": "x"}}], index="vectorsside"
    )
    for kind in ("x", "y"):
        for name in names:
            expected = {row.key for row in rows if (row.kind, row.collection) == (kind, name)}
            listed = client.run(side.list_rows, kind, name)
            assert len(listed) == 3
            assert {row.key for row in listed} == expected
            assert {(row.kind, row.collection) for row in listed} == {(kind, name)}
        assert len(client.run(side.list_rows, kind)) == 9


def test_the_name_of_a_side_index_is_legal_and_its_own():
    assert side_name(StoreSettings(), "docs") == "docsside"
    assert side_name(StoreSettings(side_index="other"), "docs") == "other"
    long = [side_name(StoreSettings(), "d" * 62 + end) for end in "ab"]
    assert len({*long, "d" * 63}) == 3
    assert all(len(name) == 63 for name in long)
    with pytest.raises(InvalidRequestError, match="side_index"):
        side_name(StoreSettings(side_index=False), "docs")
    with pytest.raises(InvalidRequestError, match="side_index"):
        StoreSettings(side_index="no-index")
