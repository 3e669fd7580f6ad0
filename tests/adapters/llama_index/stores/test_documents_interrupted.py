"""Documents whose writing or deletion is interrupted, or done by several at once; bad input."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from llama_index.core.schema import Document, TextNode
from support.embedded import embedded
from support.llama_nodes import text_node

from oss_vector_retriever import InvalidRequestError, OSSVectorError, emulator
from oss_vector_retriever.emulator import faults
from oss_vector_retriever.llama_index import (
    OSSVectorDocumentStore,
    OSSVectorKVStore,
    OSSVectorStore,
)


@pytest.fixture
def behaviour():
    # where filters are ignored what no row names would take a listing of everything
    return emulator.Behaviour(list_filter="ignored")


@pytest.fixture
def client(service):
    with embedded(service, retry=1) as client:
        yield client


@pytest.fixture
def another_process(another_process):
    return lambda: another_process(retry=1)


@pytest.fixture
def ingest():
    """Give a function that ingests a document as core does."""

    def write(client, key, nodes):
        OSSVectorDocumentStore(client).set_document_hash(key, "h")
        OSSVectorStore(client).add([text_node(f"{key}-{n}", of=key) for n in nodes])

    return write


def nodes_in(client):
    return sorted(node.node_id for node in OSSVectorStore(client).get_nodes())


def rows(client):
    return sorted(vector.key for vector in client.iter_vectors(index="vectorsside"))


@pytest.mark.parametrize("at", range(1, 9))
def test_a_deletion_that_breaks_anywhere_is_done_by_doing_it_again(
    client, service, another_process, ingest, at
):
    for key in ("one", "two"):
        ingest(client, key, range(3))
    broken = another_process()
    handle, calls = service.handle, []

    def break_at(request):
        calls.append(request)
        if len(calls) >= at:
            raise_in = faults.ServerError(times=1)
            service.faults.add(raise_in)
        return handle(request)

    service.handle = break_at
    try:
        OSSVectorStore(broken).delete("one")
    except OSSVectorError:
        pass
    else:
        assert at > 4  # it takes no more calls
    service.handle = handle
    service.faults.clear()
    OSSVectorStore(another_process()).delete("one")
    assert nodes_in(client) == ["two-0", "two-1", "two-2"]
    assert rows(client) == ["document//two"]


@pytest.mark.parametrize("at", range(1, 9))
def test_of_a_write_that_breaks_anywhere_a_row_names_at_least_what_is_there(
    client, service, another_process, ingest, at
):
    ingest(client, "one", range(3))
    broken = another_process()
    handle, calls = service.handle, []

    def break_at(request):
        calls.append(request)
        if len(calls) >= at:
            service.faults.add(faults.ServerError(times=1))
        return handle(request)

    service.handle = break_at
    with suppress(OSSVectorError):
        OSSVectorStore(broken).add([text_node(f"one-{n}", of="one") for n in range(2, 6)])
    service.handle = handle
    service.faults.clear()
    named = OSSVectorDocumentStore(another_process()).get_ref_doc_info("one").node_ids
    assert set(nodes_in(client)) <= set(named)
    OSSVectorStore(another_process()).delete("one")
    assert (nodes_in(client), rows(client)) == ([], [])


@pytest.mark.parametrize(
    "deletion", [(OSSVectorStore, "delete"), (OSSVectorDocumentStore, "delete_ref_doc")]
)
def test_a_document_whose_deletion_was_killed_can_be_ingested_again(
    client, service, another_process, ingest, deletion
):
    ingest(client, "one", range(3))
    killed, handle, is_dead = another_process(), service.handle, []

    def die_after_the_nodes(request):
        if is_dead:
            raise KeyboardInterrupt
        reply = handle(request)
        if request.query == "deleteVectors" and b'"vectors"' in request.body:
            is_dead.append(True)
        return reply

    service.handle = die_after_the_nodes
    store_class, name = deletion
    store = store_class(killed)
    with pytest.raises(KeyboardInterrupt):
        getattr(store, name)("one")
    service.handle = handle
    assert nodes_in(client) == []
    # by the old hash a pipeline would take the same text for ingested, and leave it out for ever
    assert OSSVectorDocumentStore(another_process()).get_document_hash("one") is None
    assert OSSVectorDocumentStore(another_process()).get_all_document_hashes() == {}


@pytest.mark.parametrize("is_hash_first", [True, False])
@pytest.mark.parametrize("is_made_again", [False, True])
def test_of_an_index_that_was_deleted_no_document_counts_as_ingested(
    client, another_process, is_hash_first, is_made_again
):
    def ingest_in(client):
        docstore = OSSVectorDocumentStore(client)
        if is_hash_first:  # as `from_documents` does; `insert` sets it last
            docstore.set_document_hash("one", "h")
        docstore.add_documents([Document(id_="one", text="x")])
        OSSVectorStore(client).add([text_node("one-0", of="one")])
        docstore.set_document_hash("one", "h")

    ingest_in(client)
    assert OSSVectorDocumentStore(another_process()).get_document_hash("one") == "h"
    assert OSSVectorDocumentStore(another_process()).get_all_document_hashes() == {"h": "one"}
    other = another_process()
    other.delete_vector_index(index="vectors")
    if is_made_again:
        other.put_vector_index(dimension=4, wait=True)
    docstore = OSSVectorDocumentStore(another_process())
    assert docstore.get_document_hash("one") is None
    assert OSSVectorDocumentStore(another_process()).get_all_document_hashes() == {}
    ingest_in(another_process())
    docstore = OSSVectorDocumentStore(another_process())
    assert docstore.get_document_hash("one") == "h"
    assert sorted(docstore.get_ref_doc_info("one").node_ids) == ["one-0"]
    docstore.delete_ref_doc("one")
    assert (nodes_in(client), rows(client)) == ([], [])


def test_without_leave_to_make_a_side_index_the_error_names_it(client):
    client.put_vector_index(dimension=4, wait=True)
    docstore = OSSVectorDocumentStore(client, create_index=False)
    with pytest.raises(InvalidRequestError, match="side index 'vectorsside' is not there"):
        docstore.set_document_hash("d", "h")
    # a vector store needs none, whatever was tried before it
    OSSVectorStore(client, create_index=False).add([text_node("a", of="d")])
    assert nodes_in(client) == ["a"]


def test_nodes_of_one_document_that_threads_add_are_all_named(client, another_process):
    docstore, store = OSSVectorDocumentStore(client), OSSVectorStore(client)
    docstore.set_document_hash("d", "h")

    def work(n):
        if n % 4 == 0:
            docstore.set_document_hash("d", f"h{n}")
        elif n % 4 == 1:
            source = text_node("x", of="d").relationships
            docstore.add_documents([TextNode(id_=f"k{n}", text="x", relationships=source)])
        else:
            store.add([text_node(f"n{n}", of="d")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(48)))
    other = OSSVectorDocumentStore(another_process())
    expected = {f"k{n}" if n % 4 == 1 else f"n{n}" for n in range(48) if n % 4}
    assert set(other.get_ref_doc_info("d").node_ids) == expected
    assert other.get_document_hash("d").startswith("h")
    other.delete_ref_doc("d")
    assert (nodes_in(client), rows(client)) == ([], [])


def test_values_of_any_size_are_kept(client, another_process):
    text = "\u4e2d" * 50_000
    OSSVectorKVStore(client).put("a", {"text": text})
    docstore = OSSVectorDocumentStore(client)
    source = text_node("x", of="d").relationships
    docstore.add_documents(
        [Document(id_="d", text=text), TextNode(id_="n", text=text, relationships=source)]
    )
    other = another_process()
    assert OSSVectorKVStore(other).get("a") == {"text": text}
    assert [n.get_content() for n in OSSVectorDocumentStore(other).get_nodes(["d", "n"])] == [
        text,
        text,
    ]
    OSSVectorStore(other).add([text_node("n", of="d").model_copy(update={"text": text})])
    OSSVectorDocumentStore(another_process()).delete_ref_doc("d")
    OSSVectorKVStore(other).delete("a")
    assert (nodes_in(client), rows(client)) == ([], [])


def test_a_side_index_of_another_dimension_is_refused_by_name(client):
    client.put_vector_index(dimension=3, index="vectorsside")
    docstore = OSSVectorDocumentStore(client)
    with pytest.raises(InvalidRequestError, match="index 'vectorsside' has dimension 3"):
        docstore.set_document_hash("d", "h")


def test_a_side_index_that_is_gone_leaves_a_store_that_works(client, another_process, ingest):
    ingest(client, "one", range(3))
    client.delete_vector_index(index="vectorsside")
    docstore = OSSVectorDocumentStore(another_process())
    assert docstore.get_document_hash("one") is None
    assert sorted(docstore.get_ref_doc_info("one").node_ids) == ["one-0", "one-1", "one-2"]
    OSSVectorStore(another_process()).delete("one")
    assert nodes_in(client) == []


def test_without_a_side_index_what_needs_one_is_refused_before_any_call(client, operations):
    docstore = OSSVectorDocumentStore(client, side_index=False)
    with pytest.raises(InvalidRequestError, match="side_index is False"):
        docstore.set_document_hash("d", "h")
    assert operations == []
    docstore.add_documents([text_node("a", of="d")])
    assert docstore.get_nodes(["a", "gone"], raise_error=False)[0].node_id == "a"
    assert docstore.get_ref_doc_info("d").node_ids == ["a"]
    docstore.delete_ref_doc("d")
    assert nodes_in(client) == []


@pytest.mark.parametrize("key", ["", None, 7])
def test_what_is_no_id_of_a_document_is_refused(client, key):
    docstore = OSSVectorDocumentStore(client)
    for call in (docstore.get_document_hash, docstore.get_ref_doc_info, docstore.delete_ref_doc):
        with pytest.raises(InvalidRequestError, match="ref_doc_id is the id of a document"):
            call(key)
