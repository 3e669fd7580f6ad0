"""`Traits`: what this process has learnt of how the service treats one index."""

from dataclasses import dataclass
from typing import Final, Literal

from ..client.config import ClientConfig
from ..client.context import Context, PerIndex

Formula = Literal["cosine", "euclidean", "squared"]


@dataclass(slots=True)
class Traits:
    """What this process has learnt of how the service treats one index.

    Attributes:
        top_k: the most hits that it gives, where that is fewer than `Limits.top_k`.
        filters_first: True where its search was seen to filter before it ranks.
        lists_by_filter: False where a listing was refused for its filter.
        formula: of its distances, where the metric does not say it.
        native: whether it keeps numbers and booleans as they are; None before it was seen.
    """

    top_k: int | None = None
    filters_first: bool | None = None
    lists_by_filter: bool = True
    formula: Formula | None = None
    native: bool | None = None


_known: PerIndex[Traits] = PerIndex()


def traits_of(context: Context, index: str | None) -> Traits:
    """Return what is known of an index, the same object to all that ask in this process."""
    return _known.find(context, index, lambda: _traits_of_record(context.config))


def _traits_of_record(config: ClientConfig) -> Traits:
    # what the account's record says is not found out once more
    told = config.record.behaviour if config.record is not None else {}
    return Traits(native=_KEPT.get(told.get("scalars")))


_KEPT: Final[dict[str | None, bool]] = {"kept": True, "refused": False, "strings": False}
