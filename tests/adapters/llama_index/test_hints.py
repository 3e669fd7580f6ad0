"""What a LlamaIndex component says to who comes from another store, and how it is closed."""

import asyncio

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.data_structs import IndexList
from support.embedded import embedded
from support.llama_nodes import filters, query, text_node, where

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.llama_index import (
    OSSVectorChatStore,
    OSSVectorDocumentStore,
    OSSVectorIndexStore,
    OSSVectorKVStore,
    OSSVectorNodeMapping,
    OSSVectorReader,
    OSSVectorRetriever,
    OSSVectorStore,
    OSSVectorToolSpec,
    ReuseStoredEmbeddings,
)

CLASSES = [
    OSSVectorChatStore,
    OSSVectorDocumentStore,
    OSSVectorIndexStore,
    OSSVectorKVStore,
    OSSVectorNodeMapping,
    OSSVectorReader,
    OSSVectorRetriever,
    OSSVectorStore,
    OSSVectorToolSpec,
    ReuseStoredEmbeddings,
]


@pytest.mark.parametrize("made", CLASSES)
def test_the_argument_of_another_store_is_answered_with_ours(made):
    # core's index stores have a namespace, and so has ours
    own = {"namespace"} if made is OSSVectorIndexStore else set()
    for theirs in {"index_name", "collection_name", "namespace"} - own:
        with pytest.raises((TypeError, ValueError), match=f"call {theirs}= is index= here"):
            made(**{theirs: "x"})


def test_the_vector_store_says_that_its_metadata_are_not_flat(client):
    assert OSSVectorStore.flat_metadata is OSSVectorStore(client).flat_metadata is False
    assert "flat_metadata" not in OSSVectorStore(client).to_dict()


@pytest.fixture
def store(client, put):
    put(["a"])
    return OSSVectorStore(client)


def refusal(store, asked, manner):
    with pytest.raises(InvalidRequestError) as refused:
        store.query(asked) if manner == "sync" else asyncio.run(store.aquery(asked))
    return str(refused.value)


@pytest.fixture(params=["sync", "async"])
def manner(request):
    return request.param


def test_a_query_by_filters_alone_is_shown_get_nodes(store, operations, manner):
    asked = query(filters=filters(where("of", "==", "a")))
    asked.query_embedding = None
    assert "get_nodes(filters=...)" in refusal(store, asked, manner)
    assert operations == []
    assert [node.node_id for node in store.get_nodes(filters=asked.filters)] == ["a"]


def test_more_than_a_search_gives_is_answered_with_what_to_do(store, operations, manner):
    said = refusal(store, query(k=501), manner)
    assert said.startswith("similarity_top_k must be a whole number from 1 to 500, not 501")
    assert "Limits(top_k=...)" in said
    assert "get_nodes(filters=...)" in said
    assert "Limits" not in refusal(store, query(k=0), manner)
    assert operations == []


def test_a_query_vector_of_zeros_is_refused_before_the_search(store, operations, manner):
    assert "all zeros" in refusal(store, query([0.0, 0.0, 0.0, 0.0]), manner)
    assert "queryVectors" not in operations


def test_a_euclidean_index_takes_a_query_vector_of_zeros(service):
    with embedded(service) as client:
        store = OSSVectorStore(client, distance_metric="euclidean", index="flat")
        store.add([text_node("a")])
        assert store.query(query([0.0, 0.0, 0.0, 0.0])).ids == ["a"]


# Closing


def use(component, key="a"):
    """Have a component call the service."""
    match component:
        case OSSVectorReader():
            return component.load_data([key])
        case OSSVectorKVStore():
            return component.put(key, {}) or component.get_all()
        case OSSVectorIndexStore():
            return component.add_index_struct(IndexList()) or component.index_structs()
        case OSSVectorChatStore():
            return component.set_messages(key, [ChatMessage()]) or component.get_keys()
        case OSSVectorNodeMapping():  # it remembers what it has fetched
            return component.get(key)
        case _:
            return component.get_nodes([key])


@pytest.fixture
def connection(http_settings):
    """Give the arguments of a client as components take them: they make one of their own."""
    key_id, secret = http_settings.pop("credentials")
    return {**http_settings, "access_key_id": key_id, "access_key_secret": secret}


@pytest.mark.parametrize(
    "made",
    [
        OSSVectorChatStore,
        OSSVectorDocumentStore,
        OSSVectorIndexStore,
        OSSVectorKVStore,
        OSSVectorNodeMapping,
        OSSVectorReader,
        OSSVectorStore,
    ],
)
def test_what_made_its_client_closes_it(made, connection, put):
    put(["a"])
    with made(**connection) as component:
        assert use(component)
        own = component._clients.blocking()
    with pytest.raises(ConfigurationError, match="closed"):
        own.fetch(["a"])
    with pytest.raises(ConfigurationError, match="closed"):
        use(component, "b")
    component.close()


@pytest.mark.parametrize("made", [OSSVectorStore, OSSVectorDocumentStore, OSSVectorReader])
async def test_and_closes_that_of_the_event_loop(made, connection, put):
    await asyncio.to_thread(put, ["a"])
    component = made(**connection)
    async with component:
        load = getattr(component, "aget_nodes", None) or component.aload_data
        assert await load(["a"])
        own = component._clients.on_this_loop()
    with pytest.raises(ConfigurationError, match="closed"):
        await own.fetch(["a"])


def test_a_client_that_was_given_stays_open(client, put):
    put(["a"])
    with OSSVectorStore(client) as store, OSSVectorDocumentStore(client) as documents:
        assert use(store)
        assert use(documents)
    assert client.fetch(["a"])[0].key == "a"
    with pytest.raises(ConfigurationError, match="closed"):
        use(store)
    assert use(OSSVectorStore(client))


async def test_an_async_client_that_was_given_stays_open(client):
    given = client.to_async()
    async with OSSVectorStore(given) as store:
        assert await store.aget_nodes(["a"]) == []
    assert (await given.fetch(["a"])).missing == ("a",)
