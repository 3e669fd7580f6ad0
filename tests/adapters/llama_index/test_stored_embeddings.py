"""MMR, near-duplicates and rescoring on stored embeddings; no document is embedded."""

import pytest
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from oss_vector_retriever import InvalidRequestError, MissingKeysError
from oss_vector_retriever.llama_index import (
    StoredEmbeddingDedupPostprocessor,
    StoredEmbeddingMMRPostprocessor,
    StoredEmbeddingRescorer,
)

ROWS = {
    "A": [1.0, 0.1, 0.0, 0.0],
    "A2": [1.0, 0.1001, 0.0, 0.0],
    "B": [0.8, -0.6, 0.0, 0.0],
    "C": [0.7, 0.0, 0.7, 0.0],
}
QUERY = QueryBundle("q", embedding=[1.0, 0.0, 0.0, 0.0])
ALL = (StoredEmbeddingMMRPostprocessor, StoredEmbeddingDedupPostprocessor, StoredEmbeddingRescorer)


@pytest.fixture(autouse=True)
def _stored(put_records):
    put_records(*(TextNode(id_=key, text=key, embedding=row) for key, row in ROWS.items()))


class Silent(MockEmbedding):
    """Embeds the query, and refuses to embed documents."""

    def _get_query_embedding(self, _query):
        return QUERY.embedding

    async def _aget_query_embedding(self, _query):
        return QUERY.embedding

    def _get_text_embedding(self, _text):
        raise AssertionError

    def _get_text_embeddings(self, _texts):
        raise AssertionError


def hits(*keys, **fields):
    return [
        NodeWithScore(node=TextNode(id_=key, text=key, **fields), score=1 - n / 10)
        for n, key in enumerate(keys)
    ]


def post(call, client, kind, found, bundle=QUERY, **options):
    processor = kind(client=client, **options)
    return call(processor, "postprocess_nodes", found, query_bundle=bundle)


def ids(found):
    return [one.node_id for one in found]


def test_mmr_looks_at_every_pick_and_not_only_at_the_last(call, client, service):
    """Core's helper gives A, B, A2 (llama-index.md 2c)."""
    found = post(call, client, StoredEmbeddingMMRPostprocessor, hits("A", "A2", "B", "C"), top_n=3)
    assert ids(found) == ["A", "B", "C"]
    assert len(service.gets) == 1


def test_mmr_of_all_similarity_is_the_order_of_similarity(call, client):
    kind = StoredEmbeddingMMRPostprocessor
    found = post(call, client, kind, hits("C", "B", "A2", "A"), lambda_mult=1.0, top_n=2)
    assert ids(found) == ["A", "A2"]


def test_near_duplicates_go_and_the_order_stays(call, client, service):
    kind = StoredEmbeddingDedupPostprocessor
    assert ids(post(call, client, kind, hits("C", "A2", "B", "A", "C"), bundle=None)) == [
        "C",
        "A2",
        "B",
    ]
    assert len(service.gets) == 1


def test_a_rescorer_gives_the_exact_similarity_best_first(call, client):
    given = hits("C", "A")
    found = post(call, client, StoredEmbeddingRescorer, given)
    assert ids(found) == ["A", "C"]
    assert [one.score for one in found] == pytest.approx([0.99503719, 0.70710678])
    assert [one.score for one in given] == [1.0, 0.9]


def test_a_rescorer_can_blend_and_cut(call, client):
    found = post(call, client, StoredEmbeddingRescorer, hits("C", "A"), weight=0.0, top_n=1)
    assert [(one.node_id, one.score) for one in found] == [("C", 1.0)]


@pytest.mark.parametrize("kind", ALL)
def test_hits_without_a_stored_embedding_are_kept_dropped_or_raised(call, client, kind):
    given = hits("gone", "A", "C")
    assert set(ids(post(call, client, kind, given))) == {"A", "C", "gone"}
    assert set(ids(post(call, client, kind, given, on_missing="omit"))) == {"A", "C"}
    with pytest.raises(MissingKeysError):
        post(call, client, kind, given, on_missing="raise")


def test_a_kept_hit_stands_last_or_in_its_place(call, client):
    given = hits("gone", "C", "A")
    assert ids(post(call, client, StoredEmbeddingRescorer, given)) == ["A", "C", "gone"]
    assert ids(post(call, client, StoredEmbeddingDedupPostprocessor, given)) == ["gone", "C", "A"]
    kind = StoredEmbeddingMMRPostprocessor
    assert ids(post(call, client, kind, given, top_n=2)) == ["A", "C"]


@pytest.mark.parametrize("kind", ALL)
def test_embeddings_that_nodes_carry_are_not_fetched(call, client, service, kind):
    given = hits("x", "y", embedding=[1.0, 0.0, 0.0, 0.0])
    post(call, client, kind, given)
    assert service.gets == []
    post(call, client, kind, [*given, *hits("A")])
    assert service.gets == [["A"]]
    post(call, client, kind, given, use_node_embeddings=False)
    assert service.gets[1:] == [["x", "y"]]


@pytest.mark.parametrize("kind", ALL)
def test_no_hits_mean_no_call_and_no_embedding(call, client, service, kind):
    assert post(call, client, kind, [], bundle=None) == []
    assert service.gets == []


def test_a_model_embeds_the_query_alone(call, client):
    found = post(
        call,
        client,
        StoredEmbeddingRescorer,
        hits("C", "A"),
        bundle=QueryBundle("q"),
        embed_model=Silent(embed_dim=4),
    )
    assert ids(found) == ["A", "C"]


@pytest.mark.parametrize("carried", [None, [0.7, 0.0, 0.7, 0.0]])
def test_a_stored_vector_can_be_the_query(call, client, service, carried):
    given = hits("A", "C") if carried is None else hits("C", embedding=carried)
    found = post(call, client, StoredEmbeddingRescorer, given, bundle=None, query_key="C")
    assert (found[0].node_id, found[0].score) == ("C", pytest.approx(1.0))
    assert len(service.gets) == 1


@pytest.mark.parametrize("kind", [StoredEmbeddingMMRPostprocessor, StoredEmbeddingRescorer])
def test_a_query_without_an_embedding_is_refused(call, client, kind):
    for bundle in (None, QueryBundle("q")):
        with pytest.raises(InvalidRequestError, match="needs its embedding"):
            post(call, client, kind, hits("A"), bundle=bundle)


def test_a_query_of_another_dimension_is_refused(call, client):
    with pytest.raises(InvalidRequestError, match="different models"):
        post(call, client, StoredEmbeddingRescorer, hits("A"), QueryBundle("q", embedding=[1.0]))
