"""What the service can look for, it looks for: fewer items travel, and the answer is the same."""

import json

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import ListNamespacesOp, MatchCondition, PutOp
from langgraph.store.memory import InMemoryStore
from support.embedded import filters_first

from oss_vector_retriever import emulator
from oss_vector_retriever.langgraph import OSSVectorGraphStore

PLACE = ("facts",)
VALUES = [
    "tea",
    "1",
    "true",
    1,
    1.0,
    0,
    -0.0,
    True,
    False,
    0.5,
    2**60,
    float(2**60),
    None,
    ["tea"],
    {"$eq": "tea"},
    {"a": 1},
    "",
    "x" * 900,
]
WANTED = [
    *VALUES,
    ("tea",),
    [{"$ne": "x"}],
    ["tea", "x"],
    {"$eq": 1},
    {"$ne": 1},
    {"$eq": True, "$gte": 1},
    {"$eq": None},
]


@pytest.fixture(params=["text", "values"])
def behaviour(request, filter_after_ranking):
    return emulator.Behaviour(
        scalars="refused" if request.param == "text" else "kept",
        filter_shorthand=False,
        filter_after_ranking=filter_after_ranking,
    )


def embed(texts):
    return [[1.0, 2.0, 3.0, float(len(text))] for text in texts]


@pytest.fixture
def both(client):
    """Give the store with one filterable field, and LangGraph's own with the same items."""
    index = {"dims": 4, "embed": embed, "fields": ["name"]}
    stores = OSSVectorGraphStore(client=client, index=index, filterable=["kind"]), InMemoryStore()
    for store in stores:
        store.batch(
            PutOp(PLACE, f"k{n:02}", {"kind": kind, "name": f"n{n}"})
            for n, kind in enumerate(VALUES)
        )
    return stores


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: f"{wanted!r:.20}")
@pytest.mark.parametrize("query", [None, "n3"])
async def test_it_finds_what_the_in_memory_store_finds(both, wanted, query):
    ours, theirs = both
    options = {"filter": {"kind": wanted}, "limit": 50}
    expected = sorted(item.key for item in theirs.search(PLACE, **options))
    assert sorted(item.key for item in ours.search(PLACE, query=query, **options)) == expected
    found = await ours.asearch(PLACE, query=query, **options)
    assert sorted(item.key for item in found) == expected


def test_the_service_looks_through_no_more_than_what_is_equal(
    client, service, behaviour, monkeypatch
):
    store = OSSVectorGraphStore(client=client, filterable=["color", "n"])
    store.batch(
        PutOp(PLACE, f"k{n}", {"color": "red" if n % 50 == 0 else "blue", "n": n})
        for n in range(200)
    )
    handle, sent = service.handle, []

    def noted(request):
        reply = handle(request)
        sent.append(len(json.loads(reply.body)["vectors"]))
        return reply

    monkeypatch.setattr(service, "handle", noted)
    assert len(store.search(PLACE, filter={"color": "red"})) == 4
    assert [item.key for item in store.search(PLACE, filter={"n": {"$eq": 7.0}})] == ["k7"]
    # where numbers are strings, the service cannot judge them
    assert sent == [4, 1 if behaviour.scalars == "kept" else 200]


def test_namespaces_are_listed_from_no_more_than_the_prefix_holds(client, service, monkeypatch):
    store = OSSVectorGraphStore(client=client)
    places = [("users", f"u{n}", kind) for n in range(40) for kind in ("facts", "plans")]
    store.batch(PutOp(place, "k", {"n": 1}) for place in [*places, ("other",)])
    handle, sent = service.handle, []

    def noted(request):
        reply = handle(request)
        sent.append(len(json.loads(reply.body)["vectors"]))
        return reply

    monkeypatch.setattr(service, "handle", noted)
    assert store.list_namespaces(prefix=("users", "u7")) == places[14:16]
    assert store.list_namespaces(prefix=("users", "*", "plans"), limit=100) == sorted(places[1::2])
    assert store.list_namespaces(prefix=("*",), suffix=("u7", "facts")) == places[14:15]
    impossible = MatchCondition(match_type="prefix", path=("a.b",))
    assert store.batch([ListNamespacesOp(match_conditions=(impossible,))]) == [[]]
    assert sent == [2, 80, 81, 81]


@filters_first
def test_the_nearest_of_those_that_match_are_found_however_many_are_nearer(client):
    index = {"dims": 4, "embed": embed, "fields": ["name"]}
    store = OSSVectorGraphStore(client=client, index=index, filterable=["color"])
    store.batch(
        PutOp(PLACE, f"k{n}", {"color": "blue", "name": "exactly the query"}) for n in range(600)
    )
    store.put(PLACE, "far", {"color": "red", "name": "q"})
    [item] = store.search(PLACE, query="exactly the query", filter={"color": "red"})
    assert item.key == "far"


def test_as_many_fields_as_are_possible_can_be_named(client):
    fields = [f"f{n}" for n in range(6)]
    store = OSSVectorGraphStore(client=client, filterable=fields)
    store.put(PLACE, "k", dict.fromkeys(fields, "x"))
    assert len(store.search(PLACE, filter=dict.fromkeys(fields, "x"))) == 1
