"""`IndexKeeper`: what a store needs to know of its index, and how it makes one."""

from collections.abc import Callable
from contextlib import suppress

from ..client import errors, known_indexes, readiness
from ..client.context import Context, Flow
from ..client.models.results import VectorIndex
from ..client.steps import Sleep
from .settings import StoreSettings

_MAKING_SECONDS = 0.5  # until a new index is tried


class IndexKeeper:
    """The index of a store: described where that is needed, made when it is first written to.

    What is known of it all stores of a client share (`client.known_indexes`). Where the caller may
    not ask, the description has dimension 0 and no metric, and nothing is checked by it.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings

    def peek(self, context: Context) -> VectorIndex | None:
        """Return the description if it is known already; no call."""
        return known_indexes.peek(context, self.settings.index)

    def describe(self, context: Context) -> Flow[VectorIndex]:
        """Return the description of the index; refuse one that is not there."""
        return known_indexes.describe(context, self.settings.index)

    def prepare(
        self, context: Context, dimension: int, check: Callable[[VectorIndex], None]
    ) -> Flow[VectorIndex]:
        """Return the description of an index that takes vectors of a dimension; make it if needed.

        `check` is what the vectors demand of it besides.

        Raises:
            InvalidRequestError: the index has another dimension or metric.
            NoSuchVectorIndexError: it is not there, and `create_index` is off.
        """

        def check_all(found: VectorIndex) -> None:
            self._check(found, dimension)
            check(found)

        index, create = self.settings.index, self.settings.create_index
        if not (create and known_indexes.was_absent(context, index)):
            try:
                return (yield from known_indexes.check_by_description(context, index, check_all))
            except errors.NoSuchVectorIndexError:
                if not create:
                    raise
        found = yield from self.make(context, dimension)
        check_all(found)
        return found

    def make(self, context: Context, dimension: int) -> Flow[VectorIndex]:
        """Make the index, or take the one that another has just made; its first writes wait."""
        making = self._make(context, dimension)
        return known_indexes.make_for_all(context, self.settings.index, making)

    def _make(self, context: Context, dimension: int) -> Flow[VectorIndex]:
        index = self.settings.index
        # Processes that start together all find no index: one makes it, the others take it.
        with suppress(errors.VectorIndexAlreadyExistsError):
            yield from readiness.put_vector_index(
                context,
                dimension,
                index,
                self.settings.metric_made,
                self.settings.hidden_fields,
                may_exist=True,
            )
        found = yield from known_indexes.look(context, index)
        if found.status == "creating":
            # most are ready by then, and a write that is refused has sent its body for nothing
            yield Sleep(min(_MAKING_SECONDS, context.config.timeout))
        return found

    def check_query(self, context: Context, dimension: int) -> Flow[None]:
        """Refuse by name a query of another dimension than that of the index, asked for anew."""
        index = self.settings.index
        found = known_indexes.peek(context, index)
        if found is not None and found.dimension not in (0, dimension):
            # that is the reason, and needs no further call; the next query looks anew
            known_indexes.forget(context, index, context.monotonic())
        else:
            found = yield from known_indexes.look(context, index)
        _check_dimension(found, dimension, "the query has")

    def check_writes(self, context: Context, dimension: int) -> Flow[None]:
        """Refuse by name a dimension or metric that the index, asked for anew, does not have."""
        self._check((yield from known_indexes.look(context, self.settings.index)), dimension)

    def _check(self, found: VectorIndex, dimension: int) -> None:
        _check_dimension(found, dimension, "the embeddings have")
        # The metric cannot be changed, and a search in the other one ranks otherwise, silently.
        wanted, there = self.settings.distance_metric, found.distance_metric
        if wanted and there and there != wanted:
            raise errors.InvalidRequestError(
                f"index {{index}} has the metric {{found}}, and this store was made for {wanted}",
                argument="distance_metric",
                value=wanted,
                remedy="pass {metric}, or another index",
                fields={
                    "index": errors.quote(found.index_name),
                    "found": there,
                    "metric": errors.refer(f'distance_metric="{there}"'),
                },
            )


def warn_of_absence(context: Context, index: str | None) -> None:
    """Say in the log, once a minute, that an index is not there: its name may be misspelt."""
    bucket, name = context.config.bucket, context.config.index_or(index)
    text = "index %r of bucket %r is not there, and is taken for empty; is its name right?"
    context.warn_once_a_minute(f"no index {bucket}/{name}", text, name, bucket)


def _check_dimension(found: VectorIndex, dimension: int, what: str) -> None:
    if found.dimension and found.dimension != dimension:
        raise errors.InvalidRequestError(
            "index {value} has dimension {dimension}, and {what} {count} numbers: another "
            "embedding model was used.",
            argument="index",
            value=found.index_name,
            remedy="Use that model, or another index",
            fields={"dimension": found.dimension, "what": what, "count": dimension},
        )
