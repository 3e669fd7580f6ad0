"""`IndexKeeper`: what a store knows of its index, and how it makes one."""

from contextlib import suppress

from ..client import errors
from ..client.context import Context, Flow
from ..client.models.results import VectorIndex
from ..client.operations.indexes import get_vector_index, put_vector_index
from ..client.steps import Sleep
from .settings import StoreSettings

_POLL_SECONDS = 0.5  # seconds, while a new index is being made ready


class IndexKeeper:
    """The index of a store: asked for once, made when it is first written to.

    Where the caller may not ask, the description has dimension 0 and no metric, and nothing is
    checked by it.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self._known: dict[tuple[str | None, str], VectorIndex] = {}

    def peek(self, context: Context) -> VectorIndex | None:
        """Return the description if it was asked for already; no call."""
        return self._known.get(self._name(context))

    def forget(self, context: Context) -> None:
        """Ask again next time, since the index is not what it was."""
        self._known.pop(self._name(context), None)

    def describe(self, context: Context) -> Flow[VectorIndex]:
        """Return the description of the index, asked for once; refuse one that is not there."""
        return self.peek(context) or (yield from self._ask(context))

    def prepare(self, context: Context, dimension: int) -> Flow[VectorIndex]:
        """Return the description of an index that takes vectors of a dimension; make it if needed.

        Raises:
            InvalidRequestError: the index has another dimension or metric.
            NoSuchVectorIndexError: it is not there, and `create_index` is off.
        """
        try:
            found = yield from self.describe(context)
        except errors.NoSuchVectorIndexError:
            if not self.settings.create_index:
                raise
            found = yield from self.make(context, dimension)
        self._check(found, dimension)
        return found

    def make(self, context: Context, dimension: int) -> Flow[VectorIndex]:
        """Make the index, or take the one that another has just made, and wait until it is ready.

        The wait ends with the client's timeout: then the service says what it thinks of a write.
        """
        self.forget(context)
        # Processes that start together all find no index: one makes it, the others take it.
        with suppress(errors.VectorIndexAlreadyExistsError):
            yield from put_vector_index(
                context,
                index=self.settings.index,
                dimension=dimension,
                distance_metric=self.settings.metric_made,
                non_filterable_metadata_keys=self.settings.hidden_fields,
            )
        end = context.deadline().moment
        found = yield from self._ask(context)
        # The pages do not say whether an index that is being made takes writes already.
        while found.status == "creating" and (left := end - context.monotonic()) > 0:
            yield Sleep(min(_POLL_SECONDS, left))
            found = yield from self._ask(context)
        return found

    def check_query(self, context: Context, dimension: int) -> Flow[None]:
        """Refuse by name a query of another dimension than that of the index, asked for anew."""
        known = self.peek(context)
        self.forget(context)
        if known is not None:  # then that is the reason, and needs no further call
            _check_dimension(known, dimension, "the query has")
        _check_dimension((yield from self.describe(context)), dimension, "the query has")

    def check_writes(self, context: Context, dimension: int) -> Flow[None]:
        """Refuse by name a dimension or metric that the index, asked for anew, does not have."""
        self.forget(context)
        self._check((yield from self.describe(context)), dimension)

    def _ask(self, context: Context) -> Flow[VectorIndex]:
        try:
            found = yield from get_vector_index(context, index=self.settings.index)
        except errors.AccessDeniedError:
            # A role may write vectors and not look at indexes; then the service judges alone.
            found = VectorIndex(index_name=self._name(context)[1])
        # What is being made is asked for again; its dimension may be shown before it takes writes.
        if found.status != "creating":
            self._known[self._name(context)] = found
        return found

    def _name(self, context: Context) -> tuple[str | None, str]:
        # A store can be used with clients of several buckets: what is known is known of each.
        return context.config.bucket, context.config.index_or(self.settings.index)

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
