"""Metadata filters: `parse_filter` checks one, `Filter.matches` evaluates it.

Grammar and limits: reference section 5.2. Where that is silent: a negation (`$ne`, `$nin`) is true
of a missing field, as in MongoDB, unless a switch says otherwise; `$in` is true of an array that
shares any element; several fields in one object, and several operators under one field, must all
hold. A boolean equals no number. An item, of which 1,024 are allowed, is an operator or an element
of `$in` and `$nin`.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, Protocol

import orjson

from ...client.models.limits import DEFAULT_LIMITS, Limits
from .. import json_text
from ..behaviour import DEFAULT_BEHAVIOUR, Behaviour
from .parameters import as_text, check_at_most

# Booleans of numpy, one for each of many vectors, or True for all. What they stand for takes and
# gives such arrays, and so needs no numpy here.
Mask = Any
# what `_distinct` returns
Distinct = tuple[bool, object]
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


class _Column(Protocol):
    """One field of the metadata of many vectors, for which each method answers at once."""

    # whether they have the field
    @property
    def present(self) -> Mask: ...

    # whether their value, or an item of it, is among some
    def equal(self, values: frozenset[Distinct]) -> Mask: ...

    # whether their value is a number of which `$gt`, ... holds
    def compare(self, op: str, operand: float) -> Mask: ...


class _Test(Protocol):
    """A condition, of one vector's metadata or of many at once: the answers are the same."""

    def holds(self, metadata: Mapping[str, Any]) -> bool: ...

    # by the columns of the fields that it looks at
    def mask(self, columns: Mapping[str, _Column]) -> Mask: ...


@dataclass(frozen=True, slots=True)
class Filter:
    """A metadata filter that keeps the rules, ready to evaluate, and the `fields` it looks at."""

    test: _Test
    fields: frozenset[str]

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Tell whether metadata passes."""
        return self.test.holds(metadata)

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        """Tell which of many vectors pass; `columns` are those of the filter's fields."""
        return self.test.mask(columns)

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
        return Filter(_All(()), frozenset())
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

    def conditions(self, value: object, depth: int) -> _Test:
        """Return the test of one object: all its members must hold."""
        if not isinstance(value, dict) or not value:
            raise ValueError("holds a condition that is not an object with members")
        # Checked on the way down, so that no filter exhausts the stack.
        most = self._limits.filter_depth
        if self._behaviour.filter_forms == "flat":
            most = min(most, _FLAT)
        if depth > most:
            raise ValueError(f"is nested deeper than {most}")
        return _join([self._member(name, x, depth) for name, x in value.items()])

    def _member(self, name: str, operand: object, depth: int) -> _Test:
        if name in ("$and", "$or"):
            return self._logical(name, operand, depth)
        if name.startswith("$"):
            raise ValueError(f"does not know {name!r} in this place")
        self.fields.add(name)
        if isinstance(operand, dict):
            if not operand:
                raise ValueError(f"has no operator for {name!r}")
            return _join([self._comparison(name, op, x) for op, x in operand.items()])
        if not self._behaviour.filter_shorthand:
            raise ValueError(f"must give an operator for {name!r}")
        return self._comparison(name, "$eq", operand)

    def _logical(self, name: str, operand: object, depth: int) -> _Test:
        self._count(1)
        self._check_form(name)
        if not isinstance(operand, list) or not operand:
            raise ValueError(f"must give {name} an array that is not empty")
        tests = [self.conditions(item, depth + 1) for item in operand]
        return _join(tests, _All if name == "$and" else _Any)

    def _comparison(self, name: str, op: str, operand: object) -> _Test:
        self._count(len(operand) if isinstance(operand, list) else 1)
        self._check_form(op)
        if op in _ORDERINGS:
            if isinstance(operand, bool) or not isinstance(operand, int | float):
                raise ValueError(f"must compare by {op} with a number")
            return _Ordering(name, op, operand)
        if op in ("$eq", "$ne"):
            test = _Equality(name, frozenset([_distinct(self._primitive(op, operand))]))
            return test if op == "$eq" else self._negation(name, test)
        if op in ("$in", "$nin"):
            if not isinstance(operand, list) or not operand:
                raise ValueError(f"must give {op} an array that is not empty")
            values = (self._primitive(op, item) for item in operand)
            test = _Equality(name, frozenset(map(_distinct, values)))
            return test if op == "$in" else self._negation(name, test)
        if op == "$exists":
            if not isinstance(operand, bool):
                raise ValueError("must give $exists true or false")
            return _Existence(name) if operand else _Negation(_Existence(name), None)
        raise ValueError(f"does not know the operator {op!r}")

    def _check_form(self, op: str) -> None:
        if op in _REFUSED.get(self._behaviour.filter_forms, ()):
            raise ValueError(f"must not use {op}")

    def _negation(self, name: str, test: _Test) -> _Test:
        return _Negation(test, name if self._behaviour.negation_needs_field else None)

    def _primitive(self, op: str, value: object) -> str | float | bool:
        if isinstance(value, str | bool | int | float):
            operand: str | float | bool = value
            return as_text(operand) if self._behaviour.scalars == "strings" else operand
        raise ValueError(f"must compare by {op} with a string, a number or a boolean")

    def _count(self, more: int) -> None:
        self._items += more
        if self._items > self._limits.filter_items:
            raise ValueError(f"has more than {self._limits.filter_items} items")


def _distinct(value: object) -> Distinct:
    """Return what to compare: to Python alone, true would equal 1."""
    return isinstance(value, bool), value


class _Equality(NamedTuple):
    name: str
    values: frozenset[Distinct]

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        stored = metadata.get(self.name, _MISSING)
        if isinstance(stored, list):  # any element will do, as the page on QueryVectors says
            return any(_distinct(item) in self.values for item in stored)
        return _distinct(stored) in self.values

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        return columns[self.name].equal(self.values)


class _Ordering(NamedTuple):
    name: str
    op: str
    operand: float

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        stored = metadata.get(self.name)
        # Text never compares with a number, and neither does a missing field.
        comparable = isinstance(stored, int | float) and not isinstance(stored, bool)
        return comparable and _ORDERINGS[self.op](stored, self.operand)

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        return columns[self.name].compare(self.op, self.operand)


class _Existence(NamedTuple):
    name: str

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        return self.name in metadata

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        return columns[self.name].present


class _Negation(NamedTuple):
    test: _Test
    needed: str | None  # the field that must be there

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        return (self.needed is None or self.needed in metadata) and not self.test.holds(metadata)

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        mask = ~self.test.mask(columns)
        return mask if self.needed is None else mask & columns[self.needed].present


class _All(NamedTuple):
    tests: tuple[_Test, ...]

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        return all(test.holds(metadata) for test in self.tests)

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        return reduce(operator.and_, (test.mask(columns) for test in self.tests), True)


class _Any(NamedTuple):
    tests: tuple[_Test, ...]

    def holds(self, metadata: Mapping[str, Any]) -> bool:
        return any(test.holds(metadata) for test in self.tests)

    def mask(self, columns: Mapping[str, _Column]) -> Mask:
        return reduce(operator.or_, (test.mask(columns) for test in self.tests))


def _join(tests: list[_Test], kind: Callable[[tuple[_Test, ...]], _Test] = _All) -> _Test:
    return tests[0] if len(tests) == 1 else kind(tuple(tests))
