"""What a query asks for: which ids restrict it, and of how many nodes MMR chooses."""

import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from oss_vector_retriever.llama_index.store import check_query, restriction

IMAGES = ("image 1", "image 2")


@pytest.mark.parametrize(
    ("node_ids", "honour", "expected"),
    [
        (None, None, None),
        ([], None, None),
        ([], True, None),
        (["a"], None, ["a"]),
        (["a"], False, None),
        (["image 1"], None, ["image 1"]),
        (["image 1", "image 2", "a"], None, ["image 1", "image 2", "a"]),
        (["image 2", "image 1"], None, None),
        (["image 2", "image 1"], True, ["image 2", "image 1"]),
        (["image 1"], False, None),
    ],
)
def test_ids_restrict_a_query_unless_they_are_those_that_core_puts_there(
    node_ids, honour, expected
):
    assert restriction(node_ids, IMAGES, honour=honour) == expected


def mmr(k, threshold=None, **options):
    query = VectorStoreQuery(
        [1.0], similarity_top_k=k, mode=VectorStoreQueryMode.MMR, mmr_threshold=threshold
    )
    return check_query(query, (), **options)


@pytest.mark.parametrize(
    ("options", "candidates"),
    [
        ({}, 20),
        ({"mmr_prefetch_factor": 2.5}, 12),
        ({"mmr_prefetch_k": 7}, 7),
        ({"mmr_prefetch_k": 2}, 5),
        ({"mmr_prefetch_factor": 0.1}, 5),
    ],
)
def test_mmr_chooses_among_a_multiple_and_never_too_few(options, candidates):
    assert mmr(5, **options)[1] == candidates


def test_the_threshold_of_the_call_wins_over_that_of_the_query():
    assert mmr(5)[0].mmr_threshold == 0.5
    assert mmr(5, 0.0)[0].mmr_threshold == 0.0
    assert mmr(5, 0.2, mmr_threshold=0.0)[0].mmr_threshold == 0.0
