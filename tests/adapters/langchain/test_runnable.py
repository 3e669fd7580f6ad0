"""The retriever as LangChain's Runnable: chains, batches, arguments, configuration."""

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from oss_vector_retriever import InvalidRequestError, MissingKeysError, OSSVectorClient
from oss_vector_retriever.langchain import OSSVectorRetriever


def ids(documents):
    return [document.id for document in documents]


def test_it_stands_in_a_chain(retriever):
    chain = retriever | RunnableLambda(ids)
    assert chain.invoke("c\na") == ["c", "a"]
    assert chain.batch(["a", "b\nc", "gone"]) == [["a"], ["b", "c"], []]


async def test_it_stands_in_an_async_chain(retriever):
    chain = {"context": retriever | ids, "question": RunnablePassthrough()} | RunnableLambda(dict)
    assert await chain.ainvoke("c\na") == {"context": ["c", "a"], "question": "c\na"}
    assert await (retriever | ids).abatch(["a", "b\nc", "gone"]) == [["a"], ["b", "c"], []]


async def test_it_takes_keys_as_a_list_and_in_a_chain(retriever, service):
    pick = RunnableLambda(lambda keys: list(reversed(keys)))
    for one in (retriever, pick | pick | retriever):
        assert ids(one.invoke(["c", "a"])) == ids(await one.ainvoke(["c", "a"])) == ["c", "a"]
        for found in (one.batch([["a"], ["c", "b"]]), await one.abatch([["a"], ["c", "b"]])):
            assert [ids(documents) for documents in found] == [["a"], ["c", "b"]]
    assert ids(retriever.invoke(("b", "gone", "b"))) == ["b", "b"]
    assert ids(retriever.invoke(["c", "a"], k=1)) == ["c"]
    assert [ids(part) for part in retriever.stream(["a"])] == [["a"]]
    service.gets.clear()
    assert retriever.invoke([]) == []
    assert service.gets == []


async def test_a_list_is_no_text_to_be_parsed(retriever, put):
    put(["x\ny", "[z", " a "])
    odd = ["x\ny", "[z", " a "]
    assert ids(retriever.invoke(odd)) == ids(await retriever.ainvoke(odd)) == odd
    own = retriever.model_copy(update={"key_parser": lambda text: text.split("-")})
    assert ids(own.invoke(["x\ny"])) == ["x\ny"]
    assert ids(own.invoke("a-b")) == ["a", "b"]


def test_a_trace_shows_a_list_of_keys_as_a_query_that_names_them(retriever):
    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.queries = []

        def on_retriever_start(self, _, query, **__):
            self.queries.append(query)

    recorder = Recorder()
    retriever.invoke(["a", "é"], {"callbacks": [recorder]})
    retriever.batch([["b"]], {"callbacks": [recorder]})
    assert recorder.queries == ['["a", "é"]', '["b"]']
    assert ids(retriever.invoke(recorder.queries[1])) == ["b"]


@pytest.mark.parametrize("wrong", [7, None, {"a": 1}, ["a", 7], [["a"]], [Document("a")]])
async def test_what_is_no_list_of_keys_is_told_before_any_call(retriever, service, wrong):
    for asked in (retriever, RunnableLambda(lambda it: it) | retriever):
        with pytest.raises(InvalidRequestError, match=r"^keys (must be a list|are strings)"):
            asked.invoke(wrong)
        with pytest.raises(InvalidRequestError, match=r"^keys (must be a list|are strings)"):
            await asked.ainvoke(wrong)
    assert service.gets == []


def test_keys_of_a_list_that_are_missing_are_named(retriever):
    strict = retriever.model_copy(update={"on_missing": "raise"})
    with pytest.raises(MissingKeysError, match="gone") as raised:
        strict.invoke(["a", "gone"])
    assert raised.value.missing == ("gone",)


async def test_it_streams_its_documents_whole(retriever):
    assert [ids(part) for part in retriever.stream("a\nb")] == [["a", "b"]]
    assert [ids(part) async for part in retriever.astream("a\nb")] == [["a", "b"]]


def test_k_passes_through_invoke_and_wins_over_the_field(retriever):
    assert ids(retriever.invoke("a\nb\nc", k=2)) == ["a", "b"]
    narrow = retriever.model_copy(update={"k": 1})
    assert ids(narrow.invoke("a\nb\nc")) == ["a"]
    assert ids(narrow.invoke("a\nb\nc", k=2)) == ["a", "b"]
    assert ids(narrow.invoke("a\nb\nc", k=None)) == ["a"]


async def test_k_passes_through_ainvoke_bind_and_batch(retriever):
    assert ids(await retriever.ainvoke("a\nb\nc", k=2)) == ["a", "b"]
    assert ids(await retriever.bind(k=1).ainvoke("a\nb\nc")) == ["a"]
    assert [ids(found) for found in retriever.batch(["a\nb", "c"], k=1)] == [["a"], ["c"]]
    assert [ids(found) for found in await retriever.abatch(["a\nb", "c"], k=1)] == [["a"], ["c"]]


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "2"])
async def test_an_impossible_k_is_refused_by_invoke_and_ainvoke(retriever, service, k):
    with pytest.raises(InvalidRequestError, match="k must be a whole number above 0"):
        retriever.invoke("a", k=k)
    with pytest.raises(InvalidRequestError, match="k must be a whole number above 0"):
        await retriever.ainvoke("a", k=k)
    assert service.gets == []


def test_an_unknown_argument_of_invoke_is_refused_not_dropped(retriever):
    with pytest.raises(TypeError, match="top_k"):
        retriever.invoke("a", top_k=3)


def test_fields_can_be_configured_at_run_time(retriever):
    configurable = retriever.configurable_fields(k=ConfigurableField(id="k"))
    assert ids(configurable.invoke("a\nb", {"configurable": {"k": 1}})) == ["a"]
    assert ids(configurable.invoke("a\nb")) == ["a", "b"]


def test_a_client_that_is_assigned_or_copied_in_is_the_one_used(retriever):
    with OSSVectorClient.local() as other:
        other.put_vector_index(dimension=1)
        other.put_vectors([{"key": "a", "data": [1], "metadata": {"text": "elsewhere"}}])
        copied = retriever.model_copy(update={"client": other})
        assert copied.invoke("a")[0].page_content == "elsewhere"
        assert retriever.invoke("a")[0].page_content == "text of a"
        retriever.client = other
        assert retriever.invoke("a")[0].page_content == "elsewhere"


def test_duplicates_are_documents_of_their_own(retriever):
    first, second = retriever.invoke("a\na")
    assert first == second == Document(id="a", page_content="text of a", metadata={"of": "a"})
    first.metadata["of"] = "changed"
    assert second.metadata == {"of": "a"}


def test_the_embedding_goes_under_the_name_that_was_given(client, put):
    put({"a": {"text": "hi", "of": "a"}}, data=[1.5, -2.0, 0.0, 4.0])
    [document] = OSSVectorRetriever(client=client, embedding_key="vec").invoke("a")
    assert document.metadata == {"of": "a", "vec": [1.5, -2.0, 0.0, 4.0]}


def test_traces_say_what_was_asked(retriever):
    assert retriever._get_ls_params() == {
        "ls_retriever_name": "ossvector",
        "ls_vector_store_provider": "alibabacloud_oss_vectors",
    }


def test_traces_see_documents_tags_and_metadata_of_the_run(client, put):
    class Recorder(BaseCallbackHandler):
        def on_retriever_start(self, _serialized, query, *, tags, metadata, **_):
            self.started = (query, tags, metadata)

        def on_retriever_end(self, documents, **_):
            self.ended = ids(documents)

    put(["a"])
    recorder = Recorder()
    retriever = OSSVectorRetriever(client=client, tags=["by id"], metadata={"team": "x"})
    retriever.invoke("a", {"callbacks": [recorder]})
    query, tags, metadata = recorder.started
    assert (query, tags, recorder.ended) == ("a", ["by id"], ["a"])
    assert metadata["ls_vector_store_provider"] == "alibabacloud_oss_vectors"
    assert metadata["team"] == "x"


def test_a_field_that_does_not_exist_is_refused_by_name(client):
    with pytest.raises(ValidationError, match="unexpected keyword argument 'embeding_key'"):
        OSSVectorRetriever(client=client, embeding_key="e")


def test_the_schema_takes_a_string_and_gives_documents(retriever):
    assert retriever.get_input_jsonschema()["type"] == "string"
    assert retriever.get_output_jsonschema()["items"]["$ref"].endswith("Document")
