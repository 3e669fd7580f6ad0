"""Queries that may lack nodes reach the framework's instrumentation as an event."""

import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery
from support.llama_events import recorded
from support.llama_nodes import filters, text_node, where

from oss_vector_retriever import IncompleteSearchWarning, Limits, OSSVectorClient
from oss_vector_retriever.llama_index import IncompleteSearchEvent, OSSVectorStore

QUERY = VectorStoreQuery(
    query_embedding=[1.0, 0.0], similarity_top_k=4, filters=filters(where("tag", "==", "rare"))
)


@pytest.fixture
def store():
    with OSSVectorClient.local(limits=Limits(top_k=40)) as client:
        store = OSSVectorStore(client, exhaustive=False, read_your_writes=False)
        store.add(
            [
                text_node(f"n{n}", [1.0, 0.01 * n], tag="rare" if n in (7, 70) else "common")
                for n in range(80)
            ]
        )
        yield store


def events_of(recorder):
    return [event for event in recorder.events if isinstance(event, IncompleteSearchEvent)]


async def test_a_handler_on_the_root_dispatcher_sees_it(store):
    with recorded() as recorder:
        with pytest.warns(IncompleteSearchWarning, match="more may match"):
            assert store.query(QUERY).ids == ["n7"]
        with pytest.warns(IncompleteSearchWarning):
            assert (await store.aquery(QUERY)).ids == ["n7"]
    [event, awaited] = events_of(recorder)
    assert (event.index, event.wanted, event.found) == ("vectors", 4, 1)
    assert (event.nearest, event.listed) == (40, 0)
    assert event.class_name() == "OSSVectorsIncompleteSearchEvent"
    assert awaited.reason == event.reason == "exhaustive=False leaves it at that"


def test_each_query_takes_what_the_store_takes(store):
    with recorded() as recorder:
        assert store.query(QUERY, exhaustive=True).ids == ["n7", "n70"]
        assert store.query(QUERY, on_incomplete="ignore").ids == ["n7"]
    assert events_of(recorder) == []
    with pytest.raises(IncompleteSearchWarning):
        store.query(QUERY, on_incomplete="raise")


def test_the_settings_are_saved(store):
    again = OSSVectorStore.from_dict(
        {**store.to_dict(), "client": None, "scan_limit": 7}, client=store.client
    )
    assert (again.exhaustive, again.scan_limit, again.on_incomplete) == (False, 7, "warn")
