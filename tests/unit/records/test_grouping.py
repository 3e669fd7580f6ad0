"""Children under their parents, and stored records in hits."""

import pytest

from oss_vector_retriever.records.grouping import group_by_parent, pair_with_stored


def test_children_stand_under_their_parent_in_the_order_found():
    first, alone, second = group_by_parent(
        [("a", "p", 0.5), ("b", None, None), ("c", "q", 0.1), ("d", "p", 1.0), ("e", "p", None)]
    )
    assert (first.parent, first.rank, first.children) == ("p", 0, ["a", "d", "e"])
    assert (alone.parent, alone.rank, alone.children) == (None, 1, ["b"])
    assert (second.parent, second.rank, second.children) == ("q", 2, ["c"])
    assert (first.mean_score, first.best_score(), first.best_child()) == (0.75, 1.0, "d")
    assert first.best_score(higher_is_better=False) == 0.5
    assert first.best_child(higher_is_better=False) == "a"
    assert (alone.mean_score, alone.best_score(), alone.best_child()) == (None, None, "b")


def test_two_children_without_a_parent_are_two_groups():
    assert len(group_by_parent([("a", None, 1.0), ("b", None, 1.0)])) == 2


@pytest.mark.parametrize(("policy", "kept"), [("keep", True), ("raise", True), ("omit", False)])
def test_hits_get_their_records_and_stay_or_go_where_there_is_none(policy, kept):
    keys = ["a", None, "unreadable", "gone"]
    pairs = list(pair_with_stored("xyuz", keys, {"a": "A"}, ["gone"], policy))
    assert pairs == [("x", "A"), ("y", None)] + ([("z", None)] if kept else [])
