"""Core's own components with this retriever inside."""

import asyncio

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever, RecursiveRetriever
from llama_index.core.schema import IndexNode, QueryBundle, TextNode

from oss_vector_retriever.llama_index import OSSVectorRetriever


def ids(found):
    return [one.node_id for one in found]


@pytest.fixture
def current_loop():
    """Give core's blocking calls a loop to run their async part on; one of its own it leaves."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.mark.usefixtures("current_loop")
@pytest.mark.parametrize("use_async", [False, True])
def test_query_fusion_joins_two_indexes(client, retriever, put, use_async):
    client.put_vector_index(index="other", dimension=4)
    put({"d": {"text": "text of d"}}, index="other")
    fusion = QueryFusionRetriever(
        [retriever, OSSVectorRetriever(client, index="other")],
        llm=MockLLM(),
        num_queries=1,
        similarity_top_k=10,
        use_async=use_async,
    )
    assert sorted(ids(fusion.retrieve("a\nb\nd"))) == ["a", "b", "d"]


async def test_query_fusion_works_from_a_running_loop(retriever):
    fusion = QueryFusionRetriever([retriever], llm=MockLLM(), num_queries=1, similarity_top_k=10)
    assert sorted(ids(await fusion.aretrieve("a\nb"))) == ["a", "b"]


def engine(retriever):
    prompt = PromptTemplate("CONTEXT {context_str} END {query_str}")
    return RetrieverQueryEngine.from_args(retriever, llm=MockLLM(), text_qa_template=prompt)


def test_a_query_engine_answers_from_the_fetched_nodes(retriever):
    response = engine(retriever).query("b\na")
    assert ids(response.source_nodes) == ["b", "a"]
    assert "text of b" in str(response)
    assert "text of a" in str(response)


async def test_a_query_engine_answers_from_the_fetched_nodes_in_async_calls(retriever):
    response = await engine(retriever).aquery("b\na")
    assert ids(response.source_nodes) == ["b", "a"]
    assert "text of b" in str(response)


def test_embeddings_do_not_reach_the_prompt(retriever):
    assert "embedding" not in str(engine(retriever).query("a"))


def test_a_recursive_retriever_follows_index_nodes(retriever, put_nodes):
    put_nodes(IndexNode(id_="top", text="see a", index_id="more"), TextNode(id_="t", text="leaf"))

    class Fixed(BaseRetriever):
        def _retrieve(self, _query_bundle):
            return retriever.retrieve("a\nb")

    recursive = RecursiveRetriever("root", {"root": retriever, "more": Fixed()})
    assert ids(recursive.retrieve("top\nt")) == ["a", "b", "t"]


async def test_a_recursive_retriever_takes_every_text_node(retriever, put_nodes):
    put_nodes(TextNode(id_="t", text="leaf"))
    recursive = RecursiveRetriever("root", {"root": retriever})
    assert ids(await recursive.aretrieve("a\nt")) == ["a", "t"]


def test_objects_given_to_the_retriever_stand_for_index_nodes(client, put_nodes):
    put_nodes(IndexNode(id_="top", text="see", index_id="thing"))
    thing = TextNode(id_="thing", text="the object")
    retriever = OSSVectorRetriever(client, object_map={"thing": thing})
    assert ids(retriever.retrieve("top")) == ["thing"]


def test_callbacks_see_the_retrieval(client, put):
    put(["a"])
    handler = LlamaDebugHandler(print_trace_on_end=False)
    retriever = OSSVectorRetriever(client, callback_manager=CallbackManager([handler]))
    retriever.retrieve("a")
    [[_, ended]] = handler.get_event_pairs(CBEventType.RETRIEVE)
    assert ids(ended.payload["nodes"]) == ["a"]


async def test_a_query_bundle_is_a_query(retriever):
    assert ids(retriever.retrieve(QueryBundle("b\na"))) == ["b", "a"]
    assert ids(await retriever.aretrieve(QueryBundle("b\na"))) == ["b", "a"]


def test_duplicates_are_nodes_of_their_own_until_the_framework_drops_them(retriever):
    first, second = retriever._retrieve(QueryBundle("a\na"))
    assert first.node == second.node
    assert first.node is not second.node
    first.node.metadata["of"] = "changed"
    assert second.node.metadata == {"of": "a"}
    assert ids(retriever.retrieve("a\na")) == ["a"]
