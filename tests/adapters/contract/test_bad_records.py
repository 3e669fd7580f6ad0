"""Records that cannot be stored: all are named; the others are written, where that is asked for."""

from __future__ import annotations

import asyncio
import logging
import pickle

import pytest
from support.embedded import embedded

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core import Document as LlamaDocument
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.schema import ImageNode, TextNode

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.langchain import OSSVectorDocumentIndex, OSSVectorStore
from oss_vector_retriever.llama_index import OSSVectorStore as OSSNodeStore
from oss_vector_retriever.records import BadRecordsError, InvalidRecordError

GIVEN = {
    "good": {"n": 1},
    "object": {"deep": [1, {"x": object()}]},
    "bytes": {"raw": b"\xff"},
    "long": {"text": "x" * 50_000},
    "fine": {"n": 2},
    "surrogate": {"t": "\ud800"},
    "name": {"_record": 1},
}
BAD = {
    "object": ("metadata['deep'][1]['x']", "make it a str, int, float, bool, None, list or dict"),
    "bytes": ("metadata['raw']", "store it as base64 text"),
    "surrogate": ("metadata['t']", ""),
    "name": ("metadata['_record']", "give it another name"),
}


class Counting(DeterministicFakeEmbedding):
    """An embedding model that remembers what it was paid for."""

    size: int = 4
    texts: list = []  # noqa: RUF012 - pydantic copies it

    def embed_documents(self, texts):
        self.texts.extend(texts)
        return super().embed_documents(texts)


@pytest.fixture
def client():
    service = emulator.Service.in_memory()
    service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
    with service, embedded(service) as client:
        yield client


@pytest.fixture
def given():
    # a value of any size may be cut into parts one day: what is too large is no matter here
    return {key: metadata for key, metadata in GIVEN.items() if key != "long"}


def add_documents(store, given, **options):
    documents = [Document(id=key, page_content=key, metadata=one) for key, one in given.items()]
    return store.add_documents(documents, **options)


def add_texts(store, given, **options):
    return store.add_texts(list(given), list(given.values()), ids=list(given), **options)


def aadd_documents(store, given, **options):
    documents = [Document(id=key, page_content=key, metadata=one) for key, one in given.items()]
    return asyncio.run(store.aadd_documents(documents, **options))


def aadd_texts(store, given, **options):
    adding = store.aadd_texts(list(given), list(given.values()), ids=list(given), **options)
    return asyncio.run(adding)


def nodes_of(given):
    return [TextNode(id_=k, text=k, metadata=one, embedding=[1.0] * 4) for k, one in given.items()]


WRITERS = [add_documents, add_texts, aadd_documents, aadd_texts]


def check(report, given):
    assert not report.ok
    assert report.total == len(given)
    assert report.keys == tuple(BAD)
    for record in report.records:
        assert list(given)[record.position] == record.key
        field, remedy = BAD[record.key]
        assert record.field == field
        assert record.remedy.startswith(remedy)
        assert record.reason
        assert isinstance(record.error, InvalidRequestError)
        assert repr(record.key) in str(record.error)
        assert str(record.error) in str(report)


@pytest.mark.parametrize("add", WRITERS)
def test_langchain_names_all_of_them_and_writes_nothing(client, given, add):
    model = Counting()
    store = OSSVectorStore(model, client=client)
    with pytest.raises(BadRecordsError, match="4 of 6 records cannot be written") as caught:
        add(store, given)
    check(caught.value.report, given)
    assert "Nothing was written" in str(caught.value)
    assert store.get_by_ids(list(given)) == []
    assert model.texts == []


def test_a_single_one_is_an_error_of_its_own(client):
    store = OSSVectorStore(Counting(), client=client)
    with pytest.raises(
        InvalidRecordError, match=r"record 'a': metadata\['x'\] is of type"
    ) as caught:
        store.add_texts(["a", "b"], [{"x": object()}, {}], ids=["a", "b"])
    assert (caught.value.field, caught.value.argument) == ("metadata['x']", "metadata")


@pytest.mark.parametrize("add", WRITERS)
@pytest.mark.parametrize("policy", ["skip", "report"])
@pytest.mark.parametrize("where", ["call", "store"])
def test_langchain_writes_the_others(client, given, add, policy, where, caplog):  # noqa: PLR0917
    model = Counting()
    settings = {"on_bad_record": policy}
    store = OSSVectorStore(model, client=client, **(settings if where == "store" else {}))
    with caplog.at_level(logging.WARNING):
        ids = add(store, given, **(settings if where == "call" else {}))
    assert ids == ["good", "fine"]
    check(ids.report, given)
    assert store.bad_records is ids.report
    assert [one.id for one in store.get_by_ids(list(given))] == ["good", "fine"]
    assert model.texts == ["good", "fine"]  # no embedding is paid for in vain
    warned = [
        record.getMessage()
        for record in caplog.records
        if "cannot be written" in record.msg % record.args
    ]
    assert len(warned) == (policy == "skip")
    assert all("4 of 6" in text and "'object'" in text for text in warned)


def test_embeddings_that_are_given_go_with_their_texts(client, given):
    store = OSSVectorStore(client=client)
    rows = [[float(n), 1.0] for n in range(len(given))]
    ids = add_texts(store, given, embeddings=rows, on_bad_record="report")
    found = store.get_by_ids_with_embeddings(ids)
    assert [row for _, row in found] == [rows[0], rows[list(given).index("fine")]]
    with pytest.raises(InvalidRequestError, match="2 embeddings for 6 texts"):
        add_texts(store, given, embeddings=rows[:2], on_bad_record="report")


def test_a_store_that_is_made_of_texts_says_what_was_left_out(client, given):
    texts, metadatas = list(given), list(given.values())
    store = OSSVectorStore.from_texts(
        texts, Counting(), metadatas, ids=texts, client=client, on_bad_record="report"
    )
    check(store.bad_records, given)
    store.add_texts(["more"])
    assert store.bad_records.ok


def test_a_document_index_says_which_failed(client, given):
    store = OSSVectorStore(Counting(), client=client, on_bad_record="report")
    index = OSSVectorDocumentIndex(store=store)
    documents = [Document(id=k, page_content=k, metadata=one) for k, one in given.items()]
    for response in (index.upsert(documents), asyncio.run(index.aupsert(documents))):
        assert response["succeeded"] == ["good", "fine"]
        assert response["failed"] == list(BAD)


def test_nothing_is_written_where_all_are_bad(client):
    store = OSSVectorStore(Counting(), client=client, on_bad_record="report")
    assert store.add_texts(["t"], [{"x": object()}]) == []
    assert store.bad_records.total == 1


@pytest.mark.parametrize("native", ["sync", "async"])
def test_llama_index_names_all_of_them_or_writes_the_others(client, given, native, caplog):
    def add(store, nodes, **options):
        if native == "sync":
            return store.add(nodes, **options)
        return asyncio.run(store.async_add(nodes, **options))

    nodes = [*nodes_of(given), TextNode(id_="bare", text="t")]
    store = OSSNodeStore(client)
    with pytest.raises(BadRecordsError, match="5 of 7 records cannot be written") as caught:
        add(store, nodes)
    assert caught.value.report.keys == (*BAD, "bare")
    assert store.get_nodes(list(given)) == []
    spoilt = TextNode(id_="nan", text="t", embedding=[float("nan")] * 4)
    for policy in ("skip", "report"):
        caplog.clear()
        for chosen, options in (
            (OSSNodeStore(client, on_bad_record=policy), {}),
            (store, {"on_bad_record": policy}),
        ):
            ids = add(chosen, [*nodes, spoilt, nodes[0]], **options)
            assert ids == [*given, "bare", "nan", "good"]  # as core pairs them with the nodes
            assert ids.report.keys == (*BAD, "bare", "nan")
            assert chosen.bad_records is ids.report
            assert [one.field for one in ids.report.records][-2] == "embedding"
        warned = [one for one in caplog.records if "cannot be written" in one.getMessage()]
        assert len(warned) == (2 if policy == "skip" else 0)
    assert [node.node_id for node in store.get_nodes([*given, "bare", "nan"])] == ["good", "fine"]


def test_an_index_over_a_store_that_skips_goes_on(client):
    store = OSSNodeStore(client, on_bad_record="report")
    index = VectorStoreIndex.from_documents(
        [
            LlamaDocument(text="good", id_="g"),
            LlamaDocument(text="bad", id_="b", metadata={"_record": 1}),
        ],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=MockEmbedding(embed_dim=4),
    )
    assert len(store.bad_records.records) == 1
    assert [hit.node.ref_doc_id for hit in index.as_retriever().retrieve("x")] == ["g"]


def test_image_nodes_beside_a_bad_one_are_found(client):
    """Core pairs the nodes with the ids that `add` returns, and asks for those of images."""
    store = OSSNodeStore(client, on_bad_record="report")
    index = VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(embed_dim=4))
    bad = ImageNode(id_="bad", text="t", metadata={"_record": 1})
    index.insert_nodes([bad, ImageNode(id_="one", text="t"), TextNode(id_="two", text="t")])
    found = index.as_retriever(similarity_top_k=5).retrieve("x")
    assert {hit.node.node_id for hit in found} == {"one", "two"}


def test_reports_and_ids_can_be_pickled(client, given):
    store = OSSVectorStore(Counting(), client=client, on_bad_record="report")
    ids = add_texts(store, {k: v for k, v in given.items() if k != "object"})
    again = pickle.loads(pickle.dumps(ids))
    assert again == ids
    assert again.report.keys == ids.report.keys
    with pytest.raises(BadRecordsError) as caught:
        add_texts(store, given, on_bad_record="raise")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (str(error), error.report.keys) == (str(caught.value), tuple(BAD))


def test_a_report_of_many_words_the_first_ten(client):
    store = OSSVectorStore(Counting(), client=client)
    with pytest.raises(BadRecordsError) as caught:
        store.add_texts(["t"] * 500, [{"{x}": object()}] * 500)
    assert len(str(caught.value).splitlines()) == 13
    assert "and 490 more (report.records)" in str(caught.value)
    assert len(caught.value.report.records) == 500


def test_another_policy_is_refused(client):
    with pytest.raises(InvalidRequestError, match="on_bad_record"):
        OSSVectorStore(client=client, on_bad_record="ignore")
    with pytest.raises(InvalidRequestError, match="on_bad_record"):
        OSSVectorStore(Counting(), client=client).add_texts(["t"], on_bad_record="ignore")
    with pytest.raises(InvalidRequestError, match="on_bad_record"):
        OSSNodeStore(client).add([], on_bad_record="ignore")
