"""The service's limits in one table, as of September 2026: they have changed several times."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

# As the service is assumed to measure: compact, and each character in its own UTF-8 bytes.
dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def metadata_bytes(value: object) -> int:
    """Return the size of metadata, or of a part of it, as compact JSON in UTF-8.

    Examples:
        >>> metadata_bytes({"text": "é"})
        13
    """
    return len(dump(value).encode())


def largest(parts: Mapping[str, object]) -> str:
    """Return a phrase that names the largest of some parts and its size."""
    sizes = {name: metadata_bytes(value) for name, value in parts.items()}
    name = max(sizes, key=sizes.__getitem__)
    return f"the largest is {name} with {sizes[name]:,} bytes"


@dataclass(frozen=True, slots=True)
class Limits:
    """The service's limits; replace a field when an account has another quota.

    Sources: the pages GetVectors (Feb 2026), PutVectors (Mar 2026), PutVectorIndex (Feb 2026),
    DeleteVectors (Feb 2026), ListVectors and QueryVectors (Sep 2026), PutVectorBucket (Jan 2026).
    Sizes are bytes of UTF-8 where the unit is bytes; how the service itself measures metadata is
    undocumented (README, known unknowns).

    Examples:
        >>> client = OSSVectorClient.local(limits=Limits(keys_per_get=50))
    """

    keys_per_get: int = 100
    vectors_per_put: int = 500
    keys_per_delete: int = 500
    key_characters: int = 1024
    dimension: int = 4096
    top_k: int = 500
    list_page: int = 1000
    list_page_default: int = 500
    list_segments: int = 16
    token_bytes: int = 512
    vector_token_bytes: int = 2048
    metadata_bytes: int = 40 * 1024
    filterable_bytes: int = 2 * 1024
    filterable_keys: int = 10
    # in all, as one page has it (vector-vectors, Mar 2026); checked where this package chooses them
    metadata_keys: int = 10
    non_filterable_keys: int = 10
    metadata_name_bytes: int = 63
    filter_bytes: int = 20 * 1024
    filter_items: int = 1024
    filter_depth: int = 8
    indexes_per_bucket: int = 100
    index_list_page: int = 500
    index_list_page_default: int = 100
    index_name_characters: int = 63
    buckets_per_region: int = 100
    bucket_list_page: int = 1000
    bucket_list_page_default: int = 100
    clock_skew_seconds: int = 15 * 60


DEFAULT_LIMITS = Limits()
