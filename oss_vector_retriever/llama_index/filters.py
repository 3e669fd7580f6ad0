"""`MetadataFilters` as conditions on records, checked before anything is asked.

All operators, all conditions, nested up to 100 deep. What they mean stands in
`records.conditions`: for the most part what core's own `build_metadata_filter_fn` means by them,
but that a list passes EQ and IN if any of its items does, unless the store's `list_fields` is
"exact", and that a boolean is no number.
"""

import datetime as dt
import math
from decimal import Decimal
from typing import Final

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from ..client.errors import InvalidRequestError, quote
from ..client.operations.checks import check_unicode
from ..records.conditions import Condition, Group, Operator, Test
from ..records.typed import as_python

AnyFilter = MetadataFilter | MetadataFilters


def check_filters(filters: MetadataFilters | None) -> MetadataFilters | None:
    """Return filters that can be evaluated; None for those that hold no filter at any depth.

    Refused are an unknown operator or condition, a value that the operator cannot compare with,
    text that no record can hold, and groups that are nested too deep to be walked through.
    """
    if filters is None:
        return None
    if not isinstance(filters, MetadataFilters):
        raise InvalidRequestError(
            "{argument} must be MetadataFilters, not {kind}",
            argument="filters",
            remedy="as in MetadataFilters(filters=[MetadataFilter(key=..., value=...)])",
            fields={"kind": type(filters).__name__},
        )
    _check(filters, 1)
    return filters if _restricts(filters) else None


def read_filters(filters: MetadataFilters | None) -> Condition | None:
    """Return filters as a condition, checked as `check_filters` does; None where none restricts."""
    checked = check_filters(filters)
    return None if checked is None else _read(checked)


def _read(one: AnyFilter) -> Condition:
    if isinstance(one, MetadataFilter):
        return Test(one.key, _OPERATORS[one.operator], as_python(one.value))
    if not one.filters:
        return Group("and", ())  # no restriction, whatever the condition
    return Group(_condition(one).value, tuple(_read(inner) for inner in one.filters))


def has_empty_group(filters: MetadataFilters) -> bool:
    """Tell whether a group in them is empty, at any depth: everything passes such a group."""
    groups = [one for one in filters.filters if isinstance(one, MetadataFilters)]
    return not filters.filters or any(has_empty_group(group) for group in groups)


_LISTS: Final = frozenset(
    {FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL}
)
_TEXTS: Final = frozenset({FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE})
_ORDERINGS: Final = frozenset(
    {FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE}
)
# core's own class takes texts and numbers; one that is made without its checks takes what there is
_ORDERED: Final = (str, int, float, dt.date, dt.timedelta, Decimal)
# core's names of them are those of its members, in capitals
_OPERATORS: Final = {one: Operator(one.name.lower()) for one in FilterOperator}
_MOST_LEVELS: Final = 100  # each takes several frames of the stack, and Python has a thousand


def _check(one: AnyFilter, level: int) -> None:
    if level > _MOST_LEVELS:
        raise InvalidRequestError(
            "{argument} are nested deeper than {limit} levels.",
            argument="filters",
            limit=_MOST_LEVELS,
        )
    if isinstance(one, MetadataFilter):
        _check_leaf(one)
        return
    condition = _condition(one)
    if not isinstance(condition, FilterCondition):
        raise InvalidRequestError(f"filters are joined by and, or, not; not by {condition!r}.")
    for inner in one.filters:
        _check(inner, level + 1)


def _check_leaf(one: MetadataFilter) -> None:
    check_unicode("filters", one.key, "filter on the field")
    if one.operator is FilterOperator.IS_EMPTY:
        return
    values = one.value if isinstance(one.value, list) else [one.value]
    for value in values:
        check_unicode("filters", value, f"filter on {quote(one.key)}: the value")
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise _wrong_value(one, "finite numbers")
    if one.operator in _LISTS and not isinstance(one.value, list):
        raise _wrong_value(one, "a list")
    if one.operator in _TEXTS and not isinstance(one.value, str):
        raise _wrong_value(one, "a string")
    if one.operator in _ORDERINGS and not isinstance(as_python(one.value), _ORDERED):
        raise _wrong_value(one, "a number or a string")
    if one.operator not in _OPERATORS:
        raise InvalidRequestError(f"filter on {quote(one.key)}: unknown operator {one.operator!r}.")


def _wrong_value(one: MetadataFilter, kind: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"filter on {quote(one.key)}: {one.operator.value} compares with {kind}, "
        f"not with {quote(one.value)}."
    )


def _restricts(filters: MetadataFilters) -> bool:
    return any(isinstance(one, MetadataFilter) or _restricts(one) for one in filters.filters)


def _condition(filters: MetadataFilters) -> FilterCondition:
    # core's own default is AND, and an explicit None means the same to its evaluator
    return FilterCondition.AND if filters.condition is None else filters.condition
