"""Metadata that people have, in all three frameworks: what comes back, and filters on it."""

# ruff: noqa: DTZ001 - metadata have dates without a zone, too

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import json
import math
import os
import random
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from support.embedded import embedded
from support.promises import sized
from support.typed_values import random_metadata, shown

pytest.importorskip("langchain_core")
pytest.importorskip("langgraph")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import MetadataMode, NodeRelationship, TextNode
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.langchain import OSSVectorStore
from oss_vector_retriever.langgraph import OSSVectorGraphStore
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, OSSVectorToolSpec
from oss_vector_retriever.llama_index import OSSVectorStore as OSSNodeStore
from oss_vector_retriever.records import decode, encode

RANDOM = sized(200, 2000)
BERLIN = ZoneInfo("Europe/Berlin")
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(n) for n in range(30)]
SWITCHES = {
    "native": {},
    "strings": {"scalars": "strings"},
    "refused": {"scalars": "refused", "filter_shorthand": False},
    "filters ignored": {"list_filter": "ignored"},
    "filters first": {"filter_after_ranking": False},
}


class Colour(enum.Enum):
    RED = "red"


@pytest.fixture
def dice():
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    return random.Random(seed)


@pytest.fixture(params=["native"])
def client(request):
    service = emulator.Service.in_memory(behaviour=emulator.Behaviour(**SWITCHES[request.param]))
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    with service, embedded(service) as client:
        yield client


everywhere = pytest.mark.parametrize("client", SWITCHES, indirect=True)


def documents_in(client, **options):
    return OSSVectorStore(DeterministicFakeEmbedding(size=4), client=client, **options)


def test_random_metadata_come_back_exactly_in_langchain(client, dice):
    store = documents_in(client)
    given = {f"k{n}": random_metadata(dice) for n in range(RANDOM)}
    rows = [[1.0, n / RANDOM, 0.0, 0.0] for n in range(RANDOM)]
    store.add_texts(["t"] * RANDOM, list(given.values()), ids=list(given), embeddings=rows)
    found = store.get_by_ids(list(given))
    assert [document.id for document in found] == list(given)
    for document in found:
        assert shown(document.metadata) == shown(given[document.id])


def by_core(metadata):
    """Return what metadata are after core's own way into a store and back."""
    node = TextNode(text="t", metadata=metadata)
    return metadata_dict_to_node(node_to_metadata_dict(node)).metadata


def test_random_metadata_come_back_in_llama_index_as_from_cores_own_stores(client, dice):
    store = OSSNodeStore(client)
    given = {f"k{n}": random_metadata(dice) for n in range(RANDOM)}
    store.add(
        [
            TextNode(id_=key, text="t", metadata=metadata, embedding=[1.0, number / RANDOM])
            for number, (key, metadata) in enumerate(given.items())
        ]
    )
    for node in store.get_nodes(list(given)):
        expected = by_core(given[node.node_id])
        assert shown(node.metadata) == shown(expected)
        assert node.hash == TextNode(text="t", metadata=expected).hash


def test_typed_values_come_back_exactly_in_llama_index(client, dice):
    store = OSSNodeStore(client, metadata_values="typed")
    given = {f"k{n}": random_metadata(dice) for n in range(RANDOM // 4)}
    nodes = [
        TextNode(id_=key, text="t", metadata=one, embedding=[1.0, 0.5])
        for key, one in given.items()
    ]
    store.add(nodes)
    for reader in (store, OSSVectorDocumentStore(client)):
        for node in reader.get_nodes(list(given)):
            assert shown(node.metadata) == shown(given[node.node_id])
            if "set(" not in shown(node.metadata):  # of which a text has no order
                assert node.hash == TextNode(text="t", metadata=given[node.node_id]).hash


CASES = [
    (dt.datetime(2024, 1, 2), "2024-01-02T00:00:00"),
    (dt.date(2024, 1, 2), "2024-01-02"),
    (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ({"a"}, ["a"]),
    (("a", 1), ["a", 1]),
    (math.nan, None),
    (Decimal("1.50"), "1.50"),
    (Colour.RED, "red"),
    ({1: dt.time(1, 2)}, {"1": "01:02:00"}),
    ([dt.timedelta(hours=1), b"x"], ["PT1H", "x"]),
]


@pytest.mark.parametrize(("value", "stored"), CASES, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("kind", ["store", "docstore"])
def test_llama_index_stores_what_core_stores(client, value, stored, kind):
    node = TextNode(id_="a", text="t", metadata={"m": value, "n": 1}, embedding=[1.0, 0.5])
    assert by_core({"m": value})["m"] == stored
    if kind == "store":
        OSSNodeStore(client).add([node])
    else:
        OSSVectorDocumentStore(client).add_documents([node])
    [found] = OSSNodeStore(client).get_nodes(["a"])
    assert shown(found.metadata) == shown({"m": stored, "n": 1})
    assert node.metadata["m"] is value  # the caller's node is left as it was


def test_numpy_scalars_and_odd_names_are_pythons_in_llama_index(client):
    numpy = pytest.importorskip("numpy")
    metadata = {
        "n": numpy.int64(7),
        "x": [numpy.float32(0.5), {"flag": numpy.bool_(True)}],
        "day": numpy.datetime64("2024-01-02"),
        "none": numpy.datetime64("NaT", "us"),
    }
    OSSNodeStore(client).add([TextNode(id_="a", text="t", metadata=metadata, embedding=[1.0, 0.5])])
    [found] = OSSNodeStore(client).get_nodes(["a"])
    assert found.metadata == {"n": 7, "x": [0.5, {"flag": True}], "day": "2024-01-02", "none": None}


def test_rows_of_pandas_come_back_in_both_frameworks(client):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {"when": [pandas.Timestamp("2024-01-02"), pandas.NaT], "x": [1.5, math.nan]}
    )
    store = documents_in(client)
    store.add_texts(["a", "b"], table.to_dict("records"), ids=["a", "b"])
    first, second = (document.metadata for document in store.get_by_ids(["a", "b"]))
    assert first == {"when": dt.datetime(2024, 1, 2), "x": 1.5}
    assert shown(second) == shown({"when": None, "x": math.nan})
    rows = [dict(row) for _, row in table.iterrows()]
    nodes = [
        TextNode(id_=f"n{n}", text="t", metadata=row, embedding=[1.0] * 4)
        for n, row in enumerate(rows)
    ]
    OSSNodeStore(client).add(nodes)
    found = OSSNodeStore(client).get_nodes(["n0", "n1"])
    assert [node.metadata for node in found] == [
        {"when": "2024-01-02T00:00:00", "x": 1.5},
        {"when": None, "x": None},
    ]
    passing = OSSNodeStore(client).get_nodes(filters=where("when", ">=", "2024-01-02"))
    assert {node.node_id for node in passing} == {"a", "n0"}


def test_the_metadata_of_a_node_inside_an_index_node_are_kept_as_its_own(client):
    from llama_index.core.schema import IndexNode  # noqa: PLC0415

    inner = TextNode(id_="inner", text="i", metadata={"day": DAYS[0]})
    for values, day in (("json", DAYS[0].isoformat()), ("typed", DAYS[0])):
        outer = IndexNode(
            id_="o",
            text="t",
            index_id="x",
            obj=inner,
            embedding=[1.0, 0.5],
            metadata={"d": DAYS[1]},
        )
        OSSNodeStore(client, metadata_values=values).add([outer])
        [found] = OSSNodeStore(client).get_nodes(["o"])
        assert found.obj.metadata == {"day": day}
        assert found.get_content(MetadataMode.NONE) == "t"


@pytest.mark.parametrize("values", ["json", "typed"])
def test_documents_and_nodes_without_embeddings_keep_their_values(client, values):
    docstore = OSSVectorDocumentStore(client, metadata_values=values)
    document = LlamaDocument(id_="d", text="t", metadata={"day": DAYS[3], "who": (UUID(int=1),)})
    source = {NodeRelationship.SOURCE: document.as_related_node_info()}
    node = TextNode(id_="n", text="t", metadata={"day": DAYS[4]}, relationships=source)
    docstore.add_documents([document, node])
    expected = [{"day": DAYS[3], "who": (UUID(int=1),)}, {"day": DAYS[4]}]
    if values == "json":
        expected = list(map(by_core, expected))
    again = OSSVectorDocumentStore(client, metadata_values=values)
    found = again.get_nodes(["d", "n"])
    assert list(map(shown, (one.metadata for one in found))) == list(map(shown, expected))
    info = again.get_ref_doc_info("d")
    assert info.node_ids == ["n"]
    assert shown(info.metadata) in map(shown, expected)


def test_an_agent_reads_dates_as_text(client):
    store = OSSNodeStore(client, metadata_values="typed")
    node = TextNode(id_="a", text="t", embedding=[1.0, 0.5])
    node.metadata = {"day": DAYS[3], "x": math.nan, "tags": {"a"}}
    store.add([node])
    said = OSSVectorToolSpec(client).get_metadata(["a"])
    assert '{"day": "2024-01-04", "x": null, "tags": ["a"]}' in said


def test_the_setting_is_saved_with_the_store(client):
    store = OSSNodeStore(client, metadata_values="typed", on_bad_record="skip")
    saved = json.loads(store.to_json())
    assert (saved["metadata_values"], saved["on_bad_record"]) == ("typed", "skip")
    again = OSSNodeStore.from_dict(store.to_dict(), client=client)
    assert (again.metadata_values, again.on_bad_record) == ("typed", "skip")
    for wrong in ({"metadata_values": "pickle"}, {"on_bad_record": "ignore"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OSSNodeStore(client, **wrong)
    with pytest.raises(InvalidRequestError, match="metadata_values"):
        OSSVectorDocumentStore(client, metadata_values="pickle")


# --- Filters ---


def where(key, operator, value):
    # core's class takes texts and numbers alone, when it is checked
    test = MetadataFilter.model_construct(key=key, operator=FilterOperator(operator), value=value)
    return MetadataFilters.model_construct(filters=[test])


FILTERS = {
    "date": ({"$gte": DAYS[20]}, DAYS[20:]),
    "datetime": ({"$gt": dt.datetime(2024, 1, 21)}, DAYS[21:]),
    "zone": ({"$lte": dt.datetime(2024, 1, 3, 1, tzinfo=BERLIN)}, DAYS[:3]),
    "text": ({"$lt": "2024-01-04"}, DAYS[:3]),
    "range": ({"$gt": DAYS[3], "$lt": "2024-01-07"}, DAYS[4:6]),
    "equal": ({"$eq": DAYS[4]}, [DAYS[4]]),
    "equal text": ({"$eq": "2024-01-05"}, [DAYS[4]]),
    "in": ({"$in": [DAYS[4], dt.datetime(2024, 1, 6), "2024-01-09"]}, [DAYS[4], DAYS[5], DAYS[8]]),
    "unequal": ({"$ne": DAYS[4]}, [*DAYS[:4], *DAYS[5:]]),
    "not in": ({"$nin": DAYS[:25]}, DAYS[25:]),
    "number": ({"$gte": 5}, []),
}


@everywhere
def test_langchain_filters_by_dates(client):
    store = documents_in(client)
    rows = [[1.0, n / 100, 0.0, 0.0] for n in range(len(DAYS))]
    store.add_texts(
        ["t"] * len(DAYS), [{"day": day} for day in DAYS], ids=list(map(str, DAYS)), embeddings=rows
    )
    for name, (test, expected) in FILTERS.items():
        found = store.similarity_search_by_vector(rows[0], 40, filter={"day": test})
        assert [document.metadata["day"] for document in found] == expected, name
        found = asyncio.run(store.asimilarity_search_by_vector(rows[0], 2, filter={"day": test}))
        assert [document.metadata["day"] for document in found] == expected[:2], name


@everywhere
@pytest.mark.parametrize("values", ["json", "typed"])
def test_llama_index_filters_by_dates_in_both_settings(client, values):
    store = OSSNodeStore(client, metadata_values=values)
    rows = [[1.0, n / 100] for n in range(len(DAYS))]
    store.add(
        [
            TextNode(id_=str(day), text="t", embedding=row, metadata={"day": day})
            for day, row in zip(DAYS, rows, strict=True)
        ]
    )

    def found(k, **restriction):
        options = {"filter": restriction.pop("filter")} if "filter" in restriction else {}
        query = VectorStoreQuery(query_embedding=rows[0], similarity_top_k=k, **restriction)
        return store.query(query, **options).ids

    for name, (test, expected) in FILTERS.items():
        if name == "number" and values == "json":
            continue  # a text is not compared with a number either
        ids = [str(day) for day in expected]
        assert found(40, filter={"day": test}) == ids, name
    for operator, operand, expected in [
        (">=", DAYS[20], DAYS[20:]),
        (">=", "2024-01-21", DAYS[20:]),
        ("<", dt.datetime(2024, 1, 3), DAYS[:2]),
        ("==", DAYS[4], DAYS[4:5]),
        ("==", "2024-01-05", DAYS[4:5]),
        ("!=", DAYS[4], [*DAYS[:4], *DAYS[5:]]),
        ("in", [DAYS[4], DAYS[7]], [DAYS[4], DAYS[7]]),
        ("nin", list(DAYS[:25]), DAYS[25:]),
    ]:
        ids = [str(day) for day in expected]
        assert found(40, filters=where("day", operator, operand)) == ids, (operator, operand)
        assert {
            node.node_id for node in store.get_nodes(filters=where("day", operator, operand))
        } == set(ids)


@everywhere
def test_langgraph_keeps_and_filters_by_dates(client):
    embed = DeterministicFakeEmbedding(size=4)
    store = OSSVectorGraphStore(
        client=client.with_options(index="memory"),
        index={"dims": 4, "embed": embed, "fields": ["day"]},
    )
    for number, day in enumerate(DAYS):
        store.put(("a",), f"m{number:02}", {"day": day, "id": UUID(int=number), "pair": (day, 1)})
    item = store.get(("a",), "m03")
    assert shown(item.value) == shown({"day": DAYS[3], "id": UUID(int=3), "pair": (DAYS[3], 1)})
    for name, (test, expected) in FILTERS.items():
        if not {"$in", "$nin"}.isdisjoint(test):
            continue  # which LangGraph does not have
        for query in (None, "q"):
            found = store.search(("a",), filter={"day": test}, query=query, limit=40)
            assert sorted(item.value["day"] for item in found) == expected, (name, query)
    [found] = store.search(("a",), filter={"id": str(UUID(int=7))})
    assert found.key == "m07"
    [found] = store.search(("a",), filter={"pair": [DAYS[5], 1]})
    assert found.key == "m05"


@pytest.mark.parametrize("client", ["filters first"], indirect=True)
def test_a_range_of_dates_is_narrowed_by_the_service(client):
    # of 600 days the ten last are the farthest, and are found without a listing
    store = documents_in(
        client, exhaustive=False, on_incomplete="raise", filters_first=True, read_your_writes=False
    )
    days = [dt.date(2024, 1, 1) + dt.timedelta(n) for n in range(600)]
    rows = [[1.0, n / 1000, 0.0, 0.0] for n in range(600)]
    store.add_texts(["t"] * 600, [{"day": day} for day in days], embeddings=rows)
    found = store.similarity_search_by_vector(rows[0], 10, filter={"day": {"$gte": days[590]}})
    assert [document.metadata["day"] for document in found] == days[590:]


def test_dates_text_and_what_is_written_by_others_are_found_alike(client):
    store = documents_in(client)
    store.add_texts(
        ["a", "b"], [{"day": "2024-05-01"}, {"day": dt.datetime(2024, 5, 1)}], ids=["a", "b"]
    )
    client.upsert(
        [{"key": "c", "data": [0.5] * 4, "metadata": {"text": "c", "day": "2024-05-01T00:00Z"}}]
    )

    def found(test):
        return sorted(
            document.id for document in store.similarity_search("q", 5, filter={"day": test})
        )

    assert found({"$gte": "2024-01-01"}) == ["a", "b", "c"]
    assert found({"$gte": dt.date(2024, 1, 1)}) == ["a", "b", "c"]
    assert found({"$eq": dt.date(2024, 5, 1)}) == ["a", "b", "c"]
    # texts are compared as texts
    assert found({"$eq": "2024-05-01"}) == ["a", "b"]
    assert found({"$lt": dt.date(2024, 5, 1)}) == []


def test_an_update_keeps_types_and_filters(client):
    store = documents_in(client)
    store.add_texts(["a"], [{"day": DAYS[3], "n": 1}], ids=["a"])
    store.update_metadata(
        ["a"], {"until": dt.datetime(2024, 3, 1, tzinfo=BERLIN), "n": Decimal("1.5")}
    )
    [document] = store.get_by_ids(["a"])
    expected = {
        "day": DAYS[3],
        "n": Decimal("1.5"),
        "until": dt.datetime(2024, 3, 1, tzinfo=BERLIN),
    }
    assert shown(document.metadata) == shown(expected)
    assert store.similarity_search("q", filter={"until": {"$gt": DAYS[29]}, "day": DAYS[3]})
    OSSNodeStore(client).add(
        [TextNode(id_="n", text="t", metadata={"day": DAYS[3]}, embedding=[1.0] * 4)]
    )
    store.update_metadata(["n"], {"until": DAYS[5]})
    for test in ({"day": DAYS[3]}, {"until": DAYS[5]}, {"day": {"$lt": DAYS[4]}}):
        assert [one.id for one in store.similarity_search("q", filter=test) if one.id == "n"] == [
            "n"
        ]


def test_a_patch_of_another_programs_record_is_written_as_text(client):
    store = documents_in(client)
    store.add_texts(["a"], ids=["a"])
    client.upsert([{"key": "o", "data": [0.5] * 4, "metadata": {"text": "o"}}])
    store.update_metadata(["o"], {"day": DAYS[3], "id": UUID(int=1), "price": Decimal("1.50")})
    [vector] = client.fetch(["o"])
    assert vector.metadata == {
        "text": "o",
        "day": "2024-01-04",
        "id": str(UUID(int=1)),
        "price": "1.50",
    }
    assert [one.id for one in store.similarity_search("q", filter={"day": DAYS[3]})] == ["o"]


def test_the_time_weighted_retriever_of_langchain_works(client):
    retrievers = pytest.importorskip("langchain_classic.retrievers")
    store = documents_in(client)
    retriever = retrievers.TimeWeightedVectorStoreRetriever(vectorstore=store, decay_rate=0.01, k=2)
    yesterday = dt.datetime.now() - dt.timedelta(days=1)  # noqa: DTZ005 - as its page writes it
    retriever.add_documents(
        [Document(page_content="old", metadata={"last_accessed_at": yesterday})]
    )
    retriever.add_documents([Document(page_content="new")])
    found = retriever.invoke("new")
    assert sorted(document.page_content for document in found) == ["new", "old"]
    [stored] = [one for one in store.similarity_search("old", 5) if one.page_content == "old"]
    assert stored.metadata["last_accessed_at"] == yesterday
    assert stored.metadata["created_at"].__class__ is dt.datetime


def test_a_reader_before_types_gets_plain_values():
    """What the release before this one makes of an envelope: its JSON, without the types."""
    metadata = {"day": DAYS[0], "who": {UUID(int=1)}}
    stored = encode("k", None, text="t", metadata=metadata).metadata
    envelope = json.loads(stored["_record"])
    assert (envelope["v"], envelope["metadata"]) == (
        2,
        {"day": "2024-01-01", "who": [str(UUID(int=1))]},
    )
    assert (
        decode(encode("k", None, text="t", metadata=envelope["metadata"])).metadata
        == envelope["metadata"]
    )
