"""Metadata by field: what a filter looks at of many vectors, read from JSON once.

Each value of a field is a number in an array, its code, so that a filter looks up a few values and
then compares whole arrays. Filters mean the same as of one vector's metadata (`rules.filters`).
"""

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ..rules.filters import Distinct

Mask = NDArray[np.bool_]

_READ_AT_ONCE = 1000  # JSON texts
_ABSENT, _LIST = -1, -2  # in the place of a code
_MISSING = object()
_VALUE_BYTES = 160  # of a value in a column's dict and list, without its text
_ORDERS = {"$gt": bisect_right, "$gte": bisect_left, "$lt": bisect_left, "$lte": bisect_right}


class FieldColumn:
    """One field of n vectors: a code for each, the codes of numbers in the numbers' order."""

    def __init__(self, values: Sequence[object]) -> None:
        """Take the field's value in each vector, `_MISSING` where there is none."""
        seen: dict[Distinct, int] = {}
        rows: list[int] = []
        items: list[int] = []
        codes: list[int] = []
        for row, value in enumerate(values):
            if value is _MISSING:
                codes.append(_ABSENT)
            elif isinstance(value, list):
                codes.append(_LIST)
                for item in value:
                    rows.append(row)
                    items.append(seen.setdefault((isinstance(item, bool), item), len(seen)))
            else:
                codes.append(seen.setdefault((isinstance(value, bool), value), len(seen)))
        # By Python's own comparison, which is exact also between an integer and a float.
        self._numbers = sorted(
            value for is_bool, value in seen if not is_bool and isinstance(value, int | float)
        )
        in_order = dict.fromkeys((*((False, number) for number in self._numbers), *seen))
        self._codes_of: dict[Distinct, int] = {one: code for code, one in enumerate(in_order)}
        # The last two stay as they are: they are what the codes below zero lead to.
        final = np.array([*map(self._codes_of.__getitem__, seen), _LIST, _ABSENT], np.int32)
        self._codes = final[np.array(codes, np.int32)]
        self._rows = np.array(rows, np.int32)
        self._items = final[np.array(items, np.int32)]

    @cached_property
    def size(self) -> int:
        """Return about how many bytes of memory this takes."""
        arrays = self._codes.nbytes + self._rows.nbytes + self._items.nbytes
        texts = sum(len(value) for _, value in self._codes_of if isinstance(value, str))
        return arrays + texts + len(self._codes_of) * _VALUE_BYTES

    @property
    def present(self) -> Mask:
        """Tell of each vector whether it has the field."""
        mask: Mask = self._codes != _ABSENT
        return mask

    def equal(self, values: frozenset[Distinct]) -> Mask:
        """Tell of each vector whether its value, or an item of it, is among `values`."""
        wanted = [code for code in map(self._codes_of.get, values) if code is not None]
        # Two more than there are codes, for those below zero.
        is_wanted = np.zeros(len(self._codes_of) + 2, dtype=bool)
        is_wanted[wanted] = True
        mask = is_wanted[self._codes]
        if wanted:
            mask[self._rows[is_wanted[self._items]]] = True
        return mask

    def compare(self, op: str, operand: float) -> Mask:
        """Tell of each vector whether its value is a number that `$gt`, ... `op` holds of."""
        border = _ORDERS[op](self._numbers, operand)
        if op.startswith("$gt"):
            return (self._codes >= border) & (self._codes < len(self._numbers))
        return (self._codes >= 0) & (self._codes < border)


class Columns:
    """The fields of n vectors that filters have asked for, kept up to `memory` bytes.

    `texts` are the JSON texts of their filterable metadata, None for none.
    """

    def __init__(self, texts: Sequence[str | None], memory: int = 0) -> None:
        self._texts = texts
        self.memory = memory
        self._kept: OrderedDict[str, FieldColumn] = OrderedDict()
        self._lock = threading.Lock()
        self._size = 0

    @property
    def size(self) -> int:
        """Return about how many bytes of memory the kept columns take."""
        return self._size

    def of(self, fields: Collection[str]) -> dict[str, FieldColumn]:
        """Return the columns of some fields."""
        with self._lock:
            found = {name: self._kept[name] for name in fields if name in self._kept}
        if len(found) < len(fields):
            # Two threads may read the same: that costs time once, where a lock would each time.
            read = self._read([name for name in fields if name not in found])
            found.update(read)
        with self._lock:
            self._keep(found)
        return found

    def _keep(self, used: dict[str, FieldColumn]) -> None:
        for name, column in used.items():
            self._kept[name] = column
            self._kept.move_to_end(name)
        self._size = sum(column.size for column in self._kept.values())
        while self._size > self.memory:
            _, least_used = self._kept.popitem(last=False)
            self._size -= least_used.size

    def _read(self, names: Sequence[str]) -> dict[str, FieldColumn]:
        values: dict[str, list[object]] = {name: [] for name in names}
        for metadata in self._metadata():
            for name, column in values.items():
                column.append(metadata.get(name, _MISSING))
        return {name: FieldColumn(column) for name, column in values.items()}

    def _metadata(self) -> Iterator[dict[str, Any]]:
        # One text of many takes half the time of many texts.
        for start in range(0, len(self._texts), _READ_AT_ONCE):
            part = self._texts[start : start + _READ_AT_ONCE]
            yield from orjson.loads(f"[{','.join(text or '{}' for text in part)}]")
