"""What is picked by stored embeddings: positions, in the order of each way to choose."""

import numpy as np
import pytest

from oss_vector_retriever import InvalidRequestError, MissingKeysError, OSSVectorClient
from oss_vector_retriever.embeddings.stored import (
    StoredEmbeddings,
    pick_distinct,
    pick_diverse,
    pick_similar,
    stored_embeddings,
)

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
# of five things the second and the last have no embedding
STORED = StoredEmbeddings((0, 2, 3), np.array([NORTH, EAST, [0.9, 0.1]]), (1, 4))


def positions(picks):
    return [position for position, _ in picks]


def test_the_most_similar_come_first_and_those_without_an_embedding_last():
    picks = pick_similar(STORED, EAST)
    assert positions(picks) == [2, 3, 0, 1, 4]
    assert [score is None for _, score in picks] == [False, False, False, True, True]
    assert positions(pick_similar(STORED, EAST, k=1)) == [2, 1, 4]
    assert positions(pick_similar(STORED, EAST, similarity_threshold=0.5)) == [2, 3, 1, 4]
    assert positions(pick_similar(STORED, EAST, k=2, in_order=True)) == [1, 2, 3, 4]
    assert positions(pick_similar(STORED, EAST, scores=[9, 0, 0], weight=0.1))[0] == 0


def test_the_diverse_fill_the_room_before_those_without_an_embedding():
    assert positions(pick_diverse(STORED, EAST, 2, 0.1)) == [2, 0]
    assert positions(pick_diverse(STORED, EAST, 4, 0.1)) == [2, 0, 3, 1]


def test_the_distinct_stay_in_order():
    assert positions(pick_distinct(STORED, 0.95)) == [0, 1, 2, 4]


def test_where_nothing_has_an_embedding_no_query_is_needed():
    bare = StoredEmbeddings((), [], (0, 1))
    assert pick_similar(bare) == pick_diverse(bare, None, 5, 0.5) == [(0, None), (1, None)]
    assert pick_distinct(bare, 0.5) == [(0, None), (1, None)]
    with pytest.raises(InvalidRequestError, match="query"):
        pick_similar(STORED)


@pytest.fixture
def client():
    with OSSVectorClient.local() as client:
        client.put_vector_index(dimension=2)
        client.put_vectors([{"key": "east", "data": EAST}, {"key": "north", "data": NORTH}])
        yield client


def test_what_things_carry_is_not_fetched(client):
    known = [None, [0.5, 0.5], None]
    stored = client.run(stored_embeddings, ["east", "north", None], known=known, query_key="north")
    assert (stored.positions, stored.without) == ((0, 1), (2,))
    assert np.asarray(stored.matrix).tolist() == [EAST, [0.5, 0.5]]
    assert stored.query.tolist() == NORTH


def test_without_anything_to_fetch_there_is_no_call(client):
    nowhere = {"index": "nowhere"}  # any call would say so
    found = client.run(stored_embeddings, [None, None], query_key="north", **nowhere)
    assert found.without == (0, 1)
    assert client.run(stored_embeddings, [], **nowhere).without == ()


def test_policies_for_what_has_no_embedding(client):
    ids = ["east", "gone", None]
    assert client.run(stored_embeddings, ids).without == (1, 2)
    assert client.run(stored_embeddings, ids, on_missing="omit").without == ()
    with pytest.raises(InvalidRequestError, match="1 of 3 have no id"):
        client.run(stored_embeddings, ids, on_missing="raise")
    with pytest.raises(MissingKeysError, match="gone"):
        client.run(stored_embeddings, ids[:2], on_missing="raise")
    with pytest.raises(InvalidRequestError, match="on_missing must be omit or keep or raise"):
        client.run(stored_embeddings, ids, on_missing="drop")
    with pytest.raises(MissingKeysError, match="nowhere"):
        client.run(stored_embeddings, ids, query_key="nowhere")
