"""Searching: scores, relevance, filters, diversity, retrievers, and the calls they take."""

import math

import pytest
from langchain_core.documents import Document
from support.embedded import filters_first, let_writes_grow_old

from oss_vector_retriever import InvalidRequestError, MissingKeysError, emulator
from oss_vector_retriever.langchain import OSSVectorStore

TEXTS = ["a", "aab", "b", "abcd", "dd"]


@pytest.fixture(params=["cosine", "euclidean"])
def filled(request, client, model):
    store = OSSVectorStore(
        model, client=client, filterable=["color", "year"], distance_metric=request.param
    )
    metadatas = [{"color": color, "year": 2020 + n} for n, color in enumerate("rgrgr")]
    store.add_texts(TEXTS, metadatas, ids=TEXTS)
    model.calls.clear()
    return store


def ids_of(documents):
    return [document.id for document in documents]


def test_by_text_and_by_vector_the_closest_come_first(filled, model, call):
    assert ids_of(call(filled, "similarity_search", "a", 2)) == ["a", "aab"]
    assert ids_of(call(filled, "similarity_search_by_vector", model.of("dd"), 1)) == ["dd"]


def test_scores_are_distances(filled, call):
    scored = call(filled, "similarity_search_with_score", "a", 5)
    distances = [distance for _, distance in scored]
    assert distances[0] == pytest.approx(0, abs=1e-6)
    assert distances == sorted(distances)


def test_relevance_is_from_0_to_1_and_falls_with_distance(filled, call):
    scored = call(filled, "similarity_search_with_relevance_scores", "a", 5)
    scores = [score for _, score in scored]
    assert scores[0] == pytest.approx(1, abs=1e-6)
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    metric = filled.distance_metric
    distances = call(filled, "similarity_search_with_score", "a", 5)
    distance = {document.id: distance for document, distance in distances}["dd"]
    expected = 1 - distance / 2 if metric == "cosine" else 1 / (1 + distance)
    assert {d.id: s for d, s in scored}["dd"] == pytest.approx(expected)
    assert filled._select_relevance_score_fn()(distance) == pytest.approx(expected)


def test_a_threshold_keeps_what_is_relevant_enough(filled, call):
    scored = call(filled, "similarity_search_with_relevance_scores", "a", 5, score_threshold=0.99)
    assert [document.id for document, _ in scored] == ["a"]


def test_relevance_knows_the_metric_of_an_index_made_by_others(client, model, call):
    client.put_vector_index(dimension=5, distance_metric="euclidean")
    client.put_vectors([{"key": "x", "data": [3, 4, 0, 0, 0], "metadata": {"text": "t"}}])
    store = OSSVectorStore(model, client=client)
    [(_, score)] = call(store, "similarity_search_with_relevance_scores", "", 1)
    assert score == pytest.approx(1 / (1 + (25 + 1 / 16) ** 0.5))


def test_by_a_stored_id_no_embedding_is_made(filled, client, model, service, call):
    let_writes_grow_old(client)
    service.seen.clear()
    assert ids_of(call(filled, "similarity_search_by_id", "a", 1)) == ["aab"]
    scored = call(filled, "similarity_search_with_score_by_id", "a", 4)
    assert "a" not in [document.id for document, _ in scored]
    assert len(scored) == 4
    assert model.calls == []
    assert service.names() == ["getVectors", "queryVectors"] * 2


def test_by_an_id_that_does_not_exist_is_an_error(filled, call):
    with pytest.raises(MissingKeysError):
        call(filled, "similarity_search_by_id", "gone")


def test_embeddings_come_beside_the_documents(filled, model, call):
    pairs = call(filled, "similarity_search_with_embeddings", "a", 2)
    assert [(d.id, e) for d, e in pairs] == [(k, model.of(k)) for k in ("a", "aab")]
    assert all("embedding" not in document.metadata for document, _ in pairs)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"color": "g"}, {"aab", "abcd"}),
        ({"color": "r", "year": 2020}, {"a"}),
        ({"year": {"$in": [2020, 2021]}}, {"a", "aab"}),
        ({"$or": [{"year": 2024}, {"color": {"$ne": "r"}}]}, {"aab", "abcd", "dd"}),
        ({"color": {"$exists": True, "$nin": ["g"]}}, {"a", "b", "dd"}),
        ({"color": None}, set()),
        ({"colour": "r"}, set()),
        ({"year": {"$gt": 2020}}, {"aab", "abcd", "b", "dd"}),
        ({"year": {"$in": []}}, set()),
        ({}, set(TEXTS)),
    ],
)
def test_flat_and_full_filters_reach_the_service_spelled_out(filled, call, given, expected):
    assert set(ids_of(call(filled, "similarity_search", "a", 5, filter=given))) == expected
    found = call(filled, "max_marginal_relevance_search", "a", 5, filter=given)
    assert set(ids_of(found)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"color": ["r", "g"]}, r"\$in"),
        ({"color": {"$regex": "r"}}, r"the service knows \$eq"),
        ({"$nor": {"color": "r"}}, "is no field"),
        ({"_record": "x"}, "out of its filters"),
        (lambda document: True, "filter must be a dict"),  # noqa: ARG005 - as InMemoryVectorStore takes it
    ],
)
def test_a_filter_that_would_match_nothing_is_refused_not_ignored(
    filled, service, call, given, message
):
    service.seen.clear()
    with pytest.raises(InvalidRequestError, match=message):
        call(filled, "similarity_search", "a", filter=given)
    assert service.seen == []


@pytest.mark.parametrize("k", [0, -1, 501, "4", True])
def test_an_impossible_count_is_named(filled, call, k):
    with pytest.raises(InvalidRequestError, match="k must be a whole number from 1 to 500"):
        call(filled, "similarity_search", "a", k)
    with pytest.raises(InvalidRequestError, match="fetch_k must be a whole number from 1 to 500"):
        call(filled, "max_marginal_relevance_search", "a", 1, fetch_k=k)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([math.nan] * 5, "the query vector holds NaN"),
        ([1.0, math.inf, 0, 0, 0], "the query vector holds NaN or an infinite"),
        ([], "the query vector holds no numbers"),
        (None, "the query vector must be numbers"),
        ("abcde", "the query vector must be numbers"),
        ([1.0] * 3, "has dimension 5, and the query has 3 numbers"),
    ],
)
def test_a_query_that_is_no_vector_of_the_index_is_named(filled, call, vector, message):
    filled.embeddings.embed_query = lambda _: vector
    for name, asked in (
        ("similarity_search", "a"),
        ("similarity_search_by_vector", vector),
        ("max_marginal_relevance_search", "a"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            call(filled, name, asked)


@pytest.mark.parametrize(("fetch_k", "gets"), [(20, 1), (100, 1), (101, 2), (250, 3), (500, 5)])
def test_diversity_is_one_query_and_a_get_for_each_100(store, service, call, fetch_k, gets):
    texts = ["a" * (n % 17) + "b" * (n % 5) + "c" * (n % 3) + "d" for n in range(600)]
    store.add_texts(texts)
    let_writes_grow_old(store.client)
    service.seen.clear()
    store.embeddings.calls.clear()
    assert len(call(store, "max_marginal_relevance_search", "ab", k=7, fetch_k=fetch_k)) == 7
    assert sorted(service.names()) == ["getVectors"] * gets + ["queryVectors"]
    assert [len(texts) for texts in store.embeddings.calls] == [1]


def test_diversity_passes_over_what_is_like_the_rest(client, model, call):
    store = OSSVectorStore(model, client=client)
    store.add_texts(["aa", "aa", "aab", "dd"], ids=["1", "2", "3", "4"])
    near = call(store, "max_marginal_relevance_search", "a", 2, lambda_mult=1.0)
    far = call(store, "max_marginal_relevance_search", "a", 2, lambda_mult=0.0)
    vector = model.of("a")
    same = call(store, "max_marginal_relevance_search_by_vector", vector, 2, lambda_mult=0.0)
    assert {document.id for document in near} == {"1", "2"}
    assert ids_of(far)[1] == "4"
    assert far == same


@filters_first
@pytest.mark.parametrize(
    ("search_type", "search_kwargs"),
    [
        ("similarity", {"k": 2}),
        ("similarity", {"k": 2, "filter": {"color": "r"}}),
        ("mmr", {"k": 2, "fetch_k": 5, "lambda_mult": 0.3}),
        ("similarity_score_threshold", {"k": 2, "score_threshold": 0.1}),
    ],
)
def test_it_is_a_retriever_in_every_mode(filled, call, search_type, search_kwargs):
    tags = ["mine"]
    retriever = filled.as_retriever(search_type=search_type, search_kwargs=search_kwargs, tags=tags)
    found = call(retriever, "invoke", "a")
    assert len(found) == 2
    assert found[0].id == "a"
    assert tags == ["mine"]
    assert len(call(filled, "search", "a", search_type, **search_kwargs)) == 2


def test_it_is_made_from_texts_and_from_documents(client, model, call):
    store = call(OSSVectorStore, "from_texts", ["a"], model, [{"n": 1}], ids=["x"], client=client)
    assert isinstance(store, OSSVectorStore)
    documents = [Document(id="y", page_content="b"), Document(page_content="c")]
    call(OSSVectorStore, "from_documents", documents, model, client=client)
    assert ids_of(call(store, "get_by_ids", ["x", "y"])) == ["x", "y"]
    assert len(call(store, "similarity_search", "c", 5)) == 3


class TestNativeScalars:
    @pytest.fixture
    def behaviour(self):
        return emulator.Behaviour(filter_shorthand=False)

    def test_ranges_work_on_numbers_kept_as_they_are(self, client, model, call):
        store = OSSVectorStore(model, client=client, filterable=["year"], scalars="native")
        call(store, "add_texts", ["a", "b"], [{"year": 2023}, {"year": 2024}], ids=["a", "b"])
        later = {"year": {"$gt": 2023, "$lte": 2024}}
        assert ids_of(call(store, "similarity_search", "a", filter=later)) == ["b"]
        assert ids_of(call(store, "similarity_search", "a", filter={"year": 2023})) == ["a"]
