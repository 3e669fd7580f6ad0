"""float32 values: checked and packed on the way in, written exactly on the way out."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

# Read as float64 and rounded, the shortest text of 7.038531e-26 (0x15ae43fd, either sign) gives
# its neighbour. It is the only such float32; its bytes, little-endian, without the top one:
_ROUNDS_TWICE = b"\xfd\x43\xae"
_ONE, _ZERO = struct.pack("<f", 1.0), struct.pack("<f", 0.0)
WIDTH = 4


def pack(values: object) -> bytes:
    """Return JSON numbers as little-endian float32, 4 bytes each.

    Args:
        values: the parsed `float32` member.

    Raises:
        ValueError: not a list of numbers that float32 can hold, with the reason.
    """
    if not isinstance(values, list):
        raise ValueError("must be an array of numbers")  # noqa: TRY004 - one kind for all
    try:
        packed = struct.pack(f"<{len(values)}f", *values)
    except struct.error:
        raise ValueError("holds a value that is not a number") from None
    except OverflowError:
        raise ValueError("holds a number too large for float32") from None
    # Packed booleans are ones and zeros: the types need no look where there are neither.
    if (_ONE in packed or _ZERO in packed) and bool in set(map(type, values)):
        raise ValueError("holds a boolean")
    return packed


def is_zero(packed: bytes) -> bool:
    """Tell whether every value is zero, of either sign."""
    if packed.strip(b"\x00\x80"):
        return False
    return not any(value for (value,) in struct.iter_unpack("<f", packed))


def jsonable(packed: bytes, *, shortest: bool = True) -> Any:
    """Return what `json_text.dumps` writes so that a reader gets the same float32 back.

    numpy float32 is written in its shortest form; without numpy, where that form is not wanted, or
    where it would be read back as another float32, the values are written as float64.
    """
    numpy = _numpy() if shortest else None
    if numpy is None or _ROUNDS_TWICE in packed:
        return list(struct.unpack(f"<{len(packed) // WIDTH}f", packed))
    return numpy.frombuffer(packed, dtype="<f4").astype("f4", copy=False)


@cache
def _numpy() -> Any:
    try:
        import numpy as np  # noqa: PLC0415 - optional: only speed and shortness depend on it
    except ImportError:
        return None
    return np
