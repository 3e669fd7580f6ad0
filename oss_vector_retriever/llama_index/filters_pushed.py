"""The part of `MetadataFilters` that the service can check, which loses nothing that passes.

What is pushed down narrows what comes back; the whole is then evaluated on the typed metadata
(`filters`), so that the answer is exact. The service sees copies of the fields that are filterable,
in the form of `filterable_value`: there 5 and "5" are one, and a list passes if an item does. So a
condition is pushed only if the service passes whatever the condition passes:

    EQ, IN                      the forms of every value that is equal
    IS_EMPTY                    no copy, or ""
    GT, GTE, LT, LTE            with native_scalars, of a number
    AND                         those of its parts that can be pushed
    OR                          if all of its parts can be
    NOT                         what it turns into one of these: NOT NE, NOT NIN, NOT IS_EMPTY, ...

NE and NIN are not: `$ne` refuses a list that has the value among others, and 5 where "5" was meant.
Nor are CONTAINS, ANY, ALL and TEXT_MATCH, which look into strings.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.client.models.sizes import metadata_bytes
from oss_vector_retriever.llama_index.filters import ORDERINGS, AnyFilter, condition_of
from oss_vector_retriever.records import filterable_value

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
