"""`FetchResult`: what came back for the keys of one `fetch`, and what did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.results import Items
from oss_vector_retriever.client.models.vector import Vector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class FetchResult(Items[Vector]):
    """Be the sequence of vectors found, in the order asked, a repeated key answered each time.

    Attributes:
        keys: the keys as they were asked for.
        by_key: the vectors found, by key.
        missing: the keys that do not exist, each once, in the order asked.
        request_ids: the service's id of each call.
        calls: how many API calls were made.
    """

    keys: tuple[str, ...]
    by_key: Mapping[str, Vector] = field(repr=False)
    missing: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    calls: int = 0
    vectors: tuple[Vector, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = filter(None, map(self.by_key.get, self.keys))
        object.__setattr__(self, "vectors", tuple(found))

    @property
    def _items(self) -> tuple[Vector, ...]:
        return self.vectors

    def aligned(self) -> list[Vector | None]:
        """Return a vector or None for each key asked for, in order."""
        return [self.by_key.get(key) for key in self.keys]

    def matrix(self) -> npt.NDArray[np.float32]:
        """Return the data of the vectors found, shape (found, dimension), dtype float32.

        One allocation; row i belongs to `result[i]`. Nothing found: shape (0, 0).

        Raises:
            InvalidRequestError: the data were not fetched (`return_data=False`).
        """
        import numpy as np  # noqa: PLC0415 - numpy is optional for the client

        data = [vector.data for vector in self.vectors]
        if not data:
            return np.empty((0, 0), dtype=np.float32)
        rows = [row for row in data if row is not None]
        if len(rows) != len(data):
            raise InvalidRequestError("matrix() needs the data: fetch with return_data=True.")
        matrix = np.empty((len(rows), len(rows[0])), dtype=np.float32)
        for position, row in enumerate(rows):
            matrix[position] = row.numpy()
        return matrix

    def __repr__(self) -> str:
        return (
            f"FetchResult({len(self.vectors)} of {len(self.keys)} found, "
            f"{len(self.missing)} missing, calls={self.calls})"
        )
