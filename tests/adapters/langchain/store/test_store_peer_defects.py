"""Defects met in other integrations (reference langchain.md, 1 and 2), each kept out by name.

Those with more to say have their own tests in this folder.
"""

import inspect
import pickle
from dataclasses import replace

import pytest
from langchain_core.documents import Document

from oss_vector_retriever import (
    ConfigurationError,
    InvalidRequestError,
    PartialWriteError,
    ServiceError,
    emulator,
)
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.langchain import OSSVectorDocStore, OSSVectorDocumentIndex, OSSVectorStore


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


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_s3_relevance_of_what_is_far_stays_from_0_to_1(client, model, call, metric):
    store = OSSVectorStore(model, client=client, distance_metric=metric)
    far = [[-1000.0, 0, 0, 0, -250.0], [900.0, 0, 0, 0, 1.0], [1.0, 0, 0, 0, 0.25]]
    call(store, "add_texts", ["far", "long", "near"], embeddings=far)
    scored = call(store, "similarity_search_with_relevance_scores", "a", k=3)
    assert all(0.0 <= score <= 1.0 for _, score in scored)
    assert max(score for _, score in scored) == pytest.approx(1.0)
    assert min(score for _, score in scored) < 0.01


def test_s3_delete_without_ids_drops_nothing(filled, client, call):
    with pytest.raises(InvalidRequestError, match="delete takes ids, or delete_all=True"):
        call(filled, "delete", None)
    assert client.get_vector_index().dimension == 5
    assert len(call(filled, "get_by_ids", [f"k{n}" for n in range(150)])) == 150


def test_s3_tags_given_to_a_retriever_stay_as_they_are(filled):
    tags = ["mine"]
    filled.as_retriever(tags=tags)
    assert tags == ["mine"]


def test_cos_deletes_of_any_number_are_split(filled, service, call):
    service.seen.clear()
    assert call(filled, "delete", [f"k{n}" for n in range(1200)])
    assert sorted(len(b["keys"]) for b in service.bodies("deleteVectors")) == [200, 500, 500]


def test_cos_an_index_that_cannot_be_made_is_an_error(client, service, model, call):
    service.faults.add(emulator.faults.ServerError(operation="PutVectorIndex"))
    store = OSSVectorStore(model, client=client.with_options(retry=1))
    with pytest.raises(ServiceError, match="PutVectorIndex"):
        call(store, "add_texts", ["a"])
    assert "putVectors" not in service.names()


def test_redis_and_postgres_ids_are_positional_as_in_the_contract():
    for name in ("get_by_ids", "aget_by_ids"):
        ours = inspect.signature(getattr(OSSVectorStore, name)).parameters["ids"]
        assert ours.kind is inspect.Parameter.POSITIONAL_ONLY


def test_llama_index_21279_sizes_are_counted_in_bytes_of_what_is_stored(one_index, service, call):
    text = "\N{PILE OF POO}" * 9_000
    call(one_index, "add_texts", [text], ids=["fits"])
    assert call(one_index, "get_by_ids", ["fits"])[0].page_content == text
    service.seen.clear()
    with pytest.raises(InvalidRequestError, match=r"the largest is text with 4\d,\d{3} bytes"):
        call(one_index, "add_texts", ["\N{PILE OF POO}" * 12_000])
    assert service.seen == []


def test_spiceai_8352_limits_are_those_of_the_account(service, client, model, call):
    larger = replace(DEFAULT_LIMITS, metadata_bytes=100_000, filterable_bytes=4_000)
    store = OSSVectorStore(model, client=client.with_options(limits=larger), filterable=["tag"])
    smaller = replace(DEFAULT_LIMITS, metadata_bytes=1_000)
    small = OSSVectorStore(model, client=client.with_options(limits=smaller), side_index=False)
    with pytest.raises(InvalidRequestError, match="over the limit of 1,000"):
        call(small, "add_texts", ["a" * 2_000])
    assert service.seen == []
    with pytest.raises(PartialWriteError, match="metadata"):  # the service here has the usual ones
        call(store, "add_texts", ["a" * 60_000])
    assert "putVectors" in service.names()


def test_mem0_3887_a_filter_that_cannot_work_is_never_ignored(filled, service, call):
    service.seen.clear()
    for wanted in ({"color": {"$regex": "x"}}, {"$not": {"color": "x"}}):
        with pytest.raises(InvalidRequestError, match="filter"):
            call(filled, "similarity_search", "a", filter=wanted)
    assert service.seen == []
    assert call(filled, "similarity_search", "a", filter={"user": "x"}) == []


def test_mem0_4554_a_flat_filter_reaches_the_service_in_its_grammar(store, service, call):
    call(store, "add_texts", ["a", "a"], [{"color": "red"}, {"color": "blue"}], ids=["r", "b"])
    found = call(store, "similarity_search", "a", filter={"color": "red"})
    assert [document.id for document in found] == ["r"]
    either = service.bodies("queryVectors")[0]["filter"]["$or"]
    assert either[0] == {"color": {"$eq": "red"}}
    assert {"_unsure": {"$eq": "color"}} in either


def test_langchain_40334_new_metadata_are_no_new_embeddings(filled, model, call):
    model.calls.clear()
    assert call(filled, "update_metadata", ["k1", "k2"], {"seen": True}) == ["k1", "k2"]
    assert call(filled, "get_by_ids", ["k2"])[0].metadata == {"seen": True}
    assert model.calls == []


def test_langchain_8905_embeddings_that_are_there_are_taken(store, model, call):
    call(store, "add_texts", ["a"], ids=["x"], embeddings=[[1, 2, 3, 4, 5]])
    [(_, embedding)] = call(store, "get_by_ids_with_embeddings", ["x"])
    assert (embedding, model.calls) == ([1.0, 2.0, 3.0, 4.0, 5.0], [])


def test_langchain_4249_and_8897_embeddings_come_back_by_id_and_by_search(filled, model, call):
    for found in (
        call(filled, "get_by_ids_with_embeddings", ["k3"]),
        call(filled, "similarity_search_with_embeddings", "abbb", 1),
    ):
        [(document, embedding)] = found
        assert (document.id, embedding) == ("k3", model.of("abbb"))


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
    store = OSSVectorDocStore(client=client)
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
    with pytest.raises(ConfigurationError, match="not pickled"):
        pickle.dumps(filled)
