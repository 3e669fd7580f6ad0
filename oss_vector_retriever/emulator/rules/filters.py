"""Metadata filters: `parse_filter` checks one, `Filter.matches` evaluates it.

Grammar and limits: reference section 5.2. Where that is silent: a negation (`$ne`, `$nin`) is true
of a missing field, as in MongoDB, unless a switch says otherwise; `$in` is true of an array that
shares any element; several fields in one object, and several operators under one field, must all
hold. A boolean equals no number. An item, of which 1,024 are allowed, is an operator or an element
of `$in` and `$nin`.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ...client.models.limits import DEFAULT_LIMITS, Limits
from .. import json_text
from ..behaviour import DEFAULT_BEHAVIOUR, Behaviour
from .parameters import as_text, check_at_most

Test = Callable[[Mapping[str, Any]], bool]
_MISSING = object()
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
# what each form of filters, of those that a switch names, goes without
_REFUSED = {"no_ranges": tuple(_ORDERINGS), "no_exists": ("$exists",), "no_or": ("$or",)}
_FLAT = 2  # objects of conditions: the whole, and those of its one group


@dataclass(frozen=True, slots=True)
class Filter:
    """A metadata filter that keeps the rules, ready to evaluate, and the `fields` it looks at."""

    matches: Test
    fields: frozenset[str]

    def matches_text(self, metadata: str | None) -> bool:
        """Tell whether metadata passes that is JSON text, or None for none."""
        return self.matches(orjson.loads(metadata) if metadata else {})


def parse_filter(
    value: object, limits: Limits = DEFAULT_LIMITS, behaviour: Behaviour = DEFAULT_BEHAVIOUR
) -> Filter:
    """Check a filter and make it ready to evaluate; the empty filter passes everything.

    Of `behaviour` four switches matter: `filter_shorthand`, `filter_forms`, `negation_needs_field`
    and `scalars`.

    Raises:
        ValueError: the filter breaks a rule, with the reason.
    """
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - one kind for all
    if value == {}:
        return Filter(_combine([], all), frozenset())
    parser = _Parser(limits, behaviour)
    test = parser.conditions(value, 1)
    # Measured as compact JSON: the spaces that the SDK for Python writes count for nobody.
    check_at_most(limits.filter_bytes, len(json_text.dumps(value)), "bytes")
    return Filter(test, frozenset(parser.fields))


class _Parser:
    def __init__(self, limits: Limits, behaviour: Behaviour) -> None:
        self._limits = limits
        self._behaviour = behaviour
        self._items = 0
        self.fields: set[str] = set()

    def conditions(self, value: object, depth: int) -> Test:
        """Return the test of one object: all its members must hold."""
        if not isinstance(value, dict) or not value:
            raise ValueError("holds a condition that is not an object with members")
        # Checked on the way down, so that no filter exhausts the stack.
        most = self._limits.filter_depth
        if self._behaviour.filter_forms == "flat":
            most = min(most, _FLAT)
        if depth > most:
            raise ValueError(f"is nested deeper than {most}")
        return _combine([self._member(name, x, depth) for name, x in value.items()], all)

    def _member(self, name: str, operand: object, depth: int) -> Test:
        if name in ("$and", "$or"):
            return self._logical(name, operand, depth)
        if name.startswith("$"):
            raise ValueError(f"does not know {name!r} in this place")
        self.fields.add(name)
        if isinstance(operand, dict):
            if not operand:
                raise ValueError(f"has no operator for {name!r}")
            return _combine([self._comparison(name, op, x) for op, x in operand.items()], all)
        if not self._behaviour.filter_shorthand:
            raise ValueError(f"must give an operator for {name!r}")
        return self._comparison(name, "$eq", operand)

    def _logical(self, name: str, operand: object, depth: int) -> Test:
        self._count(1)
        self._check_form(name)
        if not isinstance(operand, list) or not operand:
            raise ValueError(f"must give {name} an array that is not empty")
        tests = [self.conditions(item, depth + 1) for item in operand]
        return _combine(tests, all if name == "$and" else any)

    def _comparison(self, name: str, op: str, operand: object) -> Test:
        self._count(len(operand) if isinstance(operand, list) else 1)
        self._check_form(op)
        if op in _ORDERINGS:
            if isinstance(operand, bool) or not isinstance(operand, int | float):
                raise ValueError(f"must compare by {op} with a number")
            return _ordering(name, _ORDERINGS[op], operand)
        if op in ("$eq", "$ne"):
            test = _equality(name, [self._primitive(op, operand)])
            return test if op == "$eq" else self._negation(name, test)
        if op in ("$in", "$nin"):
            if not isinstance(operand, list) or not operand:
                raise ValueError(f"must give {op} an array that is not empty")
            test = _equality(name, [self._primitive(op, item) for item in operand])
            return test if op == "$in" else self._negation(name, test)
        if op == "$exists":
            if not isinstance(operand, bool):
                raise ValueError("must give $exists true or false")
            return lambda metadata: (name in metadata) is operand
        raise ValueError(f"does not know the operator {op!r}")

    def _check_form(self, op: str) -> None:
        if op in _REFUSED.get(self._behaviour.filter_forms, ()):
            raise ValueError(f"must not use {op}")

    def _negation(self, name: str, test: Test) -> Test:
        if self._behaviour.negation_needs_field:
            return lambda metadata: name in metadata and not test(metadata)
        return lambda metadata: not test(metadata)

    def _primitive(self, op: str, value: object) -> str | float | bool:
        if isinstance(value, str | bool | int | float):
            operand: str | float | bool = value
            return as_text(operand) if self._behaviour.scalars == "strings" else operand
        raise ValueError(f"must compare by {op} with a string, a number or a boolean")

    def _count(self, more: int) -> None:
        self._items += more
        if self._items > self._limits.filter_items:
            raise ValueError(f"has more than {self._limits.filter_items} items")


def _distinct(value: object) -> tuple[bool, object]:
    """Return what to compare: to Python alone, true would equal 1."""
    return isinstance(value, bool), value


def _equality(name: str, operands: list[str | float | bool]) -> Test:
    values = {_distinct(operand) for operand in operands}

    def test(metadata: Mapping[str, Any]) -> bool:
        stored = metadata.get(name, _MISSING)
        if isinstance(stored, list):  # any element will do, as the page on QueryVectors says
            return any(_distinct(item) in values for item in stored)
        return _distinct(stored) in values

    return test


def _ordering(name: str, compare: Callable[[Any, Any], bool], operand: float) -> Test:
    def test(metadata: Mapping[str, Any]) -> bool:
        stored = metadata.get(name)
        # Text never compares with a number, and neither does a missing field.
        comparable = isinstance(stored, int | float) and not isinstance(stored, bool)
        return comparable and compare(stored, operand)

    return test


def _combine(tests: list[Test], how: Callable[[Iterable[bool]], bool]) -> Test:
    return tests[0] if len(tests) == 1 else lambda metadata: how(t(metadata) for t in tests)
