"""What people pass by mistake is refused by name; what frameworks do to objects works."""

import copy

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import FakeEmbeddings
from langchain_core.runnables import ConfigurableField, RunnableLambda

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorDocStore,
    OSSVectorEmbeddingStore,
    OSSVectorFetcher,
    OSSVectorFetchTool,
    OSSVectorRehydrator,
    OSSVectorRetriever,
    OSSVectorSearchTool,
    OSSVectorStore,
    ParentHydratingRetriever,
    StoredEmbeddingsMMR,
    StoredEmbeddingsRedundantFilter,
)

UNUSUAL = ["é😀", " blank ", "a,b", "k" * 1024, "\x00", "line\nfeed", '"quoted"', "[bracket]"]


@pytest.fixture
def stocked(client, put):
    put(["a", "b", "c", *UNUSUAL])
    return client


def ids(documents):
    return [document.id for document in documents]


async def test_unusual_keys_are_fetched_like_others(stocked):
    assert ids(OSSVectorFetcher(client=stocked).invoke(UNUSUAL)) == UNUSUAL
    assert ids(await OSSVectorFetcher(client=stocked).ainvoke(UNUSUAL)) == UNUSUAL
    assert ids(OSSVectorRehydrator(client=stocked).invoke(UNUSUAL)) == UNUSUAL
    assert ids(OSSVectorStore(client=stocked).get_by_ids(UNUSUAL)) == UNUSUAL


@pytest.mark.parametrize("many", [tuple, iter, set, dict.keys])
def test_keys_may_come_in_whatever_can_be_iterated(stocked, many):
    keys = {"a": 1, "b": 2} if many is dict.keys else ["a", "b"]
    assert sorted(ids(OSSVectorStore(client=stocked).get_by_ids(many(keys)))) == ["a", "b"]
    assert sorted(ids(OSSVectorFetcher(client=stocked).invoke(many(keys)))) == ["a", "b"]


def test_over_a_thousand_keys_are_one_call_for_each_hundred(stocked, service):
    keys = ["a", *(f"gone-{number}" for number in range(1200)), "b"]
    service.gets.clear()
    assert ids(OSSVectorFetcher(client=stocked).invoke(keys)) == ["a", "b"]
    assert len(service.gets) == 13


@pytest.mark.parametrize("wrong", ["abc", b"abc", None, 3, Document(page_content="a"), {"a": 1}])
def test_a_lone_hit_is_not_taken_for_its_parts(stocked, service, wrong):
    with pytest.raises(InvalidRequestError, match="hits must be a list"):
        OSSVectorRehydrator(client=stocked).invoke(wrong)
    assert service.gets == []


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (["a"], "must return Documents"),
        (None, "hits must be a list"),
        ([3], "of type int"),
        ("abc", "hits must be a list"),
    ],
)
def test_a_wrapped_retriever_that_returns_no_documents_is_named(stocked, returned, message):
    wrapped = RunnableLambda(lambda _: returned)
    with pytest.raises(InvalidRequestError, match=message):
        ParentHydratingRetriever(retriever=wrapped, client=stocked).invoke("q")


def test_compressors_take_documents_from_a_generator(stocked):
    documents = [Document(id=key, page_content=key) for key in "abc"]
    for compressor in (
        StoredEmbeddingsRedundantFilter(client=stocked, similarity_threshold=1.0),
        StoredEmbeddingsMMR(client=stocked, query_key="a"),
    ):
        found = compressor.compress_documents(iter(documents), "q")
        assert sorted(ids(found)) == ["a", "b", "c"]


def everything(client):
    retriever = OSSVectorRetriever(client=client)
    yield retriever, lambda it: it.invoke("a")[0].id == "a"
    yield OSSVectorFetcher(client=client), lambda it: it.invoke(["a"])[0].id == "a"
    yield OSSVectorRehydrator(client=client), lambda it: it.invoke(["a"])[0].id == "a"
    yield OSSVectorFetchTool(client=client), lambda it: '[id: "a"]' in it.invoke({"ids": ["a"]})
    yield OSSVectorStore(client=client), lambda it: it.get_by_ids(["a"])[0].id == "a"
    yield OSSVectorDocStore(client=client), lambda it: it.mget(["a"])[0].id == "a"
    yield OSSVectorByteStore(client=client, key_prefix="b:"), lambda it: it.mget(["a"]) == [None]
    yield OSSVectorEmbeddingStore(client=client), lambda it: len(it.mget(["a"])[0]) == 4
    parents = ParentHydratingRetriever(retriever=retriever, client=client, parent_key="of")
    yield parents, lambda it: it.invoke("a")[0].id == "a"
    mmr = StoredEmbeddingsMMR(client=client, query_key="a", k=1)
    yield mmr, lambda it: it.compress_documents([Document(id="a", page_content="")], "q")


def client_of(thing):
    return thing._clients.given


def test_a_deep_copy_shares_the_client_and_answers(stocked):
    for thing, answers in everything(stocked):
        for copied in (copy.copy(thing), copy.deepcopy(thing)):
            assert copied is not thing
            assert client_of(copied) is stocked
            assert answers(copied), copied
    retriever = OSSVectorStore(client=stocked).as_retriever(search_kwargs={"k": 1})
    copied = retriever.model_copy(deep=True)
    copied.search_kwargs["k"] = 2
    assert retriever.search_kwargs == {"k": 1}


async def test_a_batch_returns_each_inputs_own_error(stocked):
    inputs = ["a", "[broken", None, 3, ["a", 3], "b"]
    for answers in (
        OSSVectorRetriever(client=stocked).batch(inputs, return_exceptions=True),
        await OSSVectorRetriever(client=stocked).abatch(inputs, return_exceptions=True),
    ):
        assert [ids(answer) for answer in (answers[0], answers[-1])] == [["a"], ["b"]]
        assert all(isinstance(answer, InvalidRequestError) for answer in answers[1:-1])


async def test_it_works_inside_langchains_wrappers(stocked):
    retriever, fetcher = OSSVectorRetriever(client=stocked), OSSVectorFetcher(client=stocked)
    assert ids(retriever.with_config(tags=["x"], run_name="by id").invoke("a")) == ["a"]
    assert ids(retriever.with_retry().invoke("b")) == ["b"]
    assert [ids(found) for found in fetcher.map().invoke([["a"], ["b"]])] == [["a"], ["b"]]
    assert ids(await fetcher.with_fallbacks([fetcher]).ainvoke(["c"])) == ["c"]
    done = [number async for number, _ in retriever.abatch_as_completed(["a", "b"])]
    assert sorted(done) == [0, 1]
    assert sorted(number for number, _ in retriever.batch_as_completed(["a", "b"])) == [0, 1]
    choice = retriever.configurable_alternatives(
        ConfigurableField(id="which"), narrow=OSSVectorRetriever(client=stocked, k=1)
    )
    assert ids(choice.invoke("a\nb", {"configurable": {"which": "narrow"}})) == ["a"]
    pairs = fetcher.configurable_fields(return_data=ConfigurableField(id="data"))
    [(document, data)] = pairs.invoke(["a"], {"configurable": {"data": True}})
    assert (document.id, len(data)) == ("a", 4)


async def test_event_streams_of_a_fetcher_name_what_is_missing(stocked):
    fetcher = OSSVectorFetcher(client=stocked)
    events = [event async for event in fetcher.astream_events(["a", "gone"], version="v2")]
    reported = [event["data"] for event in events if event["event"] == "on_custom_event"]
    assert reported == [{"index": "vectors", "missing": ["gone"]}]


def loud(documents):
    return [d.model_copy(update={"page_content": d.page_content.upper()}) for d in documents]


class WithoutK(OSSVectorRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return loud(super()._get_relevant_documents(query, run_manager=run_manager))


class WithK(OSSVectorRetriever):
    def _get_relevant_documents(self, query, *, run_manager, k=None):
        return loud(super()._get_relevant_documents(query, run_manager=run_manager, k=k))

    async def _aget_relevant_documents(self, query, *, run_manager, k=None):
        return loud(await super()._aget_relevant_documents(query, run_manager=run_manager, k=k))


@pytest.mark.parametrize("kind", [WithoutK, WithK])
async def test_a_subclass_with_a_signature_of_its_own_still_answers(stocked, kind):
    loud = kind(client=stocked)
    bounded = {"max_concurrency": 2}
    assert loud.invoke("a", bounded)[0].page_content == "TEXT OF A"
    assert [found[0].page_content for found in loud.batch(["a", "b"], bounded)] == [
        "TEXT OF A",
        "TEXT OF B",
    ]
    assert ids(await loud.ainvoke("a", bounded)) == ["a"]
    assert [ids(found) for found in await loud.abatch(["a", "b"], bounded)] == [["a"], ["b"]]


HALF = "cut \ud83d"  # the first half of an emoji, as models write where a text was cut


@pytest.mark.parametrize(
    "condition",
    [
        {"a": HALF},
        {"a": {"$eq": HALF}},
        {"a": {"$ne": HALF}},
        {"a": {"$in": ["x", HALF]}},
        {"a": {"$nin": [HALF]}},
        {"$or": [{"a": "x"}, {"$and": [{"a": HALF}, {"a": "y"}]}]},
        {HALF: "x"},
    ],
)
def test_half_a_surrogate_pair_in_a_filter_is_refused_before_any_call(
    stocked, operations, condition
):
    def embed(_):
        return [1.0, 0.0, 0.25, -2.0]

    calls = [
        lambda: OSSVectorSearchTool(client=stocked, embedding=embed, filter=condition).invoke("x"),
        lambda: stocked.query_vectors(embed(""), filter=condition),
        lambda: stocked.list_vectors(filter=condition),
    ]
    operations.clear()
    for call in calls:
        with pytest.raises(InvalidRequestError, match="surrogate"):
            call()
    assert operations == []
    with pytest.raises(InvalidRequestError, match=r"surrogate|not among"):
        OSSVectorStore(FakeEmbeddings(size=4), client=stocked, filterable=["a"]).similarity_search(
            "x", filter=condition
        )
