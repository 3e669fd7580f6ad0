"""Filters against a second evaluator, written from the reference's sentences."""

import json
import random

import numpy as np

from oss_vector_retriever.emulator import Behaviour
from oss_vector_retriever.emulator.rules.filters import parse_filter
from oss_vector_retriever.emulator.search.columns import Columns


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


STRICT = Behaviour(negation_needs_field=True)


def columns_of(metadata, memory=1 << 30):
    return Columns([json.dumps(one) if one else None for one in metadata], memory)


def test_of_many_vectors_at_once_filters_say_the_same():
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    for _ in range(60):
        metadata = [random_metadata(rng) for _ in range(rng.randint(1, 60))]
        columns = columns_of(metadata, rng.choice([0, 2_000, 1 << 30]))
        for _ in range(20):
            condition = random_filter(rng, 3)
            chosen = parse_filter(condition, behaviour=rng.choice([Behaviour(), STRICT]))
            found = np.broadcast_to(chosen.mask(columns.of(chosen.fields)), len(metadata)).tolist()
            expected = [chosen.matches(one) for one in metadata]
            assert found == expected, (seed, condition, metadata)
            assert columns.size <= columns.memory


def test_numbers_are_compared_exactly_at_once_as_well():
    numbers = [
        2**53,
        2**53 + 1,
        float(2**53),
        2**63,
        2**64 - 1,
        1.5,
        -1,
        0,
        -0.0,
        True,
        "1",
        [],
        ["x"],
    ]
    metadata = [{"a": number} for number in numbers] + [{}, {"b": 1}]
    columns = columns_of(metadata)
    operands = [one for one in numbers if not isinstance(one, list)]
    for operand in operands:
        is_number = isinstance(operand, int | float) and not isinstance(operand, bool)
        for op in ("$eq", "$ne", *(("$gt", "$gte", "$lt", "$lte") if is_number else ())):
            chosen = parse_filter({"a": {op: operand}})
            expected = [chosen.matches(one) for one in metadata]
            assert chosen.mask(columns.of({"a"})).tolist() == expected, (op, operand)
    everything = parse_filter({})
    assert np.broadcast_to(everything.mask({}), len(metadata)).all()


def test_columns_are_kept_up_to_their_memory_the_last_used_ones():
    metadata = [{"a": n, "b": n % 3, "c": str(n)} for n in range(1000)]
    columns = columns_of(metadata)
    sizes = {name: columns.of({name})[name].size for name in "abc"}
    assert columns.size == sum(sizes.values())
    assert columns.of({"a"})["a"] is columns.of({"a"})["a"]
    columns.memory = sizes["a"] + sizes["c"]
    kept = {name: columns.of({name})[name] for name in "abc"}  # "b" takes the place of "a"
    assert columns.size == sizes["b"] + sizes["c"]
    assert columns.of({"c"})["c"] is kept["c"]
    assert columns.of({"b"})["b"] is kept["b"]
    assert columns.of({"a"})["a"] is not kept["a"]
    assert columns.size <= columns.memory
    assert sizes["b"] < sizes["a"] < 300_000
