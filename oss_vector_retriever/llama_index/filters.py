"""`MetadataFilters`, evaluated exactly on a record's typed metadata.

All operators, all conditions, nested to any depth. A comparison means what core's own
`build_metadata_filter_fn` means by it, with these rules made firm:

    a field that is absent or None    passes NE, NIN and IS_EMPTY alone
    values that do not compare        ("a" > 5, 5 contains "a") do not pass; nothing is raised
    CONTAINS, ANY, ALL                look into a list for items, into a string for substrings
    TEXT_MATCH                        finds a substring of a string; _INSENSITIVE folds case
    IS_EMPTY                          absent, None, "" or []
    NOT                               none of its filters passes, one filter or many
    no filters                        no restriction, whatever the condition

Filters cannot hold a boolean; as everywhere in Python, 1 equals True and 0 equals False.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from oss_vector_retriever.client.errors import InvalidRequestError, shown

Test = Callable[[Mapping[str, Any]], bool]
Comparison = Callable[[Any, Any], bool]
AnyFilter = MetadataFilter | MetadataFilters

ORDERINGS: Final[dict[FilterOperator, Comparison]] = {
    FilterOperator.GT: operator.gt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LT: operator.lt,
    FilterOperator.LTE: operator.le,
}
_PASSED_BY_NONE: Final = frozenset({FilterOperator.NE, FilterOperator.NIN})
_LISTS: Final = frozenset(
    {FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL}
)
_TEXTS: Final = frozenset({FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE})


def matcher(filters: MetadataFilters | None) -> Test:
    """Return the test that tells whether metadata pass; without filters all do.

    Raises:
        InvalidRequestError: an operator is unknown, or compares with a value of the wrong type.
    """
    return _everything if filters is None else _group(filters)


def restricts(filters: MetadataFilters | None) -> bool:
    """Tell whether there is any filter in them, at any depth."""
    if filters is None:
        return False
    return any(isinstance(one, MetadataFilter) or restricts(one) for one in filters.filters)


def has_gap(filters: MetadataFilters) -> bool:
    """Tell whether a group in them is empty, at any depth: everything passes such a group."""
    groups = [one for one in filters.filters if isinstance(one, MetadataFilters)]
    return not filters.filters or any(has_gap(group) for group in groups)


def condition_of(filters: MetadataFilters) -> FilterCondition:
    """Return how filters are joined; by AND where nothing is said."""
    return FilterCondition.AND if filters.condition is None else filters.condition


def _test(one: AnyFilter) -> Test:
    return _group(one) if isinstance(one, MetadataFilters) else _leaf(one)


def _group(filters: MetadataFilters) -> Test:
    tests = [_test(one) for one in filters.filters]
    if not tests:
        return _everything
    condition = condition_of(filters)
    if condition is FilterCondition.AND:
        return lambda metadata: all(test(metadata) for test in tests)
    if condition is FilterCondition.OR:
        return lambda metadata: any(test(metadata) for test in tests)
    if condition is FilterCondition.NOT:
        return lambda metadata: not any(test(metadata) for test in tests)
    raise InvalidRequestError(f"filters are joined by and, or, not; not by {condition!r}.")


def _everything(_: Mapping[str, Any]) -> bool:
    return True


def _leaf(one: MetadataFilter) -> Test:
    key, wanted = one.key, one.value
    if one.operator is FilterOperator.IS_EMPTY:
        return lambda metadata: _is_empty(metadata.get(key))
    _check(one)
    compare = _COMPARISONS.get(one.operator)
    if compare is None:
        raise InvalidRequestError(f"filter on {shown(key)}: unknown operator {one.operator!r}.")
    passed_by_none = one.operator in _PASSED_BY_NONE

    def test(metadata: Mapping[str, Any]) -> bool:
        found = metadata.get(key)
        return passed_by_none if found is None else _compared(compare, found, wanted)

    return test


def _compared(compare: Comparison, found: object, wanted: object) -> bool:
    try:
        return compare(found, wanted)
    except TypeError:  # of values that do not compare, such as "a" > 5
        return False


def _check(one: MetadataFilter) -> None:
    values = one.value if isinstance(one.value, list) else [one.value]
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise _refusal(one, "finite numbers")
    if one.operator in _LISTS and not isinstance(one.value, list):
        raise _refusal(one, "a list")
    if one.operator in _TEXTS and not isinstance(one.value, str):
        raise _refusal(one, "a string")
    if one.operator in ORDERINGS and not isinstance(one.value, str | int | float):
        raise _refusal(one, "a number or a string")


def _refusal(one: MetadataFilter, kind: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"filter on {shown(one.key)}: {one.operator.value} compares with {kind}, "
        f"not with {shown(one.value)}."
    )


def _is_empty(found: object) -> bool:
    return found is None or found in ("", [])


def _contains(found: Any, wanted: object) -> bool:
    return wanted in found


def _any(found: Any, wanted: list[object]) -> bool:
    return any(_compared(_contains, found, item) for item in wanted)


def _all(found: Any, wanted: list[object]) -> bool:
    return all(_contains(found, item) for item in wanted)


def _text_match(found: object, wanted: str) -> bool:
    return isinstance(found, str) and wanted in found


def _text_match_insensitive(found: object, wanted: str) -> bool:
    return isinstance(found, str) and wanted.casefold() in found.casefold()


_COMPARISONS: Final[dict[FilterOperator, Comparison]] = {
    **ORDERINGS,
    FilterOperator.EQ: operator.eq,
    FilterOperator.NE: operator.ne,
    FilterOperator.IN: lambda found, wanted: found in wanted,
    FilterOperator.NIN: lambda found, wanted: found not in wanted,
    FilterOperator.CONTAINS: _contains,
    FilterOperator.ANY: _any,
    FilterOperator.ALL: _all,
    FilterOperator.TEXT_MATCH: _text_match,
    FilterOperator.TEXT_MATCH_INSENSITIVE: _text_match_insensitive,
}
