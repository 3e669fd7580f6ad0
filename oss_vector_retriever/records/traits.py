"""`Traits`: what this process has learnt of how the service treats one index."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..client.context import Context, PerIndex
from ..client.models.account_record import AccountRecord

Formula = Literal["cosine", "euclidean", "squared"]
Forms = Literal["all", "plain", "simple", "none"]

FORMS: Final[tuple[Forms, ...]] = ("all", "plain", "simple", "none")
"""What of a filter is pushed, from everything to nothing (`filters.reduce_filter`)."""


@dataclass(slots=True)
class Traits:
    """What this process has learnt of how the service treats one index.

    Attributes:
        top_k: the most hits that it gives, where that is fewer than `Limits.top_k`.
        filters_first: True where its search was seen to filter before it ranks; False where the
            account's record says that it does not.
        forms: the forms of filters that its search takes.
        lists_by_filter: False where a listing was refused for its filter, or does not keep to it.
        formula: of its distances, where the metric does not say it.
        euclidean: the formula that the account's record tells, of the metric of this name.
        native: whether it keeps numbers and booleans as they are; None before it was seen.
        record: the account's record that was looked into last.
    """

    top_k: int | None = None
    filters_first: bool | None = None
    forms: Forms = "all"
    lists_by_filter: bool = True
    formula: Formula | None = None
    euclidean: Formula | None = None
    native: bool | None = None
    record: AccountRecord | None = None


_known: PerIndex[Traits] = PerIndex()


def traits_of(context: Context, index: str | None) -> Traits:
    """Return what is known of an index, the same object to all that ask in this process."""
    traits, record = _known.find(context, index, Traits), context.config.record
    # another client of the process may have none, and have asked first
    if record is not None and traits.record is not record:
        traits.record = record
        _fill(traits, record.behaviour)
    return traits


def _fill(traits: Traits, told: Mapping[str, Any]) -> None:
    """Fill in what a record tells and nobody has seen yet: it is not found out once more."""
    for name, answers in _TOLD.items():
        for field, value in answers.get(told.get(name), {}).items():
            if getattr(traits, field) == getattr(_UNKNOWN, field):
                setattr(traits, field, value)


_UNKNOWN: Final = Traits()


# what each answer of a record says of every index; of `topK` the limits know
_TOLD: Final[dict[str, dict[Any, dict[str, Any]]]] = {
    "filter_after_ranking": {False: {"filters_first": True}, True: {"filters_first": False}},
    "list_filter": {"ignored": {"lists_by_filter": False}, "refused": {"lists_by_filter": False}},
    "squared_euclidean": {False: {"euclidean": "euclidean"}, True: {"euclidean": "squared"}},
    "scalars": {
        "kept": {"native": True},
        "refused": {"native": False},
        "strings": {"native": False},
    },
    "filter_forms": {
        "no_ranges": {"forms": "plain"},
        "no_exists": {"forms": "simple"},
        "no_or": {"forms": "simple"},
        "flat": {"forms": "simple"},
    },
}
