"""The emulator against a plain-Python model of it: random operations, step by step.

The default run takes a share of the steps, `make soak` all 20,000; each prints how many it took. A
failure prints the steps that lead to it.
"""

import math

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.caller import Caller
from support.index_model import Index, Listing

from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_BUCKET,
    Behaviour,
    Service,
)

INDEXES = ("euclid", "cosine", "hidden")
DIMENSION = 2
STEPS_EACH = 50

keys = st.sampled_from([f"k{number}" for number in range(12)])
values = st.lists(st.integers(-2, 2), min_size=DIMENSION, max_size=DIMENSION)
words = st.sampled_from(["x", "y", "z"])
metadata = st.dictionaries(st.sampled_from("abh"), words | st.lists(words, max_size=2), max_size=3)
vectors = st.tuples(keys, values, metadata)
names = st.sampled_from(INDEXES)
conditions = st.fixed_dictionaries({"a": st.fixed_dictionaries({"$eq": words})})


class EmulatorMachine(RuleBasedStateMachine):
    """Do everything to an emulator in memory and to its model."""

    steps = 0
    path = None

    @initialize(after=st.booleans())
    def begin(self, after):
        type(self).steps -= 1  # this is none
        self.filters_after_ranking = after
        self.service = Service(self.path, behaviour=Behaviour(filter_after_ranking=after))
        self.service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        self.caller = Caller(self.service)
        self.model = {}
        self.listings = []
        for name in INDEXES[:2]:
            self.make_index(name)

    def post(self, operation, name, **members):
        status, parsed = self.caller.post(operation, {"indexName": name, **members})
        assert status in (200, 204, 400, 404, 409), parsed
        return status, parsed

    @invariant()
    def is_counted(self):
        type(self).steps += 1

    def known(self, status, name):
        """Tell whether an index exists; the answer must have said the same."""
        assert (status == 404) is (name not in self.model)
        return name in self.model

    @rule(name=names)
    def make_an_index(self, name):
        self.make_index(name)

    def make_index(self, name):
        metric = "cosine" if name == "cosine" else "euclidean"
        hidden = {"metadata": {"nonFilterableMetadataKeys": ["h"]}} if name == "hidden" else {}
        members = {"dataType": "float32", "dimension": DIMENSION, "distanceMetric": metric}
        status, _ = self.post("putVectorIndex", name, **members, **hidden)
        assert status == (409 if name in self.model else 200)
        self.model.setdefault(name, Index(name))

    @rule(name=names, sure=st.integers(0, 5))
    def delete_index(self, name, sure):
        if sure:  # or there would hardly ever be one
            return
        status, _ = self.post("deleteVectorIndex", name)
        if self.known(status, name):
            del self.model[name]
            self.listings = [one for one in self.listings if one.name != name]

    @rule()
    def list_indexes(self):
        _, parsed = self.caller.post("listVectorIndexes")
        assert [one["indexName"] for one in parsed["indexes"]] == sorted(self.model)

    @rule(name=names, batch=st.lists(vectors, min_size=1, max_size=6, unique_by=lambda v: v[0]))
    def put(self, name, batch):
        members = [{"key": k, "data": {"float32": d}, "metadata": m} for k, d, m in batch]
        status, _ = self.post("putVectors", name, vectors=members)
        if not self.known(status, name):
            return
        index = self.model[name]
        if index.cosine and any(not any(data) for _, data, _ in batch):
            assert status == 400
        else:
            assert status == 200
            index.vectors |= {key: (data, found) for key, data, found in batch}

    @rule(name=names, vector=vectors, other=vectors)
    def put_a_key_twice(self, name, vector, other):
        members = [{"key": "new", "data": {"float32": data}} for _, data, _ in (vector, other)]
        assert self.post("putVectors", name, vectors=members)[0] == 400

    @rule(name=names, asked=st.lists(keys, min_size=1, max_size=20))
    def get(self, name, asked):
        status, parsed = self.post("getVectors", name, keys=asked, returnData=True)
        if self.known(status, name):
            stored = self.model[name].vectors
            expected = [
                {"key": key, "data": {"float32": stored[key][0]}}
                for key in dict.fromkeys(asked)
                if key in stored
            ]
            assert parsed == {"vectors": expected}

    @rule(name=names, asked=st.lists(keys, min_size=1, max_size=4, unique=True))
    def delete(self, name, asked):
        status, _ = self.post("deleteVectors", name, keys=asked)
        if self.known(status, name):
            for key in asked:
                self.model[name].vectors.pop(key, None)
            for listing in self.listings:
                if listing.name == name:
                    listing.stayed -= set(asked)

    @rule(name=names, condition=st.none() | conditions)
    def list_all(self, name, condition):
        members = {} if condition is None else {"filter": condition}
        status, parsed = self.post("listVectors", name, returnMetadata=True, **members)
        if self.known(status, name):
            index = self.model[name]
            found = [(one["key"], one.get("metadata", {})) for one in parsed["vectors"]]
            assert found == [(key, index.vectors[key][1]) for key in index.passing(condition)]
            assert "nextToken" not in parsed

    @rule(name=names, count=st.integers(2, 4))
    def list_segments(self, name, count):
        if name in self.model:
            pages = (
                self.post("listVectors", name, segmentCount=count, segmentIndex=part)[1]
                for part in range(count)
            )
            found = [one["key"] for page in pages for one in page["vectors"]]
            assert sorted(found) == sorted(self.model[name].vectors)

    @rule(name=names)
    def begin_listing(self, name):
        if name in self.model:
            self.listings.append(Listing(name, self.model[name].vectors))

    @precondition(lambda self: self.listings)
    @rule(data=st.data(), most=st.integers(1, 5))
    def go_on_listing(self, data, most):
        listing = data.draw(st.sampled_from(self.listings), label="listing")
        token = {"nextToken": listing.token} if listing.token else {}
        status, page = self.post("listVectors", listing.name, maxResults=most, **token)
        assert status == 200
        assert len(page["vectors"]) <= most
        listing.shown += [one["key"] for one in page["vectors"]]
        listing.token = page.get("nextToken")
        if listing.token is None:
            shown = [key for key in listing.shown if key in listing.stayed]
            assert sorted(shown) == sorted(listing.stayed), "once each"
            self.listings.remove(listing)

    @rule(name=names, query=values, top_k=st.integers(1, 8), condition=st.none() | conditions)
    def query(self, name, query, top_k, condition):
        members = {"queryVector": {"float32": query}, "topK": top_k, "returnDistance": True}
        if condition:
            members["filter"] = condition
        status, parsed = self.post("queryVectors", name, **members)
        if not self.known(status, name):
            return
        index = self.model[name]
        if index.cosine and not any(query):
            assert status == 400
            return
        found = [(one["distance"], one["key"]) for one in parsed["vectors"]]
        if condition and self.filters_after_ranking:
            self.check_chosen_after_ranking(index, query, top_k, condition, found)
            return
        ranked = sorted((index.distance(query, key), key) for key in index.passing(condition))
        assert [d for d, _ in found] == pytest.approx([d for d, _ in ranked[:top_k]], abs=1e-12)
        assert all(d == pytest.approx(index.distance(query, k), abs=1e-12) for d, k in found)
        if not index.cosine:
            assert [key for _, key in found] == [key for _, key in ranked[:top_k]]

    def check_chosen_after_ranking(self, index, query, top_k, condition, found):
        ranked = sorted((index.distance(query, key), key) for key in index.vectors)[:top_k]
        passing = set(index.passing(condition))
        expected = [(distance, key) for distance, key in ranked if key in passing]
        if not index.cosine:
            assert [key for _, key in found] == [key for _, key in expected]
            distances = [distance for distance, _ in expected]
            assert [distance for distance, _ in found] == pytest.approx(distances, abs=1e-12)
            return
        # Of those about as far as the last of the nearest, rounding decides which are among them.
        last = ranked[-1][0] if ranked else 0.0
        sure = {key for distance, key in expected if distance < last - 1e-12}
        near = {key for key in passing if index.distance(query, key) <= last + 1e-12}
        assert sure <= {key for _, key in found} <= near
        assert all(d == pytest.approx(index.distance(query, k), abs=1e-12) for d, k in found)

    def teardown(self):
        if hasattr(self, "service"):
            self.service.close()


def run(kind, steps):
    """Run a machine for at least so many steps."""
    kind.steps = 0
    while kind.steps < steps:
        chosen = settings(
            max_examples=math.ceil((steps - kind.steps) / STEPS_EACH) + 2,
            stateful_step_count=STEPS_EACH,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(kind, settings=chosen)
    print(f"\n{kind.__name__}: {kind.steps} steps agree with the model")  # noqa: T201 - a figure


@pytest.mark.parametrize("steps", [1_500, pytest.param(20_000, marks=pytest.mark.soak)])
def test_the_emulator_agrees_with_its_model(steps):
    run(EmulatorMachine, steps)


@pytest.mark.parametrize("steps", [500, pytest.param(5_000, marks=pytest.mark.soak)])
def test_so_does_one_that_is_closed_and_opened_again(tmp_path, steps):
    class ReopenedMachine(EmulatorMachine):
        """Do the same to an emulator on a file, which is closed and opened in between."""

        opened = 0

        @property
        def path(self):
            return tmp_path / f"{type(self).opened}.db"

        @initialize(after=st.booleans())
        def begin(self, after):
            type(self).opened += 1
            super().begin(after)

        @rule()
        def reopen(self):
            self.service.close()
            self.service = Service(self.path, behaviour=self.service.behaviour)
            self.caller.service = self.service

    run(ReopenedMachine, steps)
