"""What the service can look for, it looks for: fewer items travel, and the answer is the same."""

import json

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore

from oss_vector_retriever import ConfigurationError, InvalidRequestError, emulator
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
def behaviour(request):
    return emulator.Behaviour(strings_only=request.param == "text", filter_shorthand=False)


def embed(texts):
    return [[1.0, 2.0, 3.0, float(len(text))] for text in texts]


@pytest.fixture
def both(client):
    """Give the store with one filterable field, and LangGraph's own with the same items."""
    index = {"dims": 4, "embed": embed, "fields": ["name"]}
    stores = OSSVectorGraphStore(client, index=index, filterable=["kind"]), InMemoryStore()
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


def test_the_service_looks_through_no_more_than_what_is_equal(client, service, monkeypatch):
    store = OSSVectorGraphStore(client, filterable=["color", "n"])
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
    assert sent == [4, 1]


def test_the_nearest_of_those_that_match_are_found_however_many_are_nearer(client):
    index = {"dims": 4, "embed": embed, "fields": ["name"]}
    store = OSSVectorGraphStore(client, index=index, filterable=["color"])
    store.batch(
        PutOp(PLACE, f"k{n}", {"color": "blue", "name": "exactly the query"}) for n in range(600)
    )
    store.put(PLACE, "far", {"color": "red", "name": "q"})
    [item] = store.search(PLACE, query="exactly the query", filter={"color": "red"})
    assert item.key == "far"


@pytest.mark.parametrize(
    "filterable", ["color", ["a b"], ["1"], [f"f{n}" for n in range(8)], [3], [""]]
)
def test_impossible_fields_are_refused(client, filterable):
    with pytest.raises(InvalidRequestError, match="filterable"):
        OSSVectorGraphStore(client, filterable=filterable)


def test_as_many_fields_as_are_possible_can_be_named(client):
    fields = [f"f{n}" for n in range(7)]
    store = OSSVectorGraphStore(client, filterable=fields)
    store.put(PLACE, "k", dict.fromkeys(fields, "x"))
    assert len(store.search(PLACE, filter=dict.fromkeys(fields, "x"))) == 1


def test_dims_are_needed_and_kept_to(client):
    with pytest.raises(ConfigurationError, match='"dims"'):
        OSSVectorGraphStore(client, index={"embed": embed})
    with pytest.raises(InvalidRequestError, match="dims must be a whole number"):
        OSSVectorGraphStore(client, index={"dims": 0, "embed": embed})
    store = OSSVectorGraphStore(client, index={"dims": 3, "embed": embed, "fields": ["t"]})
    with pytest.raises(InvalidRequestError, match="has 4 numbers, and the store was made for 3"):
        store.put(PLACE, "k", {"t": "x"})
    assert store.get(PLACE, "k") is None


@pytest.mark.parametrize("namespace", ["users", b"users", None, 3])
def test_a_lone_label_is_no_namespace(client, namespace):
    with pytest.raises(InvalidRequestError, match="a namespace is a tuple of labels"):
        OSSVectorGraphStore(client).batch([PutOp(namespace, "k", {})])


def test_a_namespace_may_come_as_a_list(client):
    store = OSSVectorGraphStore(client)
    store.batch([PutOp(["a", "b"], "k", {"n": 1})])
    assert store.get(("a", "b"), "k").value == {"n": 1}


def test_a_namespace_too_deep_to_be_filtered_is_named(client):
    deep = tuple(f"level{n}" for n in range(60))
    with pytest.raises(InvalidRequestError, match=r"namespace 'level0\.level1.*use fewer labels"):
        OSSVectorGraphStore(client).put(deep, "k", {"n": 1})


@pytest.mark.parametrize("value", [[1], "text", 3])
def test_a_value_that_is_no_dict_is_refused(client, value):
    with pytest.raises(InvalidRequestError, match="value of 'k' must be a dict"):
        OSSVectorGraphStore(client).batch([PutOp(PLACE, "k", value)])
