import random

import numpy as np
import pytest

from oss_vector_retriever.emulator.search import matrix
from oss_vector_retriever.emulator.search.changes import Changes
from oss_vector_retriever.emulator.search.nearest import Search
from oss_vector_retriever.emulator.storage import indexes, vectors

HUGE = 1 << 40


def loads(monkeypatch):
    """Count how often an index is read."""
    counted = []
    original = vectors.blocks

    def blocks(db, index_id, size):
        counted.append(index_id)
        return original(db, index_id, size)

    monkeypatch.setattr(vectors, "blocks", blocks)
    return counted


def test_a_matrix_is_kept_until_something_is_written(shelf, monkeypatch):
    counted = loads(monkeypatch)
    search = Search(HUGE, Changes())
    shelf.fill("a", [[1.0], [2.0]])
    for _ in range(3):
        assert len(shelf.nearest(search, "a", [1])) == 2
    assert counted == [1]
    shelf.fill("a", [[5.0]], keys=["new"])
    assert len(shelf.nearest(search, "a", [1])) == 3
    assert counted == [1, 1]


def test_the_memory_budget_is_kept_and_the_least_used_matrix_goes_first(shelf, monkeypatch):
    counted = loads(monkeypatch)
    for name in "abc":
        shelf.fill(name, np.ones((100, 100)))
    search = Search(2 * (100 * 100 * 4 + 100 * (24 + 70)), Changes())
    for name in "abacab":
        assert len(shelf.nearest(search, name, [1] * 100)) == 10
        assert 0 < search.matrices.kept_bytes <= search.matrices._memory
    assert counted == [1, 2, 3, 2]


def test_an_index_beyond_the_budget_is_streamed_and_not_kept(shelf, monkeypatch):
    counted = loads(monkeypatch)
    shelf.fill("a", np.ones((5000, 10)))
    search = Search(5000 * 10 * 4 - 1, Changes())
    for _ in range(2):
        assert len(shelf.nearest(search, "a", [1] * 10)) == 10
    assert search.matrices.kept_bytes == 0
    assert counted == [1, 1]


def test_an_older_snapshot_does_not_replace_a_newer_matrix(shelf):
    search = Search(HUGE, Changes())
    shelf.fill("a", [[1.0]])
    with shelf.database.read() as db:
        old = indexes.find(db, 1, "a")
    shelf.fill("a", [[2.0]], keys=["new"])
    assert len(shelf.nearest(search, "a", [1])) == 2
    with shelf.database.read() as db:
        search.nearest(db, old, np.ones(1, "<f4").tobytes(), 1)
    assert search.matrices._kept[old.id].writes == old.writes + 1


class TestSmallChanges:
    """What is kept is brought up to date by reading what was changed, not the whole index."""

    def numbered(self, caller, count):
        caller.put(*((f"k{n}", [n, 1, 0], {"n": str(n % 3)}) for n in range(count)))

    def keys(self, caller, value, top_k=3, **more):
        return [hit["key"] for hit in caller.query([value, 1, 0], top_k, **more)]

    def test_of_a_changed_index_only_what_was_changed_is_read(self, caller, monkeypatch):
        counted = loads(monkeypatch)
        self.numbered(caller, 10)
        assert self.keys(caller, 0) == ["k0", "k1", "k2"]
        caller.put(("new", [0.1, 1, 0], {"n": "0"}), ("k1", [9.5, 1, 0], {"n": "7"}))
        assert self.keys(caller, 0) == ["k0", "new", "k2"]
        assert self.keys(caller, 9.5, 1) == ["k1"]
        assert self.keys(caller, 0, 20, filter={"n": "7"}) == ["k1"]
        caller.post("deleteVectors", {"indexName": "index1", "keys": ["k0", "new", "gone"]})
        assert self.keys(caller, 0) == ["k2", "k3", "k4"]
        caller.put(("k0", [0, 1, 0]))
        assert self.keys(caller, 0) == ["k0", "k2", "k3"]
        assert len(counted) == 1

    def test_of_an_index_that_was_changed_much_all_is_read(self, caller, monkeypatch):
        monkeypatch.setattr(matrix, "_FEW", 5)
        counted = loads(monkeypatch)
        self.numbered(caller, 10)
        assert self.keys(caller, 0) == ["k0", "k1", "k2"]
        caller.put(*((f"m{n}", [0, 1, 0]) for n in range(5)))
        assert len(self.keys(caller, 0, 20)) == 15
        assert len(counted) == 1
        caller.put(("one more", [0, 1, 0]))
        assert len(self.keys(caller, 0, 20)) == 16
        assert len(counted) == 2
        caller.put(("and one", [0, 1, 0]))
        assert len(self.keys(caller, 0, 20)) == 17
        assert len(counted) == 2

    def test_an_older_snapshot_is_served_from_what_it_knows(self, caller, monkeypatch):
        self.numbered(caller, 5)
        assert len(self.keys(caller, 0, 20)) == 5
        counted = loads(monkeypatch)
        service = caller.service
        with service._database.read() as db:
            old = indexes.find(db, 1, "index1")
        caller.put(("new", [0, 1, 0]))
        assert len(self.keys(caller, 0, 20)) == 6
        search = service._core.search
        with service._database.read() as db:
            hits = search.nearest(db, old, np.ones(3, "<f4").tobytes(), 20)
        assert "new" not in {hit.key for hit in hits}
        assert counted == []
        assert len(self.keys(caller, 0, 20)) == 6

    def test_it_is_part_of_the_memory_budget(self, caller, monkeypatch):
        counted = loads(monkeypatch)
        self.numbered(caller, 100)
        self.keys(caller, 0)
        kept = caller.service._core.search.matrices
        before = kept.kept_bytes
        caller.put(("new", [0, 1, 0]))
        self.keys(caller, 0)
        assert before + 100 * 100 < kept.kept_bytes < before + 100 * 150
        kept._memory = before + 2000
        caller.put(("newer", [0, 1, 0]))
        assert len(self.keys(caller, 0, 200)) == 102
        assert kept.kept_bytes <= kept._memory
        assert len(counted) == 2

    @pytest.mark.parametrize("metric", ["euclidean", "cosine"])
    def test_random_changes_leave_no_trace(self, make_caller, metric):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        caller = make_caller()
        caller.make_index(dimension=3, metric=metric)
        for _ in range(150):
            names = rng.sample(range(60), rng.randint(1, 8))
            if rng.random() < 0.7:
                caller.put(*((f"k{n}", [rng.gauss(0, 1) for _ in range(3)]) for n in names))
            else:
                caller.post(
                    "deleteVectors", {"indexName": "index1", "keys": [f"k{n}" for n in names]}
                )
            query = [rng.gauss(0, 1) for _ in range(3)]
            found = caller.query(query, 10, returnDistance=True)
            with caller.service._database.read() as db:
                index = indexes.find(db, 1, "index1")
                packed = np.asarray(query, "<f4").tobytes()
                anew = Search(HUGE, Changes()).nearest(db, index, packed, 10)
            assert [(hit["key"], hit["distance"]) for hit in found] == [
                (hit.key, hit.distance) for hit in anew
            ], seed


class TestChanges:
    def test_only_what_is_watched_is_remembered(self):
        changes = Changes()
        changes.note(1, 1, ["a"])
        assert changes.keys_between(1, 0, 1) is None
        changes.watch(1, 1)
        changes.note(1, 2, ["b"])
        changes.note(1, 3, ["b", "c"])
        assert changes.keys_between(1, 1, 3) == {"b", "c"}
        assert changes.keys_between(1, 1, 2) == {"b"}
        assert changes.keys_between(1, 0, 3) is None
        assert changes.keys_between(1, 3, 3) == set()
        assert changes.keys_between(2, 0, 1) is None
        changes.watch(1, 2)
        assert changes.keys_between(1, 1, 3) is None
        assert changes.keys_between(1, 2, 3) == {"b", "c"}
        changes.forget(1)
        assert changes.keys_between(1, 2, 3) is None

    def test_a_number_given_out_again_has_its_last_meaning(self):
        changes = Changes()
        changes.watch(1, 0)
        changes.note(1, 1, ["failed"])
        changes.note(1, 1, ["done"])
        assert changes.keys_between(1, 0, 1) == {"done"}

    def test_a_gap_is_noticed_and_order_does_not_matter(self):
        changes = Changes()
        changes.watch(1, 0)
        changes.note(1, 3, ["c"])
        changes.note(1, 1, ["a"])
        assert changes.keys_between(1, 0, 3) is None
        changes.note(1, 2, ["b"])
        assert changes.keys_between(1, 0, 3) == {"a", "b", "c"}

    def test_the_oldest_changes_are_forgotten_first(self):
        changes = Changes()
        changes.watch(1, 0)
        for number in range(1, 41):
            changes.note(1, number, [f"{number}-{n}" for n in range(500)])
        assert changes.keys_between(1, 0, 40) is None
        assert len(changes.keys_between(1, 20, 40)) == 10_000
