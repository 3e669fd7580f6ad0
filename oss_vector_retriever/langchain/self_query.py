"""`OSSVectorTranslator`: what a model asks of a `SelfQueryRetriever`, in the filters of a store."""

from datetime import date, datetime
from typing import Any, ClassVar, Final

from langchain_core.structured_query import (
    Comparator,
    Comparison,
    Operation,
    Operator,
    StructuredQuery,
    Visitor,
)

from ..client.errors import InvalidRequestError, quote

_OPERATORS: Final = {
    Comparator.EQ: "$eq",
    Comparator.NE: "$ne",
    Comparator.GT: "$gt",
    Comparator.GTE: "$gte",
    Comparator.LT: "$lt",
    Comparator.LTE: "$lte",
    Comparator.IN: "$in",
    Comparator.NIN: "$nin",
    Comparator.CONTAIN: "$contains",
    Comparator.LIKE: "$contains",
}
_AMONG: Final = (Comparator.IN, Comparator.NIN)


class OSSVectorTranslator(Visitor):
    """The translator for a `SelfQueryRetriever` over an `OSSVectorStore`.

    All operators and comparators are there, and dates: `contain` finds an item of a list, or a part
    of a string, `like` a part of a string, with or without `%` around it. A `not` passes also where
    there is no such field.

        SelfQueryRetriever.from_llm(
            model, store, "news", fields, structured_query_translator=OSSVectorTranslator()
        )

    Examples:
        >>> from langchain_core.structured_query import Comparator, Comparison
        >>> asked = Comparison(comparator=Comparator.GTE, attribute="year", value=2024)
        >>> OSSVectorTranslator().visit_comparison(asked)
        {'year': {'$gte': 2024}}
    """

    allowed_operators: ClassVar = tuple(Operator)  # type: ignore[misc]  # LangChain's has no ClassVar
    allowed_comparators: ClassVar = tuple(_OPERATORS)  # type: ignore[misc]  # as above

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        """Return what joins conditions as a filter."""
        self._validate_func(operation.operator)
        parts = [part.accept(self) for part in operation.arguments]
        return {f"${operation.operator.value}": parts}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        """Return a comparison as a filter.

        Raises:
            InvalidRequestError: a date is none, or `like` has a `%` that is not around its text.
        """
        self._validate_func(comparison.comparator)
        name, value = comparison.attribute, _read_dates(comparison.value)
        if comparison.comparator in _AMONG and not isinstance(value, list | tuple):
            value = [value]  # models name one without a list
        if comparison.comparator is Comparator.LIKE:
            value = _part_of_pattern(name, value)
        return {name: {_OPERATORS[comparison.comparator]: value}}

    def visit_structured_query(
        self, structured_query: StructuredQuery
    ) -> tuple[str, dict[str, Any]]:
        """Return the text to search for, and the search's other arguments."""
        if structured_query.filter is None:
            return structured_query.query, {}
        return structured_query.query, {"filter": structured_query.filter.accept(self)}


def _read_dates(value: Any) -> Any:
    """Return a value with LangChain's dates, which are dicts of texts, as Python's."""
    if isinstance(value, list | tuple):
        return [_read_dates(item) for item in value]
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in {"date", "datetime"}:
        return value
    read = date.fromisoformat if kind == "date" else datetime.fromisoformat
    try:
        return read(value[kind])
    except ValueError as error:
        raise InvalidRequestError(
            "{value} is no {form} of ISO 8601.",
            argument="filter",
            value=value[kind],
            fields={"form": kind},
        ) from error


def _part_of_pattern(name: str, pattern: object) -> object:
    if not isinstance(pattern, str):
        return pattern  # which the store refuses, if it must
    part = pattern[1:-1] if pattern.startswith("%") and pattern.endswith("%") else pattern
    if "%" in part:
        raise InvalidRequestError(
            "like of {field} finds a part of a text, with or without % around it; {value} is "
            "another pattern.",
            argument="filter",
            value=pattern,
            fields={"field": quote(name)},
        )
    return part
