"""Searches find what this process has just written, and nothing that it has deleted."""

import asyncio
import contextlib
import gc
import random
import tracemalloc
import warnings

import numpy as np
import pytest
from support.embedded import embedded, let_writes_grow_old
from support.promises import sized
from support.watched_service import Watched

from oss_vector_retriever import (
    ConfigurationError,
    IncompleteSearchWarning,
    OSSVectorError,
    PartialWriteError,
    emulator,
)
from oss_vector_retriever.client import recent
from oss_vector_retriever.client.context import PerIndex
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.records.filters import read_filter
from oss_vector_retriever.records.search import mmr_search, search
from oss_vector_retriever.records.settings import StoreSettings
from oss_vector_retriever.records.store import RecordStore

LATE = emulator.Behaviour(query_delay_seconds=3.0)
QUERY = [1.0, 0.0]
FAILED = Reply(500, {"content-type": "application/json"}, b"{}")


class Breaking(Watched):
    """Break some operations after they are done."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.lost = set()

    def handle(self, request):
        reply = super().handle(request)
        return FAILED if request.query in self.lost else reply


class Place:
    """A service that shows writes late, a client of it, and a store that reads its own."""

    def __init__(self, behaviour=LATE, metric="cosine", **settings):
        self.clock = emulator.ManualClock()
        self.service = Breaking.in_memory(behaviour=behaviour, clock=self.clock)
        self.service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        self.client = embedded(self.service, retry=1)
        self.store = self.make(distance_metric=metric, **settings)

    def make(self, **settings):
        return RecordStore(StoreSettings(**{"read_your_writes": True, **settings}))

    def write(self, rows, client=None, **metadata):
        vectors = [
            self.store.encode(key, row, text="t", metadata={"from": key, **metadata})
            for key, row in rows.items()
        ]
        (client or self.client).run(self.store.write, vectors)

    def delete(self, *keys):
        self.client.run(self.store.delete, keys)

    def show(self):
        """Let the service show all that was written, and this process forget it."""
        self.clock.advance(10)
        let_writes_grow_old(self.client)
        self.service.seen.clear()

    def find(self, k=4, condition=None, store=None, query=QUERY, client=None):
        wanted = None if condition is None else read_filter(condition)
        runner = client or self.client
        return runner.run(search, store or self.store, query, k, condition=wanted)

    def keys(self, *arguments, **options):
        return [hit.record.key for hit in self.find(*arguments, **options).hits]


@pytest.fixture
def make(request):
    def made(*arguments, **settings):
        place = Place(*arguments, **settings)
        request.addfinalizer(place.service.close)
        request.addfinalizer(place.client.close)
        return place

    return made


@contextlib.contextmanager
def another_process():
    """Do as another process does, which has its own memory."""
    own = recent._table
    recent._table = recent._Table()
    try:
        yield
    finally:
        recent._table = own


def at(angle):
    return [float(np.cos(angle)), float(np.sin(angle))]


def fan(count, start=0):
    return {f"k{n:03}": at(0.01 * n) for n in range(start, start + count)}


class TestWhatIsFound:
    def test_is_what_was_just_written(self, make):
        place = make()
        place.write(fan(3))
        assert place.keys() == ["k000", "k001", "k002"]

    def test_nothing_of_it_is_found_without(self, make):
        place = make(read_your_writes=False)
        place.write(fan(3))
        assert place.keys() == []

    def test_is_no_longer_what_was_deleted(self, make):
        place = make()
        place.write(fan(8))
        place.show()
        place.delete("k000", "k001", "k002", "k003", "k004")
        assert place.keys(2) == ["k005", "k006"]

    def test_stands_where_it_is_now(self, make):
        place = make()
        place.write(fan(8))
        place.show()
        place.write({"k000": at(3.0), "k007": at(0.001)})
        assert place.keys(3) == ["k007", "k001", "k002"]
        assert place.keys(8)[-1] == "k000"

    def test_passes_the_whole_filter_as_it_is_now(self, make):
        place = make()
        place.write(fan(8), color="red")
        place.show()
        place.write(fan(2), color="blue")
        assert place.keys(8, {"color": "blue"}) == ["k000", "k001"]
        assert place.keys(2, {"color": "red"}) == ["k002", "k003"]
        assert place.keys(8, {"color": {"$ne": "red"}}) == ["k000", "k001"]

    def test_has_its_embedding_for_a_choice_with_variety(self, make):
        place = make()
        place.write(fan(3))
        found = place.client.run(mmr_search, place.store, QUERY, lambda _q, _r, k: [1, 0][:k], k=2)
        assert [hit.record.key for hit in found.hits] == ["k001", "k000"]
        assert len(found.hits[0].record.embedding) == 2

    def test_is_found_by_twins_other_stores_and_other_clients(self, make):
        place = make()
        place.write({"mine": QUERY})
        other = place.make()
        assert place.keys(store=other) == ["mine"]
        assert place.keys(client=place.client.with_options(timeout=9.0)) == ["mine"]
        second = embedded(place.service)
        assert place.keys(client=second) == ["mine"]

        async def twin():
            async with place.client.to_async() as client:
                return await client.run(search, place.store, QUERY, 4)

        assert [hit.record.key for hit in asyncio.run(twin()).hits] == ["mine"]

    def test_is_also_what_the_client_wrote_itself(self, make):
        place = make()
        place.client.put_vector_index(dimension=2, index="vectors")
        place.store.watch(place.client._context)
        place.client.put_vectors([{"key": "a", "data": at(0.1)}])
        place.client.upsert([{"key": "b", "data": at(0.2)}, {"key": "c", "data": at(0.3)}])
        place.client.delete_vectors(["b"])
        raw = place.make(on_decode_error="raw")
        assert place.keys(store=raw) == ["a", "c"]

    @pytest.mark.parametrize("squared", [False, True])
    def test_has_the_distance_that_the_service_would_tell(self, make, squared):
        behaviour = emulator.Behaviour(query_delay_seconds=3.0, squared_euclidean=squared)
        place = make(behaviour, "euclidean")
        place.write({"old": [9.0, 0.0], "far": [1.0, 30.0]})
        place.show()
        place.write({"new": [4.0, 0.0]})
        told = {hit.record.key: hit.distance for hit in place.find().hits}
        place.show()
        assert told == pytest.approx({hit.record.key: hit.distance for hit in place.find().hits})
        assert list(told) == ["new", "old", "far"]

    def test_others_that_are_nearer_are_not_passed_over_for_it(self, make):
        place = make()
        place.write(fan(50))
        place.show()
        # all that the first query brings is gone, and what was written is farther than the rest
        place.delete(*list(fan(45)))
        place.write({f"far{n}": at(2.0 + n / 10) for n in range(4)})
        assert place.keys(4) == ["k045", "k046", "k047", "k048"]


class TestCalls:
    def test_with_nothing_written_are_one(self, make):
        place = make()
        place.write(fan(8))
        place.show()
        place.find()
        assert place.service.seen == ["queryVectors"]

    def test_are_one_more_for_what_may_be_near(self, make):
        place = make()
        place.write(fan(200))
        place.show()
        place.write(fan(60, 150))
        place.service.seen.clear()
        assert place.keys(4) == ["k000", "k001", "k002", "k003"]
        assert place.service.seen == ["queryVectors"]  # none of them is near
        place.write({f"n{n:02}": at(0.0001 * n) for n in range(100)})
        place.service.seen.clear()
        assert place.keys(4) == ["k000", "n00", "n01", "n02"]
        assert place.service.seen == ["queryVectors", "getVectors"]

    def test_of_query_vectors_stay_one(self, make):
        place = make()
        place.write(fan(3))
        place.service.seen.clear()
        assert len(place.client.query_vectors(QUERY, top_k=4)) == 0
        assert place.service.seen == ["queryVectors"]

    def test_are_one_where_many_are_equally_far(self, make):
        place = make(emulator.Behaviour())
        place.write({f"k{n:03}": at(0.3 * (n % 3)) for n in range(300)})
        place.service.seen.clear()
        assert len(place.keys(101)) == 101
        assert place.service.seen.count("queryVectors") == 1


class TestUnknownOutcomes:
    def test_of_a_write_are_looked_at(self, make):
        place = make()
        place.write(fan(3))
        place.service.lost = {"putVectors"}
        with pytest.raises(PartialWriteError):
            place.write({"k002": at(0.001), "new": at(0.0005)})
        assert place.keys() == ["k000", "new", "k002", "k001"]

    def test_of_a_deletion_are_looked_at(self, make):
        place = make()
        place.write(fan(3))
        place.service.lost = {"deleteVectors"}
        with pytest.raises(PartialWriteError):
            place.delete("k001")
        assert place.keys() == ["k000", "k002"]

    def test_are_not_those_of_a_refusal(self, make):
        place = make()
        place.write(fan(1))
        place.service.denied = {"putVectors"}
        with pytest.raises(OSSVectorError):
            place.write({"k000": at(1.0), "new": at(2.0)})
        known = recent.recent_writes(place.client._context, None, True)
        assert list(known.written) == ["k000"]
        assert place.keys() == ["k000"]


class TestMemory:
    def test_ends_with_its_seconds(self, make):
        place = make(read_your_writes=2.0)
        place.write(fan(1))
        assert place.keys() == ["k000"]
        table, seconds = recent._table, place.client._context.monotonic()
        memory = table._memory(place.client._context, None)
        for entry in memory.entries.values():
            entry.at = seconds - 2.1
        assert place.keys() == []
        assert memory.size == 0

    @pytest.mark.parametrize(("is_made", "seconds"), [(True, 30.0), (False, 10.0)])
    def test_reaches_farther_back_in_an_index_made_here(self, make, is_made, seconds):
        place = make()
        with contextlib.nullcontext() if is_made else another_process():
            place.client.put_vector_index(dimension=2, index="vectors")
        place.write(fan(1))
        assert recent.recent_writes(place.client._context, None, True).seconds == seconds

    def test_goes_with_the_index(self, make):
        place = make()
        place.write(fan(3))
        place.client.delete_vector_index(index="vectors")
        assert place.keys() == []
        assert not recent.recent_writes(place.client._context, None, True).written
        place.client.put_vector_index(dimension=3, index="vectors")
        place.write({"new": [1.0, 0.0, 0.0]})
        assert place.keys(query=[1.0, 0.0, 0.0]) == ["new"]

    def test_of_another_dimension_is_forgotten(self, make):
        place = make()
        place.write(fan(3))
        with another_process():
            place.client.delete_vector_index(index="vectors")
            place.client.put_vector_index(dimension=3, index="vectors")
        assert place.keys(query=[1.0, 0.0, 0.0]) == []
        place.write({"new": [1.0, 0.0, 0.0]})
        assert list(recent.recent_writes(place.client._context, None, True).written) == ["new"]

    def test_keeps_nothing_that_no_store_reads(self, make):
        place = make()
        place.write(fan(1))
        place.show()
        place.store = None
        gc.collect()
        place.client.upsert([{"key": "x", "data": QUERY}])
        assert not recent.recent_writes(place.client._context, None, True).written

    def test_is_of_one_index(self, make):
        place = make()
        place.write(fan(1))
        other = place.make(index="other")
        place.client.run(other.write, [other.encode("o", QUERY, text="t")])
        assert place.keys() == ["k000"]
        assert place.keys(store=other) == ["o"]

    def test_ends_with_an_embedded_service(self, make):
        kept = PerIndex()
        first, second = make(), make()
        assert kept.find(first.client._context, None, list) is not kept.find(
            second.client._context, None, list
        )

    def test_of_a_child_is_empty(self, make):
        place = make()
        place.write(fan(1))
        with another_process():
            recent._table.renew_after_fork()
            assert place.keys() == []
        own = recent._table
        own.renew_after_fork()
        assert place.keys() == []

    @pytest.mark.parametrize("wrong", [0, -1, float("nan"), "yes", None])
    def test_of_impossible_seconds_is_refused(self, wrong):
        with pytest.raises(ConfigurationError, match="read_your_writes"):
            StoreSettings(read_your_writes=wrong)


class TestWhatMayBeLacking:
    def test_is_told_past_the_bound(self, make, monkeypatch):
        monkeypatch.setattr(recent, "_MOST_BYTES", 4100)
        place = make()
        place.write(fan(20))
        with pytest.warns(IncompleteSearchWarning, match="more was written in the last 30 s"):
            assert place.keys(20) == [f"k{n:03}" for n in range(10, 20)]
        place.show()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(place.keys(20)) == 20

    def test_is_told_where_too_many_would_have_to_be_fetched(self, make):
        place = make(scan_limit=150)
        place.write(fan(300), color="red")
        with pytest.warns(IncompleteSearchWarning, match="scan_limit="):
            assert place.keys(4, {"color": "blue"}) == []

    def test_is_told_where_getting_is_not_permitted(self, make):
        place = make()
        place.write(fan(8))
        place.show()
        place.write({"new": QUERY})
        place.service.denied = {"getVectors"}
        with pytest.warns(IncompleteSearchWarning, match=r"Permit oss:GetVectors"):
            assert place.keys(2) == ["k000", "k001"]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_truth_of_another_process_wins(make, metric):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown where it fails
    dice = random.Random(seed)
    place = make(metric=metric, on_incomplete="ignore")
    place.write({"first": at(1.5)})

    def far_of(angle):
        return 1 - np.cos(angle) if metric == "cosine" else np.hypot(*np.subtract(at(angle), QUERY))

    truth, own, shown = {"first": 1.5}, {}, {"first": 1.5}
    names = [f"k{n}" for n in range(12)]
    wins = rounds = 0
    while wins < sized(30, 1000):
        rounds += 1
        assert rounds < 40_000
        if dice.random() < 0.2:
            place.show()
            own, shown = {}, dict(truth)
        key, angle = dice.choice(names), dice.uniform(0.0, 3.0)
        is_mine, is_deletion = dice.random() < 0.5, dice.random() < 0.3
        with contextlib.nullcontext() if is_mine else another_process():
            if is_deletion:
                place.delete(key)
                truth.pop(key, None)
            else:
                place.write({key: at(angle)}, angle=angle)
                truth[key] = angle
        if is_mine:
            own[key] = truth.get(key)
        found = place.find(4).hits
        distances = [hit.distance for hit in found]
        assert distances == sorted(distances)
        for hit in found:
            name = hit.record.key
            if name in own:  # as it is now, whoever wrote it
                assert hit.distance == pytest.approx(far_of(truth[name]), abs=1e-5)
                assert hit.record.metadata.get("angle", 1.5) == truth[name]
                wins += own[name] != truth[name]
            else:
                assert name in shown
        for name, mine in own.items():
            if mine is None or truth.get(name) != mine:
                wins += name not in truth and mine is not None
                continue
            # what is mine and true is among the nearest, where it is near enough
            if len(found) < 4 or far_of(mine) < found[-1].distance - 1e-4:
                assert name in [hit.record.key for hit in found]


def test_an_upload_leaves_its_memory_within_its_bound(make, monkeypatch):
    count, dimension = sized(3_000, 100_000), 1024
    if count < 100_000:
        monkeypatch.setattr(recent, "_MOST_BYTES", 64 * 1024 * 1024 * count // 100_000)
    place = make()
    context = place.client._context
    recent.watch(context, None, place.store, True)
    rows = np.random.default_rng(5).random((500, dimension), dtype=np.float32)
    tracemalloc.start()
    try:
        peak = 0
        for start in range(0, count, 500):
            written = {f"k{start + n:06}": recent.Float32Array(row) for n, row in enumerate(rows)}
            with recent.Writing(context, None, written):
                pass
            del written
            peak = max(peak, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    print(f"the memory takes {peak / 1e6:.1f} MB of {count} vectors")  # noqa: T201 - the figure
    assert peak < 80e6 * count / 100_000 + 2e6
    assert recent.recent_writes(context, None, True).lost
