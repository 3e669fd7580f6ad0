"""`Traits`: what this process has learnt of how the service treats one index."""

from dataclasses import dataclass
from typing import Any, Final, Literal
from weakref import WeakKeyDictionary

from ..client.context import Context

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


_Known = dict[tuple[str | None, ...], Traits]
_of_services: _Known = {}
# services in this process have the same names, and nothing else in common
_of_embedded: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()


def traits_of(context: Context, index: str | None) -> Traits:
    """Return what is known of an index, the same object to all that ask in this process."""
    config, embedded = context.config, context.embedded
    known = _of_services if embedded is None else _of_embedded.setdefault(embedded, {})
    where = (str(config.endpoint), config.account_id, config.region, config.bucket)
    name = (*where, config.index_or(index))
    if name not in known:
        # what the account's record says is not found out once more
        told = config.record.behaviour if config.record is not None else {}
        known.setdefault(name, Traits(native=_KEPT.get(told.get("scalars"))))
    return known[name]


_KEPT: Final[dict[str | None, bool]] = {"kept": True, "refused": False, "strings": False}
