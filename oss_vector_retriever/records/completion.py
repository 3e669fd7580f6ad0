"""Searches completed here: what matches is listed, its embeddings are fetched by key and ranked.

Only so is an answer whole where the service filters what its search has found, or gives fewer hits
than were asked for. At most `k` records are kept in memory, beside the pages in progress.
"""

import heapq
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from ..client.context import Context, Deadline, Flow
from ..client.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidRequestError,
    MalformedJsonError,
    VectorIndexParameterInvalidError,
)
from ..client.models import Float32Array, ListVectorsResult, ScoredVector, Vector
from ..client.operations.vectors import list_vectors
from ..client.steps import Call, run_all
from .filters import Filter, reduce_filter
from .settings import Completion
from .store import RecordStore
from .traits import Formula, Traits, traits_of

if TYPE_CHECKING:  # records are read and written without numpy, and searched until one is completed
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
Read = Callable[[Vector], T | None]

_SEGMENTS: Final = 4  # listed at once; the service makes up to 16, and others want to be served too
_SHORTEST: Final = 0.001  # seconds; a deadline that is over is for the call to report
_MEASURED_AT_ONCE: Final = 1024  # rows, whose float64 copies stay within a few megabytes
_FORMULAS: Final[dict[str, tuple[Formula, ...]]] = {
    "cosine": ("cosine",),
    # no page says which of the two the service means
    "euclidean": ("euclidean", "squared"),
}
_ALL_FORMULAS: Final[tuple[Formula, ...]] = ("cosine", "euclidean", "squared")
_AT_LIMIT: Final = "scan_limit= ended the listing"
_LIST_MORE: Final = (
    "Pass exhaustive=True or a larger scan_limit=, or filter on fields that the service can check "
    "(filterable=)."
)
_CLOSE: Final = 1e-3  # of what the service says; two formulas that are closer are not told apart


@dataclass(frozen=True, slots=True)
class Completed(Generic[T]):
    """The nearest records of a listing, and what of it is missing.

    Attributes:
        nearest: distance and record of each, the closest first.
        listed: how many vectors were listed.
        reason: why the listing ended before its end; "" where it did not.
        remedy: what to do about it.
    """

    nearest: list[tuple[float, T]]
    listed: int = 0
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One completion: what is looked for, and how far.

    What the service found is among what is ranked, also where the listing ends before it has come
    to it; of that, and of the farthest hit of any kind, its formula is learnt.
    """

    store: RecordStore
    query: Float32Array
    k: int
    read: Read[T]
    pushed: Filter | None
    return_data: bool
    completion: Completion
    deadline: Deadline

    def complete(
        self, context: Context, hits: Iterable[ScoredVector], farthest: ScoredVector | None
    ) -> Flow[Completed[T]]:
        """List what matches and return the nearest of it; end early rather than fail."""
        nearest, progress = _Nearest(self), _Progress()
        try:
            yield from self._begin(context, nearest, hits, farthest)
            yield from self._list(context, nearest, progress)
        except DeadlineExceededError:
            progress.end("the time was up", "Give the client a longer timeout=.")
        except AccessDeniedError as error:
            check_denial(error)
            # who may search need not be allowed to list; the answer is what it was without
            progress.end(
                "listing or getting vectors is not permitted",
                "Permit oss:ListVectors and oss:GetVectors.",
            )
        found = [(far, value) for far, value in nearest.records() if value is not None]
        return Completed(found, progress.listed, progress.reason, progress.remedy)

    def _begin(
        self,
        context: Context,
        nearest: "_Nearest[T]",
        hits: Iterable[ScoredVector],
        farthest: ScoredVector | None,
    ) -> Flow[None]:
        told = {hit.key: hit.distance for hit in hits}
        formulas = likely_formulas(context, self.store)
        if farthest is not None and len(formulas) > 1:
            told[farthest.key] = farthest.distance  # of what is far two formulas differ the most
        vectors = yield from self._fetch(context, list(told), return_metadata=True)
        nearest.formula = yield from find_formula(
            context, self.store, formulas, self.query, vectors, told
        )
        yield Call(lambda: nearest.add([one for one in vectors if self.read(one) is not None]))

    def _list(self, context: Context, nearest: "_Nearest[T]", progress: "_Progress") -> Flow[None]:
        is_bound = self.completion.exhaustive == "auto"
        limit = self.completion.scan_limit if is_bound else sys.maxsize
        size = min(context.config.limits.list_page, limit)
        page = yield from self._page(context, size)
        if page.next_token is None or len(page) >= limit:
            yield from self._take(context, nearest, [page])
            progress.listed = len(page)
            if page.next_token is not None:
                progress.end(_AT_LIMIT, _LIST_MORE)
            return
        # There is more, so segments are listed at once, from their beginnings: the records of this
        # page come again in them. One page alone is what a filter that the service keeps to takes.
        segments = min(_SEGMENTS, context.config.limits.list_segments)
        tokens: dict[int, str | None] = dict.fromkeys(range(segments))
        while tokens:
            left = limit - progress.listed
            if left <= 0:
                progress.end(_AT_LIMIT, _LIST_MORE)
                return
            each = min(context.config.limits.list_page, -(-left // len(tokens)))
            flows = [
                self._page(context, each, token, segment_count=segments, segment_index=segment)
                for segment, token in tokens.items()
            ]
            pages = yield from run_all(flows)
            progress.listed += sum(map(len, pages))
            yield from self._take(context, nearest, pages)
            ended = zip(list(tokens), pages, strict=True)
            tokens = {segment: page.next_token for segment, page in ended if page.next_token}

    def _page(
        self, context: Context, size: int, token: str | None = None, **segment: int
    ) -> Flow[ListVectorsResult]:
        return list_passing(self._in_time(context), self.store, self.pushed, size, token, **segment)

    def _take(
        self, context: Context, nearest: "_Nearest[T]", pages: Sequence[ListVectorsResult]
    ) -> Flow[None]:
        # off the event loop: a thousand records take some ten milliseconds to decode
        passing: dict[str, Vector] = yield Call(
            lambda: {v.key: v for page in pages for v in page if self.read(v) is not None}
        )
        keys = [key for key in passing if key not in nearest.keys]
        found = yield from self._fetch(context, keys)
        vectors = [Vector(one.key, one.data, passing[one.key].metadata) for one in found]
        yield Call(lambda: nearest.add(vectors))

    def _fetch(
        self, context: Context, keys: Sequence[str], *, return_metadata: bool = False
    ) -> Flow[list[Vector]]:
        result = yield from self.store.fetch(
            self._in_time(context), keys, return_data=True, return_metadata=return_metadata
        )
        return list(result.by_key.values())

    def _in_time(self, context: Context) -> Context:
        # each call has what is left of the search's time
        return context.with_options(timeout=max(self.deadline.remaining_seconds, _SHORTEST))


def check_denial(error: AccessDeniedError) -> None:
    """Raise a refusal that is no lack of rights, but of credentials that do not hold any more."""
    if type(error) is not AccessDeniedError:
        raise error


def list_passing(
    context: Context,
    store: RecordStore,
    pushed: Filter | None,
    size: int,
    token: str | None = None,
    **segment: int,
) -> Flow[ListVectorsResult]:
    """List a page, of what passes a filter where the service has listings with filters.

    They are new (Sep 2026); an account may refuse one, or ignore it: look at the records again.
    """
    traits = traits_of(context, store.settings.index)
    pushed = reduce_filter(pushed, traits.forms)
    options: dict[str, Any] = {
        "index": store.settings.index,
        "max_results": size,
        "next_token": token,
        "return_metadata": True,
        **segment,
    }
    is_refused = False
    if pushed is not None and traits.lists_by_filter:
        try:
            page = list_vectors(context, filter=pushed, **options)
            return (yield from store.or_empty(context, page, lambda: ListVectorsResult(())))
        except (VectorIndexParameterInvalidError, MalformedJsonError):
            is_refused = True
    page = list_vectors(context, **options)
    result = yield from store.or_empty(context, page, lambda: ListVectorsResult(()))
    if is_refused:  # concluded here, for without the filter the same call is taken
        traits.lists_by_filter = False
    return result


@dataclass(slots=True)
class _Progress:
    """How far a listing has come, and why no further."""

    listed: int = 0
    reason: str = ""
    remedy: str = ""

    def end(self, reason: str, remedy: str) -> None:
        self.reason, self.remedy = reason, remedy


class _Nearest(Generic[T]):
    """The nearest vectors so far: `k` at most."""

    def __init__(self, listing: Listing[T]) -> None:
        self._listing = listing
        self._best: list[tuple[float, str, Vector]] = []
        self.formula: Formula = "cosine"

    @property
    def keys(self) -> set[str]:
        """Return the keys of what is kept."""
        return {key for _, key, _ in self._best}

    def add(self, vectors: Iterable[Vector]) -> None:
        """Take in vectors with their data; whatever is too far falls out."""
        known = self.keys
        fresh = [one for one in vectors if one.data is not None and one.key not in known]
        rows = [one.data for one in fresh if one.data is not None]
        distances = measure(self._listing.query, rows, self.formula)
        for vector, distance in zip(fresh, distances, strict=True):
            self._best.append((float(distance), vector.key, vector))
        # by the key, where two are equally far: no two have the same
        self._best = heapq.nsmallest(self._listing.k, self._best)

    def records(self) -> list[tuple[float, T | None]]:
        """Return what is kept, the closest first."""
        kept = [(far, vector) for far, _, vector in self._best]
        if not self._listing.return_data:
            kept = [(far, Vector(one.key, None, one.metadata)) for far, one in kept]
        return [(far, self._listing.read(vector)) for far, vector in kept]


def measure(
    query: Float32Array, rows: Sequence[Float32Array], formula: Formula
) -> "NDArray[np.float64]":
    """Return the distance of each embedding from a query, shape (n,), by the service's formula.

    Raises:
        InvalidRequestError: an embedding is of another dimension.
    """
    import numpy as np  # noqa: PLC0415 - see above

    if other := next((row for row in rows if len(row) != len(query)), None):
        raise InvalidRequestError(
            f"the query has {len(query)} dimensions and a stored embedding has {len(other)}: they "
            "come from different models."
        )
    target = np.asarray(query, dtype=np.float64)
    length = math.sqrt(float(target @ target))
    parts = [np.empty(0)]
    for start in range(0, len(rows), _MEASURED_AT_ONCE):
        matrix = np.asarray(rows[start : start + _MEASURED_AT_ONCE], dtype=np.float64)
        # Row by row, and not as a product of matrices, whose sums differ by the place of a row:
        # equal vectors are to be equally far.
        if formula == "cosine":
            lengths = np.sqrt((matrix * matrix).sum(axis=1)) * length
            lengths[lengths == 0.0] = 1.0  # zeros have no direction: their cosine is 0
            parts.append(1.0 - np.clip((matrix * target).sum(axis=1) / lengths, -1.0, 1.0))
        else:
            squares = ((matrix - target) ** 2).sum(axis=1)
            parts.append(squares if formula == "squared" else np.sqrt(squares))
    return np.concatenate(parts)


def known_formula(context: Context, index: str | None, metric: str) -> Formula:
    """Return the formula of an index's distances; the likelier one, unless a search showed it."""
    return possible_formulas(traits_of(context, index), metric)[0]


def possible_formulas(traits: Traits, metric: str) -> Sequence[Formula]:
    """Return the formulas that an index's distances may have, the likeliest first."""
    # of an index that the caller may not look at the metric is not known either
    possible: Sequence[Formula] = _FORMULAS.get(metric, _ALL_FORMULAS)
    if traits.euclidean is not None:
        other = "squared" if traits.euclidean == "euclidean" else "euclidean"
        possible = [one for one in possible if one != other]
    learnt = traits.formula
    return [learnt] if learnt is not None and learnt in possible else possible


def likely_formulas(context: Context, store: RecordStore) -> Sequence[Formula]:
    """Return the formulas of a store's index, the likeliest first, by what is known; no call."""
    traits, peeked = traits_of(context, store.settings.index), store.keeper.peek(context)
    return possible_formulas(traits, peeked.distance_metric if peeked else "")


def find_formula(  # noqa: PLR0917 - what is known, and what it is found by
    context: Context,
    store: RecordStore,
    formulas: Sequence[Formula],
    query: Float32Array,
    vectors: Sequence[Vector],
    told: Mapping[str, float | None],
) -> Flow[Formula]:
    """Return which of some formulas gives the distances that the service told of some vectors.

    Where they do not tell it the index is asked for its metric. What they tell is remembered.
    """
    if len(formulas) == 1:
        return formulas[0]
    traits = traits_of(context, store.settings.index)
    chosen: tuple[Formula, bool] = yield Call(
        lambda: _choose_formula(formulas, query, vectors, told)
    )
    formula, is_certain = chosen
    if is_certain:
        traits.formula = formula
        return formula
    described = yield from store.describe(context)
    known = possible_formulas(traits, described.distance_metric if described else "")
    return formula if formula in known else known[0]


def _choose_formula(
    formulas: Sequence[Formula],
    query: Float32Array,
    vectors: Iterable[Vector],
    told: Mapping[str, float | None],
) -> tuple[Formula, bool]:
    """Return the formula that gives the distances which the service told, and whether it alone."""
    known = [one for one in vectors if one.data is not None and told.get(one.key) is not None]
    if not known:
        return formulas[0], False
    rows = [one.data for one in known if one.data is not None]
    expected = [told[one.key] or 0.0 for one in known]
    misses = {
        formula: max(
            abs(far - there)
            for far, there in zip(measure(query, rows, formula), expected, strict=True)
        )
        for formula in formulas
    }
    best, *others = sorted(formulas, key=misses.__getitem__)
    tolerance = _CLOSE * max(1.0, *expected)
    return best, misses[best] <= tolerance < min(misses[name] for name in others)
