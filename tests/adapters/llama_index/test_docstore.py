"""The document store: one batched fetch, in the order asked, missing as core's contract says."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.schema import Document, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore.types import BaseDocumentStore
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from oss_vector_retriever import NoSuchVectorIndexError, OSSVectorClient
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, OSSVectorStore


@pytest.fixture
def docstore(client, put):
    put(["a", "b", "c"])
    return OSSVectorDocumentStore(client)


def ids(nodes):
    return [node.node_id for node in nodes]


def node(key, **fields):
    return TextNode(id_=key, text=f"text of {key}", embedding=[1.0, 2.0, 3.0, 4.0], **fields)


def test_get_nodes_keeps_order_and_duplicates(call, docstore, service):
    assert ids(call(docstore, "get_nodes", ["c", "a", "c"])) == ["c", "a", "c"]
    assert service.gets == [["c", "a"]]


def test_core_passes_its_arguments_by_name(call, docstore):
    assert ids(call(docstore, "get_nodes", node_ids=["a"], raise_error=False)) == ["a"]


def test_a_missing_node_raises_as_core_does(call, docstore):
    with pytest.raises(ValueError, match=r"doc_id 'gone' not found\."):
        call(docstore, "get_nodes", ["a", "gone"])


def test_a_missing_node_is_left_out_where_that_is_wanted(call, docstore):
    assert ids(call(docstore, "get_nodes", ["gone", "b"], raise_error=False)) == ["b"]


def test_no_ids_mean_no_nodes_and_no_call(call, docstore, service):
    assert call(docstore, "get_nodes", []) == []
    assert service.gets == []


def test_250_nodes_take_three_calls(call, client, put, service):
    keys = [f"k{number}" for number in range(250)]
    put(keys)
    assert ids(call(OSSVectorDocumentStore(client), "get_nodes", keys)) == keys
    assert len(service.gets) == 3


def test_duplicates_share_no_state(docstore):
    first, second = docstore.get_nodes(["a", "a"])
    first.metadata["of"] = "changed"
    assert second.metadata == {"of": "a"}


def test_a_node_dict_is_one_fetch(call, docstore, service):
    found = call(docstore, "get_node_dict", {7: "b", 3: "a", 5: "b"})
    assert {number: one.node_id for number, one in found.items()} == {7: "b", 3: "a", 5: "b"}
    assert len(service.gets) == 1


def test_one_document_comes_or_raises_or_is_none(call, docstore):
    assert call(docstore, "get_document", "a").node_id == "a"
    assert call(docstore, "get_node", "a").node_id == "a"
    assert call(docstore, "get_document", "gone", raise_error=False) is None
    with pytest.raises(ValueError, match="gone"):
        call(docstore, "get_document", "gone")


def test_existence_and_hashes_are_known_of_what_is_stored(call, docstore):
    assert call(docstore, "document_exists", "a") is True
    assert call(docstore, "document_exists", "gone") is False
    assert call(docstore, "get_document_hash", "a") == docstore.get_document("a").hash
    assert call(docstore, "get_document_hash", "gone") is None


def test_hashes_are_kept(call, docstore):
    call(docstore, "set_document_hash", "a", "h")
    call(docstore, "set_document_hashes", {"d": "h2", "e": "h3"})
    found = [call(docstore, "get_document_hash", key) for key in ("a", "d", "e", "gone")]
    assert found == ["h", "h2", "h3", None]


def test_what_is_known_of_documents_takes_no_listing_of_the_index(call, docstore, operations):
    call(docstore, "set_document_hashes", {"d": "h2", "e": "h3"})
    operations.clear()
    assert call(docstore, "get_all_document_hashes") == {"h2": "d", "h3": "e"}
    assert call(docstore, "get_all_ref_doc_info") == {}
    assert operations == ["listVectors"]  # of the side index, once


def test_docs_are_refused_or_listed_by_opt_in(client, docstore):
    with pytest.raises(NotImplementedError, match="scan=True"):
        _ = docstore.docs
    assert sorted(OSSVectorDocumentStore(client, scan=True).docs) == ["a", "b", "c"]


def test_a_scan_groups_nodes_by_their_source(call, client, put_records):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc")}
    put_records(node("x", relationships=source), node("y", relationships=source), node("z"))
    store = OSSVectorDocumentStore(client, scan=True)
    grouped = call(store, "get_all_ref_doc_info")
    assert {key: sorted(info.node_ids) for key, info in grouped.items()} == {"doc": ["x", "y"]}
    assert sorted(call(store, "get_ref_doc_info", "doc").node_ids) == ["x", "y"]
    assert sorted(call(store, "get_all_document_hashes").values()) == ["x", "y", "z"]
    call(store, "delete_ref_doc", "doc")
    assert sorted(store.docs) == ["z"]


def test_a_manifest_names_its_children_without_a_scan(call, client, put_records):
    children = [RelatedNodeInfo(node_id="x"), RelatedNodeInfo(node_id="y")]
    manifest = node("doc", metadata={"t": 1}, relationships={NodeRelationship.CHILD: children})
    put_records(manifest, node("x"), node("y"), node("z"))
    store = OSSVectorDocumentStore(client)
    info = call(store, "get_ref_doc_info", "doc")
    assert (info.node_ids, info.metadata) == (["x", "y"], {"t": 1})
    assert call(store, "get_ref_doc_info", "gone") is None
    call(store, "delete_ref_doc", "doc")
    assert ids(store.get_nodes(["doc", "x", "y", "z"], raise_error=False)) == ["z"]
    with pytest.raises(ValueError, match="doc"):
        call(store, "delete_ref_doc", "doc")
    call(store, "delete_ref_doc", "doc", raise_error=False)


def test_nodes_with_vectors_are_written_and_come_back(call, client):
    store = OSSVectorDocumentStore(client, return_data=True)
    written = [node("n", metadata={"page": 1}), Document(id_="d", text="x", embedding=[1, 0, 0, 0])]
    call(store, "add_documents", written)
    assert store.get_nodes(["n", "d"]) == written


def test_the_index_is_made_by_the_first_write(call):
    with OSSVectorClient.local() as client:
        store = OSSVectorDocumentStore(client)
        assert store.get_nodes(["n"], raise_error=False) == []
        assert store.document_exists("n") is False
        call(store, "add_documents", [node("n")])
        assert client.get_vector_index().dimension == 4
        assert ids(store.get_nodes(["n"])) == ["n"]


def test_a_node_without_a_vector_is_kept_in_the_side_index(call, docstore, client):
    bare = TextNode(id_="bare", text="x", metadata={"page": 1})
    call(docstore, "add_documents", [node("new"), bare])
    assert call(docstore, "get_nodes", ["bare", "a", "new", "bare"])[::3] == [bare, bare]
    assert call(docstore, "document_exists", "bare")
    assert client.fetch(["bare"]).missing == ("bare",)
    call(docstore, "delete_document", "bare")
    assert call(docstore, "get_document", "bare", raise_error=False) is None


def test_a_node_without_a_vector_keeps_the_one_that_is_stored(call, client, docstore):
    before = client.fetch(["a"])[0].data
    call(docstore, "add_documents", [TextNode(id_="a", text="new text")])
    assert docstore.get_document("a").text == "new text"
    assert client.fetch(["a"])[0].data == before


def test_an_update_keeps_what_the_store_of_the_index_filters_by(call, client):
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc")}
    written = node("n", metadata={"year": "2024", "x": 1}, relationships=source)
    OSSVectorStore(client=client, filterable=("year",)).add([written])
    before = client.fetch(["n"])[0]
    assert before.metadata["year"] == "2024"
    changed = written.model_copy(update={"text": "new", "embedding": None})
    call(OSSVectorDocumentStore(client, filterable=()), "add_documents", [changed])
    after = client.fetch(["n"])[0]
    assert after.data == before.data
    assert {**after.metadata, "_record_text": ""} == {**before.metadata, "_record_text": ""}
    found = OSSVectorDocumentStore(client).get_document("n")
    assert (found.text, found.metadata, found.ref_doc_id) == (
        "new",
        {"year": "2024", "x": 1},
        "doc",
    )


def test_an_existing_node_is_not_overwritten_where_that_is_not_allowed(call, docstore):
    with pytest.raises(ValueError, match="'a' already exists"):
        call(docstore, "add_documents", [node("a"), node("new")], allow_update=False)
    assert docstore.get_document("a").text == "text of a"
    call(docstore, "add_documents", [node("new")], allow_update=False)
    assert docstore.document_exists("new")


def test_without_text_only_what_is_known_of_documents_is_written(call, docstore):
    bare = Document(id_="d", text="x")
    call(docstore, "add_documents", [bare], store_text=False)
    assert call(docstore, "get_document", "d", raise_error=False) is None
    assert call(docstore, "get_document_hash", "d") == bare.hash


def test_deleting_says_what_was_not_there(call, docstore):
    call(docstore, "delete_document", "a")
    assert docstore.document_exists("a") is False
    with pytest.raises(ValueError, match="'a' not found"):
        call(docstore, "delete_document", "a")
    call(docstore, "delete_document", "a", raise_error=False)


def test_all_of_cores_members_are_ours():
    inherited = {
        name
        for name in dir(BaseDocumentStore)
        if not name.startswith("_")
        and getattr(OSSVectorDocumentStore, name) is getattr(BaseDocumentStore, name)
    }
    # these two rest on get_document, and persist has nothing to do
    assert inherited == {"get_node", "aget_node", "persist"}


def test_a_record_that_cannot_be_read_can_be_skipped(call, client, put):
    put({"a": {"text": "a"}, "bad": {"_node_content": "{"}})
    store = OSSVectorDocumentStore(client, on_decode_error="skip")
    assert ids(call(store, "get_nodes", ["a", "bad"], raise_error=False)) == ["a"]
    assert list(call(store, "get_node_dict", {0: "bad", 1: "a"})) == [1]
    raw = OSSVectorDocumentStore(client, on_decode_error="raw")
    assert call(raw, "get_document", "bad").metadata == {"_node_content": "{"}


def test_without_create_index_an_index_that_is_not_there_is_an_error(call):
    with OSSVectorClient.local() as client:
        store = OSSVectorDocumentStore(client, create_index=False)
        with pytest.raises(NoSuchVectorIndexError):
            call(store, "get_nodes", ["a"], raise_error=False)
        with pytest.raises(NoSuchVectorIndexError):
            call(store, "add_documents", [node("n")])


def test_it_is_true_and_has_no_length(docstore):
    assert docstore
    assert not hasattr(docstore, "__len__")


def test_a_deletion_beside_a_write_that_keeps_the_stored_vector_is_the_last_word(
    docstore, client, service
):
    # the vector is read and written back: what is deleted meanwhile must not come back by that
    handle, begun = service.handle, []

    def delete_after_the_read(request):
        reply = handle(request)
        if request.query == "getVectors" and not begun:
            begun.append(True)
            deletion.start()
            time.sleep(0.05)
        return reply

    deletion = threading.Thread(target=client.delete, args=[["a"]])
    service.handle = delete_after_the_read
    docstore.add_documents([TextNode(id_="a", text="new")])
    deletion.join()
    assert client.fetch(["a"]).missing == ("a",)


def test_of_two_threads_that_add_one_node_a_single_one_succeeds(docstore, service):
    handle = service.handle

    def slow(request):
        time.sleep(0.005)
        return handle(request)

    service.handle = slow

    def add(number):
        try:
            docstore.add_documents([node("new", metadata={"n": number})], allow_update=False)
        except ValueError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(8))) == 1


def test_nodes_that_are_changed_while_they_are_deleted_by_filters_stay(client, service):
    store = OSSVectorStore(client)
    store.add([node("a", metadata={"color": "red"})])
    handle, begun = service.handle, []

    def change_after_the_read(request):
        reply = handle(request)
        if request.query == "getVectors" and not begun:
            begun.append(True)
            change.start()
            time.sleep(0.05)
        return reply

    change = threading.Thread(target=store.add, args=[[node("a", metadata={"color": "blue"})]])
    service.handle = change_after_the_read
    filters = MetadataFilters(filters=[MetadataFilter(key="color", value="red")])
    store.delete_nodes(["a"], filters)
    change.join()
    service.handle = handle
    assert [one.metadata for one in store.get_nodes(["a"])] == [{"color": "blue"}]
