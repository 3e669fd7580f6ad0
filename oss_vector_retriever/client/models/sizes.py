"""What metadata weighs.

How the service measures metadata is undocumented. Here a size is the length in UTF-8 of the compact
JSON as it crosses the wire, names and escapes included: the largest of the plausible readings, so
that what passes here passes there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def metadata_bytes(value: object) -> int:
    """Return the size of metadata, or of a part of it, as compact JSON in UTF-8."""
    return len(dump(value).encode())


def largest(parts: Mapping[str, object]) -> str:
    """Return a phrase that names the largest of some parts and its size."""
    sizes = {name: metadata_bytes(value) for name, value in parts.items()}
    name = max(sizes, key=sizes.__getitem__)
    return f"the largest is {name} with {sizes[name]:,} bytes"
