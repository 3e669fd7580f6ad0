"""Cosine similarities and ranking by them."""

import numpy as np
import pytest

from oss_vector_retriever import Float32Array, InvalidRequestError
from oss_vector_retriever.embeddings import rescore, similarities


def test_it_is_the_cosine_in_float32():
    found = similarities([1.0, 0.0], [[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]])
    assert found.dtype == np.float32
    assert found == pytest.approx([1.0, 0.0, -1.0, 0.5**0.5])


def test_a_vector_of_zeros_is_similar_to_nothing():
    assert similarities([1.0, 1.0], [[0.0, 0.0]]).tolist() == [0.0]
    assert similarities([0.0, 0.0], [[1.0, 1.0]]).tolist() == [0.0]


@pytest.mark.parametrize("size", [3e38, 1e-38, 1e-45])
def test_neither_the_largest_nor_the_smallest_values_go_astray(size):
    candidates = np.array([[size, 0.0], [size, size]], dtype=np.float32)
    assert similarities([1.0, 0.0], candidates) == pytest.approx([1.0, 0.5**0.5])


def test_it_never_leaves_its_range():
    random = np.random.default_rng(3)
    rows = random.normal(size=(50, 33)).astype(np.float32)
    for row in rows:
        assert np.abs(similarities(row, rows)).max() <= 1.0


def test_no_candidates_give_an_empty_result():
    assert similarities([1.0], []).shape == (0,)
    assert rescore([1.0], []) == []


def test_inputs_stay_as_they_are():
    query, rows = np.array([3.0, 4.0]), np.array([[3.0, 4.0]])
    similarities(query, rows)
    assert (query.tolist(), rows.tolist()) == ([3.0, 4.0], [[3.0, 4.0]])


def test_ranking_puts_the_best_first_and_keeps_the_order_of_equals():
    candidates = [[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]
    ranked = rescore([1.0, 0.0], candidates)
    assert [position for position, _ in ranked] == [1, 3, 0, 2]
    assert ranked[0] == (1, pytest.approx(1.0))
    assert [position for position, _ in rescore([1.0, 0.0], candidates, k=2)] == [1, 3]


def test_earlier_scores_are_blended_in():
    packed = [Float32Array([1, 0]), Float32Array([0, 1])]
    blended = rescore([1.0, 0.0], packed, scores=[0.0, 0.8], weight=0.25)
    assert blended == [(1, pytest.approx(0.6)), (0, pytest.approx(0.25))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scores": [1.0]}, "there are 2 candidates and 1 scores"),
        ({"scores": [1.0, float("nan")]}, "scores hold NaN"),
        ({"weight": 2}, "weight must be a number from 0 to 1"),
        ({"k": 0}, "k must be a whole number above 0"),
    ],
)
def test_impossible_arguments_are_refused_by_name(options, message):
    with pytest.raises(InvalidRequestError, match=message):
        rescore([1.0], [[1.0], [2.0]], **options)
