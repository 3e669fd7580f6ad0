"""Filters, from what people write to what the service's pages spell out.

Implicit AND and the shorthand `{"field": value}` are not on the API's page (reference 5.2), so each
becomes explicit `$and` and `$eq`. Operands take the form of the stored copies that they are
compared with. What would silently match nothing is refused, with the fix.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from ..client.errors import InvalidRequestError, quote, with_article
from ..client.models.limits import DEFAULT_LIMITS, Limits, metadata_bytes
from ..client.operations.checks import check_numbers, check_unicode
from .conditions import Condition, Group, Operator, Test
from .copies import filterable_value
from .decode import ENVELOPE_KEYS, RESERVED_FIELDS

_LOGICAL: Final = ("$and", "$or")
_EQUAL: Final = ("$eq", "$ne")
_AMONG: Final = ("$in", "$nin")
_RANGE: Final = ("$gt", "$gte", "$lt", "$lte")
_OPERATORS: Final = (*_EQUAL, *_AMONG, *_RANGE, "$exists")
_MOST_LEVELS: Final = 100  # each takes several frames of the stack, and Python has a thousand

Filter = Mapping[str, Any]


def explicit_filter(
    given: Filter | None,
    *,
    filterable: Collection[str] | None = None,
    hidden: Collection[str] = ENVELOPE_KEYS,
    native_scalars: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> dict[str, Any] | None:
    """Return a filter in the explicit grammar, its operands in the form of the stored copies.

    Args:
        given: `{"field": value}`, `{"field": {"$op": operand}}`, `{"$and": [...]}`, `{"$or":
            [...]}`, nested; several members must all hold. A value None means that the record has
            none: it has no copy, so that is `$exists`. None or {} is no filter.
        filterable: the fields that have copies to filter on; None where that is not known.
        hidden: fields that the index keeps out of its filters.
        native_scalars: whether the copies of numbers and booleans are numbers and booleans.
        limits: the service's limits on depth, items and bytes.

    Raises:
        InvalidRequestError: an operator or operand that the service does not know, a field that
            cannot match, or a limit passed.
    """
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping):
        raise InvalidRequestError(
            "{argument} must be a dict, not {a_kind}.", argument="filter", value=given
        )
    # The limits count what is sent, not what was given: each shorthand becomes longer.
    writer = _Writer(filterable, hidden, native_scalars, limits)
    written = writer.conjunction(given, 1)
    writer.check_limits(written)
    return written


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
        raise _error(
            f"{quote(name)} is a field of the record's envelope, which filters do not see."
        )
    if not isinstance(value, Mapping):
        return _read_test(name, "$eq", value)
    if not value:
        raise _error(f"{quote(name)} has no operator.")
    return _group("and", [_read_test(name, op, operand) for op, operand in value.items()])


def _read_test(name: str, op: object, operand: object) -> Test:
    if op not in _OPERATORS:
        raise _error(f"{quote(name)} has {quote(op)}; known are {', '.join(_OPERATORS)}.")
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


@dataclass(slots=True)
class _Writer:
    """One filter on its way into the explicit grammar."""

    filterable: Collection[str] | None
    hidden: Collection[str]
    native_scalars: bool
    limits: Limits
    items: int = 0  # conditions and operands so far

    def conjunction(self, given: object, depth: int) -> dict[str, Any]:
        if not isinstance(given, Mapping) or not given:
            raise _error(f"{quote(given)} is no condition; use a dict.")
        many = len(given) > 1
        self._check_depth(depth + many)
        self.items += many
        return _all_of([self._member(*member, depth + many) for member in given.items()])

    def check_limits(self, written: dict[str, Any]) -> None:
        if self.items > self.limits.filter_items:
            raise _error(
                f"{self.items} items; the service takes {self.limits.filter_items}.",
                limit=self.limits.filter_items,
            )
        if (size := metadata_bytes(written)) > self.limits.filter_bytes:
            raise _error(
                f"{size:,} bytes; the service takes {self.limits.filter_bytes:,}.",
                limit=self.limits.filter_bytes,
            )

    def _check_depth(self, depth: int) -> None:
        if depth > self.limits.filter_depth:
            raise _error(
                f"nested deeper than {self.limits.filter_depth} levels, implicit AND included; the "
                "service takes no more.",
                limit=self.limits.filter_depth,
            )

    def _member(self, name: object, value: object, depth: int) -> dict[str, Any]:
        if name in _LOGICAL:
            if not isinstance(value, list | tuple) or not value:
                raise _error(f"{name} takes a list of conditions, not empty.")
            self.items += 1
            return {str(name): [self.conjunction(part, depth + 1) for part in value]}
        self._check_field(name)
        if not isinstance(value, Mapping):
            return self._comparison(str(name), "$eq", value)
        if not value:
            raise _error(f"{quote(name)} has no operator.")
        many = len(value) > 1
        self._check_depth(depth + many)
        self.items += many
        return _all_of([self._comparison(str(name), op, operand) for op, operand in value.items()])

    def _check_field(self, name: object) -> None:
        if not isinstance(name, str) or name.startswith("$"):
            raise _error(
                f"{quote(name)} is no field; $and and $or stand around fields, and "
                f"{', '.join(_OPERATORS)} inside one."
            )
        check_unicode("filter", name, "filter: the field")
        # The service takes such a filter and finds nothing, without a word.
        if name in self.hidden:
            raise _error(
                f"the index keeps {quote(name)} out of its filters "
                "(nonFilterableMetadataKeys, fixed when it was made)."
            )
        if self.filterable is not None and name not in self.filterable:
            named = ", ".join(self.filterable) or "none"
            raise _error(
                f"{quote(name)} is not among the filterable fields of this store "
                f"({named}), so nothing would match. Name it in filterable= before its records "
                "are written; records written before need update_metadata() once."
            )

    def _comparison(self, name: str, op: object, operand: object) -> dict[str, Any]:
        if op not in _OPERATORS:
            raise _error(
                f"{quote(name)} has {quote(op)}; the service knows {', '.join(_OPERATORS)}."
            )
        self.items += 1
        # None has no copy, and the service compares with copies.
        if op in _EQUAL and operand is None:
            return {name: {"$exists": op == "$ne"}}
        return {name: {str(op): self._operand(name, str(op), operand)}}

    def _operand(self, name: str, op: str, operand: object) -> object:
        check_numbers("filter", operand, f"filter: the operand of {quote(name)}")
        if op == "$exists":
            if not isinstance(operand, bool):
                raise _error(f"{op} of {quote(name)} takes True or False.")
            return operand
        if op in _RANGE:
            return self._check_bound(name, op, operand)
        if op in _EQUAL:
            return self._form(name, op, operand)
        if not isinstance(operand, list | tuple | set | frozenset) or not operand:
            raise _error(f"{op} of {quote(name)} takes a list, not empty.")
        self.items += len(operand)
        return [self._form(name, op, item) for item in operand]

    def _form(self, name: str, op: str, value: object) -> object:
        _check_comparable(name, op, value)
        return filterable_value(value, scalars="native" if self.native_scalars else "strings")

    def _check_bound(self, name: str, op: str, operand: object) -> object:
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            raise _error(f"{op} of {quote(name)} takes a number.")
        # "10" < "9": strings compare letter by letter, so the service would answer wrongly
        if self.filterable is not None and not self.native_scalars:
            raise _error(
                f"{op} of {quote(name)} compares numbers, and this store keeps their "
                "copies as strings; write the records with native_scalars=True."
            )
        return operand


def _all_of(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _error(reason: str, limit: int | None = None) -> InvalidRequestError:
    return InvalidRequestError(
        "{argument}: {reason}", argument="filter", limit=limit, fields={"reason": reason}
    )
