"""`score_key`: the relevance of a hit in its metadata, for whoever comes after the search."""

import pytest

from oss_vector_retriever import ConfigurationError
from oss_vector_retriever.langchain import OSSVectorStore

SEARCHES = [
    ("similarity_search", "a"),
    ("similarity_search_with_embeddings", "a"),
    ("similarity_search_with_score", "a"),
    ("similarity_search_with_relevance_scores", "a"),
    ("max_marginal_relevance_search", "a"),
    ("similarity_search_by_id", "k1"),
]


@pytest.mark.parametrize("search", SEARCHES, ids=[name for name, _ in SEARCHES])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_relevance_comes_under_the_name_given(client, model, call, metric, search):
    method, wanted = search
    store = OSSVectorStore(
        model, client=client, index="scored", distance_metric=metric, score_key="score"
    )
    call(store, "add_texts", ["a", "ab", "abbb"], ids=["k1", "k2", "k3"])
    found = call(store, method, wanted, k=3)
    documents = [item[0] if isinstance(item, tuple) else item for item in found]
    expected = {
        document.id: score
        for document, score in store.similarity_search_with_relevance_scores("a", k=3)
    }
    for document in documents:
        assert document.metadata == {"score": pytest.approx(expected[document.id], abs=1e-6)}
    scores = [document.metadata["score"] for document in documents]
    assert method.startswith("max") or scores == sorted(scores, reverse=True)


def test_a_score_is_read_and_never_written_back(client, model, call):
    store = OSSVectorStore(model, client=client, score_key="score", embedding_key="vec")
    call(store, "add_texts", ["a"], [{"n": 1}], ids=["x"])
    [found] = call(store, "similarity_search", "a", 1)
    assert found.metadata.keys() == {"n", "score", "vec"}
    call(store, "add_documents", [found])
    plain = OSSVectorStore(client=client)
    assert call(plain, "get_by_ids", ["x"])[0].metadata == {"n": 1}
    assert "score" not in call(store, "get_by_ids", ["x"])[0].metadata


def test_without_hits_no_call_asks_for_the_metric(client, model, service, call):
    store = OSSVectorStore(model, client=client, score_key="score")
    assert call(store, "similarity_search", "a") == []
    assert service.names() == ["queryVectors"]


def test_one_field_cannot_hold_both(client):
    with pytest.raises(ConfigurationError, match="both 'x'"):
        OSSVectorStore(client=client, score_key="x", embedding_key="x")
