"""Missing keys reach the framework's instrumentation as an event."""

import pytest
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent, RetrievalStartEvent
from support.llama_events import recorded

from oss_vector_retriever import MissingKeysError
from oss_vector_retriever.llama_index import MissingKeysEvent, OSSVectorRetriever

QUERY = "a\ngone\nb\nlost\ngone"


@pytest.fixture
def recorder():
    with recorded() as recorder:
        yield recorder


def test_a_handler_on_the_root_dispatcher_sees_it(retriever, recorder):
    assert len(retriever.retrieve(QUERY)) == 2
    assert recorder.missing() == [("vectors", ["gone", "lost"])]


async def test_a_handler_on_the_root_dispatcher_sees_it_in_async_calls(retriever, recorder):
    assert len(await retriever.aretrieve(QUERY)) == 2
    assert recorder.missing() == [("vectors", ["gone", "lost"])]


def test_it_stands_between_start_and_end_in_the_retrievals_span(retriever, recorder):
    retriever.retrieve(QUERY)
    kinds = [type(event) for event in recorder.events]
    assert kinds == [RetrievalStartEvent, MissingKeysEvent, RetrievalEndEvent]
    spans = [event.span_id for event in recorder.events]
    assert spans[1] is not None
    assert spans[0] == spans[2]


def test_it_is_written_as_any_other_event(retriever, recorder):
    retriever.retrieve("gone")
    [event] = [event for event in recorder.events if isinstance(event, MissingKeysEvent)]
    assert event.class_name() == "OSSVectorsMissingKeysEvent"
    written = event.model_dump()
    assert (written["index"], written["missing"]) == ("vectors", ["gone"])
    assert written["class_name"] == "OSSVectorsMissingKeysEvent"


def test_a_named_index_is_the_one_reported(client, recorder):
    client.put_vector_index(index="other", dimension=2)
    OSSVectorRetriever(client, index="other").retrieve("gone")
    assert recorder.missing() == [("other", ["gone"])]


@pytest.mark.parametrize("query", ["a\nb", "", "[]"])
def test_there_is_no_event_where_nothing_is_missing(retriever, recorder, query):
    retriever.retrieve(query)
    assert recorder.missing() == []


def test_there_is_no_event_where_missing_keys_are_raised(client, retriever, recorder):
    assert retriever.retrieve("a")
    with pytest.raises(MissingKeysError):
        OSSVectorRetriever(client, on_missing="raise").retrieve(QUERY)
    assert recorder.missing() == []
