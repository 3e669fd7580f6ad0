"""One rate for many processes: never over it, near it, whoever is slow or dies."""

import heapq
import itertools
import random
import threading

import pytest

from oss_vector_retriever.ray.pacing import LATENESS, SETTLING, Lease, LeasedRate, SlotTimeline

SECONDS = 5.0


class Clock:
    """A clock that tests move."""

    def __init__(self, now=100.0):
        self.now = now

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Worker:
    """A worker process whose threads ask, wait and send, in the time of a simulation."""

    def __init__(self, timeline, rate, threads, chance, delays):
        self._chance = chance
        self._delays = delays
        self.clock = Clock()
        self.offset = chance.uniform(-1e6, 1e6)  # no two machines have one clock
        self.dies_at = float("inf")
        self._timeline = timeline
        self._rate = rate
        self.slots = LeasedRate(self._lease, lambda: self.clock.now + self.offset)
        self.threads = threads

    def _lease(self, count):
        self.clock.now += self._chance.expovariate(1 / self._delays)
        # of all that wait at this moment, as those of a process do
        lease = self._timeline.lease(count, self._rate, self.clock.now)
        self.clock.now += self._chance.expovariate(1 / self._delays)
        return lease

    def send(self, now):
        """Return when a request is sent by one who asks now, or None, and when it asks again."""
        self.clock.now = now
        slot = self.slots._take()
        wake = max(slot.opens - self.offset, self.clock.now)
        wake += self._chance.expovariate(1 / self._delays)
        if self._chance.random() < 0.005:  # a collection of garbage, a machine that is busy
            wake += self._chance.uniform(0, 2)
        sent = wake if wake + self.offset <= slot.closes else None
        return sent, wake + (self._chance.uniform(0.005, 0.05) if sent else 0)


def simulate(seed, rate, *, workers=2, threads=8, seconds=60.0, delays=0.001, deaths=0):
    """Return the moments of all requests that a number of workers send."""
    chance = random.Random(seed)
    timeline = SlotTimeline(100.0 - SETTLING)
    ids = itertools.count()
    team = [Worker(timeline, rate, threads, chance, delays) for _ in range(workers)]
    for worker in team[:deaths]:
        worker.dies_at = 100 + seconds / 2
    asking = [
        (100.0 + chance.random() / 10, next(ids), one) for one in team for _ in range(threads)
    ]
    heapq.heapify(asking)
    sent = []
    while asking and asking[0][0] < 100 + seconds:
        now, _, worker = heapq.heappop(asking)
        moment, again = worker.send(now)
        if max(again, moment or 0) > worker.dies_at:
            continue
        if moment is not None:
            sent.append(moment)
        heapq.heappush(asking, (again, next(ids), worker))
    return sorted(sent)


def busiest(sent, seconds=SECONDS):
    most = first = 0
    for last, moment in enumerate(sent):
        while sent[first] <= moment - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("rate", [1, 2, 7, 10, 50, 300])
@pytest.mark.parametrize("seed", range(2))
def test_never_over_the_rate_in_any_5_seconds_and_near_it(rate, seed):
    sent = simulate(seed, rate, workers=4, threads=16, seconds=30)
    assert busiest(sent) <= max(1.05 * rate * SECONDS, 1)
    assert len(sent) >= 0.9 * rate * 30 - 1


@pytest.mark.parametrize("seed", range(2))
def test_whoever_is_far_away_or_slow_costs_a_share_and_never_exceeds_it(seed):
    sent = simulate(seed, 100, workers=8, threads=8, delays=0.03)
    assert busiest(sent) <= 1.05 * 100 * SECONDS
    assert len(sent) >= 0.5 * 100 * 60


def test_the_slots_of_workers_that_died_are_the_others_at_once():
    sent = simulate(5, 200, workers=4, threads=16, deaths=2)
    late = [moment for moment in sent if 130.5 < moment <= 140.5]
    assert len(late) >= 0.9 * 200 * 10
    assert busiest(sent) <= 1.05 * 200 * SECONDS


def test_those_who_have_different_rates_share_one_time():
    timeline = SlotTimeline(0.0)
    assert timeline.lease(2, 10, 0.0).first == pytest.approx(SETTLING)
    lease = timeline.lease(1, 100, 0.0)
    assert lease.first == pytest.approx(SETTLING + 2 / 9.7)
    assert lease.interval == pytest.approx(1 / 97)


def test_time_that_nobody_asked_for_is_not_saved_up():
    timeline = SlotTimeline(0.0)
    timeline.lease(1, 10, 0.0)
    assert timeline.lease(1, 10, 1000.0).first >= -LATENESS


def test_one_who_is_held_up_lets_the_slot_go_by():
    clock, counts = Clock(), []

    def lease(count):
        counts.append(count)
        return Lease(1.0, 1.0)

    def oversleep(seconds):
        clock.sleep(seconds + (LATENESS * 2 if len(counts) == 1 else 0))

    assert LeasedRate(lease, clock, oversleep).acquire()
    assert counts == [1, 1]


def test_a_slot_opens_no_sooner_and_closes_no_later_than_the_keeper_can_have_meant():
    clock, counts = Clock(), []

    def lease(count):  # whether on the way there or back the time goes by nobody knows
        counts.append(count)
        clock.sleep(0.1 if len(counts) > 1 else LATENESS * 2)
        return Lease(0.0, 0.01)

    assert LeasedRate(lease, clock, clock.sleep).acquire()
    assert counts == [1, 1]  # the first was over when its answer came
    clock, counts = Clock(), [1]
    assert LeasedRate(lease, clock, clock.sleep).acquire()
    assert clock.now == pytest.approx(100.1)
    clock, counts = Clock(), [1]

    def later(count):
        return lease(count)._replace(first=0.5)

    assert LeasedRate(later, clock, clock.sleep).acquire()
    assert clock.now == pytest.approx(100.6)


def test_without_waiting_a_slot_of_later_is_refused_and_left_to_another():
    clock, counts = Clock(), []

    def lease(count):
        counts.append(count)
        return Lease(0.5, 1.0)

    slots = LeasedRate(lease, clock, clock.sleep)
    assert not slots.acquire(blocking=False)
    assert not slots.acquire_within(0.4)
    assert clock.now == 100.0
    assert slots.acquire()
    assert (counts, clock.now) == ([1], 100.5)


def test_a_slot_that_is_there_is_taken_without_waiting():
    assert LeasedRate(lambda _: Lease(-0.01, 1.0)).acquire(blocking=False)


def test_those_that_wait_together_share_a_request_to_the_keeper():
    counts, others_wait, asked = [], threading.Event(), threading.Event()

    def lease(count):
        counts.append(count)
        asked.set()
        assert others_wait.wait(10)
        return Lease(0.0, 0.0)

    slots = LeasedRate(lease)
    threads = [threading.Thread(target=slots.acquire) for _ in range(6)]
    threads[0].start()
    assert asked.wait(10)
    for thread in threads[1:]:
        thread.start()
    while slots._waiting < 6:
        pass
    others_wait.set()
    for thread in threads:
        thread.join(10)
    assert counts == [1, 5]


def test_a_process_that_sends_much_asks_for_what_it_uses_in_a_tenth_of_a_second():
    clock, counts = Clock(), []

    def lease(count):
        counts.append(count)
        return Lease(0.0, 0.0)

    slots = LeasedRate(lease, clock, clock.sleep)
    for _ in range(200):
        slots.acquire()
        clock.sleep(0.005)
    assert counts[0] == 1
    assert max(counts) == 20  # of 200 a second
    # one that only looks whether there is a slot uses none
    asked = len(counts)
    slots = LeasedRate(lambda count: lease(count)._replace(first=9.0), clock, clock.sleep)
    for _ in range(100):
        assert not slots.acquire(blocking=False)
    clock.sleep(10)
    assert not slots.acquire(blocking=False)
    assert counts[asked:] == [1, 1]


def test_a_keeper_that_fails_leaves_nobody_counted():
    def lease(_):
        raise ConnectionError

    slots = LeasedRate(lease)
    with pytest.raises(ConnectionError):
        slots.acquire()
    assert slots._waiting == 0


async def test_on_an_event_loop_it_is_awaited():
    slots = LeasedRate(lambda _: Lease(0.0, 0.0))
    assert await slots.aacquire()
    assert await slots.aacquire(blocking=False)
