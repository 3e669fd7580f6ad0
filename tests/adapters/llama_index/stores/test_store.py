"""Adding, getting and deleting nodes: what comes back, and in how many calls."""

import pytest
from support.llama_nodes import every_class, filters, ids, text_node, where

from oss_vector_retriever.client.errors import (
    InvalidRequestError,
    MissingKeysError,
    NoSuchVectorIndexError,
)


@pytest.fixture
def thousand(store):
    store.add([text_node(f"n{n}", (1.0, n, 0.0, 0.0), of=f"d{n % 7}") for n in range(1001)])
    return store


def test_the_first_write_makes_the_index_and_later_ones_know_it(store, calls):
    assert store.add([text_node("a"), text_node("b")]) == ["a", "b"]
    # one of the looks is for a side index, whose rows would name the nodes
    assert calls.taken() == {"getVectorIndex": 3, "putVectorIndex": 1, "putVectors": 1}
    store.add([text_node("c")])
    assert calls.taken() == {"putVectors": 1}


def test_writes_go_out_five_hundred_a_call(thousand, calls):
    calls.clear()
    thousand.add([text_node(f"n{n}") for n in range(1001)])
    assert calls.taken() == {"putVectors": 3}


def test_no_nodes_take_no_call(store, calls):
    assert store.add([]) == []
    assert store.get_nodes([]) == []
    store.delete_nodes([])
    assert calls.taken() == {}


@pytest.mark.parametrize("node", every_class(), ids=lambda node: node.node_id)
def test_nodes_of_every_class_come_back_as_they_were(store, node):
    store.add([node])
    [found] = store.get_nodes([node.node_id])
    assert type(found) is type(node)
    assert found.model_dump() == node.model_dump()
    assert found.hash == node.hash


def test_relationships_come_back_and_say_the_document(store):
    node = text_node("a", of="doc")
    store.add([node])
    [found] = store.get_nodes(["a"])
    assert found.relationships == node.relationships
    assert found.ref_doc_id == "doc"
    assert found.metadata == {}


def test_of_nodes_with_one_id_the_last_one_stands(store):
    assert store.add([text_node("a", v=1), text_node("a", v=2)]) == ["a", "a"]
    assert [node.metadata for node in store.get_nodes()] == [{"v": 2}]


def test_nodes_can_come_from_a_generator(store):
    assert store.add(text_node(key) for key in "ab") == ["a", "b"]
    assert sorted(ids(store.get_nodes())) == ["a", "b"]


def test_nodes_are_left_as_they_were(store):
    node = text_node("a", tag="x")
    before = node.model_dump()
    store.add([node])
    assert node.model_dump() == before
    [found] = store.get_nodes(["a"])
    found.metadata["tag"] = "changed"
    assert store.get_nodes(["a"])[0].metadata == {"tag": "x"}


@pytest.mark.parametrize(
    ("embedding", "reason"),
    [
        (None, "'a' has no embedding"),
        ([1.0, float("nan"), 0.0, 0.0], "'a'.*NaN"),
        ([1.0, float("inf"), 0.0, 0.0], "'a'"),
        ([0.0, 0.0, 0.0, 0.0], "'a' is all zeros"),
        ([1.0, 2.0], "has 2 numbers|have 2 numbers|'a' has|dimension"),
        ([1e300, 0.0, 0.0, 0.0], "'a'.*float32"),
    ],
)
def test_an_embedding_that_the_index_cannot_take_is_refused_by_name(store, embedding, reason):
    wrong = text_node("a")
    wrong.embedding = embedding
    with pytest.raises(InvalidRequestError, match=reason):
        store.add([text_node("good"), wrong])
    assert store.get_nodes() == []


def test_another_width_than_the_indexs_is_refused(store):
    store.add([text_node("a")])
    with pytest.raises(InvalidRequestError, match="has dimension 4"):
        store.add([text_node("b", (1.0, 2.0))])


def test_nodes_come_in_the_order_asked_a_hundred_a_call(thousand, calls):
    for count, gets in [(1, 1), (100, 1), (101, 2), (250, 3), (1000, 10)]:
        asked = [f"n{n}" for n in reversed(range(count))]
        calls.clear()
        assert ids(thousand.get_nodes(asked)) == asked
        assert calls.taken() == {"getVectors": gets}


def test_a_repeated_id_is_answered_each_time_with_nodes_of_their_own(store, calls):
    store.add([text_node("a"), text_node("b")])
    calls.clear()
    found = store.get_nodes(["b", "a", "gone", "b"])
    assert ids(found) == ["b", "a", "b"]
    assert found[0] is not found[2]
    assert calls.taken() == {"getVectors": 1}


def test_missing_ids_can_be_an_error(store, make):
    store.add([text_node("a")])
    with pytest.raises(MissingKeysError, match="gone"):
        make(on_missing="raise").get_nodes(["a", "gone"])


def test_a_lone_string_is_no_list_of_ids(store):
    for method in (store.get_nodes, store.delete_nodes):
        with pytest.raises(InvalidRequestError, match="list of strings"):
            method("abc")


@pytest.mark.parametrize("return_data", [True, False])
def test_embeddings_are_on_the_nodes_when_asked_for(make, store, return_data):
    store.add([text_node("a", (1.0, -0.5, 0.25, 3.0), tag="x")])
    other = make(return_data=return_data)
    expected = [1.0, -0.5, 0.25, 3.0] if return_data else None
    for found in (
        other.get_nodes(["a"]),
        other.get_nodes(),
        other.get_nodes(None, filters(where("tag", "==", "x"))),
    ):
        assert [node.embedding for node in found] == [expected]


def test_without_ids_all_nodes_come_from_every_page(thousand, calls):
    calls.clear()
    assert len(set(ids(thousand.get_nodes()))) == 1001
    assert calls.taken() == {"listVectors": 2}


def test_an_index_that_is_not_there_reads_as_empty(store, make):
    assert store.get_nodes() == []
    assert store.get_nodes(["a"]) == []
    store.delete("doc")
    store.delete_nodes(["a"])
    store.clear()
    assert make(create_index=True).get_nodes(None, filters(where("a", "is_empty"))) == []


def test_a_document_is_deleted_from_every_page(thousand, calls):
    calls.clear()
    thousand.delete("d3")
    assert calls.taken() == {"listVectors": 1, "deleteVectors": 1}
    left = thousand.get_nodes()
    assert len(left) == 1001 - 143
    assert {node.ref_doc_id for node in left} == {f"d{n}" for n in (0, 1, 2, 4, 5, 6)}


@pytest.mark.parametrize("nothing", [None, "", 5])
def test_deleting_needs_the_id_of_a_document(store, nothing):
    store.add([text_node("a")])
    with pytest.raises(InvalidRequestError, match="ref_doc_id"):
        store.delete(nothing)
    assert ids(store.get_nodes()) == ["a"]


def test_nodes_are_deleted_by_id_by_filter_or_where_both_hold(store):
    store.add([text_node(f"n{n}", tag="odd" if n % 2 else "even") for n in range(8)])
    store.delete_nodes(["n0", "gone"])
    store.delete_nodes(["n1", "n2", "gone"], filters(where("tag", "==", "odd")))
    assert sorted(ids(store.get_nodes())) == ["n2", "n3", "n4", "n5", "n6", "n7"]
    store.delete_nodes(filters=filters(where("tag", "==", "even")))
    assert sorted(ids(store.get_nodes())) == ["n3", "n5", "n7"]


def test_a_thousand_deletes_take_five_hundred_a_call(thousand, calls):
    calls.clear()
    thousand.delete_nodes([f"n{n}" for n in range(1000)])
    assert calls.taken() == {"deleteVectors": 2}
    assert ids(thousand.get_nodes()) == ["n1000"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "node_ids or filters"),
        ((None, filters()), "empty group"),
        ((["a"], filters()), "empty group"),
        ((None, filters(filters(), where("tag", "==", "x"), condition="or")), "empty group"),
    ],
)
def test_deleting_nothing_in_particular_is_refused(store, arguments, reason):
    store.add([text_node("a")])
    with pytest.raises(InvalidRequestError, match=reason):
        store.delete_nodes(*arguments)
    assert ids(store.get_nodes()) == ["a"]


@pytest.mark.parametrize("node_ids", [None, ["a"]])
@pytest.mark.parametrize(
    "given",
    [
        filters(where("tag", "nin", [])),
        filters(where("tag", "!=", None)),
        filters(where("tag", "nin", []), where("size", "nin", [])),
        filters(where("tag", "==", "x"), where("tag", "nin", []), condition="or"),
        filters(where("tag", "in", []), condition="not"),
        filters(filters(where("tag", "any", []), condition="not"), filters(where("a", "nin", []))),
    ],
)
def test_deleting_by_filters_that_every_node_passes_is_refused(store, calls, node_ids, given):
    store.add([text_node("a")])
    calls.clear()
    with pytest.raises(InvalidRequestError, match=r"every node passes.*clear\(\)"):
        store.delete_nodes(node_ids, given)
    assert calls.taken() == {}
    assert ids(store.get_nodes()) == ["a"]


def test_clearing_leaves_the_index(thousand, client, calls):
    thousand.clear()
    assert thousand.get_nodes() == []
    assert client.get_vector_index(index="nodes").dimension == 4
    calls.clear()
    thousand.add([text_node("a")])
    assert calls.taken() == {"putVectors": 1}


def test_a_store_without_create_index_says_that_there_is_none(make):
    for call in (lambda store: store.get_nodes(["a"]), lambda store: store.add([text_node("a")])):
        with pytest.raises(NoSuchVectorIndexError):
            call(make(create_index=False))
