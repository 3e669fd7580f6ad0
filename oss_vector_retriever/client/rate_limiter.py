"""How fast one client sends: what the user allows, what the service bears, and whose turn it is.

What the service bears nobody says. It is found from what it answers: at a refusal its allowance is
spent, so what it has taken since the refusal before is what it grants in that time. From just below
that the rate rises again, slowly where the limit was and faster the longer nothing is refused (the
curve is that of TCP's CUBIC), until the next refusal tells the limit anew.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from . import fork
from .errors import ConfigurationError
from .retry import is_finite_number
from .steps import Acquire, Flow, Sleep

# keys; a call for fewer goes ahead of others
_SMALL = 20
# small calls in a row that others wait for; then each has every other turn
_MOST_AHEAD = 4
# requests that are sent before anything is answered, and how long that holds: who asked may be gone
_UNANSWERED = 40
_UNANSWERED_SECONDS = 1.0
# seconds: who wakes late has the turn that was due, but not all those of a machine that stood still
_CATCH_UP = 0.1
# seconds: what is as near is now, whatever sums of floats say
_NOW = 1e-6
# of the time between turns, what a new one adds to the mean, and how much the rate may be above it
_SMOOTHING = 0.35
_USED = 0.5
# in requests: what is spared of the service's allowance after a refusal, for small calls, which
# take theirs at once, and what it has to grant before anything is sent again
_RESERVE = 0.5
_REFILL = 0.9
# of a wait, and of a call's time, after which those who are not first ask again: the rate may have
# risen, and it rises only as far as it is used; and seconds, also where everything is refused
_MOST_OF_WAIT = 0.7
_LONGEST_WAIT = 2.0
_LONGEST_WAIT_IN_VAIN = 0.1
# seconds between two questions to a user's object, at first and at most
_FIRST_POLL = 0.01
_LAST_POLL = 0.08


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The most that a client sends in a second, evenly spread.

    Attributes:
        requests: requests a second, each attempt of a call counted; None leaves it open.
        keys: keys a second, of what is read, written or deleted by key; None leaves it open.

    Raises:
        ConfigurationError: one is no finite number above 0, or both are None.

    Examples:
        >>> client = OSSVectorClient.local(rate_limit=RateLimit(requests=100, keys=5000))
    """

    requests: float | None = None
    keys: float | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("requests", "keys")}
        given = {name: value for name, value in given.items() if value is not None}
        if not given:
            text = "{argument}: a RateLimit takes requests or keys a second, or both."
            raise ConfigurationError(text, argument="rate_limit")
        for name, value in given.items():
            if not is_finite_number(value) or value <= 0:
                text = "{argument}: {name} must be a finite number above 0, not {value}."
                fields = {"name": name}
                raise ConfigurationError(text, argument="rate_limit", value=value, fields=fields)


class RequestPacer(Protocol):
    """An object that says when a request may go, as LangChain's rate limiters do.

    It is only asked without `blocking`, again and again until it says yes or the call's time is up.
    """

    def acquire(self, *, blocking: bool = True) -> bool:
        """Return whether a request may go now."""
        ...

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Return whether a request may go now; asked on event loops."""
        ...


class RateLimiters(dict[str, "RateLimiter"]):
    """The limiter of each operation of a client, and of all clients that are made of it.

    The service bears more of some operations than of others: a refused put must not hold back
    gets. What the user has set holds for all of them together, and so they share one limiter.
    """

    def __init__(
        self,
        limit: float | RateLimit | RequestPacer | None,
        monotonic: Callable[[], float],
        connections: int = 8,
    ) -> None:
        super().__init__()
        self._options = limit, monotonic, connections, _VainAttempts()
        self._of_all = None if limit is None else RateLimiter(*self._options)

    def __missing__(self, operation: str) -> RateLimiter:
        # of two threads that come at once both get the first one's
        return self.setdefault(operation, self._of_all or RateLimiter(*self._options))

    @property
    def rate(self) -> float | None:
        """Return the lowest rate that was found of an operation; None where all are borne."""
        rates = [limiter.rate for limiter in list(self.values())]
        return min((rate for rate in rates if rate is not None), default=None)


class _VainAttempts:
    """What operations share that are refused whatever they ask: when the next may ask again.

    One that begins anew would ask at once, though another has just been refused.
    """

    def __init__(self) -> None:
        self.until = 0.0


class RateLimiter:
    """The turns of the requests of one client, and of all clients that are made of it.

    While nothing limits them (`is_open`) nobody asks for a turn. Else each request waits for its
    own, in the order of asking. Calls for few keys go ahead of others, within their share, and do
    not wait for the rate that was found: those behind them make room.

    Args:
        limit: what the user set.
        monotonic: the clock.
        connections: the most requests in progress at once.
        vain: what the operations of a client share.
    """

    def __init__(
        self,
        limit: float | RateLimit | RequestPacer | None,
        monotonic: Callable[[], float],
        connections: int = 8,
        vain: _VainAttempts | None = None,
    ) -> None:
        self._vain = vain or _VainAttempts()
        rates = RateLimit(requests=limit) if isinstance(limit, int | float) else limit
        self._pacer = None if isinstance(rates, RateLimit | None) else rates
        requests, keys = (rates.requests, rates.keys) if isinstance(rates, RateLimit) else (0, 0)
        # seconds
        self._per_request = 1 / requests if requests else 0.0
        self._per_key = 1 / keys if keys else 0.0
        self._is_limited = limit is not None
        self._connections = connections
        self._monotonic = monotonic
        self.renew_after_fork()
        fork.renew_in_children(self)

    def renew_after_fork(self) -> None:
        """Begin as a client that has sent nothing."""
        self.is_open = False
        self._found: FoundRate | None = None
        self._empty_until = self._taken_at = self._usual_gap = 0.0
        # the moments from which the next request may go, by each of what limits it
        self._next_request = self._next_key = self._next_found = self._closed_until = 0.0
        self._unanswered: int | None = 0
        self._unanswered_since = 0.0
        self._lanes = _Lane(), _Lane()  # of the calls for many keys, and of those for few
        self._ahead = _MOST_AHEAD
        # reentrant: a signal's handler may fetch in a thread that stands still amid this
        self._lock = threading.RLock()

    @property
    def rate(self) -> float | None:
        """Return the requests a second that the service was found to bear; None if it bears all."""
        with self._lock:
            return None if self._found is None else self._found.per_second

    def wait_for_turn(self, key_count: int, until: float, *, again: bool = False) -> Flow[bool]:
        """Wait until a request may go; False where that does not come before a moment.

        One that goes `again` is the first of its lane.
        """
        if self._pacer is not None and not (yield from self._ask_pacer(self._pacer, until)):
            return False
        turn = _Turn(key_count, self._monotonic())
        lane = self._lanes[turn.is_small]
        try:
            with self._lock:
                lane.add(turn, first=again)
            while (seconds := self._take(turn, lane, until)) is not None:
                if seconds == 0:
                    return True
                yield Sleep(seconds)
            return False
        finally:
            with self._lock:
                lane.pop(turn, None)

    def note_answer(self, *, is_taken: bool) -> None:
        """Note that a request was not refused for its rate; `is_taken` where there was a reply."""
        with self._lock:
            self._unanswered = None
            if self._found is not None:
                if is_taken and self._found.accept():
                    soon = self._monotonic() + 1 / self._found.per_second
                    self._next_found = min(self._next_found, soon)
            elif not self._is_limited and self._monotonic() >= self._closed_until:
                self.is_open = True

    def note_refusal(self, sent_at: float, key_count: int, longest: float) -> float:
        """Send less after a refusal; return the seconds until such a call could go again.

        Whatever is refused, one request in `longest` seconds goes on asking.
        """
        with self._lock:
            now = self._monotonic()
            together = self._connections if self._unanswered is None else self._unanswered
            self.is_open, self._unanswered = False, None
            if self._found is None:
                self._found = FoundRate(together / max(now - sent_at, _SHORTEST), now)
                self._set_back(self._found, now)
            elif sent_at >= self._empty_until:
                self._found.refuse(now, 1 / max(longest, _SHORTEST))
                self._set_back(self._found, sent_at)
            turn = _Turn(key_count, now)
            return max(self._due(turn) - now, 0.0)

    def _set_back(self, found: FoundRate, sent_at: float) -> None:
        seconds = 1 / found.per_second
        spared = 1 + _RESERVE if found.is_borne else 1
        self._next_found = max(self._next_found, sent_at + spared * seconds)
        # so long the allowance is empty, and so long what was sent before says nothing new
        self._empty_until = max(self._monotonic(), sent_at + _REFILL * seconds)

    def slow_down(self, seconds: float) -> None:
        """Let nothing through for some seconds: the service has asked this client to wait."""
        with self._lock:
            self.is_open = False
            self._closed_until = max(self._closed_until, self._monotonic() + seconds)

    def _ask_pacer(self, pacer: RequestPacer, until: float) -> Flow[bool]:
        # without blocking: no deadline would end that
        pause = _FIRST_POLL
        while (remaining := until - self._monotonic()) > 0:
            if (yield Acquire(pacer, remaining)):
                return True
            yield Sleep(min(pause, remaining))
            pause = min(2 * pause, _LAST_POLL)
        return False

    def _take(self, turn: _Turn, lane: _Lane, until: float) -> float | None:
        """Take a turn and return 0, or the seconds after which to ask again, or None: too late."""
        with self._lock:
            now = self._monotonic()
            place, remaining = lane.place_of(turn), until - now
            certain = self._earliest(turn, place) - now
            if remaining <= 0 or certain > remaining:
                return None
            is_first = now - self._unanswered_since < _UNANSWERED_SECONDS
            if is_first and (self._unanswered or 0) >= _UNANSWERED:
                return min(_FIRST_POLL, remaining)
            seconds = self._due(turn) + place * self._interval(turn) - now
            if seconds <= _NOW:
                lane.pop(turn)
                self._count(turn, now)
                return 0.0
            turn.has_waited = True
            if place and self._found is not None:
                # it may be back at any moment
                most = _LONGEST_WAIT if self._found.is_borne else _LONGEST_WAIT_IN_VAIN
                # who sleeps up to the deadline is too late
                left = max(remaining, _FIRST_POLL)
                seconds = max(min(_MOST_OF_WAIT * min(seconds, left), most), certain)
            return min(seconds, remaining)

    def _earliest(self, turn: _Turn, place: int) -> float:
        """Return the moment before which it is certain that a turn does not come."""
        is_borne = self._found is None or self._found.is_borne
        return max(
            self._closed_until,
            0.0 if is_borne else self._vain.until,
            self._next_request + place * self._per_request,
            self._next_key + place * turn.key_count * self._per_key,
            self._next_found - self._borrowed_seconds(turn),
            self._empty_until,
        )

    def _due(self, turn: _Turn) -> float:
        """Return the moment from which the first of a lane may go."""
        due = self._earliest(turn, 0)
        # half a turn behind the other lane where that goes first, and no more: who is first there
        # may be held up by what else its thread or event loop does
        goes_first = turn.is_small == (self._ahead > 0)
        return due if goes_first or not self._other(turn) else due + self._interval(turn) / 2

    def _interval(self, turn: _Turn) -> float:
        """Return the seconds that a turn takes."""
        found = 0.0 if self._found is None else 1 / self._found.per_second
        return max(self._per_request, turn.key_count * self._per_key, found)

    def _borrowed_seconds(self, turn: _Turn) -> float:
        """Return how long before the found rate allows it a call for few keys may go."""
        if self._found is None or not (turn.is_small and self._found.is_borne):
            return 0.0
        return 1 / self._found.per_second if self._ahead > 0 or not self._other(turn) else 0.0

    def _other(self, turn: _Turn) -> _Lane:
        return self._lanes[not turn.is_small]

    def _count(self, turn: _Turn, now: float) -> None:
        """Let those behind a turn wait for as long as it takes."""
        if self._unanswered is not None:
            self._unanswered_since = self._unanswered_since if self._unanswered else now
            self._unanswered += 1
        if not turn.is_small:
            self._ahead = min(self._ahead + 1, _MOST_AHEAD)
        elif self._other(turn):
            self._ahead = max(self._ahead - 1, 0)
        begins = max(turn.asked_at, now - _CATCH_UP)
        self._next_request = max(self._next_request, begins) + self._per_request
        self._next_key = max(self._next_key, begins) + turn.key_count * self._per_key
        if (found := self._found) is not None:
            seconds, gap = 1 / found.per_second, min(now - self._taken_at, 1.0)
            self._usual_gap += _SMOOTHING * (gap - self._usual_gap)
            # a rate that is not used shows nothing, though some come at once and wait
            if turn.has_waited and seconds >= _USED * self._usual_gap:
                found.climb(min(gap, 2 * seconds))
            self._next_found = max(self._next_found, begins) + 1 / found.per_second
            if not found.is_borne:
                self._vain.until = max(self._vain.until, self._next_found)
        self._taken_at = now


class _Turn:
    """A request that waits for its turn."""

    __slots__ = ("asked_at", "has_waited", "is_small", "key_count", "number")

    def __init__(self, key_count: int, asked_at: float) -> None:
        self.key_count = key_count
        self.is_small = key_count < _SMALL
        self.asked_at = asked_at
        self.has_waited = False
        self.number = 0


class _Lane(OrderedDict[_Turn, None]):
    """The turns of one kind, in their order."""

    def add(self, turn: _Turn, *, first: bool) -> None:
        """Put a turn behind the others, or before them."""
        if self:
            turn.number = self.first.number - 1 if first else next(reversed(self)).number + 1
        self[turn] = None
        self.move_to_end(turn, last=not first)

    @property
    def first(self) -> _Turn:
        """Return the turn that is next."""
        return next(iter(self))

    def place_of(self, turn: _Turn) -> int:
        """Return how many are before a turn; of those who gave up some may count a while yet."""
        return min(turn.number - self.first.number, len(self) - 1)


class FoundRate:
    """The rate that a service bears, as far as its answers have told.

    Args:
        per_second: a guess, which a refusal has just shown to be too high.
        now: the moment of that refusal.
    """

    def __init__(self, per_second: float, now: float) -> None:
        # where the limit was told to be, and how far below it the climb begins
        self._limit = per_second
        self._depth = _DEEPEST
        self._climbed = 0.0
        # what the service has taken since it last refused; of these, before the limit was reached
        self._accepted = 0
        self._accepted_below: int | None = None
        self._refused_at = now
        # refusals since it has taken anything, and the limit as it was told by many requests
        self._in_vain = 1
        self._known_limit = 0.0

    @property
    def per_second(self) -> float:
        """Return the rate at this moment."""
        seconds = min(self._climbed, _STEEP * self._seconds_to_limit)
        rate = self._limit * (1 + self._depth * (seconds / self._seconds_to_limit - 1) ** 3)
        # nothing was refused well above the limit that was: it is another now
        growth = _GROWTH if self._known_limit else _FIRST_GROWTH
        return rate * math.pow(growth, self._climbed - seconds)

    @property
    def _seconds_to_limit(self) -> float:
        # sooner where the limit is known badly
        return _SECONDS_TO_LIMIT - _HASTE * self._depth

    @property
    def is_borne(self) -> bool:
        """Tell whether the service takes requests: it has, since it last refused two in a row."""
        return self._in_vain <= 1

    def climb(self, seconds: float) -> None:
        """Count time in which requests waited for the rate: only what is used is tried."""
        if self._in_vain > 1:
            return
        self._climbed += seconds
        if self._accepted_below is None and self._climbed >= self._seconds_to_limit:
            self._accepted_below = self._accepted

    def accept(self) -> bool:
        """Count a request that the service has taken; tell whether the rate has risen for that."""
        self._accepted += 1
        # it refused everything for a while; what it bears now may well be what it bore before
        is_back = self._in_vain > 1 and self._known_limit > self._limit
        if is_back:
            self._begin(self._known_limit, min(_DOUBT * self._in_vain, _DEEPEST))
        self._in_vain = 0
        return is_back

    def refuse(self, now: float, least: float) -> None:
        """Go below the limit that a refusal has told, but not below a rate of `least`."""
        rate, limit = self.per_second, self._told_limit(now)
        if self._accepted >= _MANY:
            self._known_limit = limit
        elif self._in_vain == 0:
            self._known_limit *= _FADE
        self._in_vain += 1
        # a small number of requests says little
        depth = min(max(1 / (self._accepted + 1), _DEPTH), _DEEPEST)
        limit = max(limit, _MOST_CUT * rate, least / (1 - depth))
        self._accepted, self._refused_at = 0, now
        self._begin(limit, depth)

    def _told_limit(self, now: float) -> float:
        # Between two refusals the service took what it grants in that time. That is too little
        # where its allowance was full at times. What it took since the limit was reached is too
        # much by what it had saved until then. The truth lies between.
        rate, accepted = self.per_second, self._accepted + 0.5
        told = min(accepted / max(now - self._refused_at, _SHORTEST), rate)
        if self._accepted_below is not None:
            seconds = max(self._climbed - self._seconds_to_limit, _LEAST_ABOVE)
            above = (accepted - self._accepted_below) / seconds
            told = (told + min(max(above, told), rate)) / 2
        # nearer to the rate of now where that is far higher: the limit has risen meanwhile
        risen = min(max((rate / told - _RISEN) / _RISEN_SURELY, 0.0), 1.0)
        return told + (rate - told) * _TRUST * risen

    def _begin(self, limit: float, depth: float) -> None:
        self._limit, self._depth = limit, depth
        self._climbed, self._accepted_below = 0.0, None


# Found by trying them on simulated services of 5 to 400 requests a second: what they take, what
# they refuse, and how soon a limit that was halved or doubled is found.
#
# seconds of a climb to the limit, and how many fewer where it is badly known (by its depth)
_SECONDS_TO_LIMIT = 2.5
_HASTE = 3.0
# of these seconds: from there on it is no matter of the old limit, and the rate grows each second
# by so much, and more where no limit was ever known
_STEEP = 2.2
_GROWTH = 1.4
_FIRST_GROWTH = 3.0
# how far below the limit a climb begins, and how far a refusal lowers the limit at most
_DEPTH = 0.04
_DEEPEST = 0.5
_MOST_CUT = 0.5
# requests that tell a limit well; what is left of it after a refusal that came sooner; and the
# depth for each refusal in a row when it is tried again
_MANY = 10
_FADE = 0.8
_DOUBT = 0.1
# by how much the rate must exceed the told limit to say that this has risen, when it says so
# surely, and how near to the rate it then is
_RISEN = 1.3
_RISEN_SURELY = 0.3
_TRUST = 0.7
# seconds, so that no division is by nothing
_LEAST_ABOVE = 0.1
_SHORTEST = 1e-3
