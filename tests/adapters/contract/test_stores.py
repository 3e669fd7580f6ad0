"""The vector stores of both frameworks keep one contract: the same cases, sync and async."""

import logging
import math
import random

import pytest
from support.embedded import filters_first
from support.store_faces import INDEX, STORES, Given

from oss_vector_retriever.client.errors import InvalidRequestError, NoSuchVectorIndexError
from oss_vector_retriever.embeddings import maximal_marginal_relevance

TYPED = {
    "text": "Größe",
    "whole": 5,
    "part": 2.5,
    "flag": True,
    "none": None,
    "list": ["a", 1, None],
    "deep": {"a": {"b": [1]}},
    "wide": 2**70,
}


def record(key, embedding=(1.0, 0.0, 0.0, 0.0), **metadata):
    return Given(key, f"text of {key}", metadata, embedding)


def around(angle):
    return (math.cos(angle / 100), math.sin(angle / 100), 0.0, 0.0)


def keys_of(seen):
    return [one.key for one in seen]


@pytest.fixture(params=STORES)
def make(request, client):
    """Give a function that makes a store of given settings on the client."""
    return lambda **options: STORES[request.param](client, **options)


@pytest.fixture
def store(make):
    return make()


@pytest.fixture
def other(request, client):
    """Give the other framework's store on the same index."""
    name = request.node.callspec.params["make"]
    theirs = {"langchain": "llama_index", "llama_index": "langchain"}
    return STORES[theirs[name.removesuffix("_async")]](client)


def test_what_was_stored_comes_back_with_its_types_and_embedding(store):
    given = Given("k", "hello", TYPED, (1.0, -0.5, 0.25, 3.0))
    store.add([given])
    assert store.get(["k"]) == [given]


@pytest.mark.parametrize("count", [0, 1, 100, 101, 1000])
def test_any_number_of_keys_comes_in_order_a_hundred_a_call(store, service, count):
    records = [record(f"k{n}", (1.0, n, 0.0, 0.0), n=n) for n in range(count)]
    assert store.add(records) == keys_of(records)
    random.Random(count).shuffle(records)
    service.gets.clear()
    assert store.get(keys_of(records)) == records
    assert len(service.gets) == math.ceil(count / 100)


def test_a_repeated_key_is_answered_each_time_and_missing_ones_are_left_out(store, service):
    store.add([record("a"), record("b")])
    assert keys_of(store.get(["b", "gone", "a", "b", "lost", "b"])) == ["b", "a", "b", "b"]
    assert [sorted(asked) for asked in service.gets] == [["a", "b", "gone", "lost"]]
    assert store.get(["gone"]) == []


def test_duplicates_share_nothing(store):
    store.add([record("a", tag="x")])
    first, second = store.get(["a", "a"])
    first.metadata["tag"] = "changed"
    assert second.metadata == {"tag": "x"}
    assert store.get(["a"])[0].metadata == {"tag": "x"}


def test_writing_again_replaces(store):
    store.add([record("a", v=1)])
    store.add([record("a", v=2)])
    assert [one.metadata for one in store.get(["a"])] == [{"v": 2}]


def test_an_index_that_is_not_there_reads_as_empty(store):
    assert store.get(["a"]) == []
    assert store.near((1.0, 0.0, 0.0, 0.0), 3) == []
    assert store.varied((1.0, 0.0, 0.0, 0.0), 3, 5) == []
    store.delete(["a"])
    store.clear()


def test_an_index_that_is_not_there_is_an_error_where_that_is_wanted(make):
    store = make(create_index=False)
    for call in (
        lambda: store.get(["a"]),
        lambda: store.add([record("a")]),
        lambda: store.near((1.0, 0.0, 0.0, 0.0), 3),
        store.clear,
    ):
        with pytest.raises(NoSuchVectorIndexError):
            call()


FOREIGN = {
    "langchain": ({"_page_content": "hello", "tag": "x"}, {"tag": "x"}),
    "llama_index": (
        {
            "_node_content": '{"id_": "else", "text": "hello", "metadata": {"tag": "x"}}',
            "_node_type": "TextNode",
            "doc_id": "None",
        },
        {"tag": "x"},
    ),
    "embed": ({"OSSVECTORS-EMBED-SRC-CONTENT": "hello"}, {}),
    "plain": ({"text": "hello", "tag": "x"}, {"tag": "x"}),
}


def test_records_of_others_are_read_by_key_and_by_search(make, put):
    store = make(index="vectors")
    put({key: stored for key, (stored, _) in FOREIGN.items()})
    found = store.get(list(FOREIGN))
    assert keys_of(found) == list(FOREIGN)
    assert [one.text for one in found] == ["hello"] * 4
    assert [one.metadata for one in found] == [metadata for _, metadata in FOREIGN.values()]
    assert sorted(store.near((1.0, 0.0, 0.0, 0.0), 9)) == sorted(FOREIGN)


def test_what_one_framework_wrote_the_other_reads(store, other):
    given = record("k", tag="x", whole=5, none=None)
    store.add([given])
    assert other.get(["k"]) == [given]
    assert other.near(given.embedding, 1, [("tag", "==", "x")]) == ["k"]


@pytest.fixture(params=["strings", "native", "auto"])
def fan(make, request):
    """Give a store of twenty records, each a little farther, with filterable fields."""
    store = make(scalars=request.param)
    tags = ("red", "blue")
    store.add([record(f"n{n:02}", around(5 * n), tag=tags[n % 2], size=n) for n in range(20)])
    return store


@filters_first
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, ["n00", "n01", "n02"]),
        ([("tag", "==", "blue")], ["n01", "n03", "n05"]),
        ([("size", "==", 7)], ["n07"]),
        ([("size", "==", 7.0)], ["n07"]),
        ([("size", "in", [19, 8])], ["n08", "n19"]),
        ([("tag", "==", "red"), ("size", "in", [3, 4, 6])], ["n04", "n06"]),
        ([("tag", "==", "green")], []),
    ],
)
def test_filters_mean_the_same(fan, where, expected):
    assert fan.near((1.0, 0.0, 0.0, 0.0), 3, where) == expected


@filters_first
@pytest.mark.parametrize(
    ("where", "expected"),
    [([("size", ">", 16)], ["n17", "n18", "n19"]), ([("size", "<=", 1)], ["n00", "n01"])],
)
def test_ranges_mean_the_same_where_numbers_are_kept_as_numbers(make, where, expected):
    store = make(scalars="native")
    store.add([record(f"n{n:02}", around(5 * n), size=n) for n in range(20)])
    assert store.near((1.0, 0.0, 0.0, 0.0), 3, where) == expected


def test_what_nobody_named_can_be_filtered_by_and_other_programs_see_it(make, client):
    store = make(filterable=None)
    near = around(0)
    store.add(
        [
            record("a", near, tag="x", whole=5, tags=["red", "blue"], deep={"n": 1}),
            record("b", near, tag="5", whole="5", yes=True, long="y" * 3000),
            record("c", near, tag="x", whole=6, none=None, half=0.5),
        ]
    )

    def found(*where):
        return sorted(store.near((1.0, 0.0, 0.0, 0.0), 9, [*where]))

    assert found(("tag", "==", "x")) == ["a", "c"]
    assert found(("whole", "==", 5)) == ["a"]
    assert found(("whole", "==", "5")) == ["b"]
    assert found(("whole", ">", 5)) == ["c"]
    assert found(("tags", "==", "red")) == ["a"]
    assert found(("tags", "in", ["blue", "green"])) == ["a"]
    assert found(("tags", "!=", "red")) == ["b", "c"]
    assert found(("long", "!=", "z"), ("tag", "!=", "x")) == ["b"]
    assert found(("tag", "in", [])) == []
    # as another program asks the service
    asked = {"tags": {"$eq": "red"}}
    hits = client.query_vectors([1.0, 0, 0, 0], top_k=9, index=INDEX, filter=asked)
    assert [hit.key for hit in hits] == ["a"]
    marks = {v.key: v.metadata["_unsure"] for v in client.fetch(["a", "b", "c"], index=INDEX)}
    assert marks == {"a": ["deep"], "b": ["long"], "c": ["-"]}


def test_lists_are_compared_as_a_whole_where_that_is_wanted(make):
    store = make(filterable=None, list_fields="exact")
    store.add([record("a", around(0), tags=["red"]), record("b", around(1), tags="red")])
    assert store.near((1.0, 0.0, 0.0, 0.0), 9, [("tags", "==", "red")]) == ["b"]
    assert store.near((1.0, 0.0, 0.0, 0.0), 9, [("tags", "!=", "red")]) == ["a"]


def test_variety_is_chosen_alike(make):
    store = make()
    dice = random.Random(9)
    rows = [tuple(dice.gauss(0, 1) for _ in range(4)) for _ in range(30)]
    store.add([record(str(n), row) for n, row in enumerate(rows)])
    vector = (1.0, 0.5, 0.0, -0.5)
    expected = maximal_marginal_relevance(vector, rows, 6, 0.5)
    assert store.varied(vector, 6, 30) == [str(place) for place in expected]


def test_deleting_takes_what_was_named_and_clearing_leaves_the_index(store, client):
    store.add([record(f"k{n}") for n in range(1100)])
    store.delete(["k3", "gone", "k1099"])
    assert keys_of(store.get(["k3", "k4", "k1099"])) == ["k4"]
    store.delete([])
    assert keys_of(store.get(["k4"])) == ["k4"]
    store.clear()
    assert list(client.iter_vectors(index=INDEX)) == []
    assert client.get_vector_index(index=INDEX).dimension == 4


@pytest.mark.parametrize(
    "embedding", [(1.0, float("nan"), 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (1.0, 2.0)], ids=str
)
def test_an_embedding_that_the_index_cannot_take_is_refused_and_nothing_is_written(
    store, embedding
):
    with pytest.raises(InvalidRequestError, match="wrong"):
        store.add([record("good"), record("wrong", embedding)])
    assert store.get(["good"]) == []


def warnings_of(caplog):
    found = [r for r in caplog.records if r.levelno == logging.WARNING]
    return [r.getMessage() for r in found if r.name == "oss_vector_retriever"]


def test_an_index_that_is_not_there_reads_as_empty_and_is_warned_of_once(make, client, caplog):
    store = make(index="typo")
    for _ in range(3):
        assert store.get(["a"]) == []
        assert store.near((1.0, 0.0, 0.0, 0.0), 4) == []
        assert store.varied((1.0, 0.0, 0.0, 0.0), 2, 4) == []
        store.delete(["a"])
    bucket = client.config.bucket
    assert warnings_of(caplog) == [
        (
            f"index 'typo' of bucket {bucket!r} is not there, and is taken for empty; is its "
            "name right?"
        )
    ]
    make(index="othertypo").get(["a"])
    assert len(warnings_of(caplog)) == 2


def test_an_index_that_is_there_or_must_be_is_not_warned_of(make, caplog):
    store = make()
    store.add([record("a")])
    assert keys_of(store.get(["a"])) == ["a"]
    with pytest.raises(NoSuchVectorIndexError):
        make(index="typo", create_index=False).get(["a"])
    assert warnings_of(caplog) == []


def test_a_query_of_zeros_is_refused_by_name_before_the_call_under_cosine_alone(store, service):
    store.add([record("a")])
    service.operations.clear()
    with pytest.raises(InvalidRequestError, match="all zeros, which have no direction"):
        store.near((0.0, 0.0, 0.0, 0.0), 1)
    assert "queryVectors" not in service.operations


def test_under_euclidean_zeros_are_a_query_as_others_are(make):
    store = make(distance_metric="euclidean", index="flat")
    store.add([record("a", (1.0, 0.0, 0.0, 0.0)), record("b", (3.0, 0.0, 0.0, 0.0))])
    assert store.near((0.0, 0.0, 0.0, 0.0), 1) == ["a"]
