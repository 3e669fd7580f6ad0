"""Traversals of langchain-graph-retriever over a store."""

import copy

import pytest

pytest.importorskip("langchain_graph_retriever", reason="langchain-graph-retriever is missing")

from graph_retriever.edges import Edge, IdEdge, MetadataEdge
from graph_retriever.strategies import Eager
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_graph_retriever import GraphRetriever

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.langchain import OSSVectorAdapter, OSSVectorStore

EDGES = [("habitat", "habitat"), ("mentions", "$id")]
DOCUMENTS = [
    Document(
        id=f"d{number}",
        page_content=f"text {number}",
        metadata={
            "habitat": f"h{number % 7}",
            "team": "a" if number % 3 else "b",
            "mentions": [f"d{(number * 5 + 1) % 60}", "gone"],
        },
    )
    for number in range(60)
]


@pytest.fixture
def store(client):
    store = OSSVectorStore(DeterministicFakeEmbedding(size=4), client=client)
    store.add_documents(DOCUMENTS)
    return store


async def test_a_traversal_finds_what_it_finds_in_memory(store):
    memory = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))
    memory.add_documents(copy.deepcopy(DOCUMENTS))  # its adapter writes into their metadata
    strategy = Eager(select_k=12, start_k=2, adjacent_k=5, max_depth=3)
    ours = GraphRetriever(store=OSSVectorAdapter(store), edges=EDGES, strategy=strategy)
    theirs = GraphRetriever(store=memory, edges=EDGES, strategy=strategy)
    for given in ({}, {"filter": {"team": "a"}}, {"initial_roots": ["d3"]}):
        expected = {document.id for document in theirs.invoke("text 1", **given)}
        assert len(expected) > 2
        found = ours.invoke("text 1", **given)
        assert {document.id for document in found} == expected
        assert {document.id for document in await ours.ainvoke("text 1", **given)} == expected
        by_id = {document.id: document for document in DOCUMENTS}
        for document in found:
            own = {name: document.metadata[name] for name in ("habitat", "team", "mentions")}
            assert own == by_id[document.id].metadata
            assert "__embedding" not in document.metadata


def test_many_edges_take_one_search_and_one_fetch(store, operations):
    adapter = OSSVectorAdapter(store)
    edges = {MetadataEdge("habitat", f"h{n}") for n in range(7)} | {IdEdge("d1"), IdEdge("gone")}
    found = list(adapter.adjacent(edges, [1.0, 0, 0, 0], 5, None))
    assert len(found) == 5
    assert operations.count("queryVectors") == 1
    assert operations.count("getVectors") <= 2  # with the embeddings of what was found


def test_an_edge_and_a_filter_on_one_field_both_hold(store):
    adapter = OSSVectorAdapter(store)
    edges = {MetadataEdge("team", "a")}
    assert list(adapter.adjacent(edges, [1.0, 0, 0, 0], 5, {"team": "b"})) == []


@pytest.mark.parametrize("list_fields", ["any", "exact"])
def test_an_edge_leads_into_a_list_whatever_the_stores_filters_mean(client, store, list_fields):
    adapter = OSSVectorAdapter(
        OSSVectorStore(store.embeddings, client=client, list_fields=list_fields)
    )
    found = adapter.adjacent({MetadataEdge("mentions", "d6")}, [1.0, 0, 0, 0], 60, None)
    assert {one.id for one in found} == {"d1", "d13", "d25", "d37", "d49"}


def test_a_filter_of_the_stores_own_grammar_holds_in_every_step(store):
    adapter = OSSVectorAdapter(store)
    wanted = {"$not": {"team": "b"}, "habitat": {"$in": ["h1", "h2"]}}
    found = adapter.search([1.0, 0, 0, 0], 60, wanted)
    assert found
    got = adapter.get([document.id for document in DOCUMENTS], wanted)
    assert {one.id for one in got} == {one.id for one in found}
    assert {one.metadata["team"] for one in found} == {"a"}
    assert {one.metadata["habitat"] for one in found} == {"h1", "h2"}


def test_nothing_is_asked_for_nothing(store, operations):
    adapter = OSSVectorAdapter(store)
    assert list(adapter.adjacent(set(), [1.0, 0, 0, 0], 5, None)) == []
    assert list(adapter.adjacent({IdEdge("d1")}, [1.0, 0, 0, 0], 0, None)) == []
    assert adapter.search([1.0, 0, 0, 0], 0) == []
    assert adapter.search([1.0, 0, 0, 0], 3, {"team": {"$in": []}}) == []
    assert adapter.get([]) == []
    assert operations == []


def test_what_is_wrong_is_told(store, client):
    class Other(Edge):
        pass

    adapter = OSSVectorAdapter(store)
    with pytest.raises(ValueError, match="Unsupported edge"):
        adapter.adjacent({Other()}, [1.0, 0, 0, 0], 5, None)
    with pytest.raises(TypeError, match="'depth'"):
        adapter.search([1.0, 0, 0, 0], 5, depth=3)
    with pytest.raises(ConfigurationError, match="embedding="):
        OSSVectorAdapter(OSSVectorStore(client=client)).search_with_embedding("q")
