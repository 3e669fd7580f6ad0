"""Key-value stores: bytes, Documents and embeddings under keys, as rows of an index."""

import base64
import hashlib
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, cast

from langchain_core.documents import Document
from langchain_core.stores import BaseStore

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, NoSuchVectorIndexError, WriteReport, quote
from ..client.models import FetchResult, ListVectorsResult, Vector
from ..client.operations.checks import check_whole, each_of
from ..records import DecodeError, DecodePolicy, Record
from ..records.decode import TEXT_FIELD
from ..records.settings import ROW_FIELD, ROW_ID_FIELD, DistanceMetric, SideIndexName
from ..records.side import DATA, SideIndex
from ..records.store import RecordStore
from .connection import ConnectedComponent
from .documents import document_from

V = TypeVar("V")
_BESIDE: Final = "langchain"  # begins the keys of rows in a side index

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False, repr=False)
class _KeyValueStore(ConnectedComponent, BaseStore[str, V]):
    """Values under keys in an index, as rows that no search for documents meets.

    `mget` of any number of keys is one fetch. A row without an embedding of its own gets a
    placeholder: 1.0 and zeros, as many as the index has dimensions.
    """

    return_data = False
    return_metadata = True
    # fields, where a placeholder is written, and where a value may be large
    dimension = 1
    side_index = cast("SideIndexName", False)

    index: str | None = None
    key_prefix: str = ""
    distance_metric: DistanceMetric | None = None
    create_index: bool = True

    def __post_init__(self) -> None:
        """Check what was given; nothing is called yet."""
        if not isinstance(self.key_prefix, str):
            raise InvalidRequestError(
                f"key_prefix must be a string, not {type(self.key_prefix).__name__}."
            )
        settings = self._store_settings()
        check_whole("dimension", self.dimension, 1, settings.limits.dimension)
        super().__post_init__()
        self._records = RecordStore(settings)
        is_beside = self.side_index is True or self.side_index == (self.index or "")
        self._side = SideIndex(settings) if is_beside else None

    @abstractmethod
    def _row(self, key: str, value: V, placeholder: list[float]) -> Vector:
        """Return the vector that holds a value."""

    @abstractmethod
    def _value(self, vector: Vector) -> V | None:
        """Return the value in a vector; None for one that cannot be read, under "skip"."""

    def mget(self, keys: Sequence[str]) -> list[V | None]:
        """Return the value of each key, in order; None for a key that does not exist."""
        return self._values(self._clients.run(self._fetch, keys))

    async def amget(self, keys: Sequence[str]) -> list[V | None]:
        """Do as `mget` does."""
        return self._values(await self._clients.arun(self._fetch, keys))

    def mset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        """Set values; of a key that stands twice the last one counts.

        Raises:
            InvalidRequestError: a key or value that the index cannot hold; nothing was written.
            PartialWriteError: calls failed; its `report` says what was written and what not.
        """
        self._clients.run(self._write, _as_dict(key_value_pairs))

    async def amset(self, key_value_pairs: Sequence[tuple[str, V]]) -> None:
        """Do as `mset` does."""
        await self._clients.arun(self._write, _as_dict(key_value_pairs))

    def mdelete(self, keys: Sequence[str]) -> None:
        """Delete keys; one that does not exist is no error.

        Raises:
            PartialWriteError: calls failed; its `report` says what is gone.
        """
        self._clients.run(self._delete, self._stored_keys(keys))

    async def amdelete(self, keys: Sequence[str]) -> None:
        """Do as `mdelete` does."""
        await self._clients.arun(self._delete, self._stored_keys(keys))

    def yield_keys(self, *, prefix: str | None = None) -> Iterator[str]:
        """Yield the keys that begin with a prefix; the whole index is listed, page by page."""
        # The service lists in no order and by no prefix, so every page is looked at.
        token: str | None = None
        while True:
            page = self._clients.run(self._list_page, token)
            yield from self._names(page, prefix)
            if (token := page.next_token) is None:
                return

    async def ayield_keys(self, *, prefix: str | None = None) -> AsyncIterator[str]:
        """Do as `yield_keys` does."""
        token: str | None = None
        while True:
            page = await self._clients.arun(self._list_page, token)
            for name in self._names(page, prefix):
                yield name
            if (token := page.next_token) is None:
                return

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove parts of large values that no record names, and return how many there were.

        A writer that was killed, or that another process has overtaken, leaves such parts.

        Args:
            older_than: leave what was written within so many seconds, since its record may be
                written yet; 0 only where nobody writes.
        """
        return self._clients.run(self._records.sweep, older_than)

    async def asweep(self, older_than: float = 3600.0) -> int:
        """Do as `sweep` does."""
        return await self._clients.arun(self._records.sweep, older_than)

    def _fetch(self, context: Context, keys: Sequence[str]) -> Flow[FetchResult]:
        stored = self._stored_keys(keys)
        data, metadata = self.return_data, self.return_metadata
        records = self._records_of(context)
        return records.fetch(context, stored, return_data=data, return_metadata=metadata)

    def _delete(self, context: Context, keys: Sequence[str]) -> Flow[WriteReport]:
        return self._records_of(context).delete(context, keys)

    def _list_page(self, context: Context, token: str | None) -> Flow[ListVectorsResult]:
        return self._records_of(context).list_page(context, token)

    def _records_of(self, context: Context) -> RecordStore:
        return self._records if self._side is None else self._side.records(context)

    def _write(self, context: Context, values: Mapping[str, V]) -> Flow[WriteReport]:
        found, records = None, self._records_of(context)
        if values and self._side is None:
            with suppress(NoSuchVectorIndexError):  # it is made below, or refused there
                found = yield from records.keeper.describe(context)
        # an index that is there says how long a placeholder must be, whatever `dimension` says
        dimension = (found.dimension if found else 0) or self.dimension
        placeholder = [1.0] + [0.0] * (dimension - 1)  # cosine takes no zeros alone
        if self._side is not None:
            placeholder = list(DATA)
        rows = [self._row(self._key(k), value, placeholder) for k, value in values.items()]
        return (yield from records.write(context, rows))

    def _key(self, key: str) -> str:
        if not isinstance(key, str):
            raise InvalidRequestError(
                f"a key must be a string, not {type(key).__name__}; use str(key)."
            )
        return f"{self._prefix}{key}"

    @property
    def _prefix(self) -> str:
        # among rows of other kinds
        return self.key_prefix if self._side is None else f"{_BESIDE}/{self.key_prefix}"

    def _stored_keys(self, keys: Sequence[str]) -> list[str]:
        return [self._key(key) for key in each_of(keys)]

    def _values(self, result: FetchResult) -> list[V | None]:
        return [None if v is None else self._value(v) for v in result.aligned()]

    def _names(self, page: ListVectorsResult, prefix: str | None) -> Iterator[str]:
        start = self._key(prefix or "")
        kept = (vector.key for vector in page if vector.key.startswith(start))
        # a record that is named as the prefix itself is none of this store's
        return (key[len(self._prefix) :] for key in kept if len(key) > len(self._prefix))

    def _encode(self, key: str, data: list[float], text: str, metadata: dict[str, Any]) -> Vector:
        # a store that shares the index leaves rows out of its searches by this field
        seen = [ROW_FIELD]
        return self._records.encode(key, data, text=text, metadata=metadata, own=seen)


def _as_dict(pairs: Any) -> dict[str, Any]:
    """Return pairs of a key and a value as a dict.

    Raises:
        InvalidRequestError: they are no such pairs.
    """
    try:
        return dict(pairs)
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            "mset takes a list of pairs of a key, a string, and a value, such as "
            f'[("key", value)]: {error}. Nothing was written.'
        ) from error


@dataclass(kw_only=True, eq=False, repr=False)
class OSSVectorByteStore(_KeyValueStore[bytes]):
    """Bytes under keys: a ByteStore, for whatever LangChain caches or serialises.

    The service's metadata hold strings, so bytes are kept as base64. A value may be of any size.

    Args:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        key_prefix: stands before every key in the index, so that rows can share it with records.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        side_index: the index for the parts of values over 36 KB, as of an `OSSVectorStore`. True,
            or the name that `index` has: the rows stand there too, where no search meets them.
        on_decode_error: for records that hold no bytes of this store: "raise", or "skip" (None
            comes back, with a warning in the log).

    Raises:
        ConfigurationError: `client` is of another type.
        InvalidRequestError: a setting is impossible.

    Examples:
        >>> store = OSSVectorByteStore(client=OSSVectorClient.local())
        >>> store.mset([("a", b"bytes")])
        >>> store.mget(["a", "b"])
        [b'bytes', None]
    """

    dimension: int = 1
    side_index: SideIndexName = None
    on_decode_error: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        """Check what was given; nothing is called yet."""
        if self.on_decode_error not in ("raise", "skip"):
            raise InvalidRequestError('on_decode_error is "raise" or "skip" for bytes.')
        super().__post_init__()

    def _row(self, key: str, value: bytes, placeholder: list[float]) -> Vector:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"a value must be bytes, not {type(value).__name__}.")
        text = base64.b64encode(value).decode("ascii")  # metadata hold strings alone
        return self._encode(key, placeholder, text, {ROW_FIELD: "bytes"})

    def _value(self, vector: Vector) -> bytes | None:
        record = self._records.decode(vector)
        if record is None:
            return None
        try:
            return _bytes_of(record)
        except DecodeError as error:
            if self.on_decode_error == "raise":
                raise
            _log.warning("skipped: %s", error)
            return None


def _bytes_of(record: Record) -> bytes:
    if record.metadata.get(ROW_FIELD) != "bytes":
        raise DecodeError(record.key, ROW_FIELD, "it is no row of a store of bytes")
    try:
        return base64.b64decode(record.text, validate=True)
    except ValueError as error:  # of base64's own error, and of characters outside ASCII
        raise DecodeError(record.key, TEXT_FIELD, f"it is not base64 ({error})") from error


@dataclass(kw_only=True, eq=False, repr=False)
class OSSVectorDocStore(_KeyValueStore[Document]):
    """Documents under keys: the docstore of a MultiVectorRetriever or ParentDocumentRetriever.

    A Document comes back as it was given, its own id included, which need not be the key. A record
    that others wrote comes as a Document whose id is the key. Any number of parents up to 100 is
    one call.

    Parents have an index of their own, or share that of their children. For the latter give a
    `key_prefix`, make the children's store with `skip_rows=True`, so that searches pass over
    parents, and, where parents are written first, say the `dimension` of the children's embeddings.

    Args:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        key_prefix: stands before every key in the index, so that rows can share it with records.
        dimension: of the index that a first write makes.
        distance_metric: of the index that a first write makes; None takes any that is there.
        create_index: make the index on the first write, and read one that is not there as empty.
        side_index: the index for the parts of values over 36 KB, as of an `OSSVectorStore`. True,
            or the name that `index` has: the rows stand there too, where no search meets them.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        on_decode_error: for records that cannot be read: "raise", "skip" (None comes back, with a
            warning in the log) or "raw" (their metadata as they are stored).

    Raises:
        ConfigurationError: `client` is of another type.
        InvalidRequestError: a setting is impossible.

    Examples:
        >>> from langchain_core.documents import Document
        >>> store = OSSVectorDocStore(client=OSSVectorClient.local())
        >>> store.mset([("chapter", Document("The first chapter.", id="1"))])
        >>> store.mget(["chapter", "none"])
        [Document(id='1', metadata={}, page_content='The first chapter.'), None]
    """

    dimension: int = 1
    side_index: SideIndexName = None
    text_key: str | None = None
    on_decode_error: DecodePolicy = "raise"

    def _row(self, key: str, value: Document, placeholder: list[float]) -> Vector:
        if not isinstance(value, Document):
            raise InvalidRequestError(f"a value must be a Document, not {type(value).__name__}.")
        if taken := {ROW_FIELD, ROW_ID_FIELD} & value.metadata.keys():
            raise InvalidRequestError(
                f"record {key!r}: metadata[{min(taken)!r}] has a name that the store needs itself; "
                "give it another."
            )
        own = {ROW_FIELD: "document", **({} if value.id is None else {ROW_ID_FIELD: value.id})}
        return self._encode(key, placeholder, value.page_content, {**value.metadata, **own})

    def _value(self, vector: Vector) -> Document | None:
        record = self._records.decode(vector)
        if record is None:
            return None
        # looked at before the Document is made, which leaves both fields out
        a_row, own_id = ROW_FIELD in record.metadata, record.metadata.get(ROW_ID_FIELD)
        document = document_from(record)
        own_id = own_id if isinstance(own_id, str) else None  # written by whomever
        document.id = own_id if a_row else vector.key.removeprefix(self._prefix)
        return document


@dataclass(kw_only=True, eq=False, repr=False)
class OSSVectorEmbeddingStore(_KeyValueStore[list[float]]):
    """Embeddings under keys: the cache of a CacheBackedEmbeddings, without serialising.

    The vector is the value, float32 as the service stores it: numbers come back rounded to that.
    An index holds embeddings of one dimension, so of one model; give each model an index.

    Args:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        key_prefix: stands before every key in the index, so that rows can share it with records.
        hash_keys: keep each value under the SHA-256 of its key: CacheBackedEmbeddings uses whole
            texts as keys, and the service takes 1,024 characters. `yield_keys` yields the hashes.
        distance_metric: of the index that a first write makes; euclidean takes zeros, cosine not.
            None takes any that is there, and makes cosine.
        create_index: make the index on the first write, and read one that is not there as empty.

    Raises:
        ConfigurationError: `client` is of another type.
        InvalidRequestError: a setting is impossible.

    Examples:
        >>> store = OSSVectorEmbeddingStore(client=OSSVectorClient.local())
        >>> store.mset([("a", [0.5, 1.0])])
        >>> store.mget(["a", "b"])
        [[0.5, 1.0], None]
    """

    return_data = True
    return_metadata = False

    hash_keys: bool = False
    distance_metric: DistanceMetric | None = "euclidean"

    def _key(self, key: str) -> str:
        if self.hash_keys and isinstance(key, str):
            # a lone surrogate is a legal character of a text, and no legal UTF-8
            key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        stored, limit = super()._key(key), self._records.settings.limits.key_characters
        if len(stored) > limit:
            raise InvalidRequestError(
                f"the key {quote(stored)} has {len(stored):,} characters, and the service takes "
                f"{limit:,}; with hash_keys=True each value is kept under the SHA-256 of its key."
            )
        return stored

    def _row(self, key: str, value: list[float], placeholder: list[float]) -> Vector:  # noqa: ARG002 - a value is its own vector
        if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
            raise InvalidRequestError(
                f"a value must be a list of numbers, not {type(value).__name__}."
            )
        return self._encode(key, value, "", {ROW_FIELD: "embedding"})

    def _value(self, vector: Vector) -> list[float] | None:
        return None if vector.data is None else vector.data.tolist()
