"""`index()` and the document index: what was lost is put again, and counts are honest."""

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from oss_vector_retriever import InvalidRequestError, emulator
from oss_vector_retriever.langchain import (
    OSSVectorDocumentIndex,
    OSSVectorStore,
    VerifyingRecordManager,
)

DOCUMENTS = [Document(page_content=f"{n} a", metadata={"source": str(n)}) for n in range(250)]


@pytest.fixture
def manager(store):
    inner = InMemoryRecordManager(namespace="documents")
    inner.create_schema()
    return VerifyingRecordManager(inner, store)


@pytest.fixture(params=["sync", "async"])
def reindex(request, manager, store):
    def run(**options):
        options = {"key_encoder": "sha256", **options}
        if request.param == "sync":
            return index(DOCUMENTS, manager, store, **options)
        return asyncio.run(aindex(DOCUMENTS, manager, store, **options))

    return run


def test_of_250_known_documents_exactly_the_40_lost_are_put_again(store, service, client, reindex):
    assert reindex()["num_added"] == 250
    held = sorted(vector.key for vector in client.iter_vectors())
    lost = held[::7][:36] + held[1:5]
    client.delete(lost)
    service.seen.clear()
    store.embeddings.calls.clear()
    result = reindex()
    assert (result["num_added"], result["num_skipped"]) == (40, 210)
    assert service.names().count("getVectors") == 3
    put = [v["key"] for body in service.bodies("putVectors") for v in body["vectors"]]
    assert sorted(put) == sorted(lost)
    assert sum(len(texts) for texts in store.embeddings.calls) == 40
    assert sorted(vector.key for vector in client.iter_vectors()) == held


def test_full_clean_up_deletes_what_is_no_longer_there(store, client, manager, reindex):
    reindex()
    result = index(
        DOCUMENTS[:5], manager, store, cleanup="full", source_id_key="source", key_encoder="sha256"
    )
    assert (result["num_deleted"], result["num_skipped"]) == (245, 5)
    assert len(list(client.iter_vectors())) == 5


def test_what_the_inner_manager_does_not_know_is_not_asked_for(manager, service, call):
    assert call(manager, "exists", ["x", "y"]) == [False, False]
    assert service.seen == []
    call(manager, "update", ["x"], group_ids=["g"])
    assert call(manager, "exists", ["x", "y"]) == [False, False]
    assert call(manager, "list_keys", group_ids=["g"]) == ["x"]
    call(manager, "delete_keys", ["x", "y"])
    assert call(manager, "list_keys") == []


def test_the_document_index_counts_only_what_was_there(store, service, call):
    documents = OSSVectorDocumentIndex(store=store, k=1)
    call(documents, "upsert", [Document(id=key, page_content="a") for key in "xy"])
    service.seen.clear()
    result = call(documents, "delete", ["x", "gone", "x"])
    assert (result["num_deleted"], list(result["succeeded"]), result["failed"]) == (1, ["x"], [])
    assert [body["keys"] for body in service.bodies("deleteVectors")] == [["x"]]
    assert [d.id for d in call(documents, "invoke", "a")] == ["y"]
    with pytest.raises(InvalidRequestError, match="delete needs ids"):
        call(documents, "delete")


def test_traces_name_the_provider_and_the_model(store):
    assert OSSVectorDocumentIndex(store=store)._get_ls_params() == {
        "ls_retriever_name": "ossvectordocumentindex",
        "ls_vector_store_provider": "alibabacloud_oss_vectors",
        "ls_embedding_provider": "Letters",
    }


def test_the_document_index_says_which_failed(client, service, model, call):
    store = OSSVectorStore(model, client=client.with_options(retry=1))
    documents = OSSVectorDocumentIndex(store=store)
    call(documents, "upsert", [Document(page_content="a")])
    service.faults.add(emulator.faults.ServerError(operation="PutVectors"))
    result = call(documents, "upsert", [Document(id="x", page_content="a")])
    assert result == {"succeeded": [], "failed": ["x"]}
