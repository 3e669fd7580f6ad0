"""What a record weighs, and the service's limits on it, checked before any call.

How the service measures metadata is undocumented. Here a size is the length in UTF-8 of the compact
JSON as it crosses the wire, names and escapes included: the largest of the plausible readings, so
that what passes here passes there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.records.errors import shown
from oss_vector_retriever.records.typed import check_text

dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def metadata_bytes(value: object) -> int:
    """Return the size of metadata, or of a part of it, as compact JSON in UTF-8."""
    return len(dump(value).encode())


def check_key(key: object, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse a key that the service does not take: not a string, empty, too long, not UTF-8.

    Raises:
        InvalidRequestError: naming the key, its length and the limit.
    """
    check_text(key, str(key), "the key")
    length = len(str(key))
    if not 1 <= length <= limits.key_characters:
        raise InvalidRequestError(
            f"record {shown(key)}: the key has {length} characters; "
            f"1 to {limits.key_characters:,} are allowed"
        )


def check_copies(key: str, copies: Mapping[str, object], limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse filterable copies that are too many or too large.

    Raises:
        InvalidRequestError: naming key, largest field, sizes, limit and remedy.
    """
    if len(copies) > limits.filterable_keys:
        raise InvalidRequestError(
            f"record {shown(key)}: {len(copies)} filterable fields ({', '.join(sorted(copies))}); "
            f"the service takes {limits.filterable_keys}. Name fewer in filterable=; the record "
            "keeps them all the same"
        )
    if (size := metadata_bytes(dict(copies))) > limits.filterable_bytes:
        raise InvalidRequestError(
            f"record {shown(key)}: the filterable copies take {size:,} bytes, over the limit of "
            f"{limits.filterable_bytes:,}; {_largest(copies)}. Leave it out of filterable=; the "
            "record keeps it all the same"
        )


def check_total(
    key: str,
    stored: Mapping[str, object],
    parts: Mapping[str, object],
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Refuse a record whose metadata is too large in all; `parts` is what the caller gave, by name.

    Raises:
        InvalidRequestError: naming key, largest part, sizes, limit and remedy.
    """
    if (size := metadata_bytes(dict(stored))) > limits.metadata_bytes:
        raise InvalidRequestError(
            f"record {shown(key)}: metadata and text take {size:,} bytes, over the limit of "
            f"{limits.metadata_bytes:,}; {_largest(parts)}. Split the record into several, or "
            "keep the large part elsewhere (an OSS object) and store where it is"
        )


def _largest(parts: Mapping[str, object]) -> str:
    sizes = {name: metadata_bytes(value) for name, value in parts.items()}
    name = max(sizes, key=sizes.__getitem__)
    return f"the largest is {name} with {sizes[name]:,} bytes"
