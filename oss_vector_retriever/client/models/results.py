"""What the operations return: sequences that carry what else the reply said, and descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from ...lazy import load_optional
from ..errors import InvalidRequestError
from . import columns
from .vector import Vector, _FieldTable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl
    import pyarrow as pa


Item = TypeVar("Item")


class _Items(Sequence[Item], Generic[Item]):
    """A sequence over the tuple `items` of a dataclass."""

    # Slots down to the last class, or instances would have a __dict__ after all.
    __slots__ = ()
    items: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @overload
    def __getitem__(self, position: int) -> Item: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Item, ...]: ...
    def __getitem__(self, position: int | slice) -> Item | tuple[Item, ...]:
        """Return the item at a position, or a tuple of those in a slice."""
        return self.items[position]

    @property
    def _caption(self) -> str:
        return f"{type(self).__name__}: {len(self)} item{'s' * (len(self) != 1)}"

    def _repr_html_(self) -> str:
        from .notebook import show_items  # noqa: PLC0415 - for notebooks alone

        return show_items(self._caption, self.items)


@dataclass(frozen=True, slots=True)
class Page(_Items[Item]):
    """One reply of an operation that returns several things: a sequence of them.

    Attributes:
        items: what the reply holds, as a tuple.
        next_token: what brings the next page; None on the last, and where there are no pages.
        request_id: the service's id of the call.
    """

    items: tuple[Item, ...]
    next_token: str | None = None
    request_id: str | None = None

    @property
    def _caption(self) -> str:
        return super(Page, self)._caption + (", and more by next_token" if self.next_token else "")


class _VectorPage(Page[Item]):
    __slots__ = ()

    @property
    def vectors(self) -> tuple[Item, ...]:
        """Return the vectors, or hits, as a tuple."""
        return self.items


class GetVectorsResult(_VectorPage[Vector]):
    """The vectors of one GetVectors call, in the order of the reply, which is unspecified."""

    __slots__ = ()


class ListVectorsResult(_VectorPage[Vector]):
    """One page of an index; `next_token` is None on the last page."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ScoredVector(_FieldTable):
    """One hit of a query.

    Attributes:
        key: the primary key.
        distance: smaller is closer; None where it was not asked for, or the reply has none. For
            the metric `cosine` it is taken to be 1 - cosine similarity (unverified; README, known
            unknowns).
        metadata: a dict, or None where it was not asked for.
    """

    key: str
    distance: float | None = None
    metadata: dict[str, Any] | None = None


class QueryVectorsResult(_VectorPage[ScoredVector]):
    """The hits of one query, closest first."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FusedVector(_FieldTable):
    """One hit of a query in fusion mode; the higher the score, the better it fits.

    `score` is None where the reply has none, as where hits are sorted by fields.
    """

    key: str
    score: float | None = None
    metadata: dict[str, Any] | None = None


class QueryVectorsFusionResult(_VectorPage[FusedVector]):
    """The hits of one query in fusion mode, best first."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer of a service that has done what was asked and has nothing else to say."""

    request_id: str | None = None


class _Description(_FieldTable):
    """A thing of the service's as it describes it; what this version does not know is left out."""

    __slots__ = ()

    @classmethod
    def from_api(cls, members: object) -> Self:
        """Return what the members of a reply describe.

        Raises:
            ValueError: one has another type than it should; the text is its name.
        """
        if not isinstance(members, Mapping):
            # Whoever reads a reply turns it into a ResponseError, with the operation's name.
            raise ValueError("the whole")  # noqa: TRY004 - one error for all that is unreadable
        given = {}
        for one in fields(cls):  # type: ignore[arg-type]  # every subclass is a dataclass
            name = cls._api_name(one.name)
            # null is as absent, as it is for vectors and their metadata
            if (value := members.get(name)) is not None:
                given[one.name] = _READERS[str(one.type)](name, value)
        return cls(**given)

    def to_api(self) -> dict[str, Any]:
        """Return the members that the service would send, without those that it left out."""
        names = [one.name for one in fields(self)]  # type: ignore[arg-type]  # as above
        members = {self._api_name(name): getattr(self, name) for name in names}
        return {name: _as_json(value) for name, value in members.items() if value is not None}

    @classmethod
    def _api_name(cls, name: str) -> str:
        """Return a field's name in the API, which writes buckets in another case than indexes."""
        return "".join(map(str.capitalize, name.split("_")))


@dataclass(frozen=True, slots=True)
class VectorIndex(_Description):
    """One index. `status` is `creating`, `enable` or `deleting`, `mode` `standard` or `fusion`.

    An index in fusion mode has `schema_fields`, as the service writes them, and no dimension of its
    own. What a reply does not say is empty, and a dimension that it does not say is 0.
    """

    index_name: str = ""
    dimension: int = 0
    distance_metric: str = ""
    data_type: str = "float32"
    status: str = ""
    create_time: datetime | None = None
    bucket_arn: str | None = None
    non_filterable_metadata_keys: tuple[str, ...] = ()
    mode: str | None = None
    # Dicts have no hash; the other fields tell indexes apart.
    schema_fields: tuple[dict[str, Any], ...] = field(default=(), hash=False)

    @classmethod
    def from_api(cls, members: object) -> Self:
        """Return what the members of a reply describe; its metadata are the names of fields."""
        # super() without arguments does not find the class that `slots` makes of this one.
        describe = super(VectorIndex, cls).from_api
        if not isinstance(members, Mapping):
            return describe(members)
        # of the inner objects the one member that is known, and no other: it could have the name
        # of one of the index
        names = _inner_member(members, "metadata", "nonFilterableMetadataKeys")
        schema = _inner_member(members, "schemaConfiguration", "fields")
        return describe({**members, "nonFilterableMetadataKeys": names, "schemaFields": schema})

    def to_api(self) -> dict[str, Any]:
        """Return the members that the service would send, without those that it left out."""
        members = super(VectorIndex, self).to_api()
        if names := members.pop("nonFilterableMetadataKeys"):
            members["metadata"] = {"nonFilterableMetadataKeys": names}
        if schema := members.pop("schemaFields"):
            members["schemaConfiguration"] = {"fields": schema}
        return members

    @classmethod
    def _api_name(cls, name: str) -> str:
        pascal = super(VectorIndex, cls)._api_name(name)
        return pascal[0].lower() + pascal[1:]


@dataclass(frozen=True, slots=True)
class VectorBucket(_Description):
    """One vector bucket. `name` is the plain name; the service's own is `arn`."""

    arn: str = ""
    region: str = ""
    location: str = ""
    creation_date: datetime | None = None
    extranet_endpoint: str | None = None
    intranet_endpoint: str | None = None
    resource_group_id: str | None = None

    @property
    def name(self) -> str:
        """Return the plain name, the last part of the ARN."""
        return self.arn.rsplit(":", 1)[-1]

    @classmethod
    def _api_name(cls, name: str) -> str:
        return "Name" if name == "arn" else super(VectorBucket, cls)._api_name(name)


@dataclass(frozen=True, slots=True)
class BucketLogging(_Description):
    """Where the accesses to a bucket are logged."""

    target_bucket: str = ""
    target_prefix: str = ""
    logging_role: str | None = None


def _inner_member(members: Mapping[str, Any], outer: str, name: str) -> object:
    inner = members.get(outer)
    if inner is None or isinstance(inner, Mapping):
        return None if inner is None else inner.get(name)
    raise ValueError(outer)


def _read_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise ValueError(name)


def _read_whole_number(name: str, value: object) -> int:
    # Not isinstance: true is no dimension.
    if type(value) is int and value >= 0:
        return value
    raise ValueError(name)


def _read_moment(name: str, value: object) -> datetime | None:
    # The service writes nine digits of a second (reference 7.2), of which Python keeps six.
    if not (text := _read_text(name, value)):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(name) from None
    # its moments are UTC; one without a zone could be compared with no other
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_texts(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_read_text(name, item) for item in value)
    raise ValueError(name)


def _read_objects(name: str, value: object) -> tuple[dict[str, Any], ...]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return tuple(value)
    raise ValueError(name)


_READERS: Mapping[str, Callable[[str, object], object]] = {
    "str": _read_text,
    "str | None": lambda name, value: None if value is None else _read_text(name, value),
    "int": _read_whole_number,
    "datetime | None": _read_moment,
    "tuple[str, ...]": _read_texts,
    "tuple[dict[str, Any], ...]": _read_objects,
}


def _as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return list(value) if isinstance(value, tuple) else value


class ListVectorIndexesResult(Page[VectorIndex]):
    """One page of a bucket's indexes; `next_token` is None on the last page."""

    __slots__ = ()

    @property
    def indexes(self) -> tuple[VectorIndex, ...]:
        """Return the indexes as a tuple."""
        return self.items


class ListVectorBucketsResult(Page[VectorBucket]):
    """One page of an account's buckets; `next_marker` is None on the last page."""

    __slots__ = ()

    @property
    def buckets(self) -> tuple[VectorBucket, ...]:
        """Return the buckets as a tuple."""
        return self.items

    @property
    def next_marker(self) -> str | None:
        """Return the token of the next page, which the API calls a marker here."""
        return self.next_token


@dataclass(frozen=True, slots=True)
class FetchResult(_Items[Vector]):
    """The sequence of vectors found, in the order asked, a repeated key answered each time.

    Attributes:
        keys: the keys as they were asked for.
        by_key: the vectors found, by key.
        missing: the keys that do not exist, each once, in the order asked.
        request_ids: the service's id of each call.
        calls: how many API calls were made.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "a", "data": [1, 2]}, {"key": "b", "data": [3, 4]}])
        >>> result = client.fetch(["b", "x", "a"])
        >>> [vector.key for vector in result], result.missing, result.matrix().tolist()
        (['b', 'a'], ('x',), [[3.0, 4.0], [1.0, 2.0]])
    """

    keys: tuple[str, ...]
    # Left out of the repr, as `items` is: it would show every vector of a large fetch.
    by_key: Mapping[str, Vector] = field(repr=False)
    missing: tuple[str, ...] = ()
    request_ids: tuple[str, ...] = ()
    calls: int = 0
    items: tuple[Vector, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        found = filter(None, map(self.by_key.get, self.keys))
        object.__setattr__(self, "items", tuple(found))

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """Return the vectors found, as a tuple."""
        return self.items

    def aligned(self) -> list[Vector | None]:
        """Return a vector or None for each key asked for, in order."""
        return [self.by_key.get(key) for key in self.keys]

    def matrix(self, out: npt.NDArray[np.float32] | None = None) -> npt.NDArray[np.float32]:
        """Return the data of the vectors found, shape (found, dimension), dtype float32.

        One allocation, or none: `out` is filled and returned. Row i belongs to `result[i]`. Nothing
        found: shape (0, 0).

        Raises:
            InvalidRequestError: the data were not fetched (`return_data=False`), or `out` has
                another shape or dtype, or is not contiguous or not to be written.
        """
        np = load_optional("numpy", "FetchResult.matrix()")
        rows = [vector.data for vector in self.items]
        shape = len(rows), columns.width_of(rows, "matrix()")
        matrix = np.empty(shape, dtype=np.float32) if out is None else out
        if matrix.shape != shape or matrix.dtype != np.float32:
            text = f"{{argument}} must have the shape {shape} and the dtype float32."
            raise InvalidRequestError(text, argument="out")
        if not (matrix.flags.c_contiguous and matrix.flags.writeable):
            text = "{argument} must be C-contiguous and writable."
            raise InvalidRequestError(text, argument="out")
        if matrix.size:  # a view of nothing cannot be cast
            columns.fill(matrix.data.cast("B"), rows, shape[1])
        return matrix

    def to_arrow(self) -> pa.Table:
        """Return a `pyarrow.Table`, a row for each key asked for, in order.

        Columns: `key`; `data`, a list of float32 of fixed size, the bits of `matrix()`; and
        `metadata`, JSON text. A key that does not exist has null in both. Without `return_data`
        there is no column `data`. Extra `arrow`.
        """
        return columns.table_of(self.keys, self.aligned())

    def to_pandas(self) -> pd.DataFrame:
        """Return the table of `to_arrow()` as a `pandas.DataFrame`.

        In `data` each row has a numpy array, which shares one block with the others, or None.
        """
        load_optional("pandas", "to_pandas()", "arrow", "pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the table of `to_arrow()` as a `polars.DataFrame`; `data` is an `Array`."""
        polars = load_optional("polars", "to_polars()", "arrow", "polars")
        frame: pl.DataFrame = polars.from_arrow(self.to_arrow())
        return frame

    def __repr__(self) -> str:
        return (
            f"FetchResult({len(self.items)} of {len(self.keys)} found, "
            f"{len(self.missing)} missing, calls={self.calls})"
        )

    def _repr_html_(self) -> str:
        from .notebook import MOST_ROWS, show_rows  # noqa: PLC0415 - for notebooks alone

        rows = [
            (key, "does not exist", None)
            if (vector := self.by_key.get(key)) is None
            else (key, vector.data, vector.metadata)
            for key in self.keys[:MOST_ROWS]
        ]
        return show_rows(repr(self), ["key", "data", "metadata"], rows, len(self.keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCall:
    """One API call that has ended, for a client's `on_call=`; nothing of a record is in it.

    Attributes:
        operation: the API's name of it, such as `GetVectors`.
        index: the index that it was for, or None.
        error: None of a call that succeeded; else the service's code, the kind of fault (`closed`,
            `connect`, `deadline`, ...), or the class of the error.
        attempts: HTTP attempts; 0 of a call that ended before its first.
        refusals: how many of them the service refused because requests came too fast.
        keys: how many keys it named.
        missing: how many of those a GetVectors call did not find.
        bytes_sent: bytes of the bodies of all its requests.
        bytes_received: bytes of the bodies of all its replies.
        seconds: from its beginning to its end, pauses included.
    """

    operation: str
    index: str | None
    error: str | None
    attempts: int
    refusals: int
    keys: int
    missing: int
    bytes_sent: int
    bytes_received: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStats:
    """What a client has done of one operation.

    Attributes:
        calls: API calls that have ended, well or not.
        failed: those that ended in an error.
        attempts: their HTTP attempts.
        retries: attempts after the first of their call.
        refusals: attempts that the service refused because requests came too fast.
        missing: keys that GetVectors calls did not find.
        bytes_sent: bytes of the bodies of requests.
        bytes_received: bytes of the bodies of replies.
        seconds: from beginning to end, pauses included, added up over the calls.
    """

    calls: int = 0
    failed: int = 0
    attempts: int = 0
    retries: int = 0
    refusals: int = 0
    missing: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStats(OperationStats):
    """What a client has done since it was made, with those made of it by `with_options` and twins.

    Attributes not named here are those of `OperationStats`, over all operations.

    Attributes:
        shared: fetches that took their vectors out of the reply to another's call.
        operations: the same for each operation, by the API's name of it.
        decoder: what reads the vectors out of a reply: `"scan"`, the compiled scan of the extra
            `fast`, or `"pure"`, Python code, which also reads what the scan leaves to it.
        rate: the requests a second that the service was found to bear, as they are sent now, of the
            operation of which it bears least; None as long as it has refused none for coming too
            fast.
    """

    shared: int = 0
    operations: Mapping[str, OperationStats] = field(default_factory=dict)
    decoder: str = "pure"
    rate: float | None = None

    def _repr_html_(self) -> str:
        from .notebook import show_rows  # noqa: PLC0415 - for notebooks alone

        names = [one.name for one in fields(OperationStats)]
        counted = {**self.operations, "all": self}
        rows = [[name, *(getattr(one, n) for n in names)] for name, one in counted.items()]
        rate = "" if self.rate is None else f", rate={self.rate:.6g}"
        caption = f"ClientStats(shared={self.shared}, decoder={self.decoder!r}{rate})"
        return show_rows(caption, ["operation", *names], rows, len(rows))
