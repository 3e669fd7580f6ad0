"""Defects of other vector stores that could befall this one; numbers are those of the list of s3.

Those that other files test where they belong: 4 and 5 (batches), 6 (embeddings), 16 (empty
filters), 17 (ids, documents and fields honoured), 18 (no clamp) and 24 (filters on get) in
`test_store.py` and `test_store_queries.py`; 13 (async) in `test_store_async.py`; 14 (NOT) and 15
(IS_EMPTY) in `test_filters.py`; 19, 20 and secrets in `test_store_serialised.py`; 25 by all of
them, which run without an account, in both manners. 11, 12 and 22 (bucket, connections, pace) are
the client's.
"""

import json
import logging
from dataclasses import replace

import pytest
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from support.llama_nodes import around, filters, ids, query, text_node, where

from oss_vector_retriever.client.errors import (
    InvalidRequestError,
    NoSuchVectorIndexError,
    PartialWriteError,
)
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.llama_index import OSSVectorDocumentStore, OSSVectorStore
from oss_vector_retriever.records import DecodeError

FOREIGN = {
    "langchain": {"_page_content": "by LangChain", "tag": "x"},
    "embed": {"OSSVECTORS-EMBED-SRC-CONTENT": "by the tool"},
    "plain": {"text": "by anyone", "tag": "x"},
    "bare": {},
}


@pytest.fixture
def many(store):
    """Give a store of 1,100 nodes on two pages, of which only the last page has document d."""
    nodes = [text_node(f"n{n:04}", of="d" if n >= 1050 else "other") for n in range(1100)]
    store.add(nodes)
    return store


def test_1_delete_reaches_the_second_page_and_ends(many, calls):
    calls.clear()
    many.delete("d")
    assert calls.taken() == {"listVectors": 1, "deleteVectors": 1}
    assert len(many.get_nodes()) == 1050


def test_2_deleting_a_document_that_is_not_there_deletes_nothing(many, calls):
    calls.clear()
    many.delete("absent")
    assert calls.taken() == {"listVectors": 1}


@pytest.fixture
def mixed(put, make):
    """Give a store on an index with records of others beside its own."""
    store = make(index="vectors")
    put(FOREIGN)
    store.add([text_node("own", of="d")])
    return store


def test_3_records_of_others_are_no_obstacle_to_a_delete(mixed):
    mixed.delete("d")
    assert sorted(ids(mixed.get_nodes())) == sorted(FOREIGN)


def test_7_the_key_is_the_id_of_a_record_that_llama_index_did_not_write(mixed):
    found = mixed.get_nodes([*FOREIGN, "own"])
    assert ids(found) == [*FOREIGN, "own"]
    assert sorted(mixed.query(query()).ids) == sorted([*FOREIGN, "own"])


def test_8_a_second_reading_gives_the_same(mixed):
    first, second = (mixed.get_nodes(list(FOREIGN)) for _ in range(2))
    assert first == second
    assert [node.text for node in first] == ["by LangChain", "by the tool", "by anyone", ""]


@pytest.fixture
def broken(client, mixed, make):  # noqa: ARG001 - beside the good records
    """Give a function that makes a store with a policy, where one record is broken."""
    stored = {"_node_content": json.dumps({"relationships": "none", "text": "saved"}), "tag": "x"}
    client.put_vectors([{"key": "bad", "data": [1.0, 0, 0, 0], "metadata": stored}])
    return lambda policy: make(index="vectors", on_decode_error=policy)


@pytest.mark.parametrize("policy", ["skip", "raw"])
def test_9_one_broken_record_does_not_sink_the_others(broken, policy, caplog):
    store, kept = broken(policy), ["bad"] if policy == "raw" else []
    with caplog.at_level(logging.WARNING, logger="oss_vector_retriever"):
        assert ids(store.get_nodes(["bad", "own"])) == [*kept, "own"]
        assert sorted(ids(store.get_nodes())) == sorted([*FOREIGN, "own", *kept])
        found = store.query(query(k=20))
    assert sorted(found.ids) == sorted([*FOREIGN, "own", *kept])
    assert len(found.nodes) == len(found.similarities) == len(found.ids)
    assert ("record 'bad'" in caplog.text) is (policy == "skip")


def test_9_and_a_broken_record_is_an_error_where_that_is_wanted(broken):
    with pytest.raises(DecodeError, match="record 'bad'"):
        broken("raise").get_nodes()


def test_9_and_it_is_no_obstacle_to_deleting_a_document(broken):
    store = broken("raise")
    store.delete("d")
    store.delete_nodes(["bad"])
    assert sorted(ids(store.get_nodes())) == sorted(FOREIGN)


def test_10_a_record_without_metadata_is_a_node(mixed):
    [node] = mixed.get_nodes(["bare"])
    assert (type(node), node.text, node.metadata) == (TextNode, "", {})


def test_21_clear_leaves_an_index_that_takes_nodes(many):
    many.clear()
    assert many.add([text_node("a")]) == ["a"]
    assert ids(many.get_nodes()) == ["a"]


def test_23_no_embedding_is_refused_before_any_call(store, calls):
    bare = text_node("a")
    bare.embedding = None
    with pytest.raises(InvalidRequestError, match="node 'a' has no embedding"):
        store.add([text_node("b"), bare])
    assert calls.taken() == {}


def test_24_an_error_says_what_it_met(make):
    store = make(create_index=False, index="absent")
    with pytest.raises(NoSuchVectorIndexError) as caught:
        store.get_nodes(["a"])
    assert caught.value.request_id
    assert caught.value.attempts == 1


def test_qdrant_ids_and_an_or_filter_are_no_union(store):
    store.add([text_node(f"n{n}", around(n), i=n) for n in range(30)])
    either = filters(where("i", "==", 20), where("i", "==", 1), condition="or")
    asked = [f"n{n}" for n in range(4)]
    assert ids(store.get_nodes(asked, either)) == ["n1"]
    assert store.query(query(node_ids=asked, filters=either)).ids == ["n1"]
    store.delete_nodes(asked, either)
    assert len(store.get_nodes()) == 29


def test_qdrant_delete_without_arguments_deletes_nothing(store):
    store.add([text_node("a")])
    with pytest.raises(InvalidRequestError, match="clear"):
        store.delete_nodes()
    assert ids(store.get_nodes()) == ["a"]


def test_chroma_postgres_and_qdrant_an_empty_list_of_ids_is_not_everything(store, calls):
    store.add([text_node("a")])
    calls.clear()
    assert store.get_nodes([]) == []
    assert store.get_nodes([], filters(where("tag", "is_empty"))) == []
    store.delete_nodes([])
    store.delete_nodes([], filters(where("tag", "is_empty")))
    assert calls.taken() == {}
    assert ids(store.get_nodes()) == ["a"]


def test_cos_filters_of_a_get_are_not_ignored(store):
    store.add([text_node("a", tag="x"), text_node("b", tag="y")])
    assert ids(store.get_nodes(["a", "b"], filters(where("tag", "==", "y")))) == ["b"]
    assert ids(store.get_nodes(None, filters(where("tag", "==", "y")))) == ["b"]


def test_hologres_and_tablestore_a_document_is_found_whoever_wrote_its_nodes(make, put):
    """Theirs look for a field that they never write."""
    theirs = node_to_metadata_dict(text_node("theirs", of="d"))
    put({"theirs": theirs, "others": node_to_metadata_dict(text_node("others", of="e"))})
    shared = make(index="vectors")
    shared.add([text_node("ours", of="d"), text_node("left", of="e")])
    shared.delete("d")
    assert sorted(ids(shared.get_nodes())) == ["left", "others"]


def test_dashvector_a_document_is_deleted_whole_and_not_its_nearest_nodes(store):
    store.add([text_node(f"n{n}", around(n % 300), of="d") for n in range(700)])
    store.delete("d")
    assert store.get_nodes() == []


def test_lancedb_nothing_found_is_no_error(store):
    store.add([text_node("a")])
    nothing = filters(where("tag", "==", "absent"))
    assert store.query(query(filters=nothing)).nodes == []
    assert store.get_nodes(["gone"]) == store.get_nodes(None, nothing) == []


def test_opensearch_all_nodes_are_written_whose_ids_are_returned(store):
    nodes = [text_node(f"n{n}") for n in range(730)]
    assert store.add(nodes) == ids(nodes)
    assert len(store.get_nodes()) == 730


def test_tablestore_a_write_that_fails_is_an_error_with_a_report(store, service, monkeypatch):
    store.add([text_node("a")])
    handle = service.handle

    def refusing(request):
        if request.query == "putVectors" and b'"n600"' in request.body:
            request = replace(request, body=b"{")
        return handle(request)

    monkeypatch.setattr(service, "handle", refusing)
    with pytest.raises(PartialWriteError) as caught:
        store.add([text_node(f"n{n}") for n in range(700)])
    assert set(caught.value.report.failed) == {f"n{n}" for n in range(500, 700)}


def test_tablestore_no_none_stands_for_a_missing_node(store):
    store.add([text_node("a")])
    assert ids(store.get_nodes(["gone", "a"])) == ["a"]


def test_pinecone_the_id_returned_is_the_nodes_and_the_keys(store, client):
    assert store.add([text_node("a", of="doc")]) == ["a"]
    assert [vector.key for vector in client.fetch(["a"], index="nodes")] == ["a"]


@pytest.mark.parametrize("key", ['"', "'; drop", "a\nb", "日本", "x" * 1024, "None"])
def test_lancedb_any_id_is_an_id_and_no_part_of_a_query(store, key):
    store.add([text_node(key, of=key), text_node("other")])
    assert ids(store.get_nodes([key])) == [key]
    assert store.query(query(node_ids=[key])).ids == [key]
    assert store.query(query(doc_ids=[key])).ids == [key]
    store.delete(key)
    assert ids(store.get_nodes()) == ["other"]


def test_core_ids_come_with_nodes_of_the_same_number(store):
    store.add([text_node("a"), text_node("b")])
    found = store.query(query(k=5))
    assert len(found.nodes) == len(found.ids) == len(found.similarities) == 2


def test_core_a_cosine_index_gives_back_the_vector_that_was_stored(store):
    store.add([text_node("a", (3.0, 4.0, 0.0, 0.5))])
    assert store.get_nodes(["a"])[0].embedding == [3.0, 4.0, 0.0, 0.5]


def test_spiceai_8352_limits_are_those_of_the_account(client, calls):
    larger = client.with_options(limits=replace(DEFAULT_LIMITS, metadata_bytes=100_000))
    big = text_node("a", note="x" * 60_000)
    for part in (OSSVectorStore(client=larger), OSSVectorDocumentStore(larger)):
        add = part.add if isinstance(part, OSSVectorStore) else part.add_documents
        calls.clear()
        with pytest.raises(PartialWriteError, match="metadata"):  # the service has the usual ones
            add([big])
        assert calls["putVectors"] == 1
