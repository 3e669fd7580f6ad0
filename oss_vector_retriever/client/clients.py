"""`OSSVectorClient` and `AsyncOSSVectorClient`: the same methods, blocking or to be awaited.

The operations are written once, in the blocking client: `make generate` makes `async_methods` of
them.
"""

from __future__ import annotations

# Lists of names, several on a line: the formatter would make a page of each.
# isort: off
# fmt: off
import weakref
from collections.abc import (
    AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping, Sequence,
)
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from . import fetch as fetching
from . import known_indexes, readiness, writes
from .async_methods import _AsyncMethods
from .base import _ClientBase
from .config import ClientConfig
from .context import Context, Flow
from .errors import WriteReport
from .fetch import OnMissing
from .local import AsyncLocalExchange, LocalExchange, LocalService
from .models import (
    Acknowledgement, BucketLogging, FetchResult, GetVectorsResult, ListVectorBucketsResult,
    ListVectorIndexesResult, ListVectorsResult, QueryVectorsFusionResult, QueryVectorsResult,
    Vector, VectorBucket, VectorIndex,
)
from .operations import buckets, indexes
from .operations import vectors as vector_operations
from .operations.indexes import DistanceMetric
from .streams import (
    BYTES_IN_THREADS, BYTES_ON_A_LOOP, AsyncVectorStream, ByteWindow, VectorStream,
)
from .transport.engine import settings_for
from .transport.http import AsyncExchange, BlockingExchange
from .transport.runner import AsyncRunner, Runner
from .writes import OnError
# isort: on
# fmt: on

P = ParamSpec("P")
T = TypeVar("T")


class OSSVectorClient(_ClientBase):
    """A client that fetches vectors by key, and does all else that OSS Vectors offers.

    It is safe for threads.

    Examples:
        With an account and a bucket it is `OSSVectorClient(bucket="examplebucket",
        account_id="123456", region="cn-hangzhou", index="vectorindex1")`; `local()` needs none. The
        examples of the methods go on from here.

        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        WriteReport(1 acknowledged, 0 failed, calls=1)
        >>> client.fetch(["tea", "coffee"])
        FetchResult(1 of 2 found, 1 missing, calls=1)
    """

    _runner: Runner

    def _make_runner(self) -> Runner:
        config, local = self._context.config, self._local
        exchange = (
            BlockingExchange(settings_for(config))
            if local is None
            else LocalExchange(local, config.max_concurrency)
        )
        runner = Runner(exchange, config.max_concurrency)
        # Threads and sockets end with a client that nobody closes, not with the process. At its
        # end only what is idle is closed: there may be calls yet, of `atexit` and of daemons.
        self._finalizer = weakref.finalize(self, runner.close)
        self._finalizer.atexit = False
        weakref.finalize(self, exchange.keep_none)
        return runner

    def run(
        self,
        flow: Callable[Concatenate[Context, P], Flow[T]],
        /,
        *arguments: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """Run the flow `flow(context, *arguments, **keywords)`."""
        if self._runner.closed:
            self.refuse_if_closed()
        return self._runner.run(flow(self._context, *arguments, **keywords))

    def stream(
        self,
        keys: Iterable[str],
        *,
        index: str | None = None,
        return_data: bool = True,
        return_metadata: bool = True,
        on_missing: OnMissing = "omit",
        timeout: float | None = None,
    ) -> VectorStream:
        """Fetch an unbounded iterable of keys in bounded memory; yield the vectors in order.

        Keys are read 100 at a time, a few hundred ahead of what is yielded, fewer where replies are
        large (640 KB for each of `max_concurrency`); a key repeated within 100 crosses the network
        once. The arguments are those of `fetch`; `timeout` holds for each 100 keys.
        `stream(keys).to_arrow_batches()` yields columns in place of vectors.

        Examples:
            >>> sum(1 for vector in client.stream(key for key in ["tea"] * 1000))
            1000
        """
        results = self._fetch_in_order(
            keys,
            index=index,
            return_data=return_data,
            return_metadata=return_metadata,
            on_missing=on_missing,
            timeout=timeout,
        )
        return VectorStream(results, with_data=return_data)

    def _fetch_in_order(
        self, keys: Iterable[str], **options: Any
    ) -> Generator[FetchResult, None, None]:
        # In a generator: a stream that is dropped half-way stops the flows that run ahead.
        self.refuse_if_closed()
        flows = fetching.fetch_flows(self._context, keys, **options)
        window = ByteWindow(self._context.config.max_concurrency, BYTES_IN_THREADS)
        yield from self._runner.in_order(flows, window)

    def to_async(self) -> AsyncOSSVectorClient:
        """Return an async client with the same settings; of a local service, with its data."""
        self.refuse_if_closed()
        # On the same context: both keep one rate, one retry budget, one set of credentials.
        return AsyncOSSVectorClient._on_context(self._context, self._local)

    def close(self) -> None:
        """Close the connections, and a local service made by this client.

        Calls and streams in progress end within a second, told that the client is closed, whatever
        they wait for. Where threads of a pool of yours use the client, close it before the pool:
        the pool's end waits for them, also after Ctrl-C.
        """
        # The finalizer, not `close` of the runner: a second call of it does nothing.
        if self._parent is None:
            self._finalizer()
        self._release_local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The operations pass their arguments on by position; type checkers compare each with the
    # flow's by order and type.
    # Operations. `tests/generate_async_client.py` makes the async client's of all that follows.

    def fetch(
        self,
        keys: Iterable[str],
        *,
        index: str | None = None,
        return_data: bool = True,
        return_metadata: bool = True,
        on_missing: OnMissing = "omit",
        timeout: float | None = None,
    ) -> FetchResult:
        """Fetch any number of vectors by key, in the order asked; a repeated key is answered again.

        Each distinct key crosses the network once, in calls of at most 100, up to `max_concurrency`
        at a time. No keys: an empty result and no call. `timeout` is in seconds, for all of it.

        `on_missing` says what becomes of keys that do not exist: `"omit"` leaves them out of the
        sequence (they stand in `.missing`), `"raise"` raises, a function is called with each.

        Raises:
            MissingKeysError: keys do not exist, and `on_missing` is `"raise"`.
            InvalidRequestError: a key is not a string of 1 to 1,024 characters; no call was made.
            OSSVectorError: a call failed for good; nothing partial is returned.

        Examples:
            >>> result = client.fetch(["tea", "coffee"])
            >>> result[0].metadata, result.missing
            ({'text': 'Green tea.'}, ('coffee',))
        """
        return self.run(
            fetching.fetch, keys, index, return_data, return_metadata, on_missing, timeout
        )

    def upsert(
        self,
        vectors: Iterable[Vector | Mapping[str, Any]],
        *,
        index: str | None = None,
        on_error: OnError = "raise",
        timeout: float | None = None,
    ) -> WriteReport:
        """Put any number of vectors, 500 a call, up to `max_concurrency` calls at a time.

        An index that is new and not ready is waited for. All are checked before the first call. A
        call that fails does not stop the others; `timeout` (seconds) holds for each call by itself,
        from the moment that its part is encoded.

        Raises:
            InvalidRequestError: a vector breaks a rule, or a key stands twice; nothing was written.
            PartialWriteError: calls failed; its `report` says which keys were written and which
                not. With `on_error="report"` the report is returned instead.

        Examples:
            >>> client.upsert({"key": f"k{n}", "data": [n, 1]} for n in range(1001))
            WriteReport(1001 acknowledged, 0 failed, calls=3)
        """
        return self.run(writes.upsert, vectors, index, on_error, timeout)

    def delete(
        self,
        keys: Iterable[str],
        *,
        index: str | None = None,
        on_error: OnError = "raise",
        timeout: float | None = None,
    ) -> WriteReport:
        """Delete any number of vectors by key, 500 a call; a key that does not exist is no error.

        `timeout` (seconds) holds for each call by itself. No keys: no call.

        Raises:
            InvalidRequestError: a key is no legal key; nothing was deleted.
            PartialWriteError: calls failed; its `report` says which keys are gone and which may not
                be. With `on_error="report"` the report is returned instead.

        Examples:
            >>> client.delete(["k1", "no such key"])
            WriteReport(2 acknowledged, 0 failed, calls=1)
        """
        return self.run(writes.delete, keys, index, on_error, timeout)

    # One call each, with the API's own names and defaults; `fetch` turns the defaults round.

    def get_vectors(
        self,
        keys: Iterable[str],
        *,
        index: str | None = None,
        return_data: bool = False,
        return_metadata: bool = False,
    ) -> GetVectorsResult:
        """Get 1 to 100 vectors by key, in one call.

        Vectors that do not exist are left out; the order is the service's. `fetch` lifts both
        limits. A key that is named twice is answered once or twice, as the service likes; where
        another writes it meanwhile, the two may differ. Source: page GetVectors.

        Raises:
            InvalidRequestError: more than 100 keys, none, or one that is no legal key.
            ServiceError: the service refused.
        """
        return self.run(vector_operations.get_vectors, keys, index, return_data, return_metadata)

    def put_vectors(
        self, vectors: Iterable[Vector | Mapping[str, Any]], *, index: str | None = None
    ) -> Acknowledgement:
        """Put 1 to 500 vectors in one call; a vector with the same key is replaced.

        Each is a `Vector` or a dict with `key`, `data` (numbers) and, if any, `metadata`.
        An index that is new and not ready is waited for. Source: page PutVectors. `upsert` takes
        any number.

        Raises:
            InvalidRequestError: a key twice, data that are not finite, or the count is off.
            ServiceError: the service refused, such as for another dimension than the index's.
        """
        return self.run(writes.put_vectors, vectors, index)

    def delete_vectors(self, keys: Iterable[str], *, index: str | None = None) -> Acknowledgement:
        """Delete 1 to 500 vectors by key, in one call; a key that does not exist is no error.

        Source: page DeleteVectors. `delete` takes any number.
        """
        return self.run(writes.delete_vectors, keys, index)

    def list_vectors(
        self,
        *,
        index: str | None = None,
        max_results: int | None = None,
        next_token: str | None = None,
        return_data: bool = False,
        return_metadata: bool = False,
        segment_count: int | None = None,
        segment_index: int | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> ListVectorsResult:
        """List one page of an index's vectors, 500 unless `max_results` (at most 1,000) says else.

        `segment_count` and `segment_index` split an index for readers in parallel. Source: page
        ListVectors; `filter` is new there since September 2026.
        """
        return self.run(
            vector_operations.list_vectors,
            index,
            max_results,
            next_token,
            return_data,
            return_metadata,
            segment_count,
            segment_index,
            filter,
        )

    def iter_vectors(
        self,
        *,
        index: str | None = None,
        max_results: int | None = None,
        next_token: str | None = None,
        return_data: bool = False,
        return_metadata: bool = False,
        segment_count: int | None = None,
        segment_index: int | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> Iterator[Vector]:
        """Yield an index's vectors, page by page; the arguments are those of `list_vectors`.

        Examples:
            >>> [vector.key for vector in client.iter_vectors()]
            ['tea']
        """
        # A page is asked for when the one before it is used up: whoever stops pays for no more.
        while True:
            page = self.list_vectors(
                index=index,
                max_results=max_results,
                next_token=next_token,
                return_data=return_data,
                return_metadata=return_metadata,
                segment_count=segment_count,
                segment_index=segment_index,
                filter=filter,
            )
            yield from page
            if (next_token := page.next_token) is None:
                return

    def query_vectors(
        self,
        query_vector: Iterable[float] | Mapping[str, Iterable[float]],
        *,
        top_k: int = 10,
        index: str | None = None,
        filter: Mapping[str, Any] | None = None,
        return_distance: bool = True,
        return_metadata: bool = False,
    ) -> QueryVectorsResult:
        """Find the stored vectors closest to one, closest first.

        `query_vector` has the index's dimension: numbers, or `{"float32": numbers}` as in the API.
        The service cannot return data here: `fetch` the keys. Source: page QueryVectors.

        Examples:
            >>> hits = client.query_vectors([1, 0.1], top_k=1)
            >>> hits[0].key
            'tea'
        """
        return self.run(
            vector_operations.query_vectors,
            query_vector,
            top_k,
            index,
            filter,
            return_distance,
            return_metadata,
        )

    def put_vector_index(
        self,
        *,
        dimension: int,
        index: str | None = None,
        distance_metric: DistanceMetric = "cosine",
        non_filterable_metadata_keys: Iterable[str] = (),
        wait: bool = False,
    ) -> Acknowledgement:
        """Make an index; dimension 1 to 4,096, `distance_metric` `cosine` or `euclidean`.

        `non_filterable_metadata_keys` (at most 10) may be large and cannot be searched by; they are
        fixed for the life of the index. Source: page PutVectorIndex.

        A new index is `creating` for some time. `wait` waits until it is not, within the client's
        `timeout`. Without it this is one call, and the first writes wait, each within its own.

        Raises:
            VectorIndexAlreadyExistsError: an index of that name exists.
            DeadlineExceededError: the index is made, and was not ready in time.

        Examples:
            >>> _ = client.put_vector_index(index="news", dimension=2, wait=True)
            >>> news = client.get_vector_index(index="news")
            >>> news.status
            'enable'
        """
        return self.run(
            readiness.put_vector_index,
            dimension,
            index,
            distance_metric,
            non_filterable_metadata_keys,
            wait=wait,
        )

    def get_vector_index(self, *, index: str | None = None) -> VectorIndex:
        """Describe an index. Source: page GetVectorIndex."""
        return self.run(known_indexes.get_vector_index, index)

    def list_vector_indexes(
        self,
        *,
        prefix: str | None = None,
        max_results: int | None = None,
        next_token: str | None = None,
    ) -> ListVectorIndexesResult:
        """List one page of the bucket's indexes, 100 unless `max_results` (at most 500) says else.

        Source: page ListVectorIndexes.
        """
        return self.run(indexes.list_vector_indexes, prefix, max_results, next_token)

    def iter_vector_indexes(
        self,
        *,
        prefix: str | None = None,
        max_results: int | None = None,
        next_token: str | None = None,
    ) -> Iterator[VectorIndex]:
        """Yield the bucket's indexes, page by page; the arguments are those of the list."""
        while True:
            page = self.list_vector_indexes(
                prefix=prefix, max_results=max_results, next_token=next_token
            )
            yield from page
            if (next_token := page.next_token) is None:
                return

    def delete_vector_index(self, *, index: str) -> Acknowledgement:
        """Delete an index with all its vectors; the name must be given, there is no way back.

        Source: page DeleteVectorIndex.
        """
        # Never the client's own index: nobody shall lose one by leaving an argument out.
        return self.run(known_indexes.delete_vector_index, index)

    def put_vector_bucket(
        self, *, resource_group_id: str | None = None, tagging: Mapping[str, str] | None = None
    ) -> Acknowledgement:
        """Make the client's vector bucket. Source: page PutVectorBucket.

        Args:
            resource_group_id: the resource group that it belongs to; by default the account's.
            tagging: its tags by name, such as `{"team": "search"}`. No operation shows them.

        Raises:
            BucketAlreadyExistsError: it exists.
            BucketNameNotAvailableError: one of its name was deleted some hours ago.
            TooManyBucketsError: the account has as many as it may.
        """
        return self.run(buckets.put_vector_bucket, resource_group_id, tagging)

    def get_vector_bucket(self) -> VectorBucket:
        """Describe the client's vector bucket. Source: page GetVectorBucket."""
        return self.run(buckets.get_vector_bucket)

    def list_vector_buckets(
        self,
        *,
        prefix: str | None = None,
        marker: str | None = None,
        max_keys: int | None = None,
        resource_group_id: str | None = None,
    ) -> ListVectorBucketsResult:
        """List one page of the account's buckets in the region, 100 unless `max_keys` says else.

        With `resource_group_id` only those of a resource group. Source: page ListVectorBuckets.
        """
        # `marker` and `max_keys`: this operation has plain OSS's names, where others have tokens.
        return self.run(buckets.list_vector_buckets, prefix, marker, max_keys, resource_group_id)

    def iter_vector_buckets(
        self,
        *,
        prefix: str | None = None,
        marker: str | None = None,
        max_keys: int | None = None,
        resource_group_id: str | None = None,
    ) -> Iterator[VectorBucket]:
        """Yield the account's buckets in the region; the arguments are those of the list."""
        while True:
            page = self.list_vector_buckets(
                prefix=prefix, marker=marker, max_keys=max_keys, resource_group_id=resource_group_id
            )
            yield from page
            if (marker := page.next_marker) is None:
                return

    def delete_vector_bucket(self) -> Acknowledgement:
        """Delete the client's vector bucket, which must hold no index. Source: DeleteVectorBucket.

        Raises:
            BucketNotEmptyError: it holds an index.
        """
        return self.run(buckets.delete_vector_bucket)

    def put_bucket_policy(self, policy: Mapping[str, Any]) -> Acknowledgement:
        """Set the bucket's policy: a dict with `Version` and `Statement`.

        Source: page PutBucketPolicy; its actions carry the prefix `oss:`.
        """
        return self.run(buckets.put_bucket_policy, policy)

    def get_bucket_policy(self) -> dict[str, Any]:
        """Return the bucket's policy, a dict; the service refuses where there is none."""
        return self.run(buckets.get_bucket_policy)

    def delete_bucket_policy(self) -> Acknowledgement:
        """Remove the bucket's policy."""
        return self.run(buckets.delete_bucket_policy)

    def put_bucket_logging(
        self, *, target_bucket: str, target_prefix: str = "", logging_role: str | None = None
    ) -> Acknowledgement:
        """Have accesses logged into objects of an OSS bucket, under a prefix."""
        # That bucket is a plain one, which this client does not reach and cannot check.
        return self.run(buckets.put_bucket_logging, target_bucket, target_prefix, logging_role)

    def get_bucket_logging(self) -> BucketLogging | None:
        """Return where accesses are logged, or None where they are not."""
        return self.run(buckets.get_bucket_logging)

    def delete_bucket_logging(self) -> Acknowledgement:
        """Stop logging accesses."""
        return self.run(buckets.delete_bucket_logging)

    def put_vector_index_fusion(
        self, schema_configuration: Mapping[str, Any], *, index: str | None = None
    ) -> Acknowledgement:
        """Make an index in fusion mode; `schema_configuration` holds a list under `fields`.

        Source: page PutVectorIndexFusion; the service checks the fields.
        """
        return self.run(vector_operations.put_vector_index_fusion, schema_configuration, index)

    def query_vectors_fusion(
        self,
        *,
        index: str | None = None,
        knn: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        query: Mapping[str, Any] | None = None,
        retriever: Mapping[str, Any] | None = None,
        limit: int | None = None,
        next_token: str | None = None,
        partition_keys: Sequence[str] | None = None,
        return_metadata: bool = False,
        return_metadata_fields: Sequence[str] | None = None,
        sort: Sequence[Mapping[str, Any]] | None = None,
    ) -> QueryVectorsFusionResult:
        """Search an index in fusion mode by vectors, text and fields together.

        The clauses are dicts as the page QueryVectorsFusion has them; the service checks them. A
        hit's `score` is higher the better it fits.
        """
        return self.run(
            vector_operations.query_vectors_fusion,
            index,
            knn,
            query,
            retriever,
            limit,
            next_token,
            partition_keys,
            return_metadata,
            return_metadata_fields,
            sort,
        )


class AsyncOSSVectorClient(_AsyncMethods, _ClientBase):
    """A client that does on an event loop what `OSSVectorClient` does, on that of its first use.

    Examples:
        >>> client = AsyncOSSVectorClient.local()
        >>> _ = await client.put_vector_index(dimension=2)
        >>> tea = {"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}
        >>> await client.upsert([tea])
        WriteReport(1 acknowledged, 0 failed, calls=1)
        >>> await client.fetch(["tea", "coffee"])
        FetchResult(1 of 2 found, 1 missing, calls=1)
    """

    _runner: AsyncRunner

    def _make_runner(self) -> AsyncRunner:
        config, local = self._context.config, self._local
        # No finalizer: the connections belong to a loop, and are closed on it.
        return AsyncRunner(
            AsyncExchange(settings_for(config)) if local is None else AsyncLocalExchange(local),
            config.max_concurrency,
        )

    async def run(
        self,
        flow: Callable[Concatenate[Context, P], Flow[T]],
        /,
        *arguments: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """Run the flow `flow(context, *arguments, **keywords)`."""
        if self._runner.closed:
            self.refuse_if_closed()
        return await self._runner.run(flow(self._context, *arguments, **keywords))

    def stream(
        self,
        keys: Iterable[str] | AsyncIterable[str],
        *,
        index: str | None = None,
        return_data: bool = True,
        return_metadata: bool = True,
        on_missing: OnMissing = "omit",
        timeout: float | None = None,
    ) -> AsyncVectorStream:
        """Fetch an unbounded iterable of keys, plain or async, in bounded memory, in order.

        Keys are read 100 at a time, a few hundred ahead of what is yielded, fewer where replies are
        large (2 MB for each of `max_concurrency`); a key repeated within 100 crosses the network
        once. The arguments are those of `fetch`; `timeout` holds for each 100 keys.
        `stream(keys).to_arrow_batches()` yields columns in place of vectors.

        Examples:
            >>> sum([1 async for vector in client.stream(["tea"] * 1000)])
            1000
        """
        results = self._fetch_in_order(
            keys,
            index=index,
            return_data=return_data,
            return_metadata=return_metadata,
            on_missing=on_missing,
            timeout=timeout,
        )
        return AsyncVectorStream(results, with_data=return_data)

    async def _fetch_in_order(
        self, keys: Iterable[str] | AsyncIterable[str], **options: Any
    ) -> AsyncGenerator[FetchResult, None]:
        # `async for` over a dropped stream is closed by the loop, and with it what runs ahead.
        self.refuse_if_closed()
        flows = fetching.async_fetch_flows(self._context, keys, **options)
        window = ByteWindow(self._context.config.max_concurrency, BYTES_ON_A_LOOP)
        async for result in self._runner.in_order(flows, window):
            yield result

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one this client belongs to, if any yet."""
        return self._runner.usable_here()

    def to_sync(self) -> OSSVectorClient:
        """Return a sync client with the same settings; of a local service, with its data."""
        self.refuse_if_closed()
        return OSSVectorClient._on_context(self._context, self._local)

    async def close(self) -> None:
        """Close the connections, and a local service made by this client.

        Calls and streams in progress end within a second, told that the client is closed.
        """
        if self._parent is None:
            await self._runner.close()
        self._release_local()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def client_of(config: ClientConfig, local: LocalService | None = None) -> OSSVectorClient:
    """Return a blocking client of settings that are checked already, on the network or embedded."""
    return OSSVectorClient._on_context(Context(config), local)
