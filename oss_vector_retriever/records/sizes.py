"""The service's limits on a record, checked before any call."""

from __future__ import annotations

from collections.abc import Mapping

from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.client.models.sizes import largest, metadata_bytes
from oss_vector_retriever.records.typed import check_text


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
            f"{limits.filterable_bytes:,}; {largest(copies)}. Leave it out of filterable=; the "
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
            f"{limits.metadata_bytes:,}; {largest(parts)}. Split the record into several, or "
            "keep the large part elsewhere (an OSS object) and store where it is"
        )
