"""What LangGraph documents of a store, of its own in-memory store and of ours, called both ways.

The cases are what the pages of BaseStore, of its operations and of its configurations say. Where
the two differ is the table of docs/langgraph-store.md, whose cases are here too.
"""

import inspect

import pytest

pytest.importorskip("langgraph")

from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    Item,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchItem,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from support.embedded import embedded

from oss_vector_retriever import emulator
from oss_vector_retriever.langgraph import OSSVectorGraphStore

LETTERS = "abcdefgh"
USER = ("users", "u1")


def embed(texts):
    return [[float(text.count(letter)) + 0.01 for letter in LETTERS] for text in texts]


class Caller:
    """A store whose methods are all awaited, whichever kind they are of."""

    def __init__(self, kind, calls, client, fields):
        index = {"dims": len(LETTERS), "embed": embed, "fields": fields} if fields else None
        if kind == "own":
            self.store = InMemoryStore(index=index)
        else:
            self.store = OSSVectorGraphStore(client=client, index=index)
        self.is_ours = kind != "own"
        self.prefix = "a" if calls == "async" else ""

    def __getattr__(self, name):
        method = getattr(self.store, self.prefix + name)

        async def call(*arguments, **options):
            result = method(*arguments, **options)
            return await result if inspect.isawaitable(result) else result

        return call

    async def keys(self, *arguments, **options):
        return [item.key for item in await self.search(*arguments, **options)]


@pytest.fixture(params=["sync", "async"])
def calls(request):
    return request.param


@pytest.fixture(params=["own", "ours"])
def make(request, calls):
    """Give a function that makes an empty store, with some fields embedded."""
    with emulator.Service.in_memory() as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with embedded(service) as client:

            def make(fields=None):
                return Caller(request.param, calls, client, fields)

            yield make


@pytest.fixture
def store(make):
    return make()


async def test_put_get_and_delete(store):
    value = {"text": "x", "n": 1, "share": 0.5, "yes": True, "none": None, "deep": {"a": [{}, []]}}
    await store.put(USER, "k", value)
    item = await store.get(USER, "k")
    assert type(item) is Item
    assert (item.namespace, item.key, item.value) == (USER, "k", value)
    assert item.created_at.utcoffset() is not None
    assert item.created_at <= item.updated_at
    assert await store.get(USER, "other") is None
    assert await store.get(("users",), "k") is None
    await store.put(USER, "k", {"n": 2})
    assert (await store.get(USER, "k")).value == {"n": 2}
    await store.delete(USER, "k")
    await store.delete(USER, "never there")
    assert await store.get(USER, "k") is None


async def test_keys_are_taken_as_text(store):
    await store.put(USER, 1, {"n": 1})
    assert (await store.get(USER, 1)).key == "1"
    assert (await store.get(USER, "1")).value == {"n": 1}


# earlier releases of LangGraph look at a namespace where something is put, and nowhere else
LOOKS_AT_ALL = "InvalidNamespaceError" in (BaseStore.get.__doc__ or "")


async def test_namespaces_that_cannot_be_are_refused(store):
    late = [("a\0b",)] if LOOKS_AT_ALL else []
    for namespace in [(), ("langgraph", "x"), ("a.b",), ("",), (1,), *late]:
        with pytest.raises(InvalidNamespaceError):
            await store.put(namespace, "k", {})
        if namespace in ((), ("langgraph", "x")) or not LOOKS_AT_ALL:  # may be read
            continue
        for name in ["get", "delete"]:
            with pytest.raises(InvalidNamespaceError):
                await getattr(store, name)(namespace, "k")
        with pytest.raises(InvalidNamespaceError):
            await store.search(namespace)
        with pytest.raises(InvalidNamespaceError):
            await store.list_namespaces(prefix=namespace)


async def test_search_by_prefix_limit_and_offset(store):
    for namespace in [USER, (*USER, "deep"), ("users", "u10"), ("users",), ("other",)]:
        for n in range(3):
            await store.put(namespace, f"k{n}", {"n": n})
    assert len(await store.search(())) == 10
    assert len(await store.search((), limit=20)) == 15
    found = await store.search(USER)
    assert {item.namespace for item in found} == {USER, (*USER, "deep")}
    assert all(type(item) is SearchItem and item.score is None for item in found)
    pages = [await store.search(("users",), limit=5, offset=at) for at in (0, 5, 10, 15)]
    assert [len(page) for page in pages] == [5, 5, 2, 0]
    assert len({(item.namespace, item.key) for page in pages for item in page}) == 12
    assert await store.search(("nobody",)) == await store.search((), limit=0) == []


VALUES = {
    "a": {"kind": "tea", "n": 1, "tags": ["x", "y"], "who": {"name": "A", "age": 3}},
    "b": {"kind": "tea", "n": 2.5, "tags": [], "who": {"name": "B", "age": 4}},
    "c": {"kind": "coffee", "n": 3, "flag": True, "user.name": "dot"},
    "d": {"kind": None, "n": -1, "flag": False},
}
FILTERS = [
    ({"kind": "tea"}, "ab"),
    ({"kind": {"$eq": "tea"}}, "ab"),
    ({"kind": {"$ne": "tea"}}, "cd"),
    ({"kind": None}, "d"),
    ({"kind": "tea", "n": 1}, "a"),
    ({"n": {"$gt": 1}}, "bc"),
    ({"n": {"$gte": 1, "$lt": 3}}, "ab"),
    ({"n": {"$lte": 1}}, "ad"),
    ({"tags": ["x", "y"]}, "a"),
    ({"tags": ["x"]}, ""),
    ({"tags": ["x", {"$ne": "z"}]}, "a"),
    ({"who": {"name": "B"}}, "b"),
    ({"who": {"age": {"$gt": 3}}}, "b"),
    ({"flag": True}, "c"),
    ({"flag": 0}, "d"),
    ({"absent": None}, "abcd"),
    ({"who.name": "A"}, ""),  # names are no paths
    ({"user.name": "dot"}, "c"),
    ({}, "abcd"),
]


async def test_search_by_filter(store):
    for key, value in VALUES.items():
        await store.put(USER, key, value)
    for wanted, expected in FILTERS:
        assert sorted(await store.keys(USER, filter=wanted)) == list(expected), wanted


async def test_search_by_meaning(make):
    store = make(["text", "notes[*].text"])
    texts = {
        "one": ("aaa", "bbb"),
        "two": ("ab", "ccc"),
        "three": ("ca", "ddd", "bb"),
        "four": ("e",),
    }
    for n, (key, (text, *notes)) in enumerate(texts.items()):
        value = {
            "text": text,
            "notes": [{"text": note} for note in notes],
            "n": n,
            "even": n % 2 == 0,
        }
        await store.put(USER, key, value)
    assert await store.keys(USER, query="a", limit=3) == ["one", "two", "three"]
    assert await store.keys(USER, query="ccc", limit=2) == ["two", "three"]
    assert await store.keys(USER, query="bbb", limit=2, offset=1) == ["three", "two"]
    assert await store.keys(USER, query="ddd", filter={"even": True}) == ["three", "one"]
    assert await store.keys(USER, query="a", filter={"n": {"$gt": 0}}, limit=2) == ["two", "three"]
    assert await store.keys(("nobody",), query="a") == []
    found = await store.search((), query="e")
    assert len(found) == 4
    scores = [item.score for item in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1.0, abs=1e-3)
    # the same text again, and a new one
    await store.put(USER, "four", {"text": "e", "notes": [{"text": "aaaa"}]})
    assert set(await store.keys(USER, query="aaaa", limit=2)) == {"one", "four"}


FIELDS = [
    (["$"], None, "gg"),
    (["text"], None, "aa"),
    (["absent", "text"], None, "aa"),
    (["who.name"], None, "bb"),
    (["list[0]"], None, "cc"),
    (["list[-1]"], None, "dd"),
    (["list[*]"], None, "dd"),
    (["who.*"], None, "ff"),
    (["{text,number}"], None, "aa"),
    (["text"], ["who.name"], "bb"),
    (["text"], ["list[*]", "absent.x"], "cc"),
]


async def test_fields_and_the_index_of_a_put(make):
    value = {
        "text": "aa",
        "who": {"name": "bb", "job": "ff"},
        "list": ["cc", "dd"],
        "number": 1,
        "g": "gggggggggggggggg",
    }
    for fields, index, query in FIELDS:
        store = make(fields)
        await store.put(USER, "k", value, index=index)
        [found] = await store.search(USER, query=query)
        assert found.score > 0.9, (fields, index)
        [other] = await store.search(USER, query="h")
        assert other.score < 0.9, (fields, index)


async def test_what_has_no_embedding_is_read_all_the_same(make):
    store = make(["text"])
    await store.put(USER, "hidden", {"text": "aaa"}, index=False)
    await store.put(USER, "without", {"other": "aaa"})
    assert (await store.get(USER, "hidden")).value == {"text": "aaa"}
    assert sorted(await store.keys(USER)) == ["hidden", "without"]
    assert await store.keys(USER, filter={"text": "aaa"}) == ["hidden"]


async def test_without_a_model_a_query_is_a_search_without_order(store):
    await store.put(USER, "k", {"text": "aaa"}, index=["text"])
    [found] = await store.search(USER, query="bbb")
    assert (found.key, found.score) == ("k", None)


NAMESPACES = [
    ("a", "b", "c"),
    ("a", "b", "d", "e"),
    ("a", "b", "d", "i"),
    ("a", "b", "f"),
    ("a", "c", "f"),
    ("users", "u1", "v1"),
    ("users", "u2", "v1"),
    ("users", "u2", "v2"),
]
LISTINGS = [
    {},
    {"prefix": ("a", "b")},
    {"prefix": ("a", "b"), "max_depth": 3},
    {"suffix": ("f",)},
    {"suffix": ("v1",), "prefix": ("users",)},
    {"prefix": ("users", "*", "v1")},
    {"suffix": ("*", "v1")},
    {"prefix": ("a", "*"), "max_depth": 1},
    {"max_depth": 2, "limit": 2, "offset": 1},
    {"limit": 3, "offset": 6},
    {"prefix": ("a", "b", "c", "d", "e")},
    {"prefix": ("nobody",)},
]


async def test_list_namespaces(store):
    expected = InMemoryStore()
    for namespace in NAMESPACES:
        await store.put(namespace, "k", {"n": 1})
        expected.put(namespace, "k", {"n": 1})
    for options in LISTINGS:
        assert await store.list_namespaces(**options) == expected.list_namespaces(**options), (
            options
        )
    conditions = (MatchCondition("prefix", ("users",)), MatchCondition("suffix", ("v2",)))
    [listed] = await store.batch([ListNamespacesOp(match_conditions=conditions)])
    assert listed == [("users", "u2", "v2")]


async def test_a_batch_answers_in_order_and_reads_before_it_writes(store):
    await store.put(USER, "k", {"n": 0})
    results = await store.batch(
        [
            PutOp(USER, "k", {"n": 1}),
            GetOp(USER, "k"),
            PutOp(USER, "new", {"n": 2}),
            SearchOp(USER),
            GetOp(USER, "new"),
            PutOp(USER, "k", {"n": 3}),
            ListNamespacesOp(),
            GetOp(USER, "k"),
        ]
    )
    assert [results[place] for place in (0, 2, 4, 5)] == [None] * 4
    assert results[1].value == results[7].value == {"n": 0}
    assert [item.key for item in results[3]] == ["k"]
    assert results[6] == [USER]
    assert (await store.get(USER, "k")).value == {"n": 3}
    await store.batch([PutOp(USER, "k", None), PutOp(USER, "new", {"n": 4})])
    assert await store.keys(USER) == ["new"]
    assert await store.batch([]) == []


async def test_tuples_are_kept_and_compared_with_lists(store):
    await store.put(USER, "k", {"pair": (1, (2, [3]))})
    assert (await store.get(USER, "k")).value == {"pair": (1, (2, [3]))}
    for wanted in [(1, (2, [3])), [1, [2, [3]]]]:
        assert await store.keys(USER, filter={"pair": wanted}) == ["k"]
    assert await store.keys(USER, filter={"pair": [1, 2, 3]}) == []


# where they differ: the table of docs/langgraph-store.md


async def test_an_item_keeps_the_moment_of_its_making_in_ours(store):
    await store.put(USER, "k", {"n": 1})
    first = (await store.get(USER, "k")).created_at
    await store.put(USER, "k", {"n": 2})
    assert ((await store.get(USER, "k")).created_at == first) == store.is_ours


async def test_what_is_absent_is_neither_greater_nor_less_in_ours(store):
    for key, value in VALUES.items():
        await store.put(USER, key, value)
    search = store.keys(USER, filter={"flag": {"$gt": 0}})
    if store.is_ours:
        assert await search == ["c"]
    else:
        with pytest.raises(TypeError):
            await search


async def test_texts_are_compared_as_texts_in_ours(store):
    await store.put(USER, "k", {"day": "2026-05-01", "size": "10"})
    wanted = {"day": {"$gte": "2026-01-01", "$lt": "2027-01-01"}}
    if store.is_ours:
        assert await store.keys(USER, filter=wanted) == ["k"]
    else:
        with pytest.raises(ValueError, match="could not convert"):
            await store.keys(USER, filter=wanted)
    # a text that looks like a number is none
    assert await store.keys(USER, filter={"size": {"$gt": 9}}) == ([] if store.is_ours else ["k"])


async def test_an_unknown_operator_is_refused_in_both(store):
    await store.put(USER, "k", {"n": 1})
    with pytest.raises(ValueError, match=r"\$regex"):
        await store.search(USER, filter={"n": {"$regex": "1"}})


async def test_what_has_no_embedding_fills_up_no_ranked_answer_in_ours(make):
    store = make(["text"])
    await store.put(USER, "k", {"text": "aaa"})
    await store.put(USER, "hidden", {"text": "aaa"}, index=False)
    found = await store.keys(USER, query="a")
    assert found == (["k"] if store.is_ours else ["k", "hidden"])


async def test_a_put_may_name_the_whole_value_in_ours(make):
    store = make(["text"])
    await store.put(USER, "k", {"text": "aaa", "more": "bbbbbb"}, index=["$"])
    [found] = await store.search(USER, query="b") or [None]
    assert (found.score is not None) == store.is_ours


async def test_what_comes_back_is_nobodys_in_ours(store):
    value = {"list": [1]}
    await store.put(USER, "k", value)
    (await store.get(USER, "k")).value["list"].append(2)
    assert ((await store.get(USER, "k")).value == {"list": [1]}) == store.is_ours


async def test_times_to_live_are_supported_in_ours(store):
    assert store.store.supports_ttl == store.is_ours
    put = store.put(USER, "k", {"n": 1}, ttl=5)
    if store.is_ours:
        await put
    else:
        with pytest.raises(NotImplementedError, match="TTL"):
            await put


async def test_the_last_namespace_is_gone_with_its_last_item_in_ours(store):
    await store.put(USER, "k", {"n": 1})
    await store.delete(USER, "k")
    assert await store.list_namespaces() == ([] if store.is_ours else [USER])
