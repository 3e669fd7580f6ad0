"""Reading by id, deleting and changing: order, absence, copies, and the calls they take."""

import pytest
from langchain_core.documents import Document

from oss_vector_retriever import InvalidRequestError, NoSuchVectorIndexError
from oss_vector_retriever.langchain import OSSVectorStore


@pytest.fixture
def filled(store):
    store.add_texts(["a", "b", "c"], [{"n": [1]}, {}, {}], ids=["a", "b", "c"])
    return store


def ids_of(documents):
    return [document.id for document in documents]


def test_documents_come_in_order_with_repeats_and_without_the_missing(filled, call):
    found = call(filled, "get_by_ids", ["c", "gone", "a", "c"])
    assert ids_of(found) == ["c", "a", "c"]


def test_repeated_documents_share_nothing(filled, call):
    first, second = call(filled, "get_by_ids", ["a", "a"])
    first.metadata["n"].append(2)
    assert second.metadata == {"n": [1]}


def test_no_ids_make_no_call(filled, service, call):
    before = len(service.seen)
    assert call(filled, "get_by_ids", []) == []
    assert call(filled, "get_by_ids_with_embeddings", []) == []
    assert call(filled, "delete", [])
    assert len(service.seen) == before


def test_250_ids_are_three_calls(filled, service, call):
    call(filled, "get_by_ids", [f"k{number}" for number in range(250)])
    assert service.names().count("getVectors") == 3


def test_a_lone_string_is_not_taken_for_its_letters(filled, call):
    with pytest.raises(InvalidRequestError, match=r"pass \[key\]"):
        call(filled, "get_by_ids", "abc")
    with pytest.raises(InvalidRequestError, match=r"pass \[key\]"):
        call(filled, "delete", "abc")


def test_an_id_that_is_no_string_is_refused(filled, call):
    with pytest.raises(InvalidRequestError, match="must be a string, not int"):
        call(filled, "get_by_ids", [1])


def test_an_index_that_is_not_there_reads_as_empty(store, call):
    assert call(store, "get_by_ids", ["a"]) == []
    assert call(store, "get_by_ids_with_embeddings", ["a"]) == []
    assert call(store, "similarity_search", "a") == []
    assert call(store, "similarity_search_with_relevance_scores", "a") == []
    assert call(store, "max_marginal_relevance_search", "a") == []
    assert call(store, "update_metadata", ["a"], {"b": 1}) == []
    assert call(store, "delete", ["a"])
    assert call(store, "delete", delete_all=True)


def test_with_create_index_off_its_absence_is_an_error(client, model, call):
    store = OSSVectorStore(model, client=client, create_index=False)
    for name, argument in (
        ("get_by_ids", ["a"]),
        ("similarity_search", "a"),
        ("delete", ["a"]),
        ("add_texts", ["a"]),
    ):
        with pytest.raises(NoSuchVectorIndexError):
            call(store, name, argument)


def test_deleting_nothing_by_mistake_deletes_nothing(filled, call):
    with pytest.raises(InvalidRequestError, match="delete_all=True"):
        call(filled, "delete")
    with pytest.raises(InvalidRequestError, match="delete_all=True"):
        call(filled, "delete", ["a"], delete_all=True)
    assert len(call(filled, "get_by_ids", ["a", "b", "c"])) == 3


def test_deleting_everything_leaves_the_index(filled, client, service, call):
    call(filled, "add_texts", ["a"] * 2100)
    assert call(filled, "delete", delete_all=True)
    assert list(client.iter_vectors()) == []
    assert client.get_vector_index().dimension == 5
    assert "deleteVectorIndex" not in service.names()


def test_an_embedding_comes_where_the_user_says_and_nowhere_else(filled, client, model, call):
    assert [set(d.metadata) for d in call(filled, "get_by_ids", ["a"])] == [{"n"}]
    store = OSSVectorStore(model, client=client, embedding_key="vector")
    for document in (
        call(store, "get_by_ids", ["a"])[0],
        call(store, "similarity_search", "a", 1)[0],
        call(store, "similarity_search_with_score", "a", 1)[0][0],
        call(store, "max_marginal_relevance_search", "a", 1)[0],
        call(store, "similarity_search_by_id", "b", 3)[0],
    ):
        assert document.metadata["vector"] == model.of(document.page_content)


def test_an_embedding_that_was_read_into_metadata_is_not_written_back(client, model, call):
    store = OSSVectorStore(model, client=client, embedding_key="vector")
    call(store, "add_texts", ["a"], ids=["a"])
    [document] = call(store, "get_by_ids", ["a"])
    call(store, "add_documents", [document])
    [stored] = OSSVectorStore(client=client).get_by_ids(["a"])
    assert stored == Document(id="a", page_content="a")


def test_metadata_change_without_an_embedding_call(filled, client, model, call):
    model.calls.clear()
    changed = call(filled, "update_metadata", ["a", "gone", "c"], {"year": 2024, "x": None})
    assert changed == ["a", "c"]
    assert model.calls == []
    [a, b, c] = call(filled, "get_by_ids", ["a", "b", "c"])
    assert (a.page_content, a.metadata) == ("a", {"n": [1], "year": 2024, "x": None})
    assert (b.metadata, c.metadata) == ({}, {"year": 2024, "x": None})
    assert client.fetch(["a"])[0].data.tolist() == model.of("a")
    assert ids_of(call(filled, "similarity_search", "a", filter={"year": 2024})) == ["a", "c"]
    call(filled, "update_metadata", ["a"], {}, remove=["x", "n"])
    assert call(filled, "get_by_ids", ["a"])[0].metadata == {"year": 2024}


@pytest.mark.parametrize("patch", [None, [("n", 1)], "n"])
def test_a_patch_that_is_no_dict_is_refused(filled, service, call, patch):
    service.seen.clear()
    with pytest.raises(InvalidRequestError, match="patch must be a dict"):
        call(filled, "update_metadata", ["k1"], patch)
    assert service.seen == []


def test_a_change_that_passes_a_limit_changes_nothing(filled, one_index, call):
    with pytest.raises(InvalidRequestError, match="over the limit"):
        call(one_index, "update_metadata", ["b", "a"], {"x": "y" * 41_000})
    assert call(filled, "get_by_ids", ["b"])[0].metadata == {}


def test_records_of_others_keep_their_form_when_changed(filled, client, call):
    client.put_vectors(
        [
            {"key": "f", "data": [1, 0, 0, 0, 1], "metadata": {"text": "hers", "color": "red"}},
            {
                "key": "node",
                "data": [0, 1, 0, 0, 1],
                "metadata": {
                    "_node_content": '{"text": "its", "metadata": {"color": "red"}}',
                    "color": "red",
                },
            },
        ]
    )
    assert call(filled, "update_metadata", ["f", "node"], {"color": "blue", "year": 7}) == [
        "f",
        "node",
    ]
    stored = client.fetch(["f"])[0].metadata
    assert stored == {"text": "hers", "color": "blue", "year": "7"}
    found = call(filled, "similarity_search", "a", filter={"color": "blue", "year": "7"})
    assert {d.id: (d.page_content, d.metadata["color"]) for d in found} == {
        "f": ("hers", "blue"),
        "node": ("its", "blue"),
    }
    with pytest.raises(InvalidRequestError, match="holds the text"):
        call(filled, "update_metadata", ["f"], {"text": "mine"})
