"""Adding: ids, embeddings, metadata that come back, and nothing half-written in silence."""

import copy
import math

import numpy as np
import pytest
from langchain_core.documents import Document

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.langchain import OSSVectorStore

TYPED = {
    "year": 2024,
    "ratio": 0.1,
    "ok": True,
    "none": None,
    "big": 2**70,
    "deep": {"list": [1, "two", None, {"three": 3.0}]},
    "text": "not the content",
    "id": "the user's own",
}


def test_text_and_typed_metadata_come_back_exactly(store, call):
    given = Document(id="one", page_content="a\n\tßé😀\x00", metadata=copy.deepcopy(TYPED))
    assert call(store, "add_documents", [given]) == ["one"]
    [found] = call(store, "get_by_ids", ["one"])
    assert found == Document(id="one", page_content="a\n\tßé😀\x00", metadata=TYPED)
    assert [type(v) for v in found.metadata.values()] == [type(v) for v in TYPED.values()]
    assert call(store, "similarity_search", "a", 1) == [found]


def test_ids_given_win_over_the_documents_own_and_absent_ones_are_made_up(store, call):
    documents = [Document(id=key, page_content="a") for key in ("x", "y", None)]
    ids = call(store, "add_documents", documents, ids=["first", None, None])
    assert ids[:2] == ["first", "y"]
    assert len(ids[2]) == 36
    assert [document.id for document in call(store, "get_by_ids", ids)] == ids
    assert call(store, "get_by_ids", ["x"]) == []


def test_what_was_given_is_left_as_it_was(store, call):
    documents = [Document(page_content="a", metadata={"n": [1]}), Document(page_content="b")]
    before = copy.deepcopy(documents)
    metadatas, ids = [{"n": [1]}, None], ["t1", None]
    call(store, "add_documents", documents)
    call(store, "add_texts", ["a", "b"], metadatas, ids=ids)
    assert documents == before
    assert (metadatas, ids) == ([{"n": [1]}, None], ["t1", None])


def test_embeddings_given_are_stored_and_the_model_is_not_called(store, model, call):
    call(store, "add_texts", ["x", "y"], ids=["x", "y"], embeddings=[[1, 2, 3], [4, 5, 6]])
    pairs = call(store, "get_by_ids_with_embeddings", ["y", "x"])
    assert [(document.id, embedding) for document, embedding in pairs] == [
        ("y", [4.0, 5.0, 6.0]),
        ("x", [1.0, 2.0, 3.0]),
    ]
    assert model.calls == []


def test_the_model_is_called_once_or_as_often_as_the_batch_size_says(store, model, call):
    texts = ["a", "b", "c", "d", "ab"]
    call(store, "add_texts", texts)
    call(store, "add_texts", texts, batch_size=2)
    assert model.calls == [texts, ["a", "b"], ["c", "d"], ["ab"]]


def test_nothing_to_add_makes_no_call(store, model, service, call):
    assert call(store, "add_documents", []) == []
    assert call(store, "add_texts", []) == []
    assert (service.seen, model.calls) == ([], [])


def test_a_thousand_documents_are_two_puts(store, service, call):
    ids = call(store, "add_texts", ["a"] * 1000)
    assert len(set(ids)) == 1000
    assert service.names().count("putVectors") == 2
    assert service.names().count("putVectorIndex") == 1


def test_an_id_that_stands_twice_is_refused_before_the_model_is_paid(store, model, service, call):
    with pytest.raises(InvalidRequestError, match="'x' stands more than once"):
        call(store, "add_texts", ["a", "b"], ids=["x", "x"])
    assert (service.seen, model.calls) == ([], [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": [1, "2"]}, "must be a string, not int"),
        ({"ids": ["", "2"]}, "'' has 0"),
        ({"ids": ["k" * 1025, "2"]}, "has 1025"),
        ({"ids": ["1"]}, "ids must be a list with one entry for each of the 2 texts, and has 1"),
        ({"ids": 3}, "ids must be a list, not an int"),
        ({"ids": "xy"}, "ids must be a list, not a str"),
        ({"metadatas": [{}]}, "metadatas must be a list"),
        ({"metadatas": {"n": 1}}, "metadatas must be a list, not a dict"),
        ({"metadatas": ["n", {}]}, "metadata is of type str, not a dict"),
        ({"embeddings": 3}, "embeddings must be a list, not an int"),
        ({"metadatas": [{"x": object()}, {}]}, r"metadata\['x'\] is of type object"),
        ({"metadatas": [{"x": {1: 2}}, {}]}, "key that is not a string"),
        ({"metadatas": [{"x": "y" * 41_000}, {}]}, "over the limit of 40,960"),
        ({"metadatas": [{"color": "y" * 3_000}, {}]}, "over the limit of 2,048"),
        ({"metadatas": [{"color": {"r": 1}}, {}]}, "cannot be filterable"),
        ({"metadatas": [{"_record": "x"}, {}]}, "envelope"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_the_index_cannot_hold_is_refused_before_any_call(
    one_index, service, call, options, message
):
    with pytest.raises(InvalidRequestError, match=message):
        call(one_index, "add_texts", ["a", "b"], **options)
    assert (service.seen, one_index.embeddings.calls) == ([], [])


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ([[1.0, math.nan], [1.0, 2.0]], "holds NaN or an infinite"),
        ([[1.0, math.inf], [1.0, 2.0]], "holds NaN or an infinite"),
        ([[1.0, 2.0], [1.0, 2.0, 3.0]], "an index has one dimension"),
        ([[1.0, 2.0]], "returned 1 embeddings for 2 texts"),
        ([[1.0, 2.0], None], "not of float32 numbers"),
        ([[1.0, 2.0], ["1", "2"]], "not of float32 numbers"),
        ([[1.0, 2.0], [0.0, 0.0]], "all zeros"),
        ([[], []], "holds no numbers"),
        (None, "embedding model Letters returned NoneType for 2 texts"),
        ([[1.0]] * 3, "embedding model Letters returned 3 embeddings for 2 texts"),
    ],
)
def test_a_model_that_returns_nonsense_writes_nothing(store, service, call, embeddings, message):
    store.embeddings.embed_documents = lambda _: embeddings
    with pytest.raises(InvalidRequestError, match=message):
        call(store, "add_texts", ["a", "b"], ids=["x", "y"])
    assert "putVectors" not in service.names()


def test_a_batch_too_many_and_one_too_few_do_not_pair_texts_with_wrong_vectors(
    store, service, model, call
):
    answers = iter([[[1.0, 2.0]] * 3, [[3.0, 4.0]]])
    model.embed_documents = lambda _: next(answers)
    with pytest.raises(InvalidRequestError, match="returned 3 embeddings for 2 texts"):
        call(store, "add_texts", ["a", "b", "c", "d"], batch_size=2)
    assert service.seen == []


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        ("add_texts", "abc", "texts must be a list, not a str"),
        ("add_texts", None, "texts must be a list, not a NoneType"),
        ("add_texts", [None], "text is of type NoneType"),
        ("add_documents", Document(page_content="a"), "documents must be a list, not a Document"),
        ("add_documents", ["a"], "LangChain Documents, not str; texts go to add_texts"),
    ],
)
def test_what_is_no_list_of_them_is_refused_by_name(store, call, method, wrong, message):
    with pytest.raises(InvalidRequestError, match=message):
        call(store, method, wrong)
    assert store.embeddings.calls == []


def test_generators_and_tuples_serve_as_lists(store, call):
    ids = call(
        store,
        "add_texts",
        (text for text in "ab"),
        ({"n": number} for number in range(2)),
        ids=iter(["x", "y"]),
        embeddings=(pair for pair in [(1, 2), (3, 4)]),
    )
    assert ids == ["x", "y"]
    assert [d.metadata for d in call(store, "get_by_ids", ("y", "x"))] == [{"n": 1}, {"n": 0}]


def test_another_dimension_than_the_index_has_is_named(store, service, client, call):
    client.put_vector_index(dimension=3)
    with pytest.raises(InvalidRequestError, match=r"'vectors' has dimension 3, .* have 5 numbers"):
        call(store, "add_texts", ["a"])
    with pytest.raises(InvalidRequestError, match="has dimension 3, and the query has 5"):
        call(store, "similarity_search", "a")
    assert "putVectors" not in service.names()


def test_another_metric_than_the_index_has_is_named(store, service, client, model, call):
    client.put_vector_index(dimension=5, distance_metric="euclidean")
    with pytest.raises(InvalidRequestError, match="metric euclidean, and this store was made for"):
        call(store, "add_texts", ["a"])
    assert "putVectors" not in service.names()
    indifferent = OSSVectorStore(model, client=client, distance_metric=None)
    assert call(indifferent, "add_texts", ["a"], ids=["x"]) == ["x"]


def test_a_model_may_return_an_array(store, model, call):
    model.embed_documents = lambda texts: np.array([model.of(text) for text in texts])
    model.embed_query = lambda text: np.array(model.of(text))
    call(store, "add_texts", ["a", "abb"], ids=["x", "y"], batch_size=1)
    assert [d.id for d in call(store, "similarity_search", "abb", 2)] == ["y", "x"]
    assert len(call(store, "max_marginal_relevance_search", "abb", 2)) == 2


def test_without_a_model_the_store_says_what_to_do(client, call):
    store = OSSVectorStore(client=client)
    call(store, "add_texts", ["a"], ids=["x"], embeddings=[[1.0, 2.0]])
    assert len(call(store, "similarity_search_by_vector", [1.0, 2.0])) == 1
    with pytest.raises(ConfigurationError, match="no embedding model"):
        call(store, "similarity_search", "a")
    with pytest.raises(ConfigurationError, match="no embedding model"):
        call(store, "add_texts", ["a"])


def test_an_argument_that_a_method_does_not_have_is_refused(store, service, call):
    for name, argument in (
        ("add_texts", ["a"]),
        ("similarity_search", "a"),
        ("delete", ["a"]),
        ("max_marginal_relevance_search", "a"),
    ):
        with pytest.raises(TypeError, match="unexpected argument 'namespace'"):
            call(store, name, argument, namespace="tenant")
    assert service.seen == []


def test_an_index_made_here_keeps_the_records_out_of_its_filters(client, model, call):
    store = OSSVectorStore(model, client=client, non_filterable=["blob"])
    call(store, "add_texts", ["a" * 30_000])
    made = client.get_vector_index()
    assert set(made.non_filterable_metadata_keys) == {"_record", "_record_text", "blob"}
    assert (made.dimension, made.distance_metric) == (5, "cosine")
