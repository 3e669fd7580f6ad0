"""Writes into a new index, on a machine whose clock and the emulator's move together."""

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from support.embedded import settings
from support.machine import Machine

from oss_vector_retriever import (
    DeadlineExceededError,
    InternalServiceError,
    NoSuchVectorIndexError,
    VectorIndexAlreadyExistsError,
    emulator,
)
from oss_vector_retriever.client import known_indexes, writes
from oss_vector_retriever.client.known_indexes import (
    delete_vector_index,
    describe,
    get_vector_index,
)
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.readiness import put_vector_index

SLOW = {"index_creation_seconds": 3.0, "creating_refuses_writes": True}
SLOWER = {**SLOW, "enable_failure_seconds": 5.0}
ONE = [{"key": "a", "data": [1, 2]}]
DENIED = Reply(
    403,
    {"content-type": "application/xml"},
    b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
)


class World:
    """A machine and a service on one clock; it notes what the service is asked."""

    def __init__(self, hours_ago=0, **switches):
        now = datetime.now(UTC)
        self.machine = Machine(wall=now)
        # an hour ago the index is made of which the replies of today tell
        self._clock = emulator.ManualClock(now - timedelta(hours=hours_ago))
        self._moved = 0.0
        behaviour = emulator.Behaviour(**switches)
        self.service = emulator.Service.in_memory(behaviour=behaviour, clock=self._clock)
        self.service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        self.began = self.machine.seconds
        self.seen = []
        self.denied = set()

    @property
    def seconds(self):
        return self.machine.seconds - self.began

    def client(self, **options):
        return self.machine.context(**settings("http://localhost"), **options)

    def answer(self, request):
        self._clock.advance(self.seconds - self._moved)
        self._moved = self.seconds
        self.seen.append(request.query)
        return DENIED if request.query in self.denied else self.service.respond(request).arrive()

    def play(self, flow):
        return self.machine.play(flow, self.answer)

    def run(self, flow):
        played = self.play(flow)
        assert played.error is None, played.error
        return played.value

    def counted(self):
        """Return how often each operation was asked for since the last time."""
        seen, self.seen = Counter(self.seen), []
        return seen


@pytest.fixture
def world(request):
    made = World(**getattr(request, "param", SLOWER))
    with made.service:
        yield made


def flows(context):
    """Return the two ways to put vectors."""
    return {"put_vectors": writes.put_vectors(context, ONE), "upsert": writes.upsert(context, ONE)}


@pytest.mark.parametrize("way", ["put_vectors", "upsert"])
@pytest.mark.parametrize("maker", ["itself", "another"])
def test_a_write_waits_for_an_index_whoever_has_made_it(world, way, maker):
    context = world.client()
    world.run(put_vector_index(context if maker == "itself" else world.client(), 2))
    world.counted()
    world.run(flows(context)[way])
    # it is made at once when the index takes writes
    assert 8.0 <= world.seconds <= 10.0
    counts = world.counted()
    assert counts["getVectorIndex"] == (0 if maker == "itself" else 1)
    assert counts["putVectors"] <= 7


@pytest.mark.parametrize("world", [SLOWER], indirect=True)
def test_a_write_waits_for_an_index_that_is_enabled_and_answers_500(world):
    world.run(put_vector_index(world.client(), 2))
    world.machine.passes(4.0)
    world.run(writes.put_vectors(world.client(), ONE))
    assert 8.0 <= world.seconds <= 10.0


def test_deletions_wait_as_puts_do(world):
    context = world.client()
    world.run(put_vector_index(context, 2))
    world.service.faults.add(emulator.faults.ServerError(operation="DeleteVectors", times=5))
    world.run(writes.delete_vectors(context, ["a"]))
    world.service.faults.add(emulator.faults.ServerError(operation="DeleteVectors", times=5))
    world.run(writes.delete(context, ["a"]))
    assert 0 < world.seconds < 20.0


@pytest.mark.parametrize("world", [SLOW], indirect=True)
def test_deletions_that_pass_say_nothing_of_puts(world):
    context = world.client()
    world.run(put_vector_index(context, 2))
    world.run(get_vector_index(context))
    world.run(writes.delete_vectors(context, ["a"]))
    assert world.seconds == 0
    world.counted()
    world.run(writes.put_vectors(context, ONE))
    # the first after its pause: it was known that the index is creating
    assert world.counted()["putVectors"] <= 3


def test_who_finds_an_index_made_already_keeps_what_is_known_of_it(world):
    context = world.client()
    world.run(put_vector_index(context, 2))
    world.run(describe(context))
    world.counted()
    error = world.play(put_vector_index(context, 2, wait=True)).error
    assert isinstance(error, VectorIndexAlreadyExistsError)
    assert world.run(describe(context)).dimension == 2
    assert world.counted() == {"putVectorIndex": 1}


def test_no_attempt_and_no_budget_is_spent_on_the_wait(world):
    context = world.client(retry=2)
    world.run(put_vector_index(context, 2))
    balance = context.retry_budget.balance
    world.run(writes.put_vectors(context, ONE))
    assert context.retry_budget.balance >= balance


def test_a_wait_ends_with_the_deadline_of_the_write(world):
    context = world.client(timeout=5.0)
    world.run(put_vector_index(context, 2))
    error = world.play(writes.put_vectors(context, ONE)).error
    assert isinstance(error, InternalServiceError)
    assert world.seconds <= 5.0
    report = world.run(writes.upsert(world.client(timeout=2.0), ONE, on_error="report"))
    assert not report.ok
    assert world.seconds <= 7.0


@pytest.mark.parametrize("world", [{"hours_ago": 1}], indirect=True)
def test_an_old_index_that_answers_500_is_looked_at_once_and_not_waited_for(world):
    world.run(put_vector_index(world.client(), 2))
    context = world.client()
    world.service.faults.add(emulator.faults.ServerError(operation="PutVectors", times=None))
    world.counted()
    error = world.play(writes.put_vectors(context, ONE)).error
    assert (error.status, error.attempts) == (500, 3)
    assert world.counted() == {"putVectors": 3, "getVectorIndex": 1}
    world.play(writes.put_vectors(context, ONE))
    assert world.counted() == {"putVectors": 3}
    world.machine.passes(20.0)
    world.play(writes.put_vectors(context, ONE))
    assert world.counted() == {"putVectors": 3, "getVectorIndex": 1}


@pytest.mark.parametrize("world", [{"hours_ago": 1}], indirect=True)
def test_in_an_outage_a_look_is_tried_once_and_changes_nothing_else(world):
    world.run(put_vector_index(world.client(), 2))
    world.service.faults.add(emulator.faults.ServerError(times=None))
    context = world.client()
    world.counted()
    error = world.play(writes.put_vectors(context, ONE)).error
    assert (error.status, error.attempts, error.where.partition(" ")[0]) == (500, 3, "PutVectors")
    assert world.counted() == {"putVectors": 3, "getVectorIndex": 1}


def test_one_attempt_is_one_whatever_the_index_is(world):
    context = world.client(retry=1)
    world.run(put_vector_index(context, 2))
    world.counted()
    error = world.play(writes.put_vectors(context, ONE)).error
    assert error.attempts == 1
    assert world.counted() == {"putVectors": 1}


def test_who_may_not_look_is_not_asked_to(world):
    context = world.client()
    world.run(put_vector_index(world.client(), 2))
    world.denied = {"getVectorIndex"}
    world.counted()
    # newness is not known, and the usual attempts are all there is
    error = world.play(writes.put_vectors(context, ONE)).error
    assert (error.status, error.attempts) == (500, 3)
    assert world.counted() == {"putVectors": 3, "getVectorIndex": 1}
    assert world.run(describe(context)).dimension == 0
    assert world.counted() == {}


def test_who_may_not_look_and_has_made_it_waits_all_the_same(world):
    context = world.client()
    world.denied = {"getVectorIndex"}
    world.run(put_vector_index(context, 2, wait=True))
    world.run(writes.put_vectors(context, ONE))
    assert 8.0 <= world.seconds <= 10.0


@pytest.mark.parametrize("world", [SLOW], indirect=True)
def test_making_waits_where_that_is_asked_for(world, caplog):
    caplog.set_level(logging.INFO, "oss_vector_retriever")
    context = world.client()
    world.run(put_vector_index(context, 2, wait=True))
    assert 3.0 <= world.seconds <= 4.0
    assert world.run(get_vector_index(context)).status == "enable"
    first, last = [record.message for record in caplog.records]
    index = "index 'vectors' of bucket 'development-bucket'"
    assert first == f"{index} is new and not ready; it is waited for, at most 30 s"
    assert last == "index 'vectors' is ready after 3.5 s"


@pytest.mark.parametrize("world", [SLOW], indirect=True)
def test_making_waits_no_longer_than_the_timeout(world):
    context = world.client(timeout=2.0)
    error = world.play(put_vector_index(context, 2, wait=True)).error
    assert isinstance(error, DeadlineExceededError)
    assert str(error).startswith("index 'vectors' is made, and was still creating after 1.5 s")
    assert world.seconds <= 2.0


@pytest.mark.parametrize("world", [{}], indirect=True)
def test_making_one_that_is_ready_costs_one_look(world):
    world.run(put_vector_index(world.client(), 2, wait=True))
    assert world.counted() == {"putVectorIndex": 1, "getVectorIndex": 1}
    assert world.seconds == 0


def test_the_log_tells_of_the_begin_and_the_end_of_a_wait(world, caplog):
    caplog.set_level(logging.INFO, "oss_vector_retriever")
    context = world.client()
    world.run(put_vector_index(context, 2))
    world.run(writes.upsert(context, ONE))
    world.run(writes.upsert(context, ONE))
    first, last = caplog.records
    assert "is new and not ready; it is waited for, at most 30 s" in first.message
    assert "is ready after" in last.message
    caplog.clear()
    world.run(delete_vector_index(context, "vectors"))
    world.run(put_vector_index(context, 2))
    world.play(writes.upsert(world.client(timeout=3.0), ONE, on_error="report"))
    assert caplog.records[-1].message.startswith("index 'vectors' is still not ready after")


@pytest.mark.parametrize("world", [{}], indirect=True)
class TestWhatIsKnown:
    def test_serves_for_five_minutes(self, world):
        context = world.client()
        world.run(put_vector_index(context, 2))
        for _ in range(3):
            world.run(describe(context))
        assert world.counted()["getVectorIndex"] == 1
        world.machine.passes(299.0)
        world.run(describe(context))
        assert world.counted()["getVectorIndex"] == 0
        world.machine.passes(2.0)
        world.run(describe(context))
        assert world.counted()["getVectorIndex"] == 1

    def test_is_forgotten_where_these_clients_make_it_anew(self, world):
        context = world.client()
        other = context.with_options(timeout=3.0)
        world.run(put_vector_index(context, 2))
        assert world.run(describe(context)).distance_metric == "cosine"
        world.run(delete_vector_index(other, "vectors"))
        assert isinstance(world.play(describe(context)).error, NoSuchVectorIndexError)
        world.run(put_vector_index(other, 3, distance_metric="euclidean"))
        found = world.run(describe(context))
        assert (found.distance_metric, found.dimension) == ("euclidean", 3)

    def test_is_known_anew_from_any_look(self, world):
        context, elsewhere = world.client(), world.client()
        world.run(put_vector_index(context, 2))
        world.run(describe(context))
        world.run(delete_vector_index(elsewhere, "vectors"))
        world.machine.passes(1.0)
        world.run(put_vector_index(elsewhere, 2, distance_metric="euclidean"))
        assert world.run(describe(context)).distance_metric == "cosine"
        world.run(get_vector_index(context))
        assert world.run(describe(context)).distance_metric == "euclidean"

    def test_is_of_one_place_and_one_identity(self, world):
        context = world.client()
        world.run(put_vector_index(context, 2))
        world.run(describe(context))
        for other in (
            context.with_options(index="another"),
            context.with_options(bucket="another-bucket"),
            context.with_options(credentials=("ak", "sk")),
        ):
            found = world.play(describe(other))
            assert found.error is not None or found.value.dimension == 0

    def test_is_of_so_many_indexes_at_most(self, world):
        context = world.client()
        for number in range(known_indexes._MOST_INDEXES + 50):
            assert known_indexes.peek(context, f"i{number}") is None
        assert len(known_indexes._table._indexes[context.credentials]) == 1000
