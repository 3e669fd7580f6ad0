"""A process's own writes in its searches, which the service shows some seconds late.

What was written lately (`client.recent`) proposes: keys whose embedding is near enough, those of
which nobody knows what stands there, and hits of the service that were written since. GetVectors
decides: what it brings is measured here and ranked among the other hits. So a record of another
process, or its deletion, counts as soon as its key is asked for.
"""

import math
from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, takewhile
from typing import Final, Generic, TypeVar

from ..client.context import Context, Flow
from ..client.errors import AccessDeniedError
from ..client.models import Float32Array, ScoredVector, Vector
from ..client.recent import Mark, recent_writes
from ..client.steps import Call
from .completion import check_denial, find_formula, likely_formulas, measure
from .settings import Completion
from .store import RecordStore
from .traits import Formula

T = TypeVar("T")
# Two distances that differ by less are one: the service computes with fewer digits.
ROUNDING: Final = 1e-5
_LATER: Final = "Search again a few seconds later"


class OwnWrites(Generic[T]):
    """What this process has written lately to an index, as one search takes it into account.

    Each key is fetched once, whatever the search asks the service for. `spare` keys more than `k`
    are looked at first, where as many are known not to pass.
    """

    def __init__(
        self,
        context: Context,
        store: RecordStore,
        query: Float32Array,
        k: int,
        completion: Completion,
        *,
        return_data: bool,
        spare: int,
    ) -> None:
        recent = recent_writes(context, store.settings.index, store.settings.read_your_writes)
        self._context = context
        self._store = store
        self._query = query
        self._k = k
        self._return_data = return_data
        self._spare = spare
        self._most = math.inf if completion.exhaustive is True else completion.scan_limit
        self._written = recent.written
        self._assumed: dict[str, float] | None = None
        self._formula: Formula | None = None
        self._fetched: dict[str, tuple[float, Vector] | None] = {}
        # why the answer may lack some of them, and what to do about it; "" where it does not
        self.reason, self.remedy = "", ""
        if recent.lost:
            self.reason = f"more was written in the last {recent.seconds:g} s than is remembered"
            self.remedy = f"{_LATER}."

    def __len__(self) -> int:
        return len(self._written)

    def __contains__(self, key: str) -> bool:
        return key in self._written

    def find(
        self,
        others: Iterable[float],
        hits: Sequence[ScoredVector],
        read: Callable[[Vector], T | None],
        *,
        is_open: bool,
    ) -> Flow[dict[str, tuple[float, T]] | None]:
        """Return those that belong to the nearest, by key: distance and what it means.

        None where they may not be fetched: then nothing counts as written.

        Args:
            others: the distances of the nearest that this process has not written, in order.
            hits: all that the service has found.
            read: returns what a vector means, None where it does not pass.
            is_open: whether everything passes.
        """
        nearest = list(others)
        found: dict[str, tuple[float, T]] = {}
        try:
            listed = yield from self._propose(hits)
            # where everything passes so many will do, and others in the place of what is gone
            marks = sum(isinstance(self._written[key], Mark) for _, key in listed)
            at_once = max(self._k, self._context.config.limits.keys_per_get)
            size = self._k + self._spare + marks if is_open else at_once
            proposed = iter(listed)
            while batch := self._next(proposed, nearest, size):
                yield from self._fetch(batch, hits)
                there = [(one, key) for key in batch if (one := self._fetched[key]) is not None]
                for (far, vector), key in sorted(there, key=lambda each: each[0][0]):
                    if far > self._reach(nearest):
                        break
                    # no further than is needed: what is broken farther away harms nobody
                    if (value := read(vector)) is not None:
                        found[key] = far, value
                        insort(nearest, far)
                size = at_once
        except AccessDeniedError as error:
            check_denial(error)
            self._written = {}
            self.reason = "getting what this process has written lately is not permitted"
            self.remedy = f"Permit oss:GetVectors, or pass read_your_writes=False. {_LATER}."
            return None
        return found

    def _reach(self, nearest: Sequence[float]) -> float:
        return nearest[self._k - 1] if len(nearest) >= self._k else math.inf

    def _next(
        self, proposed: Iterable[tuple[float, str]], nearest: Sequence[float], size: int
    ) -> list[str]:
        """Return the next keys that may be near enough, the likeliest first."""
        reach = self._reach(nearest)
        within = takewhile(lambda one: one[0] <= reach, proposed)
        batch = [key for _, key in islice(within, size)]
        asked = len(self._fetched) + sum(key not in self._fetched for key in batch)
        if asked > self._most:
            self.reason = "scan_limit= ended the look at what this process has written lately"
            self.remedy = "Pass exhaustive=True or a larger scan_limit=."
            return []
        return batch

    def _propose(self, hits: Sequence[ScoredVector]) -> Flow[list[tuple[float, str]]]:
        """Return how far each key may be that is to be looked at, the nearest first."""
        told = {hit.key: hit.distance or 0.0 for hit in hits if hit.key in self._written}
        assumed = self._assumed
        if assumed is None:
            formula = yield from self._find_formula(hits)
            measured: dict[str, float] = yield Call(lambda: self._measure_written(formula))
            assumed = self._assumed = measured
        near = {key: min(far, told.get(key, far)) for key, far in assumed.items()}
        # what is deleted is looked at where the service still shows it, or shows it again
        near |= {key: far for key, far in told.items() if key not in near}
        return sorted((far, key) for key, far in near.items())

    def _measure_written(self, formula: Formula) -> dict[str, float]:
        known = {
            key: value
            for key, value in self._written.items()
            # one of another dimension was written to an index that others have made anew
            if isinstance(value, Float32Array) and len(value) == len(self._query)
        }
        distances = measure(self._query, list(known.values()), formula).tolist()
        unknown = [key for key, value in self._written.items() if value is Mark.UNKNOWN]
        return {**dict(zip(known, distances, strict=True)), **dict.fromkeys(unknown, -math.inf)}

    def _find_formula(self, hits: Sequence[ScoredVector]) -> Flow[Formula]:
        """Return the formula of the index's distances; found out on a hit, where none is known."""
        formulas, vectors, told = likely_formulas(self._context, self._store), [], {}
        if hits and len(formulas) > 1:
            # of what is far they differ the most; what was written since may be elsewhere by now
            old = [hit for hit in hits if hit.key not in self._written]
            hit = (old or hits)[-1]
            result = yield from self._store.fetch(
                self._context, [hit.key], return_data=True, return_metadata=False
            )
            vectors = [one for one in result if len(one.data or ()) == len(self._query)]
            told = {hit.key: hit.distance}
        self._formula = yield from find_formula(
            self._context, self._store, formulas, self._query, vectors, told
        )
        return self._formula

    def _fetch(self, keys: Sequence[str], hits: Sequence[ScoredVector]) -> Flow[None]:
        """Fetch what was not fetched yet, and measure it."""
        asked = [key for key in keys if key not in self._fetched]
        if not asked:
            return
        result = yield from self._store.fetch(self._context, asked, return_data=True)
        self._fetched |= dict.fromkeys(asked)
        vectors = [one for one in result if one.data is not None]
        vectors = [one for one in vectors if len(one.data or ()) == len(self._query)]
        rows = [one.data for one in vectors if one.data is not None]
        formula = self._formula or "cosine"
        distances: list[float] = yield Call(lambda: measure(self._query, rows, formula).tolist())
        told = {hit.key: hit.distance for hit in hits}
        for vector, far in zip(vectors, distances, strict=True):
            shown = told.get(vector.key)
            is_same = shown is not None and abs(shown - far) <= ROUNDING * max(1.0, abs(far))
            kept = vector if self._return_data else Vector(vector.key, None, vector.metadata)
            self._fetched[vector.key] = (shown if shown is not None and is_same else far), kept
