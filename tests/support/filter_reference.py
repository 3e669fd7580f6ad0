"""What filters mean, said a second time: nothing here imports the package.

A tree is `("test", field, operator, operand)` or `("and" | "or" | "not", [trees])`.
"""


def passes(fields, tree, *, exact_lists=False):
    kind, *rest = tree
    if kind == "test":
        field, operator, operand = rest
        return passes_test(fields.get(field), operator, operand, exact_lists)
    outcomes = [passes(fields, part, exact_lists=exact_lists) for part in rest[0]]
    if not outcomes:  # an empty group restricts nothing
        return True
    if kind == "and":
        return False not in outcomes
    return (True in outcomes) if kind == "or" else True not in outcomes


def passes_test(value, operator, operand, exact_lists):  # noqa: PLR0911 - a table in words
    if operator == "exists":
        return (value is not None) == operand
    if operator == "is_empty":
        return value is None or value in ("", [])
    if operator in ("ne", "nin"):
        positive = {"ne": "eq", "nin": "in"}[operator]
        return not passes_test(value, positive, operand, exact_lists)
    if value is None:
        return False
    if operator in ("eq", "in"):
        wanted = [operand] if operator == "eq" else operand
        found = [value]
        if isinstance(value, list) and not exact_lists:
            found += value
        return any(same(one, other) for one in found for other in wanted)
    if operator in ("gt", "gte", "lt", "lte"):
        return ordered(value, operator, operand)
    if operator == "contains":
        return contains(value, operand)
    if operator == "any":
        return any(contains(value, item) for item in operand)
    if operator == "all":
        return all(contains(value, item) for item in operand)
    if not isinstance(value, str):
        return False
    if operator == "text_match":
        return operand in value
    assert operator == "text_match_insensitive"
    return operand.casefold() in value.casefold()


def kind_of(value):
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def same(one, other):
    if kind_of(one) != kind_of(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return one == other


def ordered(value, operator, operand):
    if kind_of(value) != kind_of(operand) or kind_of(value) not in ("number", "str"):
        return False
    return {
        "gt": value > operand,
        "gte": value >= operand,
        "lt": value < operand,
        "lte": value <= operand,
    }[operator]


def contains(value, item):
    if isinstance(value, list):
        return any(same(one, item) for one in value)
    if isinstance(value, dict):
        return isinstance(item, str) and item in value
    return isinstance(value, str) and isinstance(item, str) and item in value
