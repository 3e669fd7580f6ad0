"""Near-duplicates: the first of each group stays."""

import numpy as np
import pytest

from oss_vector_retriever import InvalidRequestError
from oss_vector_retriever.embeddings import near_duplicates


def one_by_one(rows, threshold):
    """Compare each row with those that stay, in plain loops."""
    kept, stands_for = [], []
    for place, row in enumerate(rows):
        norm = np.linalg.norm(row)
        like = [
            other
            for other in kept
            if norm and row @ rows[other] / norm / np.linalg.norm(rows[other]) >= threshold - 1e-9
        ]
        stands_for.append(like[0] if like else place)
        kept += [] if like else [place]
    return stands_for


def test_the_first_of_a_group_stays():
    found = near_duplicates([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [1.0, 0.001]], 0.99)
    assert found.kept == [0, 2]
    assert found.keep.tolist() == [True, False, True, False]
    assert found.groups == [[0, 1, 3], [2]]


@pytest.mark.parametrize("count", [1, 40, 255, 256, 257, 700])
def test_it_finds_what_comparing_one_by_one_finds(count):
    random = np.random.default_rng(count)
    rows = random.normal(size=(count, 3))
    found = near_duplicates(rows, 0.97)
    assert found.stands_for.tolist() == one_by_one(rows, 0.97)


def test_a_chain_of_small_steps_does_not_pull_in_what_is_far():
    angles = np.radians([0, 10, 20, 30])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert near_duplicates(rows, np.cos(np.radians(11))).groups == [[0, 1], [2, 3]]


def test_a_threshold_of_one_finds_vectors_of_the_same_direction():
    random = np.random.default_rng(5)
    row = random.normal(size=1536).astype(np.float32)
    other = random.normal(size=1536).astype(np.float32)
    assert near_duplicates([row, other, row], 1.0).groups == [[0, 2], [1]]


def test_vectors_of_zeros_resemble_nothing():
    assert near_duplicates([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], -1.0).kept == [0, 1, 2]


def test_nothing_has_no_duplicates():
    found = near_duplicates([])
    assert (found.kept, found.groups) == ([], [])


@pytest.mark.parametrize("threshold", [1.01, -2, float("nan"), "0.9", True])
def test_an_impossible_threshold_is_refused(threshold):
    with pytest.raises(InvalidRequestError, match="threshold must be a number from -1 to 1"):
        near_duplicates([[1.0]], threshold)


def test_vectors_of_different_lengths_are_refused():
    with pytest.raises(InvalidRequestError, match="different lengths"):
        near_duplicates([[1.0], [1.0, 2.0]])
