"""Maximal marginal relevance: what is picked, checked against the definition word by word."""

import math

import numpy as np
import pytest

from oss_vector_retriever import Float32Array, InvalidRequestError
from oss_vector_retriever.embeddings import maximal_marginal_relevance


def cosine(a, b):
    length = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0


def by_the_definition(query, candidates, k, share):
    """Pick as the definition says, in plain Python."""
    picked = []
    while len(picked) < min(k, len(candidates)):
        worth = {}
        for place, candidate in enumerate(candidates):
            if place not in picked:
                nearest = max((cosine(candidate, candidates[p]) for p in picked), default=None)
                relevance = cosine(query, candidate)
                worth[place] = (
                    relevance if nearest is None else share * relevance - (1 - share) * nearest
                )
        best = max(worth.values())
        picked.append(next(place for place, value in worth.items() if value >= best - 1e-12))
    return picked


def test_it_picks_what_the_definition_picks_in_a_thousand_cases():
    random = np.random.default_rng(20)
    for case in range(1000):
        count, dimension = int(random.integers(1, 12)), int(random.integers(1, 6))
        # small whole numbers make equal candidates and equal similarities common
        candidates = random.integers(-2, 3, (count, dimension)).astype(np.float32)
        if case % 2:
            candidates = random.normal(size=(count, dimension)).astype(np.float32)
        query = random.normal(size=dimension).astype(np.float32)
        k, share = int(random.integers(1, 14)), float(random.choice([0.0, 0.3, 0.5, 0.9, 1.0]))
        expected = by_the_definition(query.tolist(), candidates.tolist(), k, share)
        assert maximal_marginal_relevance(query, candidates, k, share) == expected, case


def test_it_looks_at_every_pick_and_not_only_at_the_last():
    east, north, east_again = [1.0, 0.1, 0.0], [0.1, 1.0, 0.0], [1.0, 0.11, 0.0]
    up = [0.1, 0.0, 1.0]
    picks = maximal_marginal_relevance([1.0, 0.6, 0.1], [east, north, east_again, up], 3, 0.5)
    assert picks[:2] == [2, 1]
    assert picks[2] == 3  # the other one looks east, as the first pick did


def test_all_similarity_is_the_order_of_similarity():
    candidates = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    assert maximal_marginal_relevance([1.0, 0.0], candidates, 3, 1.0) == [1, 2, 0]


def test_of_equal_candidates_the_first_is_picked_and_each_once():
    assert maximal_marginal_relevance([1.0, 2.0], [[3.0, 1.0]] * 5, 5) == [0, 1, 2, 3, 4]


def test_packed_data_are_taken_as_they_are():
    packed = [Float32Array([1, 0]), Float32Array([0, 1])]
    assert maximal_marginal_relevance(Float32Array([0, 1]), packed, 5) == [1, 0]


def test_nothing_to_pick_from_is_nothing_picked():
    assert maximal_marginal_relevance([1.0], [], 4) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [[1.0, 2.0]], 1), "the query has 1 dimensions and the candidates have 2"),
        (([1.0, 2.0], [[1.0, 2.0], [1.0]], 1), "candidates have different lengths, \\[1, 2\\]"),
        (([], [[1.0]], 1), "query must be a list of numbers"),
        (([math.nan], [[1.0]], 1), "query hold NaN"),
        (([1.0], [[math.inf]], 1), "candidates hold NaN or an infinite"),
        (([1.0], [["a"]], 1), "candidates must be numbers"),
        (([1.0], [[1.0]], 0), "k must be a whole number above 0, not 0"),
        (([1.0], [[1.0]], True), "k must be a whole number"),
        (([1.0], [[1.0]], 1, 1.5), "lambda_mult must be a number from 0 to 1, not 1.5"),
        (([1.0], [[1.0]], 1, math.nan), "lambda_mult must be a number"),
    ],
)
def test_impossible_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(InvalidRequestError, match=message):
        maximal_marginal_relevance(*arguments)
