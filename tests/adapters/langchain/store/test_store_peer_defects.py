"""Defects met in other integrations (reference langchain.md, 1 and 2), each kept out by name.

Those with more to say have their own tests in this folder.
"""

import pickle

import pytest
from langchain_core.documents import Document

from oss_vector_retriever.langchain import (
    OSSVectorDocStore,
    OSSVectorDocumentIndex,
    OSSVectorStore,
)


@pytest.fixture
def filled(store):
    store.add_texts([f"a{'b' * n}" for n in range(150)], ids=[f"k{n}" for n in range(150)])
    return store


def test_s3_one_missing_id_does_not_sink_the_others(filled, call):
    found = call(filled, "get_by_ids", ["k1", "gone", "k2"])
    assert [document.id for document in found] == ["k1", "k2"]


def test_s3_more_ids_than_one_call_takes_are_split(filled, service, call):
    service.seen.clear()
    assert len(call(filled, "get_by_ids", [f"k{n}" for n in range(150)])) == 150
    assert sorted(len(body["keys"]) for body in service.bodies("getVectors")) == [50, 100]


def test_s3_long_texts_do_not_meet_the_limit_on_filterable_metadata(store, call):
    [key] = call(store, "add_texts", ["a" * 20_000], [{"source": "s" * 5_000}])
    assert len(call(store, "get_by_ids", [key])[0].page_content) == 20_000


def test_s3_diversity_and_thresholds_are_not_refused(filled, call):
    for kind, more in (("mmr", {}), ("similarity_score_threshold", {"score_threshold": 0.0})):
        retriever = filled.as_retriever(search_type=kind, search_kwargs={"k": 3, **more})
        assert len(call(retriever, "invoke", "a")) == 3


def test_cos_and_qdrant_every_document_has_its_id_and_none_has_it_in_its_metadata(filled, call):
    pairs = call(filled, "similarity_search_with_score", "a", 2)
    documents = [
        *call(filled, "get_by_ids", ["k1"]),
        *call(filled, "similarity_search", "a", 2),
        *call(filled, "max_marginal_relevance_search", "a", 2),
        *(document for document, _ in pairs),
    ]
    for document in documents:
        assert document.id.startswith("k")
        assert document.metadata == {}


def test_kotaemon_scores_stay_with_their_texts_when_the_service_shuffles(filled, client, model):
    hydrated = OSSVectorStore(model, client=client, embedding_key="vector")
    plain = filled.similarity_search_with_score("abb", 120)
    for (one, first), (two, second) in zip(
        plain, hydrated.similarity_search_with_score("abb", 120), strict=True
    ):
        assert (one.page_content, first) == (two.page_content, second)
        assert two.metadata["vector"] == model.of(two.page_content)


def test_bigquery_and_chroma_no_ids_are_neither_the_whole_table_nor_an_error(filled, call):
    assert call(filled, "get_by_ids", []) == []


def test_chroma_documents_without_metadata_come_back(filled, client, call):
    client.put_vectors([{"key": "bare", "data": [1, 1, 1, 1, 1]}])
    assert call(filled, "get_by_ids", ["bare"]) == [Document(id="bare", page_content="")]


def test_mongodb_the_text_field_is_the_one_that_was_named(filled, client, model, call):
    client.put_vectors([{"key": "f", "data": [0, 0, 0, 9, 0], "metadata": {"body": "hers"}}])
    store = OSSVectorStore(model, client=client, text_key="body")
    expected = Document(id="f", page_content="hers")
    assert call(store, "get_by_ids", ["f"]) == [expected]
    assert call(store, "similarity_search", "d", 1) == [expected]
    assert len(call(filled, "get_by_ids", ["f"])) == 1


def test_pinecone_writes_nothing_into_the_documents_given(store, call):
    document = Document(page_content="a", metadata={"n": 1})
    call(store, "add_documents", [document], ids=["x"])
    assert document == Document(page_content="a", metadata={"n": 1})


def test_astradb_many_keys_of_a_key_value_store_are_split(client, service, call):
    store = OSSVectorDocStore(client)
    call(store, "mset", [(f"k{n}", Document(page_content=str(n))) for n in range(250)])
    service.seen.clear()
    found = call(store, "mget", [f"k{n}" for n in range(250)])
    assert [document.page_content for document in found] == [str(n) for n in range(250)]
    assert service.names().count("getVectors") == 3


def test_floci_tenants_do_not_see_each_other(client, model, call):
    store = OSSVectorStore(model, client=client, filterable=["tenant"])
    call(store, "add_texts", ["a", "a"], [{"tenant": "one"}, {"tenant": "two"}], ids=["1", "2"])
    retriever = store.as_retriever(search_kwargs={"filter": {"tenant": "one"}})
    assert [document.id for document in call(retriever, "invoke", "a")] == ["1"]


def test_no_repr_and_no_dump_shows_a_secret(filled, client):
    index = OSSVectorDocumentIndex(store=filled)
    secret = client.config.credentials.resolve().access_key_secret
    for shown in (repr(filled), repr(index), repr(index.model_dump()), repr(filled.as_retriever())):
        assert secret not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(filled)
