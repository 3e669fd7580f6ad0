"""`MetadataFilters`: what a record must pass here, and what the service can check of it.

All operators, all conditions, nested up to 100 deep. A comparison means what core's own
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

import math
import operator
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from ..client.errors import InvalidRequestError, quote
from ..client.models.limits import Limits, metadata_bytes
from ..client.operations.checks import check_unicode
from ..records import Record, filterable_value
from ..records.conditions import Condition, Group, Operator, Test
from ..records.decode import SOURCE_ID_FIELD, SOURCE_ID_FIELDS, source_id
from ..records.filters import Filter

Comparison = Callable[[Any, Any], bool]
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
        return Test(one.key, _OPERATORS[one.operator], one.value)
    if not one.filters:
        return Group("and", ())  # no restriction, whatever the condition
    return Group(_condition(one).value, tuple(_read(inner) for inner in one.filters))


def has_empty_group(filters: MetadataFilters) -> bool:
    """Tell whether a group in them is empty, at any depth: everything passes such a group."""
    groups = [one for one in filters.filters if isinstance(one, MetadataFilters)]
    return not filters.filters or any(has_empty_group(group) for group in groups)


def record_passes(
    record: Record, filters: MetadataFilters | None, doc_ids: Collection[str] | None = None
) -> bool:
    """Tell whether a record is of one of the documents and passes filters; None restricts nothing.

    Filters see what core's writer puts beside the metadata too: the id of the record's document.
    """
    document = document_id(record)
    if doc_ids is not None and document not in doc_ids:
        return False
    if filters is None:
        return True
    # under all three names that core has had for it; a field of the user's own comes first
    about = dict.fromkeys(SOURCE_ID_FIELDS, document) if document else {}
    return passes({**about, **record.metadata}, filters)


def document_id(record: Record) -> Any:
    """Return the id of the document that a record is of, as whoever wrote it says; or None."""
    return source_id(record.node) or record.metadata.get(SOURCE_ID_FIELD)


def passes(metadata: Mapping[str, Any], filters: AnyFilter) -> bool:
    """Tell whether metadata pass filters that `check_filters` has taken."""
    if isinstance(filters, MetadataFilter):
        return _leaf_passes(metadata, filters)
    if not filters.filters:
        return True
    outcomes = (passes(metadata, one) for one in filters.filters)
    condition = _condition(filters)
    if condition is FilterCondition.AND:
        return all(outcomes)
    return any(outcomes) is (condition is FilterCondition.OR)


def service_filter(
    filters: MetadataFilters | None,
    doc_ids: Collection[str] | None,
    fields: Collection[str],
    *,
    native_scalars: bool,
    limits: Limits,
) -> tuple[Filter | None, bool]:
    """Return what the service can check of filters and document ids, and whether that is all.

    `fields` are the metadata fields that have copies which the service sees; with `native_scalars`
    numbers and booleans are copied as they are.
    """
    own = [name for name in fields if name not in SOURCE_ID_FIELDS]
    translated, complete = translate(filters, own, native_scalars=native_scalars)
    documents: Filter | None = None
    if doc_ids is not None and SOURCE_ID_FIELD in fields:
        documents = {SOURCE_ID_FIELD: {"$in": sorted(doc_ids)}}
    elif doc_ids is not None:
        complete = False
    # a filter over a limit would be refused whole; without it the evaluation here still decides
    whole = combine("$and", [translated, documents])
    return (whole, complete) if whole is None or fits(whole, limits) else (None, False)


def translate(
    filters: MetadataFilters | None, fields: Collection[str], *, native_scalars: bool = False
) -> tuple[Filter | None, bool]:
    """Return a filter that passes at least what the filters pass, and whether it passes no more."""
    translation = _Translation(fields, native_scalars)
    found = None if filters is None else translation.translate(filters, negated=False)
    return found, translation.complete


def combine(by: str, parts: Iterable[Filter | None]) -> Filter | None:
    """Return filters joined by `$and` or `$or`; None and empty ones are left out."""
    given = [part for part in parts if part]
    return {by: given} if len(given) > 1 else next(iter(given), None)


def fits(found: Filter, limits: Limits) -> bool:
    """Tell whether a filter is within the service's limits on items, depth and bytes."""
    items, depth = _items_and_depth(found)
    return (
        items <= limits.filter_items
        and depth < limits.filter_depth  # one level is left for what a search adds
        and metadata_bytes(found) <= limits.filter_bytes
    )


# core lets an absent field pass a negation: it is not equal, and in no list
_PASSED_BY_NONE: Final = frozenset({FilterOperator.NE, FilterOperator.NIN})
_LISTS: Final = frozenset(
    {FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL}
)
_TEXTS: Final = frozenset({FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE})


# core's names of them are those of its members, in capitals
_OPERATORS: Final = {one: Operator(one.name.lower()) for one in FilterOperator}

_MOST_LEVELS = 100  # each takes several frames of the stack, and Python has a thousand in all


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
    if one.operator in _ORDERINGS and not isinstance(one.value, str | int | float):
        raise _wrong_value(one, "a number or a string")
    if one.operator not in _COMPARISONS:
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


def _leaf_passes(metadata: Mapping[str, Any], one: MetadataFilter) -> bool:
    found = metadata.get(one.key)
    if one.operator is FilterOperator.IS_EMPTY:
        return found is None or found in ("", [])
    if found is None:
        return one.operator in _PASSED_BY_NONE
    return _compare(_COMPARISONS[one.operator], found, one.value)


def _compare(comparison: Comparison, found: object, value: object) -> bool:
    try:
        return comparison(found, value)
    except TypeError:  # of values that do not compare, such as "a" > 5
        return False


_ORDERINGS: Final[dict[FilterOperator, Comparison]] = {
    FilterOperator.GT: operator.gt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LT: operator.lt,
    FilterOperator.LTE: operator.le,
}
_COMPARISONS: Final[dict[FilterOperator, Comparison]] = {
    **_ORDERINGS,
    FilterOperator.EQ: operator.eq,
    FilterOperator.NE: operator.ne,
    FilterOperator.IN: lambda found, values: found in values,
    FilterOperator.NIN: lambda found, values: found not in values,
    FilterOperator.CONTAINS: operator.contains,
    # each item by itself: one that does not compare with a string must not hide the others
    FilterOperator.ANY: lambda found, values: any(
        _compare(operator.contains, found, value) for value in values
    ),
    FilterOperator.ALL: lambda found, values: all(value in found for value in values),
    FilterOperator.TEXT_MATCH: lambda found, text: isinstance(found, str) and text in found,
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda found, text: (
        isinstance(found, str) and text.casefold() in found.casefold()
    ),
}
_NEGATED: Final = {FilterOperator.NE: FilterOperator.EQ, FilterOperator.NIN: FilterOperator.IN}


@dataclass(slots=True)
class _Translation:
    """One translation into the service's grammar; `complete` until something could not be said."""

    fields: Collection[str]
    native_scalars: bool
    complete: bool = True

    def translate(self, one: AnyFilter, *, negated: bool) -> Filter | None:
        if isinstance(one, MetadataFilters):
            return self._group(one, negated=negated)
        found = self._leaf(one, negated=negated) if one.key in self.fields else None
        self.complete &= found is not None
        return found

    def _group(self, filters: MetadataFilters, *, negated: bool) -> Filter | None:
        if not filters.filters:
            return None
        # the service has no "not": it is moved inwards, to where EQ becomes NE and AND becomes OR
        condition = _condition(filters)
        by_and = negated if condition is FilterCondition.OR else not negated
        inner = negated is not (condition is FilterCondition.NOT)
        parts = [self.translate(one, negated=inner) for one in filters.filters]
        # an OR that lacks one of its parts would hide what passes that part alone
        return combine("$and" if by_and else "$or", parts) if by_and or None not in parts else None

    def _leaf(self, one: MetadataFilter, *, negated: bool) -> Filter | None:
        if one.operator is FilterOperator.IS_EMPTY and negated:
            return {one.key: {"$exists": True}}
        if one.operator is FilterOperator.IS_EMPTY:
            return {"$or": [{one.key: {"$exists": False}}, {one.key: {"$eq": ""}}]}
        kind = _NEGATED.get(one.operator) if negated else one.operator
        if kind is FilterOperator.EQ:
            return self._one_of(one.key, [one.value])
        if kind is FilterOperator.IN and isinstance(one.value, list):
            return self._one_of(one.key, one.value)
        if kind in _ORDERINGS and self.native_scalars:
            return self._range(one.key, kind, one.value)
        return None

    def _one_of(self, key: str, values: Sequence[object]) -> Filter | None:
        if not values or any(isinstance(value, list) or value is None for value in values):
            return None
        forms = [form for value in values for form in self._forms(value)]
        return {key: {"$in": forms}} if len(forms) > 1 else {key: {"$eq": forms[0]}}

    def _range(self, key: str, kind: FilterOperator, value: object) -> Filter | None:
        if not isinstance(value, int | float):
            return None
        test = {key: {f"${kind.name.lower()}": value}}  # core's names of them are the service's
        # True > 0 in Python, while the service compares numbers with numbers alone
        booleans = [flag for flag in (False, True) if _ORDERINGS[kind](flag, value)]
        return {"$or": [test, {key: {"$in": booleans}}]} if booleans else test

    def _forms(self, value: object) -> list[object]:
        """Return how the copies of all equal values are written, each once."""
        # records from before the setting was switched on hold strings
        natives = (False, True) if self.native_scalars else (False,)
        forms = (
            filterable_value(equal, scalars="native" if native else "strings")
            for equal in _equal_values(value)
            for native in natives
        )
        return list({(type(form), form): form for form in forms}.values())


def _equal_values(value: object) -> list[object]:
    """Return the values that Python takes for equal, and that are written in other ways."""
    if not isinstance(value, int | float):
        return [value]
    whole = isinstance(value, int) or value.is_integer()
    others = [int(value)] if whole else []
    # beyond that an int would overflow a float
    fits = abs(value) <= sys.float_info.max
    floats = [float(value)] if fits and float(value) == value else []
    return [*others, *floats, *(flag for flag in (False, True) if flag == value)]


def _items_and_depth(found: Mapping[str, Any]) -> tuple[int, int]:
    [operand] = found.values()
    if isinstance(operand, list):
        inside = [_items_and_depth(part) for part in operand]
        return 1 + sum(items for items, _ in inside), 1 + max(depth for _, depth in inside)
    [values] = operand.values()
    return 1 + (len(values) if isinstance(values, list) else 0), 1
