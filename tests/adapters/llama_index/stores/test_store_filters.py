"""Filters on a store: exact whatever the service can check of them, and in few calls."""

import random

import pytest
from llama_index.core.vector_stores.types import FilterOperator
from support.embedded import filters_first
from support.llama_nodes import around, filters, ids, query, text_node, where
from support.promises import sized

from oss_vector_retriever.llama_index import OSSVectorStore
from oss_vector_retriever.llama_index.filters import read_filters
from oss_vector_retriever.records import conditions

TAGS = ("red", "blue", "5", ["red", "blue"], ["blue"], [], None, 5, True, 5.0, "")


def passes(metadata, asked, exact_lists=False):
    return conditions.passes(metadata, read_filters(asked), exact_lists)


@pytest.fixture(params=["strings", "natives", "nothing", "all", "exact"])
def kept(request, make):
    """Give stores whose fields the service can check as strings, as they are, or not at all."""
    return {
        "strings": lambda: make(filterable=["tag", "size"], scalars="strings"),
        "natives": lambda: make(filterable=["tag", "size"], scalars="native"),
        "nothing": lambda: make(filterable=()),
        "all": make,
        "exact": lambda: make(list_fields="exact"),
    }[request.param]()


def nodes():
    return [
        text_node(f"n{n:02}", around(3 * n), tag=tag, size=n, half=n / 2)
        for n, tag in enumerate(TAGS)
    ] + [text_node("none", around(99))]


CASES = [
    where("tag", "==", "5"),
    where("tag", "==", 5),
    where("tag", "==", 1),
    where("tag", "!=", "red"),
    where("tag", "in", ["red", ""]),
    where("tag", "nin", ["red", "blue"]),
    where("tag", "any", ["red", "x"]),
    where("tag", "all", ["red", "blue"]),
    where("tag", "contains", "ed"),
    where("tag", "text_match", "re"),
    where("tag", "text_match_insensitive", "RE"),
    where("tag", "is_empty"),
    where("size", ">", 3),
    where("size", ">=", 3.0),
    where("size", "<", 3),
    where("half", "<=", 1.5),
    filters(where("tag", "==", "red"), condition="not"),
    filters(where("tag", "is_empty"), where("size", ">", 7), condition="not"),
    filters(where("tag", "==", "red"), where("half", ">", 4), condition="or"),
    filters(where("tag", "!=", "x"), filters(where("size", "in", [1, 2, 9]), condition="not")),
]


def test_a_query_returns_exactly_what_passes(kept):
    stored = nodes()
    kept.add(stored)
    for case in CASES:
        asked = filters(case)
        exact = kept.store.list_fields == "exact"
        expected = [node.node_id for node in stored if passes(node.metadata, asked, exact)]
        assert kept.query(query(k=20, filters=asked)).ids == expected, case
        assert sorted(ids(kept.get_nodes(filters=asked))) == sorted(expected), case
        backwards = [node.node_id for node in reversed(stored)]
        assert ids(kept.get_nodes(backwards, asked)) == expected[::-1], case


def test_every_operator_is_tried():
    assert {case.operator for case in CASES if hasattr(case, "operator")} == set(FilterOperator)


@pytest.fixture
def crowd(client):
    """Give a store of a thousand nodes, of which each hundredth has the rare tag."""
    store = OSSVectorStore(client, index="crowd", filterable=["tag"], read_your_writes=False)
    tags = ["rare" if n % 100 == 99 else "common" for n in range(1000)]
    store.add([text_node(f"n{n:03}", around(n / 10), tag=tag) for n, tag in enumerate(tags)])
    return store


@filters_first
def test_what_the_service_checks_is_found_however_far(crowd, calls):
    calls.clear()
    found = crowd.query(query(k=8, filters=filters(where("tag", "==", "rare"))))
    assert found.ids == [f"n{n:03}" for n in range(99, 800, 100)]
    assert calls.taken() == {"queryVectors": 1, "getVectors": 1}


def test_what_fell_out_is_made_up_for_by_asking_for_more(client, calls):
    store = OSSVectorStore(client, index="mixed", filterable=["tag"], scalars="strings")
    numbers = [text_node(f"n{n:02}", around(n), tag=5) for n in range(20)]
    store.add([*numbers, text_node("word", around(50), tag="5")])
    store.query(query(k=1))
    calls.clear()
    # to the service 5 and "5" are one
    assert store.query(query(k=1, filters=filters(where("tag", "==", "5")))).ids == ["word"]
    assert calls.taken() == {"queryVectors": 1, "getVectors": 1}


def test_embeddings_are_fetched_for_those_alone_that_pass(crowd, service):
    service.gets.clear()
    rare = filters(where("tag", "==", "rare"))
    assert len(crowd.get_nodes(filters=rare)) == 10
    crowd.query(query(k=3, filters=rare))
    assert [len(asked) for asked in service.gets] == [10, 3]


def test_a_field_that_the_index_keeps_out_of_its_filters_is_checked_here(client, put):
    put({"a": {"text": "x"}, "b": {"text": "y"}})  # the index has "text" non-filterable
    store = OSSVectorStore(client, filterable=["text"], text_key="other")
    store.add([text_node("c", text="y")])
    # a record of another program is its own metadata, its text among them
    assert store.query(query(filters=filters(where("text", "==", "y")))).ids == ["c", "b"]
    assert ids(store.get_nodes(["b", "a", "c"], filters(where("text", "!=", "x")))) == ["b", "c"]


def test_the_documents_id_can_be_filtered_on_by_the_names_that_core_gives_it(client):
    store = OSSVectorStore(client, index="crowd")
    store.add([text_node("a", of="d1"), text_node("b", of="d2"), text_node("c")])
    for name in ("ref_doc_id", "doc_id", "document_id"):
        asked = filters(where(name, "==", "d2"))
        assert ids(store.get_nodes(filters=asked)) == ["b"]
        assert store.query(query(filters=asked)).ids == ["b"]
    assert store.get_nodes(["b"])[0].metadata == {}


def test_random_filters_agree_with_the_evaluation(client):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown with a failure
    dice = random.Random(seed)
    store = OSSVectorStore(client, index="dice", filterable=["tag", "size"], return_data=False)
    stored = [
        text_node(f"n{n:02}", around(n), tag=dice.choice(TAGS), size=dice.randint(0, 9))
        for n in range(60)
    ]
    store.add(stored)
    for _ in range(sized(75, 300)):
        size = where("size", dice.choice(("==", "!=", ">", "<=")), dice.randint(0, 9))
        tag = where("tag", dice.choice(("in", "nin", "any")), dice.sample(["red", "blue", "5"], 2))
        conditions = [dice.choice(("and", "or", "not")) for _ in range(2)]
        inner = filters(size, tag, condition=conditions[0])
        asked = filters(inner, where("tag", "is_empty"), condition=conditions[1])
        expected = [node.node_id for node in stored if passes(node.metadata, asked)]
        assert store.query(query(k=60, filters=asked)).ids == expected, asked


def test_changed_metadata_keep_a_node_findable_by_its_document(client):
    store = OSSVectorStore(client, index="crowd", filterable=["tag"])
    store.add([text_node("a", of="d1", tag="old"), text_node("b", of="d2", tag="old")])
    client.run(store._store.records.update_metadata, ["a"], {"tag": "new"})
    [found] = store.query(query(doc_ids=["d1"], filters=filters(where("tag", "==", "new")))).nodes
    assert (found.node_id, found.ref_doc_id, found.metadata) == ("a", "d1", {"tag": "new"})
