"""Key-value stores: aligned, in one call, beside other records, and met by no search."""

from types import GeneratorType

import pytest
from langchain_core.documents import Document
from support.embedded import filters_first

from oss_vector_retriever import DecodeError, InvalidRequestError
from oss_vector_retriever.langchain import (
    OSSVectorByteStore,
    OSSVectorDocStore,
    OSSVectorEmbeddingStore,
    OSSVectorStore,
)


def test_18_parents_are_one_call(client, service, call):
    store = OSSVectorDocStore(client=client)
    keys = [f"parent-{number}" for number in range(18)]
    call(store, "mset", [(key, Document(page_content=key)) for key in keys])
    service.seen.clear()
    assert [d.page_content for d in call(store, "mget", keys)] == keys
    assert service.names() == ["getVectors"]


def test_answers_are_aligned_and_share_nothing(client, call):
    store = OSSVectorDocStore(client=client)
    call(store, "mset", [("x", Document(page_content="a", metadata={"n": [1]}))])
    first, none, second = call(store, "mget", ["x", "gone", "x"])
    first.metadata["n"].append(2)
    assert none is None
    assert second == Document(page_content="a", metadata={"n": [1]})


def test_a_documents_own_id_is_kept_apart_from_its_key(client, call):
    store = OSSVectorDocStore(client=client, key_prefix="p:")
    values = [Document(id="own", page_content="a"), Document(page_content="b")]
    call(store, "mset", list(zip("xy", values, strict=True)))
    assert call(store, "mget", ["x", "y"]) == values


def test_of_a_key_set_twice_the_last_value_counts(client, call):
    store = OSSVectorByteStore(client=client)
    call(store, "mset", [("x", b"1"), ("x", b"2")])
    assert call(store, "mget", ["x"]) == [b"2"]


def test_nothing_asked_is_no_call(client, service, call):
    store = OSSVectorDocStore(client=client)
    call(store, "mset", [])
    assert call(store, "mget", []) == []
    call(store, "mdelete", [])
    assert service.seen == []


def test_keys_are_yielded_one_by_one_over_every_page(client):
    store = OSSVectorByteStore(client=client, key_prefix="b:")
    OSSVectorByteStore(client=client, key_prefix="c:").mset([("other", b"")])
    store.mset([(f"k{number:04}", b"x") for number in range(2100)])
    keys = store.yield_keys()
    assert isinstance(keys, GeneratorType)
    assert sorted(keys) == [f"k{number:04}" for number in range(2100)]
    assert sorted(store.yield_keys(prefix="k000")) == [f"k000{digit}" for digit in range(10)]


@filters_first
def test_parents_beside_their_children_are_met_by_no_search(client, model, call):
    children = OSSVectorStore(model, client=client, skip_rows=True, filterable=["color"])
    parents = OSSVectorDocStore(client=client, key_prefix="parent:")
    call(children, "add_texts", ["ab", "b"], [{"color": "r"}, {"color": "g"}])
    call(parents, "mset", [(f"{n}", Document(page_content="aaaa")) for n in range(50)])
    for options in ({}, {"filter": {"color": {"$in": ["r", "g"]}}}):
        found = call(children, "similarity_search", "a", 2, **options)
        assert {document.page_content for document in found} == {"ab", "b"}
        diverse = call(children, "max_marginal_relevance_search", "a", 2, **options)
        assert len(diverse) == 2
    careless = OSSVectorStore(model, client=client)
    assert all(d.page_content != "aaaa" for d in call(careless, "similarity_search", "a", 50))


def test_parents_written_first_make_room_for_children_of_a_dimension(client, model, call):
    call(OSSVectorDocStore(client=client, dimension=5), "mset", [("x", Document(page_content="a"))])
    assert call(OSSVectorStore(model, client=client), "add_texts", ["a"], ids=["y"]) == ["y"]


def test_a_record_of_others_is_a_document_whose_id_is_the_key(client, call):
    client.put_vector_index(dimension=2)
    client.put_vectors([{"key": "p:x", "data": [1, 2], "metadata": {"text": "hers"}}])
    store = OSSVectorDocStore(client=client, key_prefix="p:")
    assert call(store, "mget", ["x"]) == [Document(id="x", page_content="hers")]


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"text": "hers"}, "no row of a store of bytes"),
        ({"text": "AAAAA", "_row": "bytes"}, "it is not base64"),
        ({"text": "读", "_row": "bytes"}, "it is not base64"),
    ],
)
def test_what_holds_no_bytes_is_refused_or_skipped(client, call, metadata, reason):
    client.put_vector_index(dimension=2)
    client.put_vectors([{"key": "x", "data": [1, 2], "metadata": metadata}])
    with pytest.raises(DecodeError, match=reason):
        call(OSSVectorByteStore(client=client), "mget", ["x"])
    assert call(OSSVectorByteStore(client=client, on_decode_error="skip"), "mget", ["x"]) == [None]


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        (OSSVectorDocStore, [("x", b"bytes")]),
        (OSSVectorDocStore, [("x", Document(page_content="", metadata={"_row": 1}))]),
        (OSSVectorDocStore, [(1, Document(page_content=""))]),
        (OSSVectorByteStore, [("x", "text")]),
        (OSSVectorByteStore, [("", b"")]),
        (OSSVectorEmbeddingStore, [("x", "text")]),
        (OSSVectorEmbeddingStore, [("x", [1.0]), ("y", [1.0, 2.0])]),
        (OSSVectorEmbeddingStore, [("x", [float("nan")])]),
    ],
)
def test_what_cannot_be_kept_is_refused_and_nothing_is_written(client, service, call, kind, pairs):
    with pytest.raises(InvalidRequestError):
        call(kind(client=client), "mset", pairs)
    assert "putVectors" not in service.names()


def test_without_a_side_index_a_large_value_is_refused(client, service, call):
    with pytest.raises(InvalidRequestError, match="over the limit of 40,960"):
        call(OSSVectorByteStore(client=client, side_index=False), "mset", [("x", b"0" * 40_000)])
    assert "putVectors" not in service.names()


@pytest.mark.parametrize("kind", [OSSVectorDocStore, OSSVectorByteStore])
@pytest.mark.parametrize("wrong", [0, -1, 4097, "2", True])
def test_an_impossible_dimension_is_refused(client, kind, wrong):
    with pytest.raises(InvalidRequestError, match="dimension must be a whole number"):
        kind(client=client, dimension=wrong)


@pytest.mark.parametrize("wrong", [None, "ab", ["ab1"], [("k", b"", 3)], [([], b"")], 7])
def test_what_are_no_pairs_is_refused(client, service, call, wrong):
    with pytest.raises(InvalidRequestError, match="mset takes a list of pairs"):
        call(OSSVectorByteStore(client=client), "mset", wrong)
    assert service.seen == []


def test_any_name_of_metadata_comes_back(client, call):
    metadata = dict.fromkeys(["text", "key", "data", "kind", "metadata", "self", "value"], "mine")
    document = Document(id="own", page_content="body", metadata=metadata)
    store = OSSVectorDocStore(client=client)
    call(store, "mset", [("k", document)])
    assert call(store, "mget", ["k"]) == [document]


def test_a_text_too_long_for_a_key_is_told_of_hashing(client, service, call):
    text = "a long text " * 100
    with pytest.raises(InvalidRequestError, match="takes 1,024; with hash_keys=True"):
        call(OSSVectorEmbeddingStore(client=client), "mset", [(text, [1.0, 2.0])])
    with pytest.raises(InvalidRequestError, match="hash_keys=True"):
        call(OSSVectorEmbeddingStore(client=client), "mget", [text])
    assert "putVectors" not in service.names()
    store = OSSVectorEmbeddingStore(client=client, hash_keys=True)
    call(store, "mset", [(text, [1.0, 2.0])])
    assert call(store, "mget", [text]) == [[1.0, 2.0]]


def test_a_text_with_half_a_surrogate_pair_can_be_hashed(client, call):
    store = OSSVectorEmbeddingStore(client=client, hash_keys=True)
    call(store, "mset", [("broken \ud800 text", [1.0, 2.0])])
    assert call(store, "mget", ["broken \ud800 text", "other"]) == [[1.0, 2.0], None]


def test_embeddings_come_back_as_float32(client, call):
    store = OSSVectorEmbeddingStore(client=client)
    call(store, "mset", [("x", [0.1, 0.0]), ("zero", [0.0, 0.0])])
    assert call(store, "mget", ["x", "zero"]) == [[pytest.approx(0.1), 0.0], [0.0, 0.0]]
