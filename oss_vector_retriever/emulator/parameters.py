"""Typed reading of a request's JSON members; every fault is VectorIndexParameterInvalid."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.emulator.refusals import invalid

_INDEX_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_METADATA_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Parameters:
    """Read the members of a request's JSON object; unknown members are ignored (section 15, 5)."""

    def __init__(self, members: Mapping[str, Any], limits: Limits) -> None:
        self._members = members
        self._limits = limits

    def get(self, name: str) -> Any:
        """Return a member as it is, or None."""
        return self._members.get(name)

    def index_name(self) -> str:
        """Return `indexName`, checked by the rule of section 7.1."""
        name = self._members.get("indexName")
        longest = self._limits.index_name_characters
        if not isinstance(name, str) or not _INDEX_NAME.fullmatch(name) or len(name) > longest:
            raise invalid(
                f"indexName must be 1 to {longest} letters and digits, the first a letter."
            )
        return name

    def keys(self, most: int, *, unique: bool = False, count_distinct: bool = False) -> list[str]:
        """Return `keys`: 1 to `most` strings of 1 to 1,024 characters, counted as told."""
        keys = self.items("keys", sys.maxsize if count_distinct else most)
        for position, key in enumerate(keys):
            check_key(key, f"keys[{position}]", self._limits)
        distinct = len(set(keys))
        if unique and distinct != len(keys):
            raise invalid("keys must not hold a key twice.")
        if distinct > most:
            raise invalid(f"keys must be an array of 1 to {most} elements.")
        return keys

    def items(self, name: str, most: int) -> list[Any]:
        """Return an array of 1 to `most` elements."""
        items = self._members.get(name)
        if not isinstance(items, list) or not 1 <= len(items) <= most:
            raise invalid(f"{name} must be an array of 1 to {most} elements.")
        return items

    def boolean(self, name: str) -> bool:
        """Return a boolean that defaults to false."""
        value = self._members.get(name, False)
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false.")
        return value

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer from `low` to `high`; without a default it is required."""
        value = self._members.get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise invalid(f"{name} must be an integer from {low} to {high}.")
        return value

    def text(self, name: str, most_bytes: int) -> str:
        """Return a string of at most `most_bytes` bytes that defaults to the empty one."""
        value = self._members.get(name, "")
        if not isinstance(value, str) or len(value.encode()) > most_bytes:
            raise invalid(f"{name} must be a string of at most {most_bytes} bytes.")
        return value

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a required string that is one of `choices`."""
        value = self._members.get(name)
        if value not in choices:
            raise invalid(f"{name} must be {' or '.join(choices)}.")
        return str(value)

    def segment(self) -> tuple[int, int]:
        """Return (`segmentCount`, `segmentIndex`) (section 4.3); the default is one segment."""
        count = self.integer("segmentCount", 1, self._limits.list_segments, 1)
        return count, self.integer("segmentIndex", 0, count - 1, 0)

    def non_filterable(self) -> tuple[str, ...]:
        """Return `metadata.nonFilterableMetadataKeys`, or nothing (section 7.1)."""
        metadata = self._members.get("metadata")
        if metadata is None:
            return ()
        if not isinstance(metadata, dict):
            raise invalid("metadata must be an object.")
        if metadata.get("nonFilterableMetadataKeys") is None:
            return ()
        inner = Parameters(metadata, self._limits)
        names = inner.items("nonFilterableMetadataKeys", self._limits.non_filterable_keys)
        for name in names:
            self._check_metadata_name(name)
        if len(set(names)) != len(names):
            raise invalid("nonFilterableMetadataKeys must not hold a name twice.")
        return tuple(names)

    def _check_metadata_name(self, name: object) -> None:
        longest = self._limits.metadata_name_bytes
        if not isinstance(name, str) or not _METADATA_NAME.fullmatch(name) or len(name) > longest:
            raise invalid(
                f"A non-filterable key must be 1 to {longest} letters, digits and underscores,"
                " and not start with a digit."
            )


def check_key(key: object, where: str, limits: Limits) -> str:
    """Return a key, refusing anything but a string of 1 to 1,024 characters."""
    if not isinstance(key, str) or not 1 <= len(key) <= limits.key_characters:
        raise invalid(f"{where} must be a string of 1 to {limits.key_characters} characters.")
    return key
