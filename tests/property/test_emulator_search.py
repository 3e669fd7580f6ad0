"""Searches of an index that changes and is opened anew, against each vector measured by itself."""

import random

import numpy as np
import pytest
from support.caller import Caller
from support.promises import sized

from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
    Behaviour,
    Service,
)
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.emulator.search import matrix

STEPS = sized(300, 3_000, 20_000)
DIMENSION = 5
NAMES = 40
FIRST_FILTERS = Behaviour(filter_after_ranking=False)


class World:
    """What is in the index, kept by the test, and a service on a file that it is put to."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng
        self.vectors = {}
        self.service = None
        self.open()
        self.service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        self.caller.make_index(dimension=DIMENSION, non_filterable=["hidden"])

    def open(self):
        """Start the service again: what it kept in memory is gone."""
        if self.service is not None:
            self.service.close()
        self.service = Service.open(self.path, behaviour=FIRST_FILTERS)
        self.caller = Caller(self.service)

    def metadata(self):
        rng = self.rng
        made = {"hidden": "x" * rng.randrange(20)} if rng.random() < 0.3 else {}
        if rng.random() < 0.8:
            made["n"] = rng.choice([rng.randrange(4), rng.randrange(4) / 2, str(rng.randrange(4))])
        if rng.random() < 0.6:
            made["tags"] = rng.sample(["a", "b", "c"], rng.randrange(4))
        if rng.random() < 0.5:
            made["flag"] = rng.choice([True, False, 1, "a"])
        return made

    def filter(self):
        rng = self.rng
        conditions = [
            {"n": {rng.choice(["$gt", "$gte", "$lt", "$lte"]): rng.randrange(4) / 2}},
            {"n": {rng.choice(["$eq", "$ne"]): rng.choice([1, 0.5, "1", True])}},
            {"tags": {rng.choice(["$in", "$nin"]): rng.sample(["a", "b", "d"], 2)}},
            {"flag": {"$exists": rng.random() < 0.5}},
            {"flag": {rng.choice(["$eq", "$ne"]): rng.choice([True, 1, "a"])}},
            {"never": {"$exists": rng.random() < 0.2}},
        ]
        chosen = rng.sample(conditions, 2)
        return rng.choice([None, chosen[0], {"$or": chosen}, {"$and": chosen}])

    def change(self):
        rng = self.rng
        keys = [f"k{n}" for n in rng.sample(range(NAMES), rng.randint(1, 6))]
        if rng.random() < 0.3:
            body = {"indexName": "index1", "keys": keys}
            assert self.caller.post("deleteVectors", body) == (204, None)
            for key in keys:
                self.vectors.pop(key, None)
            return
        written = {
            key: ([rng.gauss(0, 1) for _ in range(DIMENSION)], self.metadata()) for key in keys
        }
        self.caller.put(*((key, *value) for key, value in written.items()))
        self.vectors |= written

    def check_search(self):
        rng = self.rng
        query, condition = [rng.gauss(0, 1) for _ in range(DIMENSION)], self.filter()
        members = {} if condition is None else {"filter": condition}
        top_k = rng.choice([1, 5, 30])
        found = self.caller.query(query, top_k, returnDistance=True, **members)
        passes = parse_filter(condition or {}).matches
        distances = {
            key: np.linalg.norm(np.float64(np.float32(values)) - np.float64(np.float32(query)))
            for key, (values, metadata) in self.vectors.items()
            if passes(metadata)
        }
        expected = sorted(distances, key=lambda key: (distances[key], key))[:top_k]
        assert [hit["key"] for hit in found] == expected, condition
        np.testing.assert_allclose([h["distance"] for h in found], [distances[k] for k in expected])


@pytest.mark.promise("R16")
@pytest.mark.timeout(1800)
def test_a_search_finds_what_every_vector_measured_by_itself_says(tmp_path, monkeypatch, figure):
    monkeypatch.setattr(matrix, "_FEW", 12)  # so that both ways to bring a matrix up to date occur
    monkeypatch.setattr(matrix, "_LOADED_BYTES", 7 * DIMENSION * 4)
    seed = random.SystemRandom().getrandbits(32)
    print(f"\nseed {seed}")  # noqa: T201 - to repeat a failure
    world = World(tmp_path / "v.db", random.Random(seed))
    try:
        for _ in range(STEPS):
            kind = world.rng.random()
            if kind < 0.03:
                world.open()
            elif kind < 0.4:
                world.change()
            else:
                world.check_search()
    finally:
        world.service.close()
    figure(f"{STEPS:,} changes, searches and starts, 0 hits otherwise than measured")
