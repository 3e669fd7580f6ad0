"""Missing keys reach callbacks and event streams as a custom event."""

import pytest
from langchain_core.runnables import RunnableLambda
from support.langchain_events import AsyncRecorder, Recorder

EVENT = "oss_vectors_missing_keys"
QUERY = "a\ngone\nb\nlost\ngone"
REPORT = {"index": "vectors", "missing": ["gone", "lost"]}


def test_callbacks_see_it_as_part_of_the_retrievers_run(retriever):
    recorder = Recorder()
    assert len(retriever.invoke(QUERY, {"callbacks": [recorder]})) == 2
    assert recorder.events == [(EVENT, REPORT, recorder.started[0])]


async def test_callbacks_see_it_in_async_calls_too(retriever):
    recorder, awaited = Recorder(), AsyncRecorder()
    await retriever.ainvoke(QUERY, {"callbacks": [recorder, awaited]})
    assert recorder.events == [(EVENT, REPORT, recorder.started[0])]
    assert awaited.events == [(EVENT, REPORT)]


def test_a_named_index_is_the_one_reported(retriever, client):
    client.put_vector_index(index="other", dimension=2)
    recorder = Recorder()
    retriever.model_copy(update={"index": "other"}).invoke("a", {"callbacks": [recorder]})
    assert [data for _, data, _ in recorder.events] == [{"index": "other", "missing": ["a"]}]


@pytest.mark.parametrize("query", ["a\nb", "", "[]"])
def test_there_is_no_event_where_nothing_is_missing(retriever, query):
    recorder = Recorder()
    retriever.invoke(query, {"callbacks": [recorder]})
    assert recorder.events == []


@pytest.mark.parametrize("inside_a_chain", [False, True])
async def test_event_streams_show_it(retriever, inside_a_chain):
    runnable = retriever | RunnableLambda(len) if inside_a_chain else retriever
    seen = [event async for event in runnable.astream_events(QUERY, version="v2")]
    [custom] = [event for event in seen if event["event"] == "on_custom_event"]
    [started] = [event for event in seen if event["event"] == "on_retriever_start"]
    assert (custom["name"], custom["data"]) == (EVENT, REPORT)
    assert custom["run_id"] == started["run_id"]


async def test_event_streams_of_a_blocking_step_show_it(retriever):
    step = RunnableLambda(lambda query, config: len(retriever.invoke(query, config)))
    seen = [event async for event in step.astream_events(QUERY, version="v2")]
    assert [event["data"] for event in seen if event["event"] == "on_custom_event"] == [REPORT]


def test_each_call_of_a_batch_reports_its_own(retriever):
    recorder = Recorder()
    retriever.batch(["a", "x", "b\ny"], {"callbacks": [recorder]})
    assert sorted(data["missing"] for _, data, _ in recorder.events) == [["x"], ["y"]]


def test_nothing_needs_to_listen(retriever):
    assert [document.id for document in retriever.invoke(QUERY)] == ["a", "b"]
