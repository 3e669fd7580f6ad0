"""`OSSVectorFetcher`: a list of keys in, Documents or pairs out, and a report."""

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.langchain import OSSVectorFetcher

ASKED = ["c", "gone", "a", "c"]


@pytest.fixture
def fetcher(client, put):
    put(["a", "b", "c"])
    return OSSVectorFetcher(client=client)


async def test_documents_come_in_the_order_asked_with_repetitions(fetcher):
    documents = fetcher.invoke(ASKED)
    assert [document.id for document in documents] == ["c", "a", "c"]
    assert documents[1] == Document(id="a", page_content="text of a", metadata={"of": "a"})
    assert await fetcher.ainvoke(ASKED) == documents
    documents[0].metadata["of"] = "changed"
    assert documents[2].metadata == {"of": "c"}


async def test_pairs_hold_the_stored_embedding_and_metadata_does_not(client, put):
    put(["a"], data=[1.5, -2.0, 0.0, 4.0])
    fetcher = OSSVectorFetcher(client=client, return_data=True)
    [(document, embedding)] = await fetcher.ainvoke(["a"])
    assert embedding == [1.5, -2.0, 0.0, 4.0]
    assert document.metadata == {"of": "a"}
    assert fetcher.get_output_jsonschema()["items"]["type"] == "array"


async def test_a_report_says_what_was_found_and_missing_and_what_it_cost(fetcher):
    report = fetcher.report([*ASKED, "lost"])
    assert report.found == ("c", "a")
    assert report.missing == ("gone", "lost")
    assert report.calls == 1
    assert [document.id for document in report.documents] == ["c", "a", "c"]
    assert (await fetcher.areport([*ASKED, "lost"])) == report


def test_no_keys_are_no_call(fetcher, service):
    assert fetcher.invoke([]) == []
    assert fetcher.report([]).calls == 0
    assert service.gets == []


def test_it_stands_in_a_chain_and_shows_its_types(fetcher):
    chain = RunnableLambda(lambda text: text.split()) | fetcher | len
    assert chain.invoke("a b gone") == 2
    assert fetcher.get_input_jsonschema()["items"] == {"type": "string"}
    assert fetcher.get_output_jsonschema()["items"]["$ref"].endswith("Document")


@pytest.mark.parametrize("wrong", ["a", [3], [""], None])
async def test_what_is_no_list_of_keys_is_refused_before_any_call(fetcher, service, wrong):
    with pytest.raises(InvalidRequestError):
        fetcher.invoke(wrong)
    with pytest.raises(InvalidRequestError):
        await fetcher.ainvoke(wrong)
    assert service.gets == []


async def test_missing_keys_reach_callbacks_or_are_raised(fetcher):
    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.events = []

        def on_custom_event(self, name, data, **_):
            self.events.append((name, data))

    recorder = Recorder()
    fetcher.invoke(ASKED, {"callbacks": [recorder]})
    await fetcher.ainvoke(ASKED, {"callbacks": [recorder]})
    reported = ("oss_vectors_missing_keys", {"index": "vectors", "missing": ["gone"]})
    assert recorder.events == [reported, reported]
    with pytest.raises(MissingKeysError, match="gone"):
        fetcher.model_copy(update={"on_missing": "raise"}).invoke(ASKED)


@pytest.mark.parametrize("kind", ["client", "http_client"])
async def test_it_never_blocks_the_loop(kind, request, put):
    put(["a"])
    fetcher = OSSVectorFetcher(client=request.getfixturevalue(kind))
    with blockbuster_ctx():
        assert len(await fetcher.ainvoke(["a", "gone"])) == 1
        assert len(await fetcher.abatch([["a"], ["gone"]])) == 2
        assert (await fetcher.areport(["a"])).found == ("a",)
