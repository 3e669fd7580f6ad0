"""Filters of LangGraph's memory: what a value must pass, and what the service can check of it.

They mean what they mean to LangGraph's own stores: a list is compared as a whole, item by item, a
dict field by field, and, as everywhere in Python, True equals 1.
"""

import datetime as dt
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from ..client.errors import InvalidRequestError, quote
from ..records.conditions import Condition, Group, Operator, Test
from ..records.typed import align, as_python
from . import items

_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_TYPED: Final = (dt.date, Decimal, UUID)
_SENT: Final = (str, int, float, *_TYPED)
_RANGES: Final = ("$gt", "$gte", "$lt", "$lte")


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether a value passes a filter: fields equal, or compared by `$eq` to `$lte`.

    Raises:
        InvalidRequestError: an operator is unknown; it is never ignored.
    """
    return all(_passes(value.get(name), test) for name, test in (wanted or {}).items())


def read_filter(wanted: Mapping[str, Any] | None) -> Condition | None:
    """Return a condition on the copies of values, which passes all that `matches` does.

    Raises:
        InvalidRequestError: an operator is unknown.
    """
    tests = [
        condition
        for name, test in (wanted or {}).items()
        if isinstance(name, str)
        for condition in _conditions(items.copy_of(name), test)
    ]
    return Group("and", tuple(tests)) if tests else None


def _passes(found: Any, test: Any) -> bool:
    if isinstance(test, list | tuple):
        alike = isinstance(found, list | tuple) and len(found) == len(test)
        return alike and all(map(_passes, found, test))
    if not isinstance(test, Mapping):
        return _compare("$eq", found, test)
    if not _has_operators(test):
        return isinstance(found, Mapping) and matches(found, test)
    return all(_compare(name, found, test[name]) for name in test)


def _has_operators(test: Mapping[Any, Any]) -> bool:
    return any(isinstance(name, str) and name.startswith("$") for name in test)


def _compare(name: str, found: Any, operand: Any) -> bool:
    _check_operator(name)
    operand = as_python(operand)
    if isinstance(found, _TYPED) or isinstance(operand, _TYPED):
        found, operand = align(found, operand)
    try:
        return bool(_OPERATORS[name](found, operand))
    except TypeError:  # of different kinds: neither is greater
        return False


def _check_operator(name: object) -> None:
    if name not in _OPERATORS:
        raise InvalidRequestError(
            f"unknown operator {quote(name)} in a filter; known are {', '.join(_OPERATORS)}."
        )


def _conditions(name: str, test: Any) -> list[Condition]:
    """Return what a field must be at least; nothing where it may be anything."""
    if not isinstance(test, Mapping) or not _has_operators(test):
        return [_equality(name, test)]
    conditions: list[Condition] = []
    for op, operand in test.items():
        _check_operator(op)
        if op == "$eq":
            conditions.append(_equality(name, operand))
        elif op in _RANGES:
            conditions.append(_range(name, op, operand))
        elif isinstance(as_python(operand), _SENT) or operand is None:
            conditions.append(Group("not", (_equality(name, operand),)))
    return conditions


def _equality(name: str, value: Any) -> Condition:
    if (value := as_python(value)) is None:
        return Test(name, Operator.EXISTS, False)
    if not isinstance(value, _SENT):  # a list or a dict, which is compared here
        return Test(name, Operator.EXISTS, True)
    return Test(name, Operator.IN, [value, *_equal_flags(operator.eq, value)])


def _range(name: str, op: str, operand: Any) -> Condition:
    operand = as_python(operand)
    if not isinstance(operand, _SENT) or isinstance(operand, str):
        return Test(name, Operator.EXISTS, True)
    test = Test(name, Operator(op.removeprefix("$")), int(operand) if operand is True else operand)
    flags = _equal_flags(_OPERATORS[op], operand)
    return Group("or", (test, Test(name, Operator.IN, flags))) if flags else test


def _equal_flags(compare: Callable[[Any, Any], Any], value: Any) -> list[object]:
    """Return the booleans, and numbers like them, that a comparison takes for numbers."""
    if not isinstance(value, int | float | Decimal):
        return []
    return [one for one in (False, True, 0, 1) if compare(one, value)]
