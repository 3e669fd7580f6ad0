"""The turns of a client: what the user allows, what a service bears, and who goes first.

The services and the time are simulated; the flows, and what decides, are the client's. The same
over real sockets: tests/soak/test_rate_found.py.
"""

import math

import pytest
from support.limited_services import Allowance, LastSecond, Windows, World
from support.machine import Machine
from support.promises import sized

from oss_vector_retriever import (
    ConfigurationError,
    DeadlineExceededError,
    QpsLimitExceededError,
    RateLimit,
    RetryPolicy,
)
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.operations.vectors import get_vectors
from oss_vector_retriever.client.rate_limiter import RateLimiter
from oss_vector_retriever.client.steps import Acquire, Send, Sleep

GOOD = Reply(200, {}, b'{"vectors":[]}')
SLOW = Reply(503, {}, b'{"Error":{"Code":"QpsLimitExceeded"}}')
BULK = [f"key-{number}" for number in range(100)]
SMALL = ["key-1"]
SERVICES = {"50 with 10": (50, 10), "10 with 2": (10, 2), "200 with 20": (200, 20)}
LATENCY = 0.021


class Busy:
    """A world in which workers fetch in bulk, and somebody one key each half second."""

    def __init__(self, service, connections=8, small_every=0.5, **options):
        self.machine = Machine(seconds=0.0)
        options = {"timeout": 1000.0, "max_concurrency": connections, **options}
        self.context = self.machine.context(**options)
        self.world = World(self.machine, service)
        self.small = []
        for _ in range(connections):
            self.world.repeat(lambda: get_vectors(self.context, BULK))
        if small_every:
            self.world.at(small_every, lambda: self._ask(small_every))

    def _ask(self, pause):
        began = self.machine.seconds
        self.world.begin(
            get_vectors(self.context, SMALL),
            lambda _: self.small.append(self.machine.seconds - began),
        )
        self.world.at(began + pause, lambda: self._ask(pause))

    def run(self, seconds):
        self.world.run(seconds)
        return self.world


class TestAServiceThatBearsSoMuch:
    @pytest.mark.parametrize("connections", [8, 32])
    @pytest.mark.parametrize("name", list(SERVICES)[: sized(2, 3)])
    def test_is_used_to_the_full_and_not_overrun(self, name, connections):
        rate, burst = SERVICES[name]
        seconds = sized(20, 60)
        busy = Busy(Allowance(rate, burst), connections)
        world = busy.run(seconds)
        assert world.taken_a_second(0, seconds) >= 0.88 * rate
        assert world.taken_a_second(5, seconds) >= 0.95 * rate
        assert world.refused(1, seconds) <= 0.04
        small = sorted(busy.small)
        assert small[len(small) // 2] <= 3 * LATENCY
        assert small[int(len(small) * 0.95)] <= 6 * LATENCY

    @pytest.mark.parametrize("factor", [0.5, 2.0])
    @pytest.mark.parametrize("name", list(SERVICES)[: sized(2, 3)])
    def test_has_its_limit_found_again_within_ten_seconds(self, name, factor):
        rate, burst = SERVICES[name]
        service = Allowance(rate, burst)
        busy = Busy(service, small_every=None)
        busy.run(8)
        service.rate = rate * factor
        world = busy.run(23)
        assert world.taken_a_second(18, 23) >= 0.88 * rate * factor
        assert world.refused(18, 23) <= 0.1
        assert busy.context.rate_limiter.rate == pytest.approx(rate * factor, rel=1.0)

    @pytest.mark.parametrize("service", [Windows, LastSecond])
    def test_may_count_otherwise(self, service):
        world = Busy(service(50), small_every=None).run(30)
        assert world.taken_a_second(5, 30) >= 0.7 * 50
        assert world.refused(5, 30) <= 0.1

    def test_is_used_again_after_it_has_refused_everything_for_a_while(self):
        service = Allowance(50, 10)
        busy = Busy(service, small_every=None)
        busy.run(10)
        service.rate = 0.0
        busy.run(16)
        service.rate = 50.0
        world = busy.run(26)
        assert sum(14 <= one.at < 16 for one in world.asked) <= 2
        assert world.taken_a_second(20, 26) >= 0.9 * 50

    def test_fails_no_call_whose_deadline_leaves_it_a_turn(self):
        # 32 workers at 4 a second: each waits for 8 s, and is refused now and then
        busy = Busy(Allowance(4, 2), 32, small_every=None, timeout=20.0)
        world = busy.run(60)  # `repeat` raises what a flow raises
        assert world.taken_a_second(5, 60) >= 0.8 * 4

    def test_serves_all_who_wait_once_it_refuses_nothing_any_more(self):
        machine, service, ends = Machine(seconds=0.0), Allowance(5, 5), []
        context, world = machine.context(timeout=30.0), World(machine, service)
        for _ in range(1000):
            world.begin(get_vectors(context, BULK), ends.append)
        world.run(5)
        service.rate = service.burst = service.left = math.inf
        world.run(31)
        assert [one for one in ends if isinstance(one, Exception)] == []
        assert len(ends) == 1000

    def test_is_shared_by_what_is_made_of_a_client(self):
        busy = Busy(Allowance(50, 10), 4)
        twin = busy.context.with_options(timeout=500.0, coalesce=False)
        for _ in range(4):
            busy.world.repeat(lambda: get_vectors(twin, BULK))
        world = busy.run(15)
        assert world.taken_a_second(5, 15) >= 0.95 * 50
        assert world.refused(1, 15) <= 0.04

    def test_that_refuses_nothing_is_not_held_back(self):
        busy = Busy(Allowance(math.inf, math.inf), small_every=None)
        world = busy.run(5)
        assert world.taken_a_second(1, 5) >= 0.95 * 8 / 0.021
        assert busy.context.rate_limiter.is_open
        assert busy.context.rate_limiter.rate is None


class TestWhoGoesFirst:
    def test_small_calls_do_within_the_users_limit(self):
        busy = Busy(Allowance(math.inf, math.inf), 16, rate_limit=10)
        world = busy.run(15)
        assert world.taken_a_second(1, 15) == pytest.approx(10, rel=0.05)
        # of 16 that wait it would be the last: 1.6 s
        assert max(busy.small) < 0.25

    @pytest.mark.parametrize("limit", [{"rate_limit": 20}, {}])
    def test_small_calls_have_their_share_and_no_more(self, limit):
        service = Allowance(math.inf, math.inf) if limit else Allowance(20, 4)
        busy = Busy(service, 8, small_every=None, **limit)
        for _ in range(8):
            busy.world.repeat(lambda: get_vectors(busy.context, SMALL))
        world = busy.run(30)
        small = [one.keys == 1 for one in world.asked if one.taken and one.at > 5]
        assert 0.4 <= small.count(True) / len(small) <= 0.6

    def test_who_asked_first(self):
        machine = Machine()
        context = machine.context(rate_limit=4, timeout=20.0)
        flows = [get_vectors(context, BULK) for _ in range(4)]
        pauses = [step.seconds for step in map(next, flows) if isinstance(step, Sleep)]
        assert pauses == pytest.approx([0.25, 0.5, 0.75])

    def test_who_was_refused_is_the_first_of_its_kind(self):
        machine = Machine()
        context = machine.context(rate_limit=1, timeout=50.0)
        refused, waiting = get_vectors(context, BULK), get_vectors(context, BULK)
        assert isinstance(next(refused), Send)
        assert next(waiting) == Sleep(1.0)
        assert refused.send(SLOW).seconds <= 1.0
        machine.passes(0.999)
        assert refused.send(None).seconds == pytest.approx(0.001, abs=1e-4)
        assert waiting.send(None).seconds > 0.5

    def test_not_who_does_not_come_for_its_turn(self):
        # as where a blocking call of the loop's own thread waits behind a task of that loop
        machine = Machine()
        context = machine.context(rate_limit=1, timeout=50.0)
        next(get_vectors(context, BULK))
        stuck, other = get_vectors(context, BULK), get_vectors(context, BULK)
        assert next(stuck) == Sleep(1.0)
        assert next(other) == Sleep(2.0)
        machine.passes(2.0)
        assert isinstance(other.send(None), Send)

    def test_not_who_has_gone(self):
        machine = Machine()
        context = machine.context(rate_limit=1, timeout=50.0)
        next(get_vectors(context, BULK))
        gone, other = get_vectors(context, BULK), get_vectors(context, BULK)
        next(gone)
        gone.close()
        assert next(other) == Sleep(1.0)

    def test_not_who_has_gone_from_the_midst(self):
        machine = Machine()
        context = machine.context(rate_limit=1, timeout=50.0)
        next(get_vectors(context, BULK))
        first, *gone, last = (get_vectors(context, BULK) for _ in range(40))
        assert [next(flow).seconds for flow in (first, *gone, last)][::39] == [1.0, 40.0]
        for flow in gone:
            flow.close()
        # of 20 more behind 40 some would be too late, and end at once
        late = [get_vectors(context, BULK) for _ in range(20)]
        assert [next(flow).seconds for flow in late] == pytest.approx(range(3, 23))


class TestTheUsersLimit:
    def wait(self, limiter, keys=1):
        flow = limiter.wait_for_turn(keys, 1e9)
        step = next(flow, None)
        return 0.0 if step is None else step.seconds

    def test_spaces_requests_evenly_and_saves_nothing_up(self):
        now = 5.0
        limiter = RateLimiter(2, lambda: now)
        assert self.wait(limiter) == 0.0
        now = 100.0
        waiting = [limiter.wait_for_turn(1, 1e9) for _ in range(3)]
        assert [getattr(next(flow, None), "seconds", 0.0) for flow in waiting] == [0.0, 0.5, 1.0]

    def test_is_one_of_keys_too(self):
        now = 5.0
        limiter = RateLimiter(RateLimit(keys=200), lambda: now)
        assert self.wait(limiter, keys=100) == 0.0
        assert self.wait(limiter, keys=100) == 0.5
        now = 5.5
        assert self.wait(limiter, keys=1) == 0.0
        assert self.wait(limiter, keys=1) == pytest.approx(0.005)

    def test_is_of_both_whichever_is_reached(self):
        busy = Busy(Allowance(math.inf, math.inf), rate_limit=RateLimit(requests=50, keys=1000))
        world = busy.run(12)
        keys = sum(one.keys for one in world.asked if 2 <= one.at < 12)
        assert keys == pytest.approx(10 * 1000, rel=0.05)

    def test_holds_where_the_service_bears_more_and_where_it_bears_less(self):
        for bears, rate in ((100, 20), (10, 10)):
            world = Busy(Allowance(bears, 3), small_every=None, rate_limit=20).run(20)
            assert world.taken_a_second(5, 20) == pytest.approx(rate, rel=0.06)
            assert all(world.taken_a_second(at, at + 5) <= 1.05 * 20 for at in range(15))

    def test_ends_a_call_at_once_whose_turn_comes_too_late(self):
        machine = Machine()
        context = machine.context(rate_limit=RateLimit(keys=10), timeout=3.0)
        machine.play(get_vectors(context, BULK), [GOOD])
        played = machine.play(get_vectors(context, BULK), [])
        assert isinstance(played.error, DeadlineExceededError)
        assert (played.error.attempts, played.sleeps) == (0, [])

    @pytest.mark.parametrize(
        "rates",
        [
            {},
            {"requests": 0},
            {"keys": -1},
            {"requests": True},
            {"keys": math.inf},
            {"requests": "5"},
            {"keys": math.nan},
        ],
    )
    def test_is_a_number_above_0(self, rates):
        with pytest.raises(ConfigurationError, match=r"rate_limit.* a second|must be a finite"):
            RateLimit(**rates)

    def test_begins_anew_in_a_forked_child(self):
        machine = Machine()
        context = machine.context(timeout=5.0)
        machine.play(get_vectors(context, ["a"]), [SLOW, GOOD])
        limiter = context.rate_limiter
        waiting = limiter.wait_for_turn(100, 1e9)
        limiter.slow_down(60.0)
        next(waiting)
        limiter.renew_after_fork()
        assert limiter.rate is None
        assert machine.play(get_vectors(context, ["a"]), [GOOD]).sleeps == []
        waiting.close()  # the parent's
        assert limiter.is_open


class Pacer:
    """What LangChain's rate limiters are to a client; it says yes each so many times."""

    def __init__(self, each=1):
        self.asked = []
        self.each = each

    def acquire(self, *, blocking=True):
        self.asked.append(blocking)
        return len(self.asked) % self.each == 0

    async def aacquire(self, *, blocking=True):
        return self.acquire(blocking=blocking)


class TestAnObjectOfTheUsers:
    def test_is_asked_before_each_attempt_and_never_to_block(self):
        machine, pacer = Machine(), Pacer(each=3)
        context = machine.context(rate_limit=pacer, retry=RetryPolicy(patience=0.0))
        played = machine.play(get_vectors(context, ["a"]), [Reply(500), SLOW, GOOD])
        assert played.error is None
        assert pacer.asked == [False] * 9

    def test_ends_a_call_at_its_deadline(self):
        machine = Machine()
        context = machine.context(rate_limit=Pacer(each=10**9), timeout=2.0)
        played = machine.play(get_vectors(context, ["a"]), [])
        assert isinstance(played.error, DeadlineExceededError)
        assert sum(played.sleeps) == pytest.approx(2.0)

    def test_ends_a_call_that_was_refused_with_that(self):
        class Once(Pacer):
            def acquire(self, *, blocking=True):
                return super().acquire(blocking=blocking) and len(self.asked) == 1

        machine = Machine()
        context = machine.context(rate_limit=Once(), timeout=2.0)
        played = machine.play(get_vectors(context, ["a"]), [SLOW])
        assert isinstance(played.error, QpsLimitExceededError)

    def test_tells_how_long_an_event_loop_may_wait_for_it(self):
        context = Machine().context(rate_limit=Pacer(), timeout=2.0)
        assert isinstance(step := next(get_vectors(context, ["a"])), Acquire)
        assert step.seconds == 2.0

    class Awaited:
        """One whose answer nobody could have without an event loop."""

        async def acquire(self, *, blocking=True):
            return not blocking

        aacquire = acquire

    @pytest.mark.parametrize("value", [object(), "5", [1], {"requests": 5}, Awaited()])
    def test_has_both_methods(self, value):
        with pytest.raises(ConfigurationError, match="a RateLimit, or an object with acquire and"):
            Machine().context(rate_limit=value)
