"""`Vector`: a key, packed float32 data and metadata, as the service stores them."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from ...lazy import missing_error
from ..errors import quote

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def slot_setters(frozen: type) -> list[Callable[[Any, Any], None]]:
    """Return a function that sets each field of a frozen class, in their order.

    For its `__init__` alone. The usual `object.__setattr__` looks each name up, and takes twice as
    long.
    """
    return [vars(frozen)[field.name].__set__ for field in fields(frozen)]


_SHOWN = 3
# Whatever changes an array in place; `array` has no read-only kind.
_CHANGERS = (
    "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse "
    "byteswap frombytes fromfile fromlist fromunicode"
)


def pack_float32(numbers: Sequence[float]) -> bytes:
    """Return numbers as float32 bytes, 4 each, in the machine's order.

    Raises:
        TypeError: a value is not a number.
        OverflowError: a number is too large for float32.
    """
    try:
        return _packer(len(numbers)).pack(*numbers)
    except struct.error as error:
        raise TypeError("float32 data must be numbers") from error


@lru_cache(maxsize=64)
def _packer(count: int) -> struct.Struct:
    # struct.pack() copies the numbers once more, to put its format before them: a fifth of its time
    return struct.Struct(f"={count}f")


class Float32Array(array):  # type: ignore[type-arg]  # array is generic for type checkers only
    """Packed float32 values, 4 bytes each, read-only.

    It supports the buffer protocol, `len`, indexing, iteration and `tolist()`; `numpy()` is a
    read-only view of the same memory, shape (dimension,), dtype float32.

    Raises:
        TypeError: a value is not a number.
        OverflowError: a number is too large for float32.

    Examples:
        >>> data = Float32Array([0.5, 1, 2])
        >>> data.tolist(), data.numpy().shape
        ([0.5, 1.0, 2.0], (3,))
    """

    __slots__ = ()

    def __new__(cls, values: Iterable[float] = ()) -> Self:
        """Pack numbers, each rounded to the nearest float32; a float32 buffer is copied."""
        packed = _float32_bytes(values)
        if packed is None:
            packed = pack_float32(values if isinstance(values, list) else list(values))
        return cls.from_bytes(packed)

    @classmethod
    def from_bytes(cls, packed: bytes) -> Self:
        """Take bytes that are packed already, in the machine's byte order."""
        return cast("Self", super().__new__(cls, "f", packed))

    def numpy(self) -> npt.NDArray[np.float32]:
        """Return a read-only numpy view, shape (dimension,), dtype float32, without a copy."""
        try:
            # the statement, not a function: it is run for each vector, and takes half as long
            import numpy as np  # noqa: PLC0415 - numpy is optional for the client
        except ModuleNotFoundError as error:
            raise missing_error(error, "Float32Array.numpy()") from error
        view = np.frombuffer(self, dtype=np.float32)
        # The buffer of an array can be written to, and numpy would.
        view.flags.writeable = False
        return view

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.tobytes(),)

    # `array` has its own for every protocol, which would come before __reduce__.
    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return self.__reduce__()

    def __repr__(self) -> str:
        shown = ", ".join(f"{value:.6g}" for value in self[:_SHOWN])
        more = f", ... {len(self)} values" if len(self) > _SHOWN else ""
        return f"Float32Array([{shown}{more}])"


def _float32_bytes(values: object) -> bytes | None:
    """Return the bytes of a one-dimensional float32 buffer, or None for anything else."""
    if isinstance(values, list | tuple):
        return None
    if isinstance(values, str | bytes | bytearray):
        raise TypeError("float32 data must be numbers; packed bytes go to Float32Array.from_bytes")
    try:
        view = memoryview(values)  # type: ignore[arg-type]
    except TypeError:
        return None
    return view.tobytes() if view.format == "f" and view.ndim == 1 else None


def _refuse_change(*_: object) -> NoReturn:
    raise TypeError("Float32Array is read-only; change a copy: .tolist() or .numpy().copy()")


for _name in _CHANGERS.split():
    setattr(Float32Array, _name, _refuse_change)


class _FieldTable:
    """A dataclass that notebooks show as a table of its fields."""

    # Slots down to the last class, or instances would have a __dict__ after all.
    __slots__ = ()

    def _repr_html_(self) -> str:
        from .notebook import show_fields  # noqa: PLC0415 - for notebooks alone

        return show_fields(self)


@dataclass(frozen=True, slots=True)
class Vector(_FieldTable):
    """One stored vector.

    Attributes:
        key: the primary key, 1 to 1,024 characters.
        data: packed float32 values, or None where data was not asked for. Any iterable of numbers
            is packed on construction.
        metadata: a dict, or None where metadata was not asked for or none is stored.

    Examples:
        >>> Vector("tea", [0.5, 1], {"text": "Green tea."})
        Vector('tea', data=Float32Array([0.5, 1]), metadata={'text': 'Green tea.'})
    """

    key: str
    data: Float32Array | None = None
    metadata: dict[str, Any] | None = None

    def __init__(
        self,
        key: str,
        data: Iterable[float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Pack `data`; `metadata` is kept as given when it is a dict, else copied into one."""
        packed = data if data is None or isinstance(data, Float32Array) else Float32Array(data)
        kept = metadata if metadata is None or isinstance(metadata, dict) else dict(metadata)
        _set_key(self, key)
        _set_data(self, packed)
        _set_metadata(self, kept)

    def __repr__(self) -> str:
        data = "" if self.data is None else f", data={self.data!r}"
        metadata = "" if self.metadata is None else f", metadata={quote(self.metadata, 120)}"
        return f"Vector({self.key!r}{data}{metadata})"


_set_key, _set_data, _set_metadata = slot_setters(Vector)
