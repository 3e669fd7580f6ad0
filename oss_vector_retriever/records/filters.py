"""Filters in the service's own grammar, as people write them, as conditions.

What would silently match nothing, or has no meaning, is refused, with the fix.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from ..client.errors import InvalidRequestError, quote, with_article
from ..client.operations.checks import check_numbers, check_unicode
from .conditions import Condition, Group, Operator, Test
from .decode import RESERVED_FIELDS
from .traits import Forms

_LOGICAL: Final = ("$and", "$or")
_EQUAL: Final = ("$eq", "$ne")
_AMONG: Final = ("$in", "$nin")
_RANGE: Final = ("$gt", "$gte", "$lt", "$lte")
_NEGATIONS: Final = ("$ne", "$nin")
_OPERATORS: Final = (*_EQUAL, *_AMONG, *_RANGE, "$exists")
_MOST_LEVELS: Final = 100  # each takes several frames of the stack, and Python has a thousand

Filter = Mapping[str, Any]


def read_filter(given: Filter | None) -> Condition | None:
    """Return a filter as a condition; None or {} is none.

    The grammar is `{"field": value}`, `{"field": {"$op": operand}}`, `{"$and": [...]}` and `{"$or":
    [...]}`, nested; several members must all hold. A value None means that the record has none.

    Raises:
        InvalidRequestError: an operator or operand that is not known, or a field that no record
            shows.
    """
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping):
        raise InvalidRequestError(
            "{argument} must be a dict, not {a_kind}.", argument="filter", value=given
        )
    return _read_conjunction(given, 1)


def _read_conjunction(given: object, level: int) -> Condition:
    if not isinstance(given, Mapping) or not given:
        raise _error(f"{quote(given)} is no condition; use a dict.")
    if level > _MOST_LEVELS:
        raise _error(f"nested deeper than {_MOST_LEVELS} levels.", limit=_MOST_LEVELS)
    return _group("and", [_read_member(*member, level) for member in given.items()])


def _read_member(name: object, value: object, level: int) -> Condition:
    if name in _LOGICAL:
        if not isinstance(value, list | tuple) or not value:
            raise _error(f"{name} takes a list of conditions, not empty.")
        by: Literal["and", "or"] = "and" if name == "$and" else "or"
        return _group(by, [_read_conjunction(part, level + 1) for part in value])
    if not isinstance(name, str) or name.startswith("$"):
        raise _error(
            f"{quote(name)} is no field; $and and $or stand around fields, and "
            f"{', '.join(_OPERATORS)} inside one."
        )
    check_unicode("filter", name, "filter: the field")
    if name in RESERVED_FIELDS:
        raise _error(f"{quote(name)} is a field of the record's envelope, kept out of its filters.")
    if not isinstance(value, Mapping):
        return _read_test(name, "$eq", value)
    if not value:
        raise _error(f"{quote(name)} has no operator.")
    return _group("and", [_read_test(name, op, operand) for op, operand in value.items()])


def _read_test(name: str, op: object, operand: object) -> Test:
    if op not in _OPERATORS:
        raise _error(f"{quote(name)} has {quote(op)}; the service knows {', '.join(_OPERATORS)}.")
    check_numbers("filter", operand, f"filter: the operand of {quote(name)}")
    kind = Operator(str(op).removeprefix("$"))
    if op in _EQUAL and operand is None:
        return Test(name, Operator.EXISTS, op == "$ne")
    if op == "$exists":
        if not isinstance(operand, bool):
            raise _error(f"{op} of {quote(name)} takes True or False.")
    elif op in _RANGE:
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            raise _error(f"{op} of {quote(name)} takes a number.")
    elif op in _EQUAL:
        _check_comparable(name, str(op), operand)
    elif isinstance(operand, list | tuple | set | frozenset):
        for value in operand:
            _check_comparable(name, str(op), value)
        return Test(name, kind, list(operand))
    else:
        raise _error(f"{op} of {quote(name)} takes a list.")
    return Test(name, kind, operand)


def _group(by: Literal["and", "or"], parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Group(by, tuple(parts))


def _check_comparable(name: str, op: str, value: object) -> None:
    if not isinstance(value, str | int | float):
        more = " Several values go to $in." if isinstance(value, list | tuple) else ""
        raise _error(
            f"{op} of {quote(name)} compares with a string, a number or a boolean, "
            f"not {with_article(type(value).__name__)}.{more}"
        )
    check_unicode("filter", value, f"filter: the operand of {quote(name)},")


def intersect(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the filter of what passes two explicit ones, either of which may be None."""
    if first is None or second is None:
        return first or second  # a level of $and less: the service takes few
    return {"$and": [first, second]}


def reduce_filter(given: Filter | None, forms: Forms) -> Filter | None:
    """Return what of an explicit filter is of some forms: all that passes it passes what is left.

    "plain" has no ranges and no negations, "simple" is one `$eq` or `$in`, or an `$and` of some.
    """
    if given is None or forms == "all":
        return given
    if forms == "plain":
        return _plain(given)
    if forms == "none":
        return None
    parts = [part for part in given.get("$and", [given]) if _is_equality(part)]
    return {"$and": parts} if len(parts) > 1 else next(iter(parts), None)


def _plain(given: Filter) -> Filter | None:
    [(name, operand)] = given.items()
    if name not in _LOGICAL:
        if operand.keys() & set(_NEGATIONS):
            return None
        return {name: {"$exists": True}} if operand.keys() & set(_RANGE) else given
    parts = [_plain(part) for part in operand]
    if name == "$or" and None in parts:
        return None  # one part that everything passes
    kept = [part for part in parts if part is not None]
    return {name: kept} if len(kept) > 1 else next(iter(kept), None)


def _is_equality(given: Filter) -> bool:
    [(name, operand)] = given.items()
    return name not in _LOGICAL and operand.keys() <= {"$eq", "$in"}


def _error(reason: str, limit: int | None = None) -> InvalidRequestError:
    return InvalidRequestError(
        "{argument}: {reason}", argument="filter", limit=limit, fields={"reason": reason}
    )
