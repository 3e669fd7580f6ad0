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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.limits import Limits, metadata_bytes
from oss_vector_retriever.records import Record, filterable_value
from oss_vector_retriever.records.decode import SOURCE_ID_FIELD, SOURCE_ID_FIELDS, source_id

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


Service = dict[str, Any]

_NEGATED: Final = {
    FilterOperator.NE: FilterOperator.EQ,
    FilterOperator.NIN: FilterOperator.IN,
}
_ORDERED_BY: Final = {
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
}


@dataclass(frozen=True, slots=True)
class Pushed:
    """Hold a filter of the service, or None, and whether it checks all that was asked."""

    filter: Service | None
    complete: bool = True


def pushed(
    filters: MetadataFilters | None, fields: Collection[str], *, native_scalars: bool = False
) -> Pushed:
    """Return a filter of the service that passes at least what the filters pass.

    Args:
        filters: filters that `matcher` has taken.
        fields: the metadata fields that have copies which the service sees.
        native_scalars: numbers and booleans are copied as they are.
    """
    pusher = _Pusher(fields, native_scalars)
    found = None if filters is None else pusher.any(filters, negated=False)
    return Pushed(found, pusher.complete)


def fits(found: Service, limits: Limits) -> bool:
    """Tell whether a filter is within the service's limits on items, depth and bytes."""
    items, depth = _measured(found)
    return (
        items <= limits.filter_items
        and depth < limits.filter_depth  # one level is left for what a search adds
        and metadata_bytes(found) <= limits.filter_bytes
    )


@dataclass(slots=True)
class _Pusher:
    fields: Collection[str]
    native_scalars: bool
    complete: bool = True

    def any(self, one: AnyFilter, *, negated: bool) -> Service | None:
        if isinstance(one, MetadataFilters):
            return self._group(one, negated=negated)
        found = self._leaf(one, negated=negated) if one.key in self.fields else None
        self.complete &= found is not None
        return found

    def _group(self, filters: MetadataFilters, *, negated: bool) -> Service | None:
        if not filters.filters:
            return None
        condition = condition_of(filters)
        by_and = negated if condition is FilterCondition.OR else not negated
        inner = negated is not (condition is FilterCondition.NOT)
        parts = [self.any(one, negated=inner) for one in filters.filters]
        sure = [part for part in parts if part is not None]
        if by_and:
            return _joined("$and", sure) if sure else None
        return _joined("$or", sure) if len(sure) == len(parts) else None

    def _leaf(self, one: MetadataFilter, *, negated: bool) -> Service | None:
        if one.operator is FilterOperator.IS_EMPTY:
            return _filled(one.key) if negated else _empty(one.key)
        kind = _NEGATED.get(one.operator) if negated else one.operator
        if kind is FilterOperator.EQ:
            return self._among(one.key, [one.value])
        if kind is FilterOperator.IN and isinstance(one.value, list):
            return self._among(one.key, one.value)
        if kind in ORDERINGS and self.native_scalars:
            return self._ordered(one.key, kind, one.value)
        return None

    def _among(self, key: str, values: Sequence[object]) -> Service | None:
        if not values or any(isinstance(value, list) or value is None for value in values):
            return None
        forms = [form for value in values for form in self._forms(value)]
        return {key: {"$in": forms}} if len(forms) > 1 else {key: {"$eq": forms[0]}}

    def _ordered(self, key: str, kind: FilterOperator, value: object) -> Service | None:
        if not isinstance(value, int | float):
            return None
        test = {key: {_ORDERED_BY[kind]: value}}
        booleans = [flag for flag in (False, True) if ORDERINGS[kind](flag, value)]
        return _joined("$or", [test, {key: {"$in": booleans}}]) if booleans else test

    def _forms(self, value: object) -> list[object]:
        """Return how the copies of all equal values are written, each once."""
        natives = (False, True) if self.native_scalars else (False,)
        forms = (
            filterable_value(equal, native_scalars=native)
            for equal in _equals(value)
            for native in natives
        )
        return list({(type(form), form): form for form in forms}.values())


def _equals(value: object) -> list[object]:
    if not isinstance(value, int | float):
        return [value]
    whole = isinstance(value, int) or value.is_integer()
    others = [int(value)] if whole else []
    floats = [float(value)] if abs(value) < 2**1000 and float(value) == value else []
    return [*others, *floats, *(flag for flag in (False, True) if flag == value)]


def _joined(by: str, parts: list[Service]) -> Service:
    return parts[0] if len(parts) == 1 else {by: parts}


def _filled(key: str) -> Service:
    return {key: {"$exists": True}}


def _empty(key: str) -> Service:
    return {"$or": [{key: {"$exists": False}}, {key: {"$eq": ""}}]}


def _measured(found: Service) -> tuple[int, int]:
    """Return how many items a filter has, and how deep it is nested."""
    [operand] = found.values()
    if isinstance(operand, list):
        inside = [_measured(part) for part in operand]
        return 1 + sum(items for items, _ in inside), 1 + max(depth for _, depth in inside)
    [values] = operand.values()
    return 1 + (len(values) if isinstance(values, list) else 0), 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Hold checked filters and document ids; both must hold, and None is no restriction."""

    filters: MetadataFilters | None
    doc_ids: frozenset[str] | None
    test: Test

    @property
    def restricts(self) -> bool:
        """Tell whether there is anything to restrict by."""
        return self.filters is not None or self.doc_ids is not None

    def passes(self, record: Record) -> bool:
        """Tell whether a record is meant."""
        document = document_of(record)
        of_a_document = self.doc_ids is None or document in self.doc_ids
        return of_a_document and self.test(_seen(record.metadata, document))

    def pushed(self, fields: Collection[str], *, native_scalars: bool, limits: Limits) -> Pushed:
        """Return what the service can check of it, and whether that is all of it."""
        own = [name for name in fields if name not in SOURCE_ID_FIELDS]
        whole = pushed(self.filters, own, native_scalars=native_scalars)
        parts: list[Service] = [] if whole.filter is None else [whole.filter]
        if self.doc_ids is not None and SOURCE_ID_FIELD in fields:
            parts.append({SOURCE_ID_FIELD: {"$in": sorted(self.doc_ids)}})
        elif self.doc_ids is not None:
            whole = Pushed(whole.filter, complete=False)
        joined = {"$and": parts} if len(parts) > 1 else next(iter(parts), None)
        if joined is None or fits(joined, limits):
            return Pushed(joined, whole.complete)
        return Pushed(None, complete=False)


def selection(
    filters: MetadataFilters | None = None, doc_ids: Iterable[str] | None = None
) -> Selection:
    """Check filters and document ids; empty ones are no restriction.

    Raises:
        InvalidRequestError: these are no `MetadataFilters`, or a filter's operator or operand means
            nothing.
    """
    if filters is not None and not isinstance(filters, MetadataFilters):
        raise InvalidRequestError(
            f"filters must be MetadataFilters, not {type(filters).__name__}, as in "
            "MetadataFilters(filters=[MetadataFilter(key=..., value=...)])."
        )
    test = matcher(filters)
    documents = frozenset(doc_ids or ()) or None
    return Selection(filters if restricts(filters) else None, documents, test)


def document_of(record: Record) -> Any:
    """Return the id of the document that a record is of, as whoever wrote it says; or None."""
    return source_id(record.node) or record.metadata.get(SOURCE_ID_FIELD)


def _seen(metadata: dict[str, Any], document: Any) -> dict[str, Any]:
    """Return what filters see: core's writer puts the document's id beside the metadata."""
    return {**dict.fromkeys(SOURCE_ID_FIELDS, document), **metadata} if document else metadata
