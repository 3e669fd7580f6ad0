"""Queries: the nearest nodes, with variety, restricted, and how similar they are."""

import random

import numpy as np
import pytest
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from support.embedded import filters_first
from support.llama_nodes import around, every_class, filters, ids, query, text_node, where

from oss_vector_retriever.client.errors import InvalidRequestError

MMR = VectorStoreQueryMode.MMR


@pytest.fixture
def fan(store):
    """Give a store of twenty unit vectors, each a little farther from the first axis."""
    store.add(
        [
            text_node(f"n{n:02}", around(5 * n), tag="odd" if n % 2 else "even", of=f"d{n % 3}")
            for n in range(20)
        ]
    )
    return store


def test_the_nearest_come_first_with_their_similarities(fan, calls):
    calls.clear()
    found = fan.query(query(k=3))
    assert found.ids == ids(found.nodes) == ["n00", "n01", "n02"]
    assert found.similarities == pytest.approx(np.cos([0, 0.05, 0.1]), abs=1e-6)
    assert calls.taken() == {"queryVectors": 1, "getVectors": 1}


@pytest.mark.usefixtures("fan")
def test_without_embeddings_a_query_is_one_call(make, calls):
    bare = make(return_data=False, filterable=["tag", "size"], read_your_writes=False)
    bare.query(query(k=3))  # asks for the index's metric, once
    calls.clear()
    found = bare.query(query(k=3))
    assert [node.embedding for node in found.nodes] == [None] * 3
    assert calls.taken() == {"queryVectors": 1}


def test_embeddings_are_on_the_nodes_by_default(fan):
    [node] = fan.query(query(k=1)).nodes
    assert node.embedding == pytest.approx([1.0, 0.0, 0.0, 0.0])


def test_similarities_beyond_a_right_angle_differ(store):
    """s3 #18: a cosine of 0 and below is not clamped, so that the order can be told."""
    angles = [0, 100, 200, 250, 314]
    store.add([text_node(f"a{angle}", around(angle)) for angle in angles])
    found = store.query(query())
    assert found.ids == [f"a{angle}" for angle in angles]
    expected = np.cos(np.array(angles) / 100)
    assert found.similarities == pytest.approx(list(expected), abs=1e-6)
    assert len(set(found.similarities)) == len(angles)


def test_a_euclidean_index_has_similarities_of_its_own(make):
    store = make(index="euclid", distance_metric="euclidean")
    store.add([text_node("near", (1.0, 0.0, 0.0, 0.0)), text_node("far", (4.0, 4.0, 0.0, 0.0))])
    for options in ({}, {"node_ids": ["far", "near"]}):
        found = store.query(query(**options))
        assert found.ids == ["near", "far"]
        assert found.similarities == pytest.approx([1.0, 1 / 6])


def test_the_metric_is_the_indexs_own_not_a_guess(make, client):
    client.put_vector_index(index="other", dimension=4, distance_metric="euclidean")
    client.put_vectors([{"key": "far", "data": [4.0, 4.0, 0.0, 0.0]}], index="other")
    found = make(index="other", distance_metric=None).query(query())
    assert found.similarities == pytest.approx([1 / 6])


def test_an_index_that_is_not_there_answers_with_nothing(store):
    found = store.query(query())
    assert (found.nodes, found.ids, found.similarities) == ([], [], [])


@pytest.mark.parametrize("empty", [{"node_ids": []}, {"filters": filters()}])
def test_empty_restrictions_are_none(fan, empty):
    assert len(fan.query(query(k=20, **empty)).ids) == 20


@pytest.mark.parametrize(
    "nothing",
    [
        {"doc_ids": []},
        {"filters": filters(where("tag", "in", []))},
        {"filters": filters(where("tag", "nin", []), condition="not"), "node_ids": ["n01"]},
    ],
)
def test_an_empty_list_of_what_may_be_is_nothing_without_a_call(fan, nothing, calls):
    calls.clear()
    found = fan.query(query(k=20, **nothing))
    assert (found.nodes, found.ids, found.similarities) == ([], [], [])
    if "filters" in nothing:
        assert fan.get_nodes(filters=nothing["filters"]) == []
        fan.delete_nodes(filters=nothing["filters"])
    assert calls.taken() == {}


def test_ids_restrict_a_query_however_far_they_are(fan, calls):
    calls.clear()
    found = fan.query(query(k=2, node_ids=["n19", "gone", "n07", "n03", "n07"]))
    assert found.ids == ids(found.nodes) == ["n03", "n07"]
    assert found.similarities == pytest.approx(np.cos([0.15, 0.35]), abs=1e-6)
    assert calls.taken() == {"getVectors": 1}


def test_ids_documents_and_filters_must_all_hold(fan):
    even = filters(where("tag", "==", "even"))
    asked = [f"n{n:02}" for n in range(10)]
    assert fan.query(query(node_ids=asked, filters=even)).ids == asked[::2]
    assert fan.query(query(node_ids=asked, doc_ids=["d1"])).ids == ["n01", "n04", "n07"]
    both = query(node_ids=asked, doc_ids=["d1"], filters=even)
    assert fan.query(both).ids == ["n04"]


@filters_first
def test_documents_restrict_a_query_at_the_service(fan, calls):
    calls.clear()
    found = fan.query(query(k=4, doc_ids=["d2", "gone"]))
    assert found.ids == ["n02", "n05", "n08", "n11"]
    assert calls.taken() == {"queryVectors": 1, "getVectors": 1}


def test_output_fields_are_the_metadata_that_come_back(store):
    store.add([text_node("a", tag="x", size=5, other=True)])
    [node] = store.query(query(output_fields=["size", "none"])).nodes
    assert node.metadata == {"size": 5}
    assert node.text == "text of a"


@filters_first
def test_a_filter_of_the_services_own_can_be_given(fan):
    found = fan.query(query(k=3), filter={"tag": "odd"})
    assert found.ids == ["n01", "n03", "n05"]
    far = filters(where("tag", "contains", "o"))
    assert fan.query(query(k=3, filters=far), filter={"tag": "odd"}).ids == found.ids
    some = query(node_ids=["n04", "n03", "n01"])
    assert fan.query(some, filter={"tag": "odd"}).ids == ["n01", "n03"]


def brute_force(vector, rows, k, share):
    """Pick by the definition: similarity to the query less that to the nearest pick."""

    def cosine(a, b):
        return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))

    picked, left = [], list(range(len(rows)))
    while left and len(picked) < k:

        def worth(place):
            near = max((cosine(rows[place], rows[other]) for other in picked), default=None)
            own = cosine(rows[place], vector)
            return own if near is None else share * own - (1 - share) * near

        best = max(left, key=worth)
        picked.append(best)
        left.remove(best)
    return picked


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_mmr_is_what_its_definition_says(store, share):
    dice = random.Random(5)
    rows = [[dice.gauss(0, 1) for _ in range(4)] for _ in range(30)]
    store.add([text_node(str(n), row) for n, row in enumerate(rows)])
    vector = [1.0, 0.5, -0.25, 0.0]
    expected = [str(n) for n in brute_force(vector, np.float32(rows), 6, share)]
    options = {"mmr_threshold": share, "mode": MMR}
    found = store.query(query(vector, 6, **options), mmr_prefetch_k=30)
    assert found.ids == expected
    restricted = query(vector, 6, node_ids=[str(n) for n in range(30)], **options)
    assert store.query(restricted, mmr_prefetch_k=30).ids == expected


@filters_first
def test_mmr_chooses_among_four_times_as_many_and_keeps_restrictions(fan, calls):
    even = filters(where("tag", "==", "even"))
    calls.clear()
    found = fan.query(query(k=2, mode=MMR, mmr_threshold=0.0, filters=even))
    assert found.ids == ["n00", "n14"]
    assert found.similarities == pytest.approx(np.cos([0, 0.7]), abs=1e-6)
    assert calls.taken() == {"queryVectors": 1, "getVectors": 1}


@pytest.mark.usefixtures("fan")
def test_mmr_needs_no_embeddings_on_the_nodes(make):
    found = make(return_data=False).query(query(k=3, mode=MMR))
    assert len(found.ids) == 3
    assert [node.embedding for node in found.nodes] == [None] * 3


@pytest.mark.parametrize(
    ("asked", "options", "reason"),
    [
        ({"mode": VectorStoreQueryMode.HYBRID}, {}, "hybrid"),
        ({"mode": VectorStoreQueryMode.TEXT_SEARCH}, {}, "text_search"),
        ({"embedding_field": "other"}, {}, "embedding_field"),
        ({"similarity_top_k": 0}, {}, "similarity_top_k"),
        ({"similarity_top_k": 501}, {}, "similarity_top_k"),
        ({"query_embedding": None}, {}, "query_embedding"),
        ({"query_embedding": [1.0, float("nan")]}, {}, "NaN"),
        ({"query_embedding": [1.0, 2.0]}, {}, "dimension"),
        ({"mode": MMR, "mmr_threshold": 1.5}, {}, "mmr_threshold"),
        ({"mode": MMR}, {"mmr_prefetch_k": 5, "mmr_prefetch_factor": 2}, "not both"),
        ({"mode": MMR}, {"mmr_prefetch_k": 0}, "mmr_prefetch_k"),
        ({"filters": filters(where("tag", "in", "x"))}, {}, "a list"),
    ],
)
def test_what_cannot_be_asked_is_refused(fan, asked, options, reason):
    wrong = query()
    for name, value in asked.items():
        setattr(wrong, name, value)
    with pytest.raises(InvalidRequestError, match=reason):
        fan.query(wrong, **options)


def test_an_unknown_option_is_refused(fan):
    with pytest.raises(TypeError, match="mmr_threshhold"):
        fan.query(query(), mmr_threshhold=0.5)


def test_nodes_of_every_class_come_back_from_a_query(store):
    nodes = every_class()
    store.add(nodes)
    found = store.query(query())
    assert {type(node) for node in found.nodes} == {type(node) for node in nodes}
    assert len(found.nodes) == len(found.ids) == len(found.similarities) == 5
