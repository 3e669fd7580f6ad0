"""How fetched nodes are scored."""

import math

import pytest
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import QueryBundle, TextNode

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.llama_index import KeyQueryBundle, OSSVectorRetriever

ROWS = {"east": [1.0, 0.0, 0.0, 0.0], "north": [0.0, 2.0, 0.0, 0.0], "west": [-3.0, 0.0, 0.0, 0.0]}
KEYS = list(ROWS)
EAST = [5.0, 0.0, 0.0, 0.0]


@pytest.fixture(autouse=True)
def _stored(put_records):
    put_records(*(TextNode(id_=key, text=key, embedding=row) for key, row in ROWS.items()))


class OneModel(MockEmbedding):
    """Embeds every query as east, and counts."""

    asked: list = []  # noqa: RUF012 - pydantic copies it for each model

    def _get_query_embedding(self, query):
        self.asked.append(query)
        return EAST

    async def _aget_query_embedding(self, query):
        return self._get_query_embedding(query)


def scored(call, client, bundle=None, **options):
    bundle = bundle or KeyQueryBundle("which?", keys=[*KEYS, "gone"])
    found = call(OSSVectorRetriever(client, **options), "retrieve", bundle)
    return [(one.node_id, one.score) for one in found]


def test_constant_is_the_default(call, client):
    assert scored(call, client) == [(key, 1.0) for key in KEYS]
    assert scored(call, client, score=0.5) == [(key, 0.5) for key in KEYS]


def test_none_leaves_scores_out(call, client):
    assert scored(call, client, score_mode="none") == [(key, None) for key in KEYS]


def test_rank_falls_with_the_place(call, client):
    assert [score for _, score in scored(call, client, score_mode="rank")] == [1, 1 / 2, 1 / 3]


def test_similarity_is_that_of_the_stored_vector_to_the_bundles_embedding(call, client):
    bundle = KeyQueryBundle("which?", keys=KEYS, embedding=[1.0, 1.0, 0.0, 0.0])
    half = math.sqrt(0.5)
    found = scored(call, client, bundle, score_mode="similarity")
    assert found == [
        ("east", pytest.approx(half)),
        ("north", pytest.approx(half)),
        ("west", pytest.approx(-half)),
    ]


def test_similarity_embeds_the_question_once_if_it_must(call, client):
    model = OneModel(embed_dim=4)
    found = scored(call, client, score_mode="similarity", embed_model=model)
    assert found == [("east", 1.0), ("north", 0.0), ("west", -1.0)]
    assert model.asked == ["which?"]


def test_similarity_embeds_nothing_where_nothing_was_found(call, client):
    model = OneModel(embed_dim=4)
    bundle = KeyQueryBundle("which?", keys=["gone"])
    assert scored(call, client, bundle, score_mode="similarity", embed_model=model) == []
    assert model.asked == []


def test_similarity_without_an_embedding_is_refused(call, client):
    with pytest.raises(InvalidRequestError, match=r"QueryBundle\.embedding"):
        scored(call, client, score_mode="similarity")


def test_similarity_does_not_put_embeddings_on_nodes_that_should_have_none(call, client):
    bundle = QueryBundle("east", embedding=EAST)
    options = {"score_mode": "similarity", "return_data": False}
    [found] = call(OSSVectorRetriever(client, **options), "retrieve", bundle)
    assert (found.embedding, found.score) == (None, 1.0)


def test_another_dimension_is_refused_by_name(call, client):
    bundle = QueryBundle("east", embedding=[1.0])
    with pytest.raises(InvalidRequestError, match="different models"):
        scored(call, client, bundle, score_mode="similarity")


def test_an_unknown_mode_is_refused_by_name(client):
    with pytest.raises(InvalidRequestError, match="constant or rank or none or similarity"):
        OSSVectorRetriever(client, score_mode="best")
