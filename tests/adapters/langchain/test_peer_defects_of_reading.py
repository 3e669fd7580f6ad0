"""Defects of other integrations that could befall what reads by key, each with a test of its own.

The threads: reference pages of LangChain integrations and their issue trackers, named in the tests.
"""

import copy

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.load import dumps
from langchain_core.runnables import RunnableLambda

from oss_vector_retriever.langchain import (
    OSSVectorFetcher,
    OSSVectorFetchTool,
    OSSVectorRehydrator,
    OSSVectorRetriever,
    ParentHydratingRetriever,
    StoredEmbeddingsFilter,
    StoredEmbeddingsMMR,
    StoredEmbeddingsRedundantFilter,
)

KEYS = [f"k{number}" for number in range(250)]


class NoDocuments(Embeddings):
    def embed_documents(self, _):
        raise AssertionError("a document was embedded")

    def embed_query(self, _):
        return [1.0, 2.0, 3.0, 4.0]


@pytest.fixture
def stocked(client):
    client.upsert(
        {"key": key, "data": [1.0, n, n % 7, 1.0], "metadata": {"text": f"text of {key}"}}
        for n, key in enumerate(KEYS)
    )
    return client


def stubs(keys):
    return [Document(id=key, page_content=f"text of {key}") for key in keys]


def ids(documents):
    return [document.id for document in documents]


def test_s3_vectors_a_missing_id_does_not_sink_the_others(stocked):
    assert ids(OSSVectorFetcher(client=stocked).invoke(["k3", "gone", "k1"])) == ["k3", "k1"]


def test_astradb_and_langchain_32820_the_order_asked_is_the_order_answered(stocked):
    backwards = KEYS[::-1]
    assert ids(OSSVectorFetcher(client=stocked).invoke(backwards)) == backwards


def test_chroma_an_id_asked_for_twice_is_answered_twice(stocked):
    assert ids(OSSVectorFetcher(client=stocked).invoke(["k1", "k1"])) == ["k1", "k1"]


def test_bigquery_an_empty_list_is_nothing_and_not_the_whole_table(stocked, service):
    assert OSSVectorFetcher(client=stocked).invoke([]) == []
    assert OSSVectorRehydrator(client=stocked).invoke([]) == []
    assert OSSVectorRetriever(client=stocked).invoke("") == []
    assert service.gets == []


def test_kotaemon_745_each_score_stays_with_its_own_text(stocked):
    hits = [(key, float(n)) for n, key in enumerate(KEYS)]
    for n, document in enumerate(OSSVectorRehydrator(client=stocked).invoke(hits)):
        assert (document.page_content, document.metadata["score"]) == (f"text of k{n}", float(n))


def test_cos_vectors_diversity_among_more_than_100_works(stocked, service):
    picker = StoredEmbeddingsMMR(client=stocked, embedding=NoDocuments(), k=20)
    assert len(picker.compress_documents(stubs(KEYS), "q")) == 20
    assert len(service.gets) == 3


@pytest.mark.parametrize("kind", [StoredEmbeddingsFilter, StoredEmbeddingsMMR])
def test_embeddings_filter_documents_are_not_embedded_again_and_keep_their_ids(stocked, kind):
    found = kind(client=stocked, embedding=NoDocuments(), k=4).compress_documents(stubs(KEYS), "q")
    assert len(found) == 4
    assert all(document.id in KEYS for document in found)


def test_langchain_28511_what_comes_out_is_a_plain_document_that_can_be_serialised(stocked):
    compressor = StoredEmbeddingsRedundantFilter(client=stocked)
    for document in compressor.compress_documents(stubs(KEYS[:5]), "q"):
        assert type(document) is Document
        assert "not_implemented" not in dumps(document)


def test_haystack_9577_no_embedding_rides_along_in_metadata(stocked):
    compressor = StoredEmbeddingsFilter(client=stocked, embedding=NoDocuments(), score_key="score")
    for document in compressor.compress_documents(stubs(KEYS[:5]), "q"):
        assert document.metadata.keys() == {"score"}
    [(document, _)] = OSSVectorFetcher(client=stocked, return_data=True).invoke(["k1"])
    assert document.metadata == {}


def test_langchain_26860_every_document_has_its_id_and_metadata_has_none(stocked):
    documents = [
        *OSSVectorFetcher(client=stocked).invoke(["k1"]),
        *OSSVectorRehydrator(client=stocked).invoke(["k1"]),
        *OSSVectorRetriever(client=stocked).invoke("k1"),
    ]
    assert documents == [Document(id="k1", page_content="text of k1", metadata={})] * 3


def parents_of(client, children, **options):
    found = RunnableLambda(lambda _: children)
    return ParentHydratingRetriever(retriever=found, client=client, **options).invoke("q")


def test_langchain_11099_a_child_without_its_parents_id_does_not_crash(stocked):
    children = [Document(page_content="lost"), Document(page_content="", metadata={"parent_id": 3})]
    assert parents_of(stocked, children) == []


def test_langchainjs_3006_childrens_scores_are_not_lost(stocked):
    children = [Document(page_content="", metadata={"parent_id": "k1", "score": 0.5})]
    [parent] = parents_of(stocked, children)
    assert parent.metadata["matches"]["best_score"] == 0.5


def test_retriever_tool_the_model_sees_the_ids(stocked):
    assert '[id: "k1"]' in OSSVectorFetchTool(client=stocked).invoke({"ids": ["k1"]})


def test_s3_vectors_what_the_caller_gave_is_not_changed(stocked):
    class Silent(BaseCallbackHandler):
        pass

    config = {"tags": ["mine"], "metadata": {"a": 1}, "callbacks": [Silent()]}
    before = {name: copy.copy(value) for name, value in config.items()}
    queries, keys = ["k1", "k2"], ["k1"]
    OSSVectorRetriever(client=stocked, tags=["own"]).batch(queries, config)
    OSSVectorFetcher(client=stocked).invoke(keys, config)
    assert config == before
    assert (queries, keys) == (["k1", "k2"], ["k1"])


def test_core_batch_of_single_keys_is_not_a_call_for_each(stocked, service):
    OSSVectorRetriever(client=stocked).batch(KEYS)
    assert len(service.gets) == 3
