"""Random filters and metadata, with a seed that is printed."""

from __future__ import annotations

import os
import random

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

FIELDS = ("a", "b", "c", "d")
SCALARS = ("", "x", "X", "xy", "5", "true", "é", 0, 1, 5, 5.0, -2, 2.5, 2**53, float(2**53))
VALUES = (None, True, False, [], ["x"], ["x", "5"], [5], [1, "xy"], [2.5, 5], *SCALARS)
LISTS = ([], ["x"], ["x", "xy"], ["5", ""], [5, 1], [5.0, 2.5])
LIST_OPERATORS = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL)
TEXT_OPERATORS = (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE)


class Dice:
    """Make metadata and filters at random."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def metadata(self):
        fields = self._random.sample(FIELDS, self._random.randint(0, len(FIELDS)))
        return {field: self._random.choice(VALUES) for field in fields}

    def leaf(self, operators=tuple(FilterOperator)):
        operator = self._random.choice(operators)
        if operator in LIST_OPERATORS:
            value = self._random.choice(LISTS)
        elif operator in TEXT_OPERATORS:
            value = self._random.choice([scalar for scalar in SCALARS if isinstance(scalar, str)])
        else:
            value = self._random.choice(SCALARS)
        return MetadataFilter(key=self._random.choice(FIELDS), value=value, operator=operator)

    def flat(self, operators=tuple(FilterOperator)):
        leaves = [self.leaf(operators) for _ in range(self._random.randint(0, 3))]
        return MetadataFilters(filters=leaves, condition=self._condition())

    def nested(self, operators=tuple(FilterOperator), depth=3):
        parts = [
            self.nested(operators, depth - 1)
            if depth and self._random.random() < 0.4
            else self.leaf(operators)
            for _ in range(self._random.choice((0, 1, 1, 2, 2, 3)))
        ]
        return MetadataFilters(filters=parts, condition=self._condition())

    def _condition(self):
        return self._random.choice([None, *FilterCondition])


@pytest.fixture
def dice():
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {seed}")  # noqa: T201 - shown with a failure, to repeat it
    return Dice(seed)
