"""`index()` and the document index: what was lost is put again, and counts are honest."""

import asyncio

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from oss_vector_retriever import (
    ConflictError,
    InvalidRequestError,
    PartialWriteError,
    TransportError,
    emulator,
)
from oss_vector_retriever.client.flow import call as call_once
from oss_vector_retriever.client.models import Vector
from oss_vector_retriever.client.operations.vectors import put_operation
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


def texts_of(client):
    return sorted(v.metadata["_record_text"] for v in client.iter_vectors(return_metadata=True))


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_put_that_was_done_but_not_heard_of_goes_with_the_next_full_clean_up(
    client, service, model, way
):
    # the reply is lost on each attempt, after the service has written
    store = OSSVectorStore(model, client=client.with_options(retry=1))
    manager = VerifyingRecordManager(InMemoryRecordManager("n"), store)

    def run(*texts):
        documents = [Document(page_content=text, metadata={"source": "s"}) for text in texts]
        options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
        if way == "sync":
            return index(documents, manager, store, **options)
        return asyncio.run(aindex(documents, manager, store, **options))

    run("kept")
    service.faults.add(emulator.faults.Reset(operation="PutVectors", performed=True, times=None))
    with pytest.raises((PartialWriteError, TransportError)):
        run("kept", "first version")
    service.faults.clear()
    assert texts_of(client) == ["first version", "kept"]  # written, and not heard of
    result = run("kept", "second version")
    assert texts_of(client) == ["kept", "second version"]
    assert (result["num_added"], result["num_skipped"], result["num_deleted"]) == (1, 1, 1)
    assert run("kept", "second version")["num_skipped"] == 2
    assert sorted(manager.list_keys()) == sorted(vector.key for vector in client.iter_vectors())


def test_a_put_that_was_done_but_not_heard_of_is_not_repeated(client, service, model):
    store = OSSVectorStore(model, client=client.with_options(retry=1))
    manager = VerifyingRecordManager(InMemoryRecordManager("n"), store)
    documents = [Document(page_content="a", metadata={"source": "s"})]
    options = {"cleanup": "incremental", "source_id_key": "source", "key_encoder": "sha256"}
    service.faults.add(emulator.faults.Reset(operation="PutVectors", performed=True))
    with pytest.raises((PartialWriteError, TransportError)):
        index(documents, manager, store, **options)
    assert index(documents, manager, store, **options)["num_skipped"] == 1
    # and it has its source again, by which "incremental" finds it
    other = [Document(page_content="b", metadata={"source": "s"})]
    assert index(other, manager, store, **options)["num_deleted"] == 1
    assert texts_of(client) == ["b"]


def test_an_update_that_met_another_process_says_so(store, client, service, call):
    call(store, "add_documents", [Document(id=key, page_content="a") for key in "xyz"])
    assert call(store, "update_metadata", ["x", "y"], {"n": 1}, verify=True) == ["x", "y"]
    handle, acted = service.handle, []

    def act(request):
        reply = handle(request)
        if request.query == "putVectors" and not acted:
            acted.append(True)
            # a bare call, which takes no part in what this process keeps apart
            client.run(
                call_once,
                put_operation(
                    "vectors", [Vector("y", [1, 0, 0, 0, 0])], client._context.deadline()
                ),
            )
        return reply

    service.handle = act
    with pytest.raises(ConflictError, match="'y'") as caught:
        call(store, "update_metadata", ["x", "y", "z"], {"n": 2}, verify=True)
    assert caught.value.keys == ("y",)
    assert [d.metadata for d in call(store, "get_by_ids", ["x", "z"])] == [{"n": 2}, {"n": 2}]


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
