"""Children find their parents in one call, and their scores go with them."""

import asyncio
import time

import pytest
from blockbuster import blockbuster_ctx
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.langchain import ParentHydratingRetriever


def child(name, parent=None, score=None, **metadata):
    if parent is not None:
        metadata["parent_id"] = parent
    if score is not None:
        metadata["score"] = score
    return Document(id=name, page_content=f"part {name}", metadata=metadata)


class Children(BaseRetriever):
    children: list

    def _get_relevant_documents(self, query, *, run_manager):  # noqa: ARG002
        return self.children

    async def _aget_relevant_documents(self, query, *, run_manager):  # noqa: ARG002
        return self.children


FOUND = [
    child("b1", "b", 0.5),
    child("a1", "a", 0.9),
    child("b2", "b", 0.7),
    child("c1", "c", 0.8),
    child("a2", "a", 0.1),
]


@pytest.fixture
def make(client, put):
    put(["a", "b", "c"])

    def make(children=FOUND, **options):
        return ParentHydratingRetriever(
            retriever=Children(children=children), client=client, **options
        )

    return make


def ids(documents):
    return [document.id for document in documents]


async def test_each_parent_comes_once_where_its_first_child_stood(make, service):
    retriever = make()
    parents = retriever.invoke("q")
    assert ids(parents) == ["b", "a", "c"]
    assert parents[0].page_content == "text of b"
    assert len(service.gets) == 1
    assert await retriever.ainvoke("q") == parents


def test_parents_carry_what_is_known_of_their_children(make):
    parents = make().invoke("q")
    assert parents[0].metadata == {
        "of": "b",
        "matches": {
            "children": ["b1", "b2"],
            "rank": 0,
            "best_score": 0.7,
            "mean_score": pytest.approx(0.6),
        },
    }


def test_childrens_scores_can_order_the_parents(make):
    assert ids(make(order="best").invoke("q")) == ["a", "c", "b"]
    assert ids(make(order="mean").invoke("q")) == ["c", "b", "a"]
    assert ids(make(order="best", higher_is_better=False).invoke("q")) == ["a", "b", "c"]
    assert ids(make(order="best", k=1).invoke("q")) == ["a"]


def test_18_parents_are_one_call(client, put, service):
    put([f"p{number}" for number in range(18)])
    children = [child(f"c{number}", f"p{number % 18}") for number in range(90)]
    retriever = ParentHydratingRetriever(retriever=Children(children=children), client=client)
    assert ids(retriever.invoke("q")) == [f"p{number}" for number in range(18)]
    assert [len(keys) for keys in service.gets] == [18]


def test_children_without_scores_say_so(make):
    [parent] = make([child("a1", "a"), child("a2", "a", "high")]).invoke("q")
    assert parent.metadata["matches"]["best_score"] is None
    assert parent.metadata["matches"]["mean_score"] is None


LOST = [child("x1"), child("g1", "gone", 0.2), child("g2", "gone", 0.6), child("a1", "a")]


def test_a_child_without_its_parents_key_never_crashes_retrieval(make):
    assert ids(make(LOST).invoke("q")) == ["a"]


def test_the_best_child_stands_in_for_a_parent_that_does_not_exist(make):
    found = make(LOST, on_missing="child").invoke("q")
    assert ids(found) == ["x1", "g2", "a"]
    assert found[1].metadata["matches"]["children"] == ["g1", "g2"]
    assert LOST[2].metadata == {"parent_id": "gone", "score": 0.6}  # the child that was given


async def test_or_it_is_raised(make, service):
    with pytest.raises(InvalidRequestError, match="1 of the documents found have no 'parent_id'"):
        make(LOST, on_missing="raise").invoke("q")
    assert service.gets == []
    with pytest.raises(MissingKeysError, match="gone"):
        await make(LOST[1:], on_missing="raise").ainvoke("q")


async def test_parents_that_do_not_exist_are_told_to_callbacks(make):
    class Recorder(BaseCallbackHandler):
        def __init__(self):
            self.seen = []

        def on_custom_event(self, name, data, **_):
            self.seen.append((name, data))

    reported = [("oss_vectors_missing_keys", {"index": "vectors", "missing": ["gone"]})]
    for on_missing in ("omit", "child"):
        recorder, later = Recorder(), Recorder()
        make(LOST, on_missing=on_missing).invoke("q", {"callbacks": [recorder]})
        await make(LOST, on_missing=on_missing).ainvoke("q", {"callbacks": [later]})
        assert recorder.seen == later.seen == reported


async def test_k_can_be_given_when_it_is_invoked(make):
    assert ids(make().invoke("q", k=2)) == ["b", "a"]
    assert ids(await make(k=1).ainvoke("q", k=2)) == ["b", "a"]
    assert ids(make(k=1).invoke("q")) == ["b"]
    for wrong in (0, -1, True, "2"):
        with pytest.raises(InvalidRequestError, match="k must be a whole number above 0"):
            make().invoke("q", k=wrong)


async def test_pairs_bring_their_scores(client, put):
    put(["a", "b"])
    pairs = RunnableLambda(lambda _: [(child("a1", "a", 0.1), 0.7), (child("b1", "b"), 0.9)])
    retriever = ParentHydratingRetriever(retriever=pairs, client=client, order="best")
    best = [(d.id, d.metadata["matches"]["best_score"]) for d in await retriever.ainvoke("q")]
    assert best == [("b", 0.9), ("a", 0.7)]


async def test_max_concurrency_of_the_run_goes_to_the_fetch_and_the_wrapped_retriever(
    client, put, monkeypatch
):
    keys = [f"p{number}" for number in range(450)]
    put(keys)
    seen = []

    def children(_, config):
        seen.append(config.get("max_concurrency"))
        return [child(f"c{key}", key) for key in keys]

    transport, now, most = client._local.transport, [], []
    send, send_async = transport.send, transport.send_async

    def counted(request, seconds):
        now.append(request)
        most.append(len(now))
        time.sleep(0.01)
        reply = send(request, seconds)
        now.remove(request)
        return reply

    async def counted_async(request, seconds):
        now.append(request)
        most.append(len(now))
        await asyncio.sleep(0.01)
        reply = await send_async(request, seconds)
        now.remove(request)
        return reply

    monkeypatch.setattr(transport, "send", counted)
    monkeypatch.setattr(transport, "send_async", counted_async)
    retriever = ParentHydratingRetriever(retriever=RunnableLambda(children), client=client)
    assert ids(retriever.invoke("q", {"max_concurrency": 1})) == keys
    assert ids(await retriever.ainvoke("q", {"max_concurrency": 1})) == keys
    assert (max(most), len(most), seen) == (1, 10, [1, 1])


def test_no_children_are_no_call(make, service):
    assert make([]).invoke("q") == []
    assert service.gets == []


def test_names_can_be_chosen_and_keys_that_are_numbers_are_taken_as_text(client, put):
    put(["7"])
    found = RunnableLambda(lambda _: [Document(page_content="", metadata={"source": 7, "s": 1})])
    retriever = ParentHydratingRetriever(
        retriever=found, client=client, parent_key="source", score_key="s", matches_key="found"
    )
    assert retriever.invoke("q")[0].metadata["found"]["best_score"] == 1.0


def test_traces_name_the_provider(make):
    assert make()._get_ls_params()["ls_vector_store_provider"] == "alibabacloud_oss_vectors"


async def test_it_never_blocks_the_loop(make):
    retriever = make()
    with blockbuster_ctx():
        assert ids(await retriever.ainvoke("q")) == ["b", "a", "c"]
