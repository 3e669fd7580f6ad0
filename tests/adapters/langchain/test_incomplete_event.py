"""Searches that may lack documents reach callbacks and event streams as a custom event."""

import asyncio
import pickle

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from support.langchain_events import AsyncRecorder, Recorder

from oss_vector_retriever import IncompleteSearchWarning, Limits, OSSVectorClient, emulator
from oss_vector_retriever.langchain import OSSVectorDocumentIndex, OSSVectorStore, OSSVectorToolkit

EVENT = "oss_vectors_incomplete_search"
REPORT = {
    "index": "vectors",
    "wanted": 4,
    "found": 1,
    "nearest": 40,
    "listed": 0,
    "reason": "exhaustive=False leaves it at that",
}
RARE = {"filter": {"tag": "rare"}}


class Fixed(Embeddings):
    def embed_documents(self, texts):
        return [[1.0, 0.01 * int(text)] for text in texts]

    def embed_query(self, _text):
        return [1.0, 0.0]


@pytest.fixture
def store():
    with OSSVectorClient.local(limits=Limits(top_k=40)) as client:
        store = OSSVectorStore(Fixed(), client=client, exhaustive=False, read_your_writes=False)
        numbers = range(80)
        store.add_texts(
            [str(n) for n in numbers],
            [{"tag": "rare" if n in (7, 70) else "common"} for n in numbers],
            ids=[f"t{n}" for n in numbers],
        )
        yield store


@pytest.mark.filterwarnings("ignore::oss_vector_retriever.IncompleteSearchWarning")
class TestEvents:
    @pytest.mark.parametrize("search_type", ["similarity", "mmr"])
    def test_callbacks_see_it_as_part_of_the_retrievers_run(self, store, search_type):
        recorder = Recorder()
        retriever = store.as_retriever(search_type=search_type, search_kwargs=RARE)
        found = retriever.invoke("q", {"callbacks": [recorder]})
        assert [document.id for document in found] == ["t7"]
        wanted = 20 if search_type == "mmr" else 4  # of as many MMR chooses
        assert recorder.events == [(EVENT, {**REPORT, "wanted": wanted}, recorder.started[0])]

    def test_callbacks_see_it_in_async_calls_too(self, store):
        recorder, awaited = Recorder(), AsyncRecorder()
        retriever = store.as_retriever(search_kwargs=RARE)
        asyncio.run(retriever.ainvoke("q", {"callbacks": [recorder, awaited]}))
        assert recorder.events == [(EVENT, REPORT, recorder.started[0])]
        assert awaited.events == [(EVENT, REPORT)]

    async def test_event_streams_show_it(self, store):
        retriever = store.as_retriever(search_kwargs=RARE)
        seen = [event async for event in retriever.astream_events("q", version="v2")]
        assert [one["data"] for one in seen if one["event"] == "on_custom_event"] == [REPORT]

    def test_a_step_that_searches_reports_to_its_own_run(self, store):
        recorder = Recorder()
        step = RunnableLambda(lambda query: len(store.similarity_search(query, **RARE)))
        assert step.invoke("q", {"callbacks": [recorder]}) == 1
        assert [data for _, data, _ in recorder.events] == [REPORT]

    def test_each_retriever_reports_to_its_own_run(self, store):
        recorder = Recorder()
        retriever = store.as_retriever(search_kwargs=RARE)
        retriever.batch(["a", "b"], {"callbacks": [recorder]})
        assert {run for _, _, run in recorder.events} == set(recorder.started)

    def test_nothing_needs_to_listen(self, store):
        assert len(store.similarity_search("q", **RARE)) == 1

    def test_a_search_tool_tells_the_model_and_the_callbacks(self, store):
        recorder = Recorder()
        client = store.client.with_options(limits=Limits(top_k=40))
        tool, _ = OSSVectorToolkit(
            client=client, embedding=Fixed(), filter={"tag": "rare"}, exhaustive=False
        ).get_tools()
        text = tool.invoke({"query": "q", "k": 4}, {"callbacks": [recorder]})
        assert "others may match as well" in text
        assert [data for _, data, _ in recorder.events] == [REPORT]


def test_whole_answers_report_nothing(store):
    recorder = Recorder()
    for options in (RARE, {}):
        retriever = store.as_retriever(search_kwargs={**options, "exhaustive": True})
        assert retriever.invoke("q", {"callbacks": [recorder]})
    assert recorder.events == []


@pytest.mark.parametrize("is_async", [False, True])
def test_a_retriever_that_is_written_to_reports_to_its_run(is_async):
    behaviour = emulator.Behaviour(top_k_limit=30)
    with OSSVectorClient.local(behaviour=behaviour) as client:
        store = OSSVectorStore(Fixed(), client=client, exhaustive=False, read_your_writes=False)
        store.add_texts(map(str, range(40)))
        index, recorder = OSSVectorDocumentIndex(store=store, k=35), Recorder()
        config = {"callbacks": [recorder]}
        with pytest.warns(IncompleteSearchWarning):
            found = (
                asyncio.run(index.ainvoke("q", config)) if is_async else index.invoke("q", config)
            )
        assert len(found) == 30
        assert [run for _, _, run in recorder.events] == recorder.started


def test_each_search_takes_what_the_store_takes(store):
    found = store.similarity_search("q", 4, exhaustive="auto", scan_limit=1000, **RARE)
    assert [document.id for document in found] == ["t7", "t70"]
    with pytest.raises(IncompleteSearchWarning):
        store.similarity_search_by_id("t0", 4, on_incomplete="raise", **RARE)
    with pytest.raises(TypeError, match="exhaustiv"):
        store.similarity_search("q", exhaustiv=True)


def test_a_retriever_travels_with_its_store(tmp_path):
    with OSSVectorClient.local(tmp_path / "v.db") as client:
        store = OSSVectorStore(Fixed(), client=client, on_incomplete="ignore")
        store.add_texts(["1"], ids=["a"])
        again = pickle.loads(pickle.dumps(store.as_retriever(search_kwargs={"k": 1})))
        assert [document.id for document in again.invoke("q")] == ["a"]
        assert again.vectorstore.on_incomplete == "ignore"
