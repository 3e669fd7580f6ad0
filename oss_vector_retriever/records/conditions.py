"""Conditions on the fields of a record: filters as a tree that knows no framework.

`passes` evaluates a condition on full metadata. `push` says what the service can check of it: the
service sees copies of some fields, beside a mark that names the fields which it cannot judge.

    a field that is absent or None    passes NE, NIN, IS_EMPTY and EXISTS false alone
    a boolean                         equals no number
    a list                            passes EQ and IN if any item is equal; NE and NIN negate them
    values that do not compare        ("a" > 5, 5 contains "a") do not pass; nothing is raised
    CONTAINS, ANY, ALL                look into a list for items, into a string for substrings
    TEXT_MATCH                        finds a substring of a string; _INSENSITIVE folds case
    IS_EMPTY                          absent, None, "" or []
    a NOT                             none of its parts passes, one part or many
"""

import operator
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from ..client.models.limits import DEFAULT_LIMITS, Limits, metadata_bytes
from .copies import EXACT_INTEGERS
from .decode import (
    ENVELOPE_FIELD,
    ENVELOPE_KEYS,
    NODE_FIELD,
    SOURCE_ID_FIELD,
    SOURCE_ID_FIELDS,
    UNSURE_FIELD,
    UNSURE_OF_ALL,
    source_id,
)
from .record import Record

Fields = Mapping[str, Any]
_Filter = dict[str, Any]
_Comparison = Callable[[Any, Any], bool]


class Operator(StrEnum):
    """What a test does with a field and its operand."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NIN = "nin"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    EXISTS = "exists"
    CONTAINS = "contains"
    ANY = "any"
    ALL = "all"
    TEXT_MATCH = "text_match"
    TEXT_MATCH_INSENSITIVE = "text_match_insensitive"
    IS_EMPTY = "is_empty"


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison of a top-level field.

    The operand of IN, NIN, ANY and ALL is a list, that of EXISTS a boolean; IS_EMPTY has none.
    """

    __test__ = False  # pytest would collect it, by its name

    field: str
    operator: Operator
    operand: Any = None


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions of which all, any or none must pass; without parts, all and none do."""

    by: Literal["and", "or", "not"]
    parts: tuple["Condition", ...]


Condition = Test | Group


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the service can check of a condition.

    Attributes:
        filter: in the service's explicit grammar; it passes at least what the condition passes.
            None: no filter.
        is_whole: whether it passes no more than that, as where nothing can fail.
    """

    filter: dict[str, Any] | None
    is_whole: bool


def passes(fields: Fields, condition: Condition | None, exact_lists: bool = False) -> bool:
    """Tell whether a record's fields pass a condition; None restricts nothing.

    `exact_lists` compares a list as a whole, as core's SimpleVectorStore of LlamaIndex does.
    """
    if condition is None:
        return True
    if isinstance(condition, Test):
        return _passes_test(fields.get(condition.field), condition, exact_lists)
    outcomes = (passes(fields, part, exact_lists) for part in condition.parts)
    if condition.by == "and":
        return all(outcomes)
    return any(outcomes) is (condition.by == "or")


def can_pass(condition: Condition | None) -> bool:
    """Tell whether any record can pass: none can be in an empty list, so that no call is needed."""
    return condition is None or _outcomes(condition)[0]


def restricts(condition: Condition | None) -> bool:
    """Tell whether any record can fail, by the condition's form; if not, a deletion takes all.

    NE and NIN of None restrict nothing: only a list that holds None would fail.
    """
    return condition is not None and _outcomes(condition, count_none=False)[1]


def push(
    condition: Condition | None,
    *,
    hidden: Collection[str] = ENVELOPE_KEYS,
    native: bool = False,
    exact_lists: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Pushed:
    """Return what the service can check of a condition, within its limits.

    Args:
        condition: what is asked for; None restricts nothing.
        hidden: the fields that the index keeps out of its filters.
        native: whether the index is known to keep numbers and booleans as they are. If not, none
            are sent: the service may refuse them, or take them for strings.
        exact_lists: a list is compared as a whole, as by `passes`.
        limits: the service's limits; a level, some items and bytes are left for what a search adds.
    """
    if condition is None:
        return Pushed(None, True)
    written = _Writer(hidden, native, exact_lists).write(condition)
    # of each field that is asked for, a record may say that the service cannot judge it
    can_fail = _outcomes(condition)[1]
    return Pushed(None if written is None else _fit(written, limits), is_whole=not can_fail)


def visible_fields(record: Record, stored: Fields | None) -> Fields:
    """Return the fields that conditions on a record see; `stored` are those it was read from.

    A record without our envelope is its own metadata, as the service sees it. A node shows the id
    of its document under all three names that LlamaIndex has had for it; a field of the user's own
    comes first.
    """
    document = document_id(record)
    about = dict.fromkeys(SOURCE_ID_FIELDS, document) if document else {}
    beside = {} if record.source == "envelope" else stored or {}
    return {**about, **record.metadata, **beside}


def document_id(record: Record) -> Any:
    """Return the id of the document that a record is of, as whoever wrote it says; or None."""
    return source_id(record.node) or record.metadata.get(SOURCE_ID_FIELD)


def are_equal(one: object, other: object) -> bool:
    """Tell whether two values are equal, a boolean being no number, at any depth."""
    if isinstance(one, bool) or isinstance(other, bool):
        return isinstance(one, bool) and isinstance(other, bool) and one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(are_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(are_equal(one[name], other[name]) for name in one)
    return one == other


def _passes_test(found: object, test: Test, exact_lists: bool) -> bool:
    kind, operand = test.operator, test.operand
    if kind is Operator.IS_EMPTY:
        return found is None or found in ("", [])
    if kind is Operator.EXISTS:
        return (found is not None) is operand
    if kind in _EQUALITIES:
        wanted = operand if kind in _LISTED else [operand]
        is_equal = found is not None and _is_among(found, wanted, exact_lists)
        return is_equal is (kind not in _NEGATIONS)
    if kind in _RANGES:
        return _are_comparable(found, operand) and _RANGES[kind](found, operand)
    return found is not None and _COMPARISONS[kind](found, operand)


def _is_among(found: object, wanted: Iterable[object], exact_lists: bool) -> bool:
    values = [found, *found] if isinstance(found, list) and not exact_lists else [found]
    return any(are_equal(value, one) for one in wanted for value in values)


def _are_comparable(one: object, other: object) -> bool:
    texts = isinstance(one, str) and isinstance(other, str)
    return texts or (_is_number(one) and _is_number(other))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contains(found: object, value: object) -> bool:
    if isinstance(found, list):
        return any(are_equal(item, value) for item in found)
    return isinstance(value, str) and isinstance(found, str | dict) and value in found


_EQUALITIES: Final = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.NIN})
_LISTED: Final = frozenset({Operator.IN, Operator.NIN})
_OF_MANY: Final = frozenset({*_LISTED, Operator.ANY, Operator.ALL})
# whether any record can pass, and fail, where there are no values to compare with
_OF_NO_VALUES: Final = {
    Operator.EQ: (False, True),
    Operator.IN: (False, True),
    Operator.ANY: (False, True),
    Operator.NE: (True, False),
    Operator.NIN: (True, False),
}
_NEGATIONS: Final = frozenset({Operator.NE, Operator.NIN})
_NEGATED: Final = {
    Operator.EQ: Operator.NE,
    Operator.NE: Operator.EQ,
    Operator.IN: Operator.NIN,
    Operator.NIN: Operator.IN,
}
_RANGES: Final[dict[Operator, _Comparison]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}
_COMPARISONS: Final[dict[Operator, _Comparison]] = {
    Operator.CONTAINS: _contains,
    Operator.ANY: lambda found, values: any(_contains(found, value) for value in values),
    Operator.ALL: lambda found, values: all(_contains(found, value) for value in values),
    Operator.TEXT_MATCH: lambda found, text: isinstance(found, str) and text in found,
    Operator.TEXT_MATCH_INSENSITIVE: lambda found, text: (
        isinstance(found, str) and text.casefold() in found.casefold()
    ),
}


def _outcomes(condition: Condition, *, count_none: bool = True) -> tuple[bool, bool]:
    """Return whether any record can pass, and whether any can fail, by its form alone.

    Without `count_none` None is no value to compare with.
    """
    if isinstance(condition, Test):
        kind, operand = condition.operator, condition.operand
        values = operand if kind in _OF_MANY else [operand]
        if any(count_none or value is not None for value in values):
            return True, True
        return _OF_NO_VALUES.get(kind, (True, True))
    parts = [_outcomes(part, count_none=count_none) for part in condition.parts]
    can_pass_all = all(can for can, _ in parts)
    can_fail_any = any(fail for _, fail in parts)
    if condition.by == "and":
        return can_pass_all, can_fail_any
    can_pass_any = any(can for can, _ in parts)
    can_fail_all = all(fail for _, fail in parts)
    return (can_pass_any, can_fail_all) if condition.by == "or" else (can_fail_all, can_pass_any)


_ABSENT: Final = {"$exists": False}
_THERE: Final = {"$exists": True}


@dataclass(frozen=True, slots=True)
class _Writer:
    """What is known of an index, for conditions on their way into its grammar."""

    hidden: Collection[str]
    native: bool
    exact_lists: bool

    def write(self, one: Condition, *, negated: bool = False) -> _Filter | None:
        """Return a filter that lets through all that passes; None for everything."""
        if isinstance(one, Group):
            return self._group(one, negated=negated)
        test = _negate(one) if negated else one
        return None if test is None else self._test(test)

    def _group(self, group: Group, *, negated: bool) -> _Filter | None:
        # the service has no "not": it is moved inwards, to where EQ becomes NE and AND becomes OR
        by_and = negated if group.by == "or" else not negated
        inner = negated is not (group.by == "not")
        if by_and:
            return _join("$and", [self.write(one, negated=inner) for one in group.parts])
        # what no record can pass adds nothing
        able = [one for one in group.parts if _outcomes(one)[inner]]
        parts = [self.write(one, negated=inner) for one in able]
        # an OR that lacks one of its parts would hide what passes that part alone
        return None if None in parts else _join("$or", parts)

    def _test(self, test: Test) -> _Filter | None:
        found = self._test_of(test.field, test)
        if test.field not in SOURCE_ID_FIELDS or test.field == SOURCE_ID_FIELD:
            return found
        # all three name the document of a node; one of them has the copy
        parts = [found, self._test_of(SOURCE_ID_FIELD, test)]
        return None if None in parts else _join("$or", parts)

    def _test_of(self, name: str, test: Test) -> _Filter | None:
        if name in self.hidden or name == UNSURE_FIELD or name.startswith("$"):
            return None
        if test.operator is Operator.EXISTS and not test.operand:
            # a field that is there and has no copy passes, too: the service does not see it
            return {name: {"$exists": False}}
        if (tests := self._tests_of_field(test)) is None:
            return None
        fields = [{name: one} for one in tests]
        marks = [{UNSURE_FIELD: {"$eq": one}} for one in (name, UNSURE_OF_ALL)]
        # An envelope of version 1 has no mark. Where the index keeps envelopes out of its filters,
        # other programs' records look the same to the service, and pass as well.
        unmarked: _Filter = {UNSURE_FIELD: _ABSENT}
        if self._hides_envelopes:
            return _join("$or", [*fields, *marks, unmarked])
        old: _Filter = {"$and": [unmarked, {ENVELOPE_FIELD: _THERE}]}
        return _join("$or", [*fields, *marks, old, self._inside_a_node(name)])

    def _inside_a_node(self, name: str) -> _Filter:
        """Return the filter of what LlamaIndex may have written inside a node alone."""
        absent: _Filter = {name: _ABSENT}
        return absent if NODE_FIELD in self.hidden else {"$and": [absent, {NODE_FIELD: _THERE}]}

    @property
    def _hides_envelopes(self) -> bool:
        return ENVELOPE_FIELD in self.hidden

    def _tests_of_field(self, test: Test) -> list[_Filter] | None:
        """Return tests of the field itself, any of which what passes passes; None for no such."""
        kind, operand = test.operator, test.operand
        if kind is Operator.IS_EMPTY:
            # of another program's empty list the service can say only that it is there
            return [_ABSENT, {"$eq": ""}] if self._hides_envelopes else None
        if kind in _NEGATIONS:
            forms = self._certain_forms(operand if kind in _LISTED else [operand])
            # on some accounts a negation is false of a field that is absent
            return [{"$nin": forms}, _ABSENT] if forms else None
        if kind in _EQUALITIES:
            forms = self._all_forms(operand if kind in _LISTED else [operand])
            return [{"$in": forms} if len(forms) > 1 else {"$eq": forms[0]}] if forms else [_THERE]
        comparable = _is_number(operand) and not _is_large(operand)
        if kind in _RANGES and comparable and self.native:
            return [{f"${kind.value}": operand}]
        return [_THERE]  # which all else needs at least

    def _all_forms(self, values: Sequence[object]) -> list[object]:
        """Return all forms of values that any value equal to them is stored in; [] if unknown."""
        kinds = str | int | float if self.native else str
        forms = [_forms(value) if isinstance(value, kinds) else [] for value in values]
        return [form for each in forms for form in each] if all(forms) else []

    def _certain_forms(self, values: Sequence[object]) -> list[object]:
        """Return those forms of values that nothing is stored in but what is equal to them."""
        # a list that has an item is not equal to it
        if self.exact_lists:
            return []
        # a service that turns numbers into strings takes the string "5" for the number 5, and one
        # that keeps floats takes large integers for one another
        kinds = str | int | float if self.native else str
        certain = [value for value in values if isinstance(value, kinds) and not _is_large(value)]
        return [form for value in certain for form in _forms(value)]


def _negate(test: Test) -> Test | None:
    """Return a test that passes what another does not, and perhaps more; None for all."""
    if test.operator is Operator.EXISTS:
        return Test(test.field, Operator.EXISTS, not test.operand)
    if test.operator is Operator.IS_EMPTY:
        return Test(test.field, Operator.EXISTS, True)
    kind = _NEGATED.get(test.operator)
    return None if kind is None else Test(test.field, kind, test.operand)


def _forms(value: object) -> list[object]:
    """Return how a value and its equals are stored where they are stored as they are."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _equal_numbers(value)
    return [value]


_SERVICE_INTEGERS: Final = 2**63


def _is_large(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) >= EXACT_INTEGERS


def _equal_numbers(value: Any) -> list[object]:
    """Return the numbers that Python takes for equal, and that JSON writes in other ways."""
    whole = isinstance(value, int) or value.is_integer()
    integers = [int(value)] if whole and -_SERVICE_INTEGERS <= value < _SERVICE_INTEGERS else []
    # beyond that an int would overflow a float
    fits = abs(value) <= sys.float_info.max
    floats = [float(value)] if fits and float(value) == value else []
    return [*integers, *floats]


def _join(by: str, parts: Iterable[_Filter | None]) -> _Filter | None:
    """Return filters joined, each once; groups of the same kind become one, which saves levels."""
    joined: list[_Filter] = []
    for part in parts:
        for one in part.get(by, [part]) if part else []:
            if not any(are_equal(one, other) for other in joined):
                joined.append(one)
    return {by: joined} if len(joined) > 1 else next(iter(joined), None)


# for what a search adds: of the namespace of an item, 2 KB at most
_SPARE_ITEMS: Final = 8
_SPARE_BYTES: Final = 2_200


def _fit(written: _Filter, limits: Limits) -> _Filter | None:
    """Return what of a filter is within the limits: of an AND parts may go, of an OR none."""
    items, size = limits.filter_items - _SPARE_ITEMS, limits.filter_bytes - _SPARE_BYTES
    pruned = _prune(written, limits.filter_depth - 1)
    kept = []
    for part in () if pruned is None else pruned.get("$and", [pruned]):
        part_items, part_size = _count_items(part) + 1, metadata_bytes(part) + len('{"$and":[,]}')
        if part_items <= items and part_size <= size:
            items, size = items - part_items, size - part_size
            kept.append(part)
    return _join("$and", kept)


def _prune(written: _Filter, levels: int) -> _Filter | None:
    if levels < 1:
        return None
    [(by, parts)] = written.items()
    if by not in ("$and", "$or"):
        return written
    pruned = [_prune(part, levels - 1) for part in parts]
    return None if by == "$or" and None in pruned else _join(by, pruned)


def _count_items(written: _Filter) -> int:
    [operand] = written.values()
    if isinstance(operand, list):
        return 1 + sum(map(_count_items, operand))
    [values] = operand.values()
    return 1 + (len(values) if isinstance(values, list) else 0)
