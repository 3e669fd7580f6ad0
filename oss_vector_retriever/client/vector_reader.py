"""The vectors of a reply, checked: no reply with a doubtful value gets past.

Hazards met here: reference engineering.md 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Any

from oss_vector_retriever.client.errors import ResponseError, shown
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.vector import Float32Array, Vector, pack_float32
from oss_vector_retriever.client.wire import reads_finite_only, refuse, reply_list

_KEY = itemgetter("key")
_ROUND = b"\0\0"


class VectorReader:
    """Turn the `vectors` of one reply into checked values.

    `requested` counts the keys that were asked for, and so may appear; None allows any, once.
    `with_data` and `with_metadata` say what was asked for.
    """

    def __init__(
        self,
        reply: Reply,
        operation: str,
        requested: Mapping[str, int] | None = None,
        *,
        with_data: bool = False,
        with_metadata: bool = False,
    ) -> None:
        self._reply = reply
        self._operation = operation
        self._requested = requested
        self._with_data = with_data
        self._with_metadata = with_metadata
        self._unasked = 1 if requested is None else 0
        self._dimension: int | None = None

    def items(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the objects under `vectors` with their keys checked; absent means none."""
        items = reply_list(self._reply, self._operation, body.get("vectors"))
        if not self._plainly_asked_for(items):
            self._check_keys(items)
        return items

    def _plainly_asked_for(self, items: list[Any]) -> bool:
        """Tell at once, for nearly all replies, that each key was asked for and is there once."""
        if self._requested is None:
            return False
        try:
            keys = set(map(_KEY, items))
        except (TypeError, KeyError):
            return False
        return len(keys) == len(items) and keys <= self._requested.keys()

    def _check_keys(self, items: list[Any]) -> None:
        allowed: dict[str, int] = dict(self._requested or ())
        for item in items:
            key: Any = item.get("key") if type(item) is dict else None
            left = allowed.get(key, self._unasked) if type(key) is str else 0
            if not left:
                raise self._unexpected(key)
            allowed[key] = left - 1

    def vectors(self, body: Mapping[str, Any]) -> list[Vector]:
        """Return the vectors of a reply, in the service's order."""
        items = self.items(body)
        keys = map(_KEY, items)
        data = map(self._data, items) if self._with_data else repeat(None)
        return list(map(Vector, keys, data, self._metadata_of(items)))

    def _metadata_of(self, items: list[dict[str, Any]]) -> Iterable[dict[str, Any] | None]:
        """Return the metadata of all items; what is no plain dict is looked at by itself."""
        if not self._with_metadata:
            return repeat(None)
        found = [item.get("metadata") for item in items]
        return found if {*map(type, found)} <= {dict} else map(self.metadata, items)

    def metadata(self, item: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the metadata of one item: a dict where it was asked for, else None."""
        if not self._with_metadata:
            return None
        metadata = item.get("metadata")
        if type(metadata) is dict:
            return metadata
        if metadata is None:
            return {}
        raise self._refuse(f"with metadata of {shown(item['key'])} that is no object")

    def number(self, item: Mapping[str, Any], name: str) -> float | None:
        """Return a finite number of one item, or None where it is absent."""
        value = item.get(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self._refuse(f"with a {name} of {shown(item['key'])} that is no number")
        return float(value)

    def _unexpected(self, key: object) -> ResponseError:
        if not isinstance(key, str):
            return self._refuse("with a vector that has no key")
        if self._requested is None or key in self._requested:
            return self._refuse(f"with the key {shown(key)} more often than asked for")
        return self._refuse(f"with the key {shown(key)}, which was not asked for")

    def _data(self, item: Mapping[str, Any]) -> Float32Array:
        data = item.get("data")
        values = data.get("float32") if isinstance(data, dict) else None
        if not isinstance(values, list) or not values:
            raise self._refuse(f"without float32 data of {shown(item['key'])}")
        self._check_dimension(item["key"], len(values))
        return self._packed(item["key"], values)

    def _check_dimension(self, key: str, dimension: int) -> None:
        if self._dimension is None:
            self._dimension = dimension
        elif dimension != self._dimension:
            raise self._refuse(
                f"with vectors of {self._dimension} and, for {shown(key)}, {dimension} values"
            )

    def _packed(self, key: str, values: list[Any]) -> Float32Array:
        try:
            packed = pack_float32(values)
        except (TypeError, OverflowError):
            raise self._refuse(
                f"with data of {shown(key)} that are not all float32 numbers"
            ) from None
        # struct packs true as 1.0 and false as 0.0: both end in 16 zero bits, few other values do
        if _ROUND in packed and any(type(value) is bool for value in values):
            raise self._refuse(f"with a boolean in the data of {shown(key)}")
        if not reads_finite_only() and not math.isfinite(sum(values)):
            raise self._refuse(f"with data of {shown(key)} that are not all finite")
        return Float32Array.from_bytes(packed)

    def _refuse(self, what: str) -> ResponseError:
        return refuse(self._reply, self._operation, what)
