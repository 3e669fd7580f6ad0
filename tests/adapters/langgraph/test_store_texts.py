"""Each text of an item has an embedding: which are written, found, used again, and deleted."""

import asyncio
import json
from datetime import UTC, date, datetime

import pytest

pytest.importorskip("langgraph")

from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp
from langgraph.store.memory import InMemoryStore
from support.embedded import embedded, filters_first
from support.promises import sized

from oss_vector_retriever import emulator
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

PLACE = ("docs",)
LETTERS = "tcwx"


def numbers(text):
    return [float(text.count(letter)) + 0.01 for letter in LETTERS]


class Model(Embeddings):
    """Embed a text by its letters; and count the texts."""

    def __init__(self, model="letters"):
        self.model = model
        self.texts = []

    def embed_documents(self, texts):
        self.texts += texts
        return list(map(numbers, texts))

    def embed_query(self, text):
        return numbers(text)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def index(model):
    return {"dims": 4, "embed": model, "fields": ["title", "notes[*].text"]}


@pytest.fixture
def store(client, index):
    return OSSVectorGraphStore(client=client, index=index)


def item(title, *notes, **more):
    return {"title": title, "notes": [{"text": note} for note in notes], **more}


def keys(client):
    return sorted(vector.key for vector in client.iter_vectors())


async def test_the_nearest_text_of_an_item_ranks_it_as_in_the_in_memory_store(store, index):
    theirs = InMemoryStore(index=index)
    for each in (store, theirs):
        each.put(PLACE, "one", item("ttt", "ccc", "www"))
        each.put(PLACE, "two", item("tc", "tw", "xxxx"))
        each.put((*PLACE, "deep"), "three", item("x", "cx", "wwx", "ccc t"))
        each.put(PLACE, "other", {"a": {"b": ["cc", "tw"]}}, index=["a.b[-1]", "a.b[0]", "absent"])
    for query in ["ttt", "www", "xxx"]:
        for options in [{}, {"limit": 2}, {"limit": 2, "offset": 1}, {"offset": 3}]:
            expected = theirs.search(PLACE, query=query, **options)
            found = store.search(PLACE, query=query, **options)
            assert [one.key for one in found] == [one.key for one in expected]
            assert [one.score for one in found] == pytest.approx(
                [one.score for one in expected], abs=1e-5
            )
            assert await store.asearch(PLACE, query=query, **options) == found


def test_value_and_text_stand_in_the_head_alone(store, client):
    store.put(PLACE, "k", item("title t", "note c", "note w", n=1))
    listed = client.iter_vectors(return_data=True, return_metadata=True)
    vectors = {vector.key: vector for vector in listed}
    head = vectors.pop("docs..k")
    assert list(head.data) == pytest.approx(numbers("title t"))
    assert len(vectors) == 2
    found = sorted(list(one.data) for one in vectors.values())
    assert found == [pytest.approx(row) for row in sorted(map(numbers, ["note c", "note w"]))]
    for vector in vectors.values():
        assert "note c" not in json.dumps(vector.metadata)
        # filters see what they see of the head
        assert vector.metadata["_value_title"] == "title t"
        assert vector.metadata["_within"] == ["docs"]


@filters_first
def test_limit_and_offset_count_items_however_many_texts_they_have(store):
    # 93 of the nearest vectors are of three items
    notes = [f"ttt{n}" for n in range(30)]
    store.batch([PutOp(PLACE, f"many{n}", item(f"t{n}", *notes)) for n in range(3)])
    store.batch([PutOp(PLACE, f"one{n}", item("tc" + "c" * n)) for n in range(9)])
    pages = [store.search(PLACE, query="tttt", limit=5, offset=at) for at in range(0, 15, 5)]
    assert [len(page) for page in pages] == [5, 5, 2]
    found = [one.key for page in pages for one in page]
    assert sorted(found[:3]) == [f"many{n}" for n in range(3)]
    assert found[3:] == [f"one{n}" for n in range(9)]


def test_a_replaced_item_is_found_by_nothing_that_it_was(store, client):
    store.put(PLACE, "k", item("ttt", "ccc", "www"))
    old = keys(client)
    store.put(PLACE, "k", item("xxx", "xxxx"))
    assert len(keys(client)) == 2
    assert set(keys(client)) & set(old) == {"docs..k"}
    [found] = store.search(PLACE, query="ccc")
    assert found.value == item("xxx", "xxxx")
    best = max(1 - cosine_distance("ccc", text) for text in ["xxx", "xxxx"])
    assert found.score == pytest.approx(best, abs=1e-5)
    store.put(PLACE, "k", item("xxx"), index=False)
    assert keys(client) == ["docs..k"]
    assert store.search(PLACE, query="xxx") == []


def cosine_distance(one, other):
    rows = [numbers(one), numbers(other)]
    lengths = [sum(x * x for x in row) ** 0.5 for row in rows]
    return 1 - sum(a * b for a, b in zip(*rows, strict=True)) / lengths[0] / lengths[1]


async def test_a_deleted_item_takes_its_texts_along(store, client):
    store.batch([PutOp(PLACE, f"k{n}", item("t", "c", "w")) for n in range(3)])
    store.delete(PLACE, "k0")
    await store.adelete(PLACE, "k1")
    assert len(keys(client)) == 3
    store.delete(PLACE, "k2")
    assert keys(client) == []


async def test_a_vector_of_another_version_counts_for_nothing_and_is_swept(store, client):
    store.put(PLACE, "k", item("ttt", "ccc"))
    store.put(PLACE, "gone", item("ttt", "ccc"))
    left = {one.key: one for one in client.iter_vectors(return_data=True, return_metadata=True)}
    store.put(PLACE, "k", item("xxx"))
    store.delete(PLACE, "gone")
    # as a process leaves them that is killed, or overtaken by another
    orphans = [one for key, one in left.items() if key.startswith(".")]
    assert len(orphans) == 2
    client.put_vectors(orphans)
    for query in ["ccc", "xxx"]:
        [found] = store.search(PLACE, query=query)
        assert (found.key, found.value) == ("k", item("xxx"))
        assert found.score == pytest.approx(1 - cosine_distance(query, "xxx"), abs=1e-5)
    assert store.search(PLACE) == [one for one in store.search(PLACE) if one.key == "k"]
    assert store.list_namespaces() == [PLACE]
    assert store.sweep() == 0  # a moment ago somebody may have begun to write their heads
    assert len(keys(client)) == 3
    assert await store.asweep(0) == 2
    assert keys(client) == ["docs..k"]
    assert store.sweep(0) == 0


async def test_what_did_not_change_is_not_embedded_again(store, model, client):
    await store.aput(PLACE, "k", item("ttt", "ccc", "www"))
    store.put(PLACE, "k", item("ttt", "ccc", "www", n=2))
    assert model.texts == ["ttt", "ccc", "www"]
    await store.aput(PLACE, "k", item("www", "xxx", "ttt", "xxx", n=3))
    assert model.texts == ["ttt", "ccc", "www", "xxx"]
    rows = sorted(list(one.data) for one in client.iter_vectors(return_data=True))
    assert rows == [pytest.approx(row) for row in sorted(map(numbers, ["www", "xxx", "ttt"]))]
    for query, best in [("ttt", 1.0), ("xxx", 1.0), ("ccc", None)]:
        [found] = store.search(PLACE, query=query)
        assert found.value["n"] == 3
        assert (found.score == pytest.approx(1.0, abs=1e-5)) == (best is not None)


async def test_another_model_embeds_anew(store, client, index, model):
    store.put(PLACE, "k", item("ttt", "ccc"))
    other = Model("other letters")
    again = OSSVectorGraphStore(client=client, index={**index, "embed": other})
    again.put(PLACE, "k", item("ttt", "ccc"))
    assert other.texts == ["ttt", "ccc"]
    same = Model()
    OSSVectorGraphStore(client=client, index={**index, "embed": same}).put(
        PLACE, "k", item("ttt", "ccc")
    )
    assert same.texts == model.texts == ["ttt", "ccc"]


@pytest.mark.parametrize("size", [100, 60_000, sized(200_000, 2_000_000)])
async def test_items_of_any_size_have_texts(store, client, size):
    value = item("ttt", "ccc", "w" * size, large="".join(map(str, range(size // 5))))
    await store.aput(PLACE, "k", value)
    assert store.get(PLACE, "k").value == value
    for query in ["ttt", "ccc", "www"]:
        [found] = await store.asearch(PLACE, query=query)
        assert found.value == value
        assert found.score == pytest.approx(1.0, abs=1e-3)
    assert [found.value for found in store.search(PLACE, filter={"title": "ttt"})] == [value]
    store.delete(PLACE, "k")
    assert keys(client) == []
    if size > 40_000:
        assert list(client.iter_vectors(index="vectorsside")) == []


def test_filters_choose_among_texts_as_among_heads(store):
    store.batch(
        [
            PutOp(PLACE, f"k{n:02}", item("x", "tt" + "c" * n, n=n, even=n % 2 == 0))
            for n in range(30)
        ]
    )
    found = store.search(PLACE, query="ttt", filter={"n": {"$gte": 25}, "even": True})
    assert [one.value["n"] for one in found] == [26, 28]


def test_a_search_is_a_query_and_a_get(client, index, operations):
    store = OSSVectorGraphStore(client=client, index=index, read_your_writes=False)
    store.batch([PutOp(PLACE, f"k{n}", item(f"t{n}", f"c{n}")) for n in range(20)])
    store.search(PLACE, query="t")  # what the index takes is known from now on
    operations.clear()
    assert len(store.search(PLACE, query="t")) == 10
    assert operations == ["queryVectors", "getVectors"]


def test_what_another_process_has_replaced_or_deleted_is_not_shown(index):
    clock = emulator.ManualClock()
    behaviour = emulator.Behaviour(query_delay_seconds=3.0)
    with emulator.Service.in_memory(behaviour=behaviour, clock=clock) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        with embedded(service) as client:
            # of the writes of other processes nothing is known
            store = OSSVectorGraphStore(client=client, index=index, read_your_writes=False)
            store.batch([PutOp(PLACE, key, item("ttt", "ccc", n=1)) for key in ("k", "gone", "x")])
            clock.advance(4)
            assert len(store.search(PLACE, query="ttt")) == 3
            store.put(PLACE, "k", item("xxx", n=2))
            store.delete(PLACE, "gone")
            for query in ["ttt", "ccc", "xxx"]:
                [found] = store.search(PLACE, query=query, limit=1)
                assert (found.key, found.value["n"]) in {("x", 1), ("k", 2)}
            clock.advance(4)
            found = store.search(PLACE, query="xxx")
            assert [(one.key, one.value["n"]) for one in found] == [("k", 2), ("x", 1)]


async def test_values_of_python_keep_their_types_and_are_embedded_as_json_has_them(store, model):
    when = datetime(2026, 5, 1, 12, tzinfo=UTC)
    await store.aput(PLACE, "k", {"title": when, "tags": {"a"}, "day": date(2026, 5, 1)})
    assert model.texts == ["2026-05-01T12:00:00Z"]
    item, again = await asyncio.gather(store.aget(PLACE, "k"), store.aget(PLACE, "k"))
    assert item.value == {"title": when, "tags": {"a"}, "day": date(2026, 5, 1)}
    item.value["tags"].add("b")
    assert again.value["tags"] == {"a"}


def test_a_text_whose_vectors_cannot_be_written_fails_its_own_item(client, index, service):
    store = OSSVectorGraphStore(client=client.with_options(retry=1), index=index)
    store.put(PLACE, "old", item("t"))
    service.faults.add(emulator.faults.ServerError(operation="PutVectors"))
    with pytest.raises(Exception, match="1 of 1 calls failed"):
        store.put(PLACE, "k", item("t", "c"))
    assert store.get(PLACE, "k") is None
    assert keys(client) == ["docs..old"]


class EarlierRelease:
    """What the store wrote before items had a version: one embedding, of all texts together."""

    def __init__(self, client):
        self.client = client
        self.records = RecordStore(StoreSettings(filterable=None, list_fields="exact"))

    def put(self, namespace, key, value, embedding):
        paths = [".".join(namespace[:depth]) for depth in range(1, len(namespace) + 1)]
        marks = {
            "_row": "memory",
            "_within": paths,
            "_embedded": "no" if embedding is None else "yes",
        }
        moment = "2026-01-01T00:00:00+00:00"
        about = {"namespace": list(namespace), "key": key, "value": value}
        metadata = {**marks, **about, "created_at": moment, "updated_at": moment}
        seen = {**marks, **{f"_value_{name}": one for name, one in value.items()}}
        data = embedding or [1.0, 0.0, 0.0, 0.0]
        vector = self.records.encode(
            f"{'.'.join(namespace)}..{key}",
            data,
            text="",
            metadata=metadata,
            own=marks,
            visible=seen,
        )
        self.client.run(self.records.write, [vector])


async def test_items_of_earlier_releases_stay_readable_and_searchable(store, client, model):
    earlier = EarlierRelease(client)
    earlier.put(PLACE, "old", item("ttt", "ccc", n=1), numbers("ttt\nccc"))
    earlier.put(PLACE, "hidden", item("ttt", n=2), None)
    store.put(PLACE, "new", item("www", "xxx", n=3))
    assert store.get(PLACE, "old").value == item("ttt", "ccc", n=1)
    assert [one.key for one in store.search(PLACE, query="tc")] == ["old", "new"]
    assert sorted(one.key for one in store.search(PLACE)) == ["hidden", "new", "old"]
    assert [one.key for one in store.search(PLACE, filter={"n": {"$lt": 3}}, query="t")] == ["old"]
    made = store.get(PLACE, "old").created_at
    store.put(PLACE, "old", item("ttt", "ccc", n=4))
    assert model.texts == ["www", "xxx", "ttt", "ccc"]
    [found] = store.search(PLACE, query="ccc", limit=1)
    assert (found.key, found.score) == ("old", pytest.approx(1.0, abs=1e-3))
    assert found.created_at == made < found.updated_at
    assert store.sweep_ttl() == store.sweep(0) == 0
    store.delete(PLACE, "hidden")
    assert store.get(PLACE, "hidden") is None
