"""Searches in a store: by vector, by the vector of a stored key, and for relevance with variety.

The service may filter before it ranks its vectors or afterwards (its pages say: afterwards), and
gives so many hits at most. But of a ranked list any beginning serves: `k` in it that match are the
`k` nearest that match, whichever way the service filters. So a search asks in this order, and ends
where it has `k` or where nothing else can match:

    1. for `k`; with a restriction for 4 k, 40 at least
    2. for the most hits that the service gives
    3. for as many again, unfiltered, keys alone: an index that has fewer was looked through
    4. for a listing, whose records are ranked here (`completion`)

QueryVectors cannot return data, so whatever needs the stored embeddings asks for keys first and
fetches the records with them: one query, and a get for each 100 hits.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import islice
from typing import Final, Generic, TypeVar

from ..client.context import Context, Deadline, Flow
from ..client.errors import (
    IncompleteSearchWarning,
    InvalidRequestError,
    MissingKeysError,
    ResponseError,
    ServiceError,
    VectorIndexParameterInvalidError,
    quote,
)
from ..client.models import Float32Array, ScoredVector, Vector
from ..client.operations.checks import check_data, check_whole
from ..client.operations.vectors import query_vectors
from ..client.steps import Call
from .completion import Listing
from .conditions import Condition, can_pass
from .filters import Filter, intersect, reduce_filter
from .recent import ROUNDING, OwnWrites
from .record import Record
from .settings import ROW_FIELD, Completion, is_row
from .store import RecordStore
from .traits import FORMS, Traits, traits_of

T = TypeVar("T")
Choose = Callable[[Float32Array, Sequence[Float32Array], int], list[int]]
_NO_ROWS = {ROW_FIELD: {"$exists": False}}
# What a search with a restriction asks for first: so many times `k`, and so many at least. Forty
# records of 2 KB travel in one reply as fast as four.
_FIRST_FACTOR: Final = 4
_FIRST_LEAST: Final = 40
_LOWER_CAPS: Final = (100, 30)  # of topK, on pages of Mar 2026 and of 2025
_SEEN_FARTHER: Final = 3
_NOT_LISTED: Final = "exhaustive=False leaves it at that"
_LIST_IT: Final = 'Pass exhaustive="auto" or True to have the others listed and ranked.'


@dataclass(frozen=True, slots=True)
class Hit(Generic[T]):
    """One record that a search found, and its distance: smaller is closer."""

    record: T
    distance: float


@dataclass(frozen=True, slots=True)
class Restriction(Generic[T]):
    """What a search is to find.

    Attributes:
        read: returns what a stored vector means, None where it does not pass: it evaluates the
            whole condition. The vector comes with its metadata, and with its data where these were
            asked for.
        pushed: what the service can check of the condition: all that passes passes it.
        is_whole: whether it passes no more than that; with `pushed` None nothing is restricted.
        needs_distances: refuse a hit that comes without its distance; otherwise that is NaN.
    """

    read: Callable[[Vector], T | None]
    pushed: Filter | None = None
    is_whole: bool = True
    needs_distances: bool = True

    @property
    def is_open(self) -> bool:
        """Tell whether everything passes."""
        return self.pushed is None and self.is_whole


@dataclass(frozen=True, slots=True)
class SearchResult(Generic[T]):
    """The hits of a search, the closest first, and what it says of those that it may lack."""

    hits: list[Hit[T]]
    incomplete: IncompleteSearchWarning | None = None


def relevance(metric: str, distance: float) -> float:
    """Return a distance as a relevance from 0 to 1: cosine 1 - d/2, euclidean 1/(1 + d).

    Raises:
        InvalidRequestError: the metric is another.
    """
    if metric == "cosine":  # the service's distance is 1 - cosine, from 0 to 2
        return min(1.0, max(0.0, 1.0 - distance / 2.0))
    return nearness(metric, distance)


def nearness(metric: str, distance: float) -> float:
    """Return a distance as a similarity that keeps the order: cosine 1 - d, euclidean 1/(1 + d).

    Raises:
        InvalidRequestError: the metric is another.
    """
    if metric == "cosine":
        return 1.0 - distance
    if metric == "euclidean":
        # a distance that is rounded may be just below zero
        return 1.0 / (1.0 + max(0.0, distance))
    raise InvalidRequestError(f"the index has the metric {quote(metric)}, which is not known here.")


def search(
    context: Context,
    store: RecordStore,
    query_vector: Iterable[float],
    k: int = 4,
    *,
    condition: Condition | None = None,
    return_data: bool = False,
    completion: Completion | None = None,
) -> Flow[SearchResult[Record]]:
    """Find the `k` records closest to a vector, closest first; `return_data` costs the gets.

    Raises:
        InvalidRequestError: `k` is not 1 to the service's top_k limit, or the vector is not finite
            or has another dimension than the index.
        IncompleteSearchWarning: the answer may lack records, under `on_incomplete="raise"`.
    """
    check_whole("k", k, 1, context.config.limits.top_k)
    query = check_data("query_vector", query_vector, "the query vector")
    if not can_pass(condition):
        return SearchResult([])
    found = find_nearest(
        context,
        store,
        query,
        k,
        lambda: restriction_of(context, store, condition),
        return_data=return_data,
        completion=completion,
    )
    return (yield from found)


def search_by_key(
    context: Context,
    store: RecordStore,
    key: str,
    k: int = 4,
    *,
    condition: Condition | None = None,
    return_data: bool = False,
    completion: Completion | None = None,
) -> Flow[SearchResult[Record]]:
    """Find the `k` records closest to a stored one, which is itself left out: no embedding call."""
    check_whole("k", k, 1, context.config.limits.top_k)
    if not can_pass(condition):
        return SearchResult([])
    result = yield from store.fetch(context, [key], return_data=True, return_metadata=False)
    if result.missing or (data := result[0].data) is None:
        raise MissingKeysError([key])

    def restrict() -> Restriction[Record]:
        of_all = restriction_of(context, store, condition)
        return replace(of_all, read=lambda one: None if one.key == key else of_all.read(one))

    # the record finds itself, so that one more is asked for
    found = find_nearest(
        context, store, data, k, restrict, return_data=return_data, completion=completion, spare=1
    )
    return (yield from found)


def mmr_search(
    context: Context,
    store: RecordStore,
    query_vector: Iterable[float],
    choose: Choose,
    *,
    k: int = 4,
    fetch_k: int = 20,
    condition: Condition | None = None,
    completion: Completion | None = None,
) -> Flow[SearchResult[Record]]:
    """Find `fetch_k` records, and of them the `k` that `choose` picks by their embeddings.

    `choose` takes the query, the embeddings and `k`, and returns positions in the order picked; it
    runs off the event loop. The records carry their embeddings.
    """
    query = check_data("query_vector", query_vector, "the query vector")
    top_k = context.config.limits.top_k
    check_whole("k", k, 1, top_k)
    check_whole("fetch_k", fetch_k, 1, top_k)
    found = yield from search(
        context,
        store,
        query,
        max(k, fetch_k),
        condition=condition,
        return_data=True,
        completion=completion,
    )
    hits = found.hits
    # off the event loop below: the choice compares all candidates with one another
    rows = [hit.record.embedding for hit in hits if hit.record.embedding is not None]
    if len(rows) != len(hits):
        raise ResponseError("GetVectors: a vector came without its data.", 200)
    picked: list[int] = (yield Call(lambda: choose(query, rows, k))) if hits else []
    return replace(found, hits=[hits[position] for position in picked])


def restriction_of(
    context: Context, store: RecordStore, condition: Condition | None
) -> Restriction[Record]:
    """Return what a condition restricts a search of records to, by what is known of the index."""
    settings, pushed = store.settings, store.push(context, condition)

    def read(vector: Vector) -> Record | None:
        # A store that does not filter rows out itself (`skip_rows`) may share its index with some.
        if is_row(vector.metadata):
            return None
        record = store.decode(vector)
        return record if store.passes(record, vector.metadata, condition) else None

    narrow = intersect(pushed.filter, _NO_ROWS) if settings.skip_rows else pushed.filter
    return Restriction(read, narrow, pushed.is_whole)


def find_nearest(
    context: Context,
    store: RecordStore,
    query: Float32Array,
    k: int,
    restrict: Callable[[], Restriction[T]],
    *,
    return_data: bool = False,
    completion: Completion | None = None,
    spare: int = 0,
) -> Flow[SearchResult[T]]:
    """Find the `k` nearest vectors that pass a restriction, as many as there are.

    `restrict` returns it; it is asked anew when the index was looked at, which may keep other
    fields out of its filters than was thought. `k` may be more than the service gives at once.
    `spare` more are asked for at first, where as many are known not to pass. An answer that may
    lack some is told of as `completion` says, by default the store's settings.

    Raises:
        InvalidRequestError: the query has another dimension than the index.
        IncompleteSearchWarning: under `on_incomplete="raise"`.
    """
    how = store.settings.completion if completion is None else completion
    deadline = context.deadline()
    store.watch(context)
    own: OwnWrites[T] = OwnWrites(
        context, store, query, k, how, return_data=return_data, spare=spare
    )
    running = _Search(context, store, query, k, restrict, return_data, how, deadline, own)
    nothing: Callable[[], SearchResult[T]] = lambda: SearchResult([])  # noqa: E731 - its type
    result = yield from store.or_empty(context, running.run(spare), nothing)
    if result.incomplete is None or how.on_incomplete == "ignore":
        return replace(result, incomplete=None)
    if how.on_incomplete == "raise":
        raise result.incomplete
    _warn(context, result.incomplete)
    return result


def _warn(context: Context, incomplete: IncompleteSearchWarning) -> None:
    # the log has it too: of a program that serves many, nobody sees the warnings
    found, wanted, reason = incomplete.found, incomplete.wanted, incomplete.reason
    topic = f"incomplete search {context.config.bucket}/{incomplete.index}"
    text = "a search in index %r may lack records: %d of %d found; %s"
    context.warn_once_a_minute(topic, text, incomplete.index, found, wanted, reason)
    warnings.warn(incomplete, stacklevel=2)


@dataclass(frozen=True, slots=True)
class _Reply:
    """The hits of one query: how many were asked for, and whether they came with metadata."""

    hits: Sequence[ScoredVector]
    asked: int
    with_metadata: bool

    @property
    def distances(self) -> list[float]:
        """Return how far its hits are, where they say it."""
        return [hit.distance for hit in self.hits if hit.distance is not None]

    @property
    def is_short(self) -> bool:
        """Tell whether fewer came than were asked for."""
        return len(self.hits) < self.asked


@dataclass(slots=True)
class _Search(Generic[T]):
    """One search in progress."""

    context: Context
    store: RecordStore
    query: Float32Array
    k: int
    restrict: Callable[[], Restriction[T]]
    return_data: bool
    completion: Completion
    deadline: Deadline
    own: OwnWrites[T]
    restriction: Restriction[T] = field(init=False)

    def __post_init__(self) -> None:
        self.restriction = self._restriction()

    def run(self, spare: int) -> Flow[SearchResult[T]]:
        """Ask until there are enough, or all that there are."""
        # what was deleted or changed since may be shown yet, and be none of the answer
        few = min(self.k + spare + len(self.own), self._several)
        first = few if self.restriction.is_open else self._several
        found, reply = yield from self._find(first)
        if self._is_done(found, reply):
            return self._answer(found, reply)
        # what was read tells of the index as well, such as that it keeps numbers
        replies, is_other = [reply], self._learn_fields()
        if is_other or reply.asked < self._cap:
            found, reply = yield from self._find(self._cap)
            replies.append(reply)
            if self._is_done(found, reply):
                return self._answer(found, reply)
        nearest = reply
        if self.restriction.pushed is not None:
            nearest = yield from self._ask(self._cap, None, metadata=False)
            self._learn_order(replies, nearest)
            if nearest.is_short or self._saw_all(reply):
                return self._answer(found, nearest)
        return (yield from self._complete(found, nearest))

    def _is_done(self, found: Mapping[str, Hit[T]], reply: _Reply) -> bool:
        """Tell whether nothing that the reply does not show can be nearer than what was found."""
        if self._saw_all(reply) or len(found) < self.k or not self.own:
            return self._saw_all(reply) or len(found) >= self.k
        # what this process has written may be farther than others that are not shown
        last = max(reply.distances, default=-1.0)
        last += ROUNDING * max(1.0, abs(last))
        return sum(hit.distance <= last for hit in found.values()) >= self.k

    def _answer(self, found: Mapping[str, Hit[T]], reply: _Reply) -> SearchResult[T]:
        hits, own = list(found.values()), self.own
        if not own.reason:
            return SearchResult(hits)
        return self._incomplete(hits, reply, 0, own.reason, own.remedy)

    def _incomplete(
        self, hits: list[Hit[T]], reply: _Reply, listed: int, reason: str, remedy: str
    ) -> SearchResult[T]:
        index, seen = self.context.config.index_or(self.store.settings.index), len(reply.hits)
        told = IncompleteSearchWarning(index, self.k, len(hits), seen, listed, reason, remedy)
        return SearchResult(hits, told)

    def _find(self, top_k: int) -> Flow[tuple[dict[str, Hit[T]], _Reply]]:
        while True:
            narrow = self.restriction
            # Hundreds of records take megabytes, where keys and distances take kilobytes; and what
            # comes with the data later need not come twice.
            is_bare = narrow.is_whole and (self.return_data or top_k > self._several)
            try:
                reply = yield from self._ask(top_k, narrow.pushed, metadata=not is_bare)
            except ServiceError as error:
                # its fields may be hidden, or its operators refused
                if error.status != HTTPStatus.BAD_REQUEST:
                    raise
                if not self._learn_fields() and not (yield from self._learn_forms(top_k)):
                    raise
            else:
                return (yield from self._read(reply)), reply

    @property
    def _several(self) -> int:
        return max(_FIRST_FACTOR * self.k, _FIRST_LEAST)

    def _learn_fields(self) -> bool:
        """Restrict anew, by what is known of the index by now; tell whether that differs."""
        before, self.restriction = self.restriction, self._restriction()
        return before.pushed != self.restriction.pushed

    def _restriction(self) -> Restriction[T]:
        asked = self.restrict()
        pushed = reduce_filter(asked.pushed, self._traits.forms)
        is_whole = asked.is_whole and pushed == asked.pushed
        return replace(asked, pushed=pushed, is_whole=is_whole)

    def _learn_forms(self, top_k: int) -> Flow[bool]:
        """Learn whether the service takes less of a filter than was pushed, and how much.

        That the filter is to blame is known where the same query passes without it.
        """
        whole, traits = self.restriction.pushed, self._traits
        if whole is None or not (yield from self._is_taken(top_k, None)):
            return False
        refused = whole
        for forms in FORMS[FORMS.index(traits.forms) + 1 :]:
            less = reduce_filter(whole, forms)
            if less == refused:
                continue
            if less is None or (yield from self._is_taken(top_k, less)):
                traits.forms = forms
                break
            refused = less
        return self._learn_fields()

    def _is_taken(self, top_k: int, pushed: Filter | None) -> Flow[bool]:
        # no more than any cap of topK allows, which may not be known yet
        few = min(top_k, self._cap, *_LOWER_CAPS)
        index = self.store.settings.index
        try:
            yield from query_vectors(
                self.context, self.query, top_k=few, index=index, filter=pushed
            )
        except ServiceError as error:
            if error.status != HTTPStatus.BAD_REQUEST:
                raise
            return False
        return True

    @property
    def _traits(self) -> Traits:
        return traits_of(self.context, self.store.settings.index)

    @property
    def _cap(self) -> int:
        learnt, limit = self._traits.top_k, self.context.config.limits.top_k
        return limit if learnt is None else min(limit, learnt)

    def _saw_all(self, reply: _Reply) -> bool:
        # with a filter that may choose among the nearest, how many hits come says nothing
        given, seen = self.store.settings.filters_first, self._traits.filters_first
        filters_first = seen if given is None else given
        return reply.is_short and (self.restriction.pushed is None or bool(filters_first))

    def _learn_order(self, replies: Iterable[_Reply], nearest: _Reply) -> None:
        """Learn whether the service filters first, from hits that are not among the nearest."""
        if self._traits.filters_first is not None:
            return
        last = max(nearest.distances, default=math.inf)
        for reply in replies:
            farther = [far for far in reply.distances if far > last]
            # Chosen among so few of the nearest they would be nearer. Of as many, one or two may
            # have been nearer a moment ago, before others were written.
            few = 2 * reply.asked <= len(nearest.hits)
            if len(farther) >= (1 if few else _SEEN_FARTHER):
                self._traits.filters_first = True

    def _ask(self, top_k: int, pushed: Filter | None, *, metadata: bool) -> Flow[_Reply]:
        """Query; where the service does not give so many at once, learn how many it does."""
        asked = min(top_k, self._cap)
        refusal: VectorIndexParameterInvalidError | None = None
        while True:
            found = query_vectors(
                self.context,
                self.query,
                top_k=asked,
                index=self.store.settings.index,
                filter=pushed,
                return_metadata=metadata,
            )
            try:
                hits = yield from found
            except VectorIndexParameterInvalidError as error:
                is_first = refusal is None
                refusal = refusal or error
            else:
                if refusal is not None:
                    self._traits.top_k = asked  # the same query passed, but for that
                return _Reply(hits, asked, metadata)
            if is_first:
                # The service does not say why: most often the model is another than the index's.
                yield from self.store.keeper.check_query(self.context, len(self.query))
            asked = next((cap for cap in _LOWER_CAPS if cap < asked), 0)
            if not asked:
                raise refusal

    def _read(self, reply: _Reply) -> Flow[dict[str, Hit[T]]]:
        """Return the nearest that pass, `k` at most, by their keys: hits, and own writes."""
        if not self.own:
            return (yield from self._read_hits(reply))
        others = [hit for hit in reply.hits if hit.key not in self.own]
        found = yield from self._read_hits(replace(reply, hits=others))
        narrow = self.restriction
        distances = [hit.distance for hit in found.values() if not math.isnan(hit.distance)]
        own = yield from self.own.find(distances, reply.hits, narrow.read, is_open=narrow.is_open)
        if own is None:
            return (yield from self._read(reply))
        found |= {key: Hit(value, far) for key, (far, value) in own.items()}
        # those whose distance the service does not tell come last, as it has ranked them
        nearest = sorted(
            found.items(),
            key=lambda one: math.inf if math.isnan(one[1].distance) else one[1].distance,
        )
        return dict(nearest[: self.k])

    def _read_hits(self, reply: _Reply) -> Flow[dict[str, Hit[T]]]:
        """Return the hits that pass, `k` at most, by their keys; fetch what did not come."""
        found: dict[str, Hit[T]] = {}
        read = self.restriction.read
        distances = {hit.key: self._distance(hit) for hit in reply.hits}
        keys = iter(distances)
        if reply.with_metadata:
            # no further than is needed: what is farther away may be broken and still harm nobody
            vectors = (Vector(hit.key, None, hit.metadata) for hit in reply.hits)
            passing = ((one.key, value) for one in vectors if (value := read(one)) is not None)
            if not self.return_data:
                return {key: Hit(v, distances[key]) for key, v in islice(passing, self.k)}
            keys = (key for key, _ in passing)
        size = self.k
        while len(found) < self.k and (batch := list(islice(keys, size))):
            result = yield from self.store.fetch(self.context, batch, return_data=self.return_data)
            # those deleted since, and those that pass no more, are left out: the next ones count
            values = ((one.key, read(one)) for one in result)
            found |= {key: Hit(v, distances[key]) for key, v in values if v is not None}
            size = self.context.config.limits.keys_per_get  # a call is a call, however few it asks
        return dict(islice(found.items(), self.k))

    def _complete(self, found: dict[str, Hit[T]], nearest: _Reply) -> Flow[SearchResult[T]]:
        hits, listed, reason, remedy = list(found.values()), 0, _NOT_LISTED, _LIST_IT
        if self.completion.exhaustive is not False:
            if self.restriction.pushed is not None:
                # what index it is may tell more of what need not be listed
                yield from self.store.describe(self.context)
                self._learn_fields()
            listing = Listing(
                self.store,
                self.query,
                self.k,
                self.restriction.read,
                self.restriction.pushed,
                self.return_data,
                self.completion,
                self.deadline,
            )
            # what was measured here tells nothing of the service's formula
            seen = [
                ScoredVector(
                    key, None if key in self.own or math.isnan(hit.distance) else hit.distance
                )
                for key, hit in found.items()
            ]
            farthest = next((h for h in reversed(nearest.hits) if h.key not in self.own), None)
            completed = yield from listing.complete(self.context, seen, farthest)
            listed, reason, remedy = completed.listed, completed.reason, completed.remedy
            if not reason or len(completed.nearest) >= len(hits):
                hits = [Hit(value, far) for far, value in completed.nearest]
        if not reason:
            return SearchResult(hits)
        return self._incomplete(hits, nearest, listed, reason, remedy)

    def _distance(self, hit: ScoredVector) -> float:
        if hit.distance is not None:
            return hit.distance
        if not self.restriction.needs_distances:
            return math.nan
        what = f"{quote(hit.key)} came without the distance asked for"
        raise ResponseError(f"QueryVectors: {what}.", 200)
