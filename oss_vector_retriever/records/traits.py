"""`Traits`: what this process has learnt of how the service treats one index."""

from dataclasses import dataclass
from typing import Literal

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
    return _known.find(context, index, Traits)
