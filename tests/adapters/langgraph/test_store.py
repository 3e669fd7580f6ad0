"""LangGraph's memory over the index: what its own in-memory store does, in counted calls."""

import asyncio
import threading
import time

import pytest
from blockbuster import blockbuster_ctx

pytest.importorskip("langgraph")

from langchain_core.embeddings import Embeddings
from langgraph.graph import StateGraph
from langgraph.store.base import BaseStore, GetOp, ListNamespacesOp, PutOp
from langgraph.store.memory import InMemoryStore

from oss_vector_retriever import OSSVectorClient
from oss_vector_retriever.langgraph import OSSVectorGraphStore

VALUE = {"text": "likes tea", "n": 1, "share": 0.5, "yes": True, "none": None, "deep": {"a": [1]}}


class ByLetters(Embeddings):
    """Embed a text by how often it holds t, c, w; and count the texts."""

    def __init__(self):
        self.texts = []

    def embed_documents(self, texts):
        self.texts += texts
        return [[text.count("t") + 0.1, text.count("c"), text.count("w")] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


@pytest.fixture
def empty():
    with OSSVectorClient.local() as client:
        yield client


@pytest.fixture
def store(client):
    return OSSVectorGraphStore(client=client)


def index():
    return {"dims": 3, "embed": ByLetters(), "fields": ["text"]}


async def test_an_item_comes_back_with_its_types(store):
    store.put(("users", "u1"), "likes", VALUE)
    item = store.get(("users", "u1"), "likes")
    assert (item.value, item.key, item.namespace) == (VALUE, "likes", ("users", "u1"))
    assert await store.aget(("users", "u1"), "likes") == item
    assert store.get(("users", "u1"), "other") is None
    assert store.get(("users",), "u1.likes") is None


def test_names_do_not_run_into_each_other(store):
    store.put(("a",), "b..c", {"n": 1})
    store.put(("a", "b"), "c", {"n": 2})
    store.put(("a",), ".b.c", {"n": 3})
    assert store.get(("a",), "b..c").value == {"n": 1}
    assert store.get(("a", "b"), "c").value == {"n": 2}
    assert store.get(("a",), ".b.c").value == {"n": 3}


async def test_putting_again_keeps_the_moment_of_making(store):
    await store.aput(("a",), "k", {"n": 1})
    first = await store.aget(("a",), "k")
    await store.aput(("a",), "k", {"n": 2})
    second = await store.aget(("a",), "k")
    assert second.value == {"n": 2}
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at


async def test_deleted_items_are_gone(store):
    store.put(("a",), "k", {"n": 1})
    store.delete(("a",), "k")
    await store.adelete(("a",), "never there")
    assert store.get(("a",), "k") is None


@pytest.mark.parametrize("fields", [None, [], ["$"], ["$", "absent"]])
async def test_the_whole_value_is_embedded_where_no_fields_are_named(empty, fields):
    letters = ByLetters()
    configured = {"dims": 3, "embed": letters} | ({} if fields is None else {"fields": fields})
    store = OSSVectorGraphStore(client=empty, index=configured)
    store.put(("a",), "tea", {"z": "ttt", "n": {"deep": ["tt"]}})
    await store.aput(("a",), "coffee", {"drink": "cccc"})
    assert letters.texts == ['{"n": {"deep": ["tt"]}, "z": "ttt"}', '{"drink": "cccc"}']
    assert [item.key for item in store.search(("a",), query="ttt")] == ["tea", "coffee"]
    assert [item.key for item in await store.asearch((), query="ccc")] == ["coffee", "tea"]


def test_a_put_may_name_the_whole_value(empty):
    letters = ByLetters()
    store = OSSVectorGraphStore(
        client=empty, index={"dims": 3, "embed": letters, "fields": ["text"]}
    )
    store.put(("a",), "k", {"text": "tea", "more": "water"}, index=["$"])
    assert letters.texts == ['{"more": "water", "text": "tea"}']
    assert [item.key for item in store.search(("a",), query="w")] == ["k"]


def test_the_configuration_has_the_name_that_it_has_in_langgraphs_own_store(empty):
    configured = index()
    store = OSSVectorGraphStore(client=empty, index=configured)
    own = InMemoryStore(index=configured).index_config
    assert {name: own[name] for name in configured} == store.index_config == configured
    assert OSSVectorGraphStore(client=empty).index_config is InMemoryStore().index_config is None


async def test_250_concurrent_gets_are_three_calls(store, operations):
    store.batch([PutOp(("a",), f"k{number}", {"n": number}) for number in range(250)])
    operations.clear()
    items = await asyncio.gather(*(store.aget(("a",), f"k{number}") for number in range(250)))
    assert [item.value["n"] for item in items] == list(range(250))
    assert operations == ["getVectors"] * 3


def test_a_batch_of_puts_is_one_put_and_reads_come_first(store, operations):
    store.put(("a",), "k", {"n": 0})
    operations.clear()
    puts = [PutOp(("a",), f"k{number}", {"n": number}) for number in range(90)]
    before, *_ = store.batch([GetOp(("a",), "k"), PutOp(("a",), "k", {"n": 1}), *puts])
    assert before.value == {"n": 0}
    assert operations.count("putVectors") == 1
    assert operations.count("getVectors") == 2
    assert store.get(("a",), "k").value == {"n": 1}


def test_of_puts_to_one_place_the_last_counts(store):
    store.batch([PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "k", {"n": 2})])
    assert store.get(("a",), "k").value == {"n": 2}
    store.batch([PutOp(("a",), "k", {"n": 3}), PutOp(("a",), "k", None)])
    assert store.get(("a",), "k") is None


FACTS = {
    ("u1", "facts"): {"tea": "tt likes tea", "coffee": "cccc likes coffee"},
    ("u1", "work"): {"web": "www works on the web"},
    ("u2",): {"tea": "tt u2 and tea"},
}


def filled(store):
    for namespace, facts in FACTS.items():
        for key, text in facts.items():
            store.put(namespace, key, {"text": text, "length": len(text)})
    return store


def found(items):
    return sorted((item.namespace, item.key) for item in items)


async def test_it_finds_what_the_in_memory_store_finds(empty):
    ours = filled(OSSVectorGraphStore(client=empty, index=index()))
    theirs = filled(InMemoryStore(index=index()))
    for prefix in [(), ("u1",), ("u1", "facts"), ("u2",), ("nobody",), ("u",)]:
        for query in ["ttt", "ccc", "www"]:
            expected = theirs.search(prefix, query=query)
            answer = ours.search(prefix, query=query)
            assert [(i.namespace, i.key) for i in answer] == [
                (i.namespace, i.key) for i in expected
            ]
            assert [i.score for i in answer] == pytest.approx([i.score for i in expected], abs=1e-5)
            assert await ours.asearch(prefix, query=query) == answer
        assert found(ours.search(prefix)) == found(theirs.search(prefix))
    for wanted in [{"length": {"$gt": 13}}, {"text": "tt likes tea"}, {"length": {"$ne": 12}}]:
        assert found(ours.search((), filter=wanted)) == found(theirs.search((), filter=wanted))
        assert found(ours.search((), query="t", filter=wanted)) == found(
            theirs.search((), query="t", filter=wanted)
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"prefix": ("u1",)},
        {"suffix": ("facts",)},
        {"prefix": ("*", "work")},
        {"max_depth": 1},
        {"limit": 1, "offset": 1},
        {"prefix": ("u1",), "suffix": ("work",), "max_depth": 1},
    ],
)
async def test_it_lists_the_namespaces_the_in_memory_store_lists(empty, options):
    ours, theirs = filled(OSSVectorGraphStore(client=empty)), filled(InMemoryStore())
    assert ours.list_namespaces(**options) == theirs.list_namespaces(**options)
    assert await ours.alist_namespaces(**options) == theirs.list_namespaces(**options)


def test_limit_and_offset_page_through_a_search(store):
    store.batch([PutOp(("a",), f"k{number}", {"n": number}) for number in range(30)])
    pages = [store.search(("a",), limit=7, offset=start) for start in range(0, 35, 7)]
    assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
    assert len({item.key for page in pages for item in page}) == 30


async def test_only_what_is_to_be_found_is_embedded_and_each_text_once(empty):
    config = index()
    store = OSSVectorGraphStore(client=empty, index=config)
    await store.abatch(
        [
            PutOp(("a",), "1", {"text": "tea"}),
            PutOp(("a",), "2", {"text": "tea"}),
            PutOp(("a",), "3", {"text": "hidden"}, index=False),
            PutOp(("a",), "4", {"text": "x", "other": "coffee"}, index=["other"]),
            PutOp(("a",), "5", {"n": 1}),
        ]
    )
    assert config["embed"].texts == ["tea", "coffee"]
    assert {item.key for item in store.search(("a",), query="tea")} == {"1", "2", "4"}
    assert len(store.search(("a",))) == 5


def test_an_index_that_is_not_there_reads_as_empty_and_is_made_by_a_put(empty):
    store = OSSVectorGraphStore(client=empty, index=index())
    assert store.get(("a",), "k") is None
    assert store.search(("a",)) == []
    assert store.search(("a",), query="t") == []
    assert store.list_namespaces() == []
    store.delete(("a",), "k")
    store.put(("a",), "k", {"text": "tea"})
    assert empty.get_vector_index().dimension == 3


def test_other_records_of_the_index_are_no_memory(put, store):
    put(["a..k", "document"])
    store.put(("a",), "mine", {"n": 1})
    assert store.get(("a",), "k") is None
    assert found(store.search(())) == [(("a",), "mine")]
    assert store.list_namespaces() == [("a",)]


def test_inputs_and_results_share_nothing(store):
    value = {"list": [1]}
    store.put(("a",), "k", value)
    store.get(("a",), "k").value["list"].append(2)
    assert value == {"list": [1]}
    assert store.get(("a",), "k").value == {"list": [1]}


async def test_a_graph_remembers_through_it(empty):
    def answer(state: dict, *, store: BaseStore) -> dict:
        seen = [item.key for item in store.search(("users", "u1"), query="tea")]
        store.put(("users", "u1"), state["said"], {"text": state["said"]})
        return {"said": ",".join(seen)}

    graph = StateGraph(dict)
    graph.add_node("answer", answer)
    graph.set_entry_point("answer")
    runnable = graph.compile(store=OSSVectorGraphStore(client=empty, index=index()))
    assert runnable.invoke({"said": "tea"}) == {"said": ""}
    assert runnable.invoke({"said": "coffee"}) == {"said": "tea"}
    assert (await runnable.ainvoke({"said": "tea"}))["said"] == "tea,coffee"


@pytest.mark.parametrize("kind", ["http_client", "empty"])
async def test_it_never_blocks_the_loop(kind, request):
    store = OSSVectorGraphStore(client=request.getfixturevalue(kind))
    with blockbuster_ctx():
        await store.aput(("a",), "k", {"n": 1})
        assert (await store.aget(("a",), "k")).value == {"n": 1}
        assert len(await store.asearch(("a",))) == 1
        [listed] = await store.abatch([ListNamespacesOp()])
        assert listed == [("a",)]
        await store.adelete(("a",), "k")


def test_a_deletion_and_puts_of_threads_leave_what_came_last(store, service):
    handle, deleted = service.handle, threading.Event()

    def delete_after_the_read(request):
        reply = handle(request)
        if request.query == "getVectors" and not deleted.is_set():
            deleted.set()
            deletion.start()
            time.sleep(0.05)
        return reply

    store.put(("a",), "k", {"n": 1})
    deletion = threading.Thread(target=store.delete, args=[("a",), "k"])
    service.handle = delete_after_the_read
    store.put(("a",), "k", {"n": 2})
    deletion.join()
    # it came after the put had begun, and waited for it
    assert store.get(("a",), "k") is None
