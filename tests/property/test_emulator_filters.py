"""Filters against a second evaluator, written from the reference's sentences."""

import random

from oss_vector_retriever.emulator.rules.filters import parse_filter


def second_opinion(condition, metadata):
    """Evaluate a filter another way: by the reference's sentences, one after another."""
    for name, operand in condition.items():
        if name == "$and":
            if not all(second_opinion(part, metadata) for part in operand):
                return False
        elif name == "$or":
            if not any(second_opinion(part, metadata) for part in operand):
                return False
        else:
            for op, wanted in operand.items():
                if not holds(op, wanted, metadata, name):
                    return False
    return True


def holds(op, wanted, metadata, name):
    if op == "$exists":
        return wanted == (name in metadata)
    if op in ("$ne", "$nin"):
        return not holds({"$ne": "$eq", "$nin": "$in"}[op], wanted, metadata, name)
    stored = metadata.get(name, [])
    if op in ("$eq", "$in"):
        items = stored if isinstance(stored, list) else [stored]
        choices = wanted if op == "$in" else [wanted]
        return any(same(item, choice) for item in items for choice in choices)
    if isinstance(stored, list | str | bool):
        return False
    return op in ("$gte", "$lte") if stored == wanted else (stored > wanted) == (op[1] == "g")


def same(one, other):
    return type(one) is type(other) and one == other


def random_filter(rng, depth):
    name = rng.choice(["$and", "$or", "a", "b", "c", "d", "a", "b"])
    if name.startswith("$"):
        if depth == 0:
            return random_filter(rng, depth)
        parts = [random_filter(rng, depth - 1) for _ in range(rng.randint(1, 3))]
        return {name: parts}
    op = rng.choice(["$eq", "$ne", "$in", "$nin", "$exists", "$gt", "$gte", "$lt", "$lte"])
    if op == "$exists":
        return {name: {op: rng.random() < 0.5}}
    if op in ("$in", "$nin"):
        return {name: {op: [random_value(rng) for _ in range(rng.randint(1, 3))]}}
    if op in ("$eq", "$ne"):
        return {name: {op: random_value(rng)}}
    return {name: {op: rng.randint(0, 3)}}


def random_value(rng):
    return rng.choice(["x", "y", "", 0, 1, 2, True, False])


def random_metadata(rng):
    def value():
        if rng.random() < 0.3:
            return [rng.choice(["x", "y", ""]) for _ in range(rng.randint(0, 3))]
        return random_value(rng)

    return {name: value() for name in "abcd" if rng.random() < 0.7}


def test_a_second_evaluator_agrees_on_twenty_thousand_cases():
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    outcomes = set()
    for _ in range(2_000):
        condition = random_filter(rng, 3)
        chosen = parse_filter(condition)
        for _ in range(10):
            metadata = random_metadata(rng)
            expected = second_opinion(condition, metadata)
            assert chosen.matches(metadata) == expected, (seed, condition, metadata)
            outcomes.add(expected)
    assert outcomes == {True, False}
    print(f"\n20000 filter cases agree (seed {seed})")  # noqa: T201 - a figure
