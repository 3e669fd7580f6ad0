"""Hits that carry only ids become whole Documents; order and scores stay."""

import copy

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.langchain import OSSVectorRehydrator


@pytest.fixture
def rehydrator(client, put):
    put(["a", "b", "c"])
    return OSSVectorRehydrator(client=client)


def whole(key, **metadata):
    return Document(id=key, page_content=f"text of {key}", metadata={"of": key, **metadata})


async def test_whatever_carries_an_id_becomes_a_whole_document(rehydrator, client, service):
    [hit] = client.query_vectors([1.0, 2.0, 0.25, -2.0], top_k=1)
    given = [
        "b",
        Document(id="a", page_content="", metadata={"rank": 1}),
        ("c", 0.5),
        (Document(id="a", page_content=""), 0.25),
        {"id": "b", "score": 2},
        {"key": "b", "distance": "0.5"},
        hit,
    ]
    before = copy.deepcopy(given)
    found = rehydrator.invoke(given)
    assert found == [
        whole("b"),
        whole("a", rank=1),
        whole("c", score=0.5),
        whole("a", score=0.25),
        whole("b", score=2.0),
        whole("b", score=0.5),
        whole("c", score=pytest.approx(hit.distance)),
    ]
    assert len(service.gets) == 1
    assert sorted(service.gets[0]) == ["a", "b", "c"]
    assert given == before
    assert await rehydrator.ainvoke(given) == found


def test_repeated_hits_share_nothing(rehydrator):
    first, second = rehydrator.invoke(["a", "a"])
    first.metadata["of"] = "changed"
    assert second.metadata == {"of": "a"}


def test_a_document_that_has_text_is_left_alone_unless_refreshed(rehydrator, service):
    full = Document(id="a", page_content="mine", metadata={"x": 1})
    [kept] = rehydrator.invoke([full])
    assert (kept, service.gets) == (full, [])
    assert kept is not full
    fresh = rehydrator.model_copy(update={"refresh": True})
    assert fresh.invoke([full]) == [whole("a", x=1)]


async def test_what_does_not_exist_is_left_out_kept_or_raised(client, put):
    put(["a"])
    given = [("gone", 0.5), "a", Document(page_content="")]
    assert OSSVectorRehydrator(client=client, on_missing="omit").invoke(given) == [whole("a")]
    kept = OSSVectorRehydrator(client=client).invoke(given)
    assert OSSVectorRehydrator(client=client, on_missing="keep").invoke(given) == kept
    assert kept[0] == Document(id="gone", page_content="", metadata={"score": 0.5})
    assert kept[1:] == [whole("a"), Document(page_content="")]
    with pytest.raises(MissingKeysError, match="gone"):
        await OSSVectorRehydrator(client=client, on_missing="raise").ainvoke(given)


def test_what_does_not_exist_is_told_to_callbacks(rehydrator):
    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.events = []

        def on_custom_event(self, name, data, **_):
            self.events.append((name, data["missing"]))

    recorder = Recorder()
    rehydrator.invoke(["a", "gone"], {"callbacks": [recorder]})
    assert recorder.events == [("oss_vectors_missing_keys", ["gone"])]


def test_scores_go_under_the_name_given_or_nowhere(client, put):
    put(["a"])
    renamed = OSSVectorRehydrator(client=client, score_key="relevance")
    assert renamed.invoke([("a", 1)]) == [whole("a", relevance=1.0)]
    silent = OSSVectorRehydrator(client=client, score_key=None)
    assert silent.invoke([("a", 1)]) == [whole("a")]


@pytest.mark.parametrize("wrong", [[3], [None], [{"name": "a"}], [("a", "high")], [("a", 1, 2)]])
def test_what_is_no_hit_is_refused_with_its_place(rehydrator, service, wrong):
    with pytest.raises(InvalidRequestError, match="the hit at position 1"):
        rehydrator.invoke(["a", *wrong])
    assert service.gets == []


async def test_200_lists_of_one_hit_are_two_calls(client, put, service):
    keys = [f"k{number}" for number in range(200)]
    put(keys)
    found = OSSVectorRehydrator(client=client).batch([[(key, 1.0)] for key in keys])
    assert [document.id for [document] in found] == keys
    assert len(service.gets) == 2


async def test_it_never_blocks_the_loop(http_client, put):
    put(["a"])
    with blockbuster_ctx():
        assert await OSSVectorRehydrator(client=http_client).ainvoke(["a"]) == [whole("a")]
