"""What the operations return: sequences of vectors that carry what else the reply said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, overload

from pydantic import AliasChoices, AliasPath, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel, to_pascal

from oss_vector_retriever.client.errors import InvalidRequestError, named_argument
from oss_vector_retriever.client.models.vector import Vector

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


Item = TypeVar("Item")


class Items(Sequence[Item], Generic[Item]):
    """Be a sequence over a tuple that a subclass names in `_items`."""

    __slots__ = ()

    @property
    def _items(self) -> tuple[Item, ...]:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    @overload
    def __getitem__(self, position: int) -> Item: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, position: int | slice) -> Item | tuple[Item, ...]:
        """Return the item at a position, or a tuple of those in a slice."""
        return self._items[position]


@dataclass(frozen=True, slots=True)
class GetVectorsResult(Items[Vector]):
    """Hold the vectors of one GetVectors call, in the order of the reply, which is unspecified."""

    vectors: tuple[Vector, ...]
    request_id: str | None = None

    @property
    def _items(self) -> tuple[Vector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class ListVectorsResult(Items[Vector]):
    """Hold one page of an index; `next_token` is None on the last page."""

    vectors: tuple[Vector, ...]
    next_token: str | None = None
    request_id: str | None = None

    @property
    def _items(self) -> tuple[Vector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class ScoredVector:
    """Hold one hit of a query.

    Attributes:
        key: the primary key.
        distance: smaller is closer; None where it was not asked for. For the metric `cosine` it is
            taken to be 1 - cosine similarity (unverified; README, known unknowns).
        metadata: a dict, or None where it was not asked for.
    """

    key: str
    distance: float | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class QueryVectorsResult(Items[ScoredVector]):
    """Hold the hits of one query, closest first."""

    vectors: tuple[ScoredVector, ...]
    request_id: str | None = None

    @property
    def _items(self) -> tuple[ScoredVector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class FusedVector:
    """Hold one hit of a query in fusion mode; the higher the score, the better it fits."""

    key: str
    score: float | None = None
    metadata: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class QueryVectorsFusionResult(Items[FusedVector]):
    """Hold the hits of one query in fusion mode, best first."""

    vectors: tuple[FusedVector, ...]
    next_token: str | None = None
    request_id: str | None = None

    @property
    def _items(self) -> tuple[FusedVector, ...]:
        return self.vectors


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Say that the service has done what was asked and had nothing to tell."""

    request_id: str | None = None


_FRACTION = re.compile(r"(\.\d{6})\d+")


def _microseconds(value: Any) -> Any:
    """Cut a fraction to six digits: the service writes up to nine (reference 7.2)."""
    return _FRACTION.sub(r"\1", value) if isinstance(value, str) else value


Moment = Annotated[datetime, BeforeValidator(_microseconds)]


class VectorIndex(BaseModel):
    """Describe one index. `status` is `creating`, `enable` or `deleting`."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    index_name: str = ""
    dimension: int = 0
    distance_metric: str = ""
    data_type: str = "float32"
    status: str = ""
    create_time: Moment | None = None
    bucket_arn: str | None = None
    non_filterable_metadata_keys: tuple[str, ...] = Field(
        default=(),
        validation_alias=AliasChoices(
            AliasPath("metadata", "nonFilterableMetadataKeys"), "non_filterable_metadata_keys"
        ),
    )


class VectorBucket(BaseModel):
    """Describe one vector bucket. `name` is the plain name; the service's own is `arn`."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True)

    arn: str = Field(default="", validation_alias=AliasChoices("Name", "arn"))
    region: str = ""
    location: str = ""
    creation_date: Moment | None = None
    extranet_endpoint: str | None = None
    intranet_endpoint: str | None = None
    resource_group_id: str | None = None

    @property
    def name(self) -> str:
        """Return the plain name, the last part of the ARN."""
        return self.arn.rsplit(":", 1)[-1]


class BucketLogging(BaseModel):
    """Say where the accesses to a bucket are logged."""

    model_config = ConfigDict(alias_generator=to_pascal, populate_by_name=True, frozen=True)

    target_bucket: str = ""
    target_prefix: str = ""
    logging_role: str | None = None


class ListVectorIndexesResult(Items[VectorIndex]):
    """Hold one page of a bucket's indexes; `next_token` is None on the last page."""

    __slots__ = ("indexes", "next_token", "request_id")

    def __init__(
        self,
        indexes: tuple[VectorIndex, ...],
        next_token: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.indexes = indexes
        self.next_token = next_token
        self.request_id = request_id

    @property
    def _items(self) -> tuple[VectorIndex, ...]:
        return self.indexes


class ListVectorBucketsResult(Items[VectorBucket]):
    """Hold one page of an account's buckets; `next_marker` is None on the last page."""

    __slots__ = ("buckets", "next_marker", "request_id")

    def __init__(
        self,
        buckets: tuple[VectorBucket, ...],
        next_marker: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.buckets = buckets
        self.next_marker = next_marker
        self.request_id = request_id

    @property
    def _items(self) -> tuple[VectorBucket, ...]:
        return self.buckets


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
            raise InvalidRequestError(
                "matrix() needs the data:",
                argument="return_data",
                remedy="fetch with {with_data}",
                with_data=named_argument("return_data", "True"),
            )
        matrix = np.empty((len(rows), len(rows[0])), dtype=np.float32)
        for position, row in enumerate(rows):
            matrix[position] = row.numpy()
        return matrix

    def __repr__(self) -> str:
        return (
            f"FetchResult({len(self.vectors)} of {len(self.keys)} found, "
            f"{len(self.missing)} missing, calls={self.calls})"
        )
