"""Which items a search wants, and which namespaces a list."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import takewhile
from typing import Any

from langgraph.store.base import ListNamespacesOp, MatchCondition

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.langgraph.items import WITHIN_FIELD, Namespace, copy_of, is_label, path_of
from oss_vector_retriever.records import filterable_value

_LONGEST = 500  # characters of an operand; a filter has its limit
_EXACT_INTEGERS = 2**53
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def matches(value: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> bool:
    """Tell whether a value passes a filter: fields equal, or compared by `$eq` to `$lte`.

    Raises:
        InvalidRequestError: an operator is unknown; it is never ignored.
    """
    return all(_passes(value.get(name), test) for name, test in (wanted or {}).items())


def pushed(wanted: Mapping[str, Any] | None, filterable: Collection[str]) -> list[dict[str, Any]]:
    """Return what the service itself can test, in its grammar: equality, in filterable fields.

    It lets through all that `matches` does, and perhaps more: copies are text, so that 1 and "1"
    are the same there.
    """
    return [
        {copy_of(name): {"$in": forms}}
        for name, test in (wanted or {}).items()
        if name in filterable
        and (forms := _forms(test.get("$eq") if isinstance(test, Mapping) else test))
    ]


def pushed_prefixes(op: ListNamespacesOp) -> list[dict[str, Any]]:
    """Return what the service itself can test of the prefixes wanted: those without wildcards."""
    wanted = [c.path for c in op.match_conditions or () if c.match_type == "prefix"]
    known = [list(takewhile(is_label, path)) for path in wanted]
    return [{WITHIN_FIELD: {"$in": [path_of(labels)]}} for labels in known if labels]


def _forms(operand: Any) -> list[object]:
    """Return the copies that values equal to an operand have; none where that is not certain."""
    if isinstance(operand, str):
        return [operand] if len(operand) <= _LONGEST else []
    if not isinstance(operand, int | float) or not abs(operand) < _EXACT_INTEGERS:
        return []
    alike = [same for same in (operand, bool(operand), int(operand)) if same == operand]
    return list(dict.fromkeys(filterable_value(same) for same in alike))


def _passes(found: Any, test: Any) -> bool:
    if isinstance(test, list | tuple):  # a tuple is stored as a list
        return (
            isinstance(found, list) and len(found) == len(test) and all(map(_passes, found, test))
        )
    if not isinstance(test, Mapping):
        return bool(found == test)
    named = [name for name in test if isinstance(name, str) and name.startswith("$")]
    if not named:
        return isinstance(found, Mapping) and matches(found, test)
    return all(_compared(name, found, test[name]) for name in test)


def _compared(name: str, found: Any, operand: Any) -> bool:
    if name not in _OPERATORS:
        raise InvalidRequestError(
            f"unknown operator {shown(name)} in a filter; known are {', '.join(_OPERATORS)}."
        )
    try:
        return bool(_OPERATORS[name](found, operand))
    except TypeError:  # of different kinds: neither is greater
        return False


def listed(namespaces: Iterable[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    """Return the namespaces that an operation asks for, sorted, cut to its depth, each once."""
    conditions = op.match_conditions or ()
    kept = {
        namespace[: op.max_depth]
        for namespace in namespaces
        if all(_meets(namespace, condition) for condition in conditions)
    }
    return sorted(kept)[op.offset : op.offset + op.limit]


def _meets(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)]
    if condition.match_type == "suffix":
        part = namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
