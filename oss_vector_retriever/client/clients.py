"""`OSSVectorClient` and `AsyncOSSVectorClient`: the same methods, blocking or to be awaited."""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from oss_vector_retriever.client import fetch, writes
from oss_vector_retriever.client import fetch as fetching
from oss_vector_retriever.client.config import ClientConfig, resolve_config
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import ConfigurationError
from oss_vector_retriever.client.local import (
    AsyncLocalExchange,
    LocalExchange,
    LocalService,
    open_local,
    reopen_local,
)
from oss_vector_retriever.client.methods import Method, Pager
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations import buckets, indexes, vectors
from oss_vector_retriever.client.settings import ClientSettings, config_from, settings_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.client.transport.engine import settings_for
from oss_vector_retriever.client.transport.http import AsyncExchange, BlockingExchange
from oss_vector_retriever.client.transport.runner import AsyncRunner, Runner


class ClientBase:
    """Hold what both clients have: settings, and one method for each API operation."""

    get_vectors = Method(vectors.get_vectors)
    put_vectors = Method(vectors.put_vectors)
    delete_vectors = Method(vectors.delete_vectors)
    list_vectors = Method(vectors.list_vectors)
    query_vectors = Method(vectors.query_vectors)

    put_vector_index = Method(indexes.put_vector_index)
    get_vector_index = Method(indexes.get_vector_index)
    list_vector_indexes = Method(indexes.list_vector_indexes)
    delete_vector_index = Method(indexes.delete_vector_index)

    put_vector_bucket = Method(buckets.put_vector_bucket)
    get_vector_bucket = Method(buckets.get_vector_bucket)
    list_vector_buckets = Method(buckets.list_vector_buckets)
    delete_vector_bucket = Method(buckets.delete_vector_bucket)

    put_bucket_policy = Method(buckets.put_bucket_policy)
    get_bucket_policy = Method(buckets.get_bucket_policy)
    delete_bucket_policy = Method(buckets.delete_bucket_policy)
    put_bucket_logging = Method(buckets.put_bucket_logging)
    get_bucket_logging = Method(buckets.get_bucket_logging)
    delete_bucket_logging = Method(buckets.delete_bucket_logging)

    put_vector_index_fusion = Method(vectors.put_vector_index_fusion)
    query_vectors_fusion = Method(vectors.query_vectors_fusion)

    fetch = Method(fetching.fetch)
    upsert = Method(writes.upsert)
    delete = Method(writes.delete)

    iter_vectors = Pager(vectors.list_vectors)
    iter_vector_indexes = Pager(indexes.list_vector_indexes)
    iter_vector_buckets = Pager(buckets.list_vector_buckets, "marker", "next_marker")

    _context: Context
    _local: LocalService | None
    _runner: Runner | AsyncRunner
    _parent: Any = None

    def __init__(
        self,
        *,
        bucket: str | None = None,
        account_id: str | None = None,
        region: str | None = None,
        index: str | None = None,
        endpoint: str | None = None,
        internal: bool = False,
        credentials: object = None,
        max_concurrency: int = 8,
        timeout: float = 30.0,
        retry: object = 3,
        rate_limit: float | None = None,
        coalesce: bool | float = True,
        allow_http: bool = False,
        **options: Any,
    ) -> None:
        """Take the settings; those not given come from the environment.

        Args:
            bucket: the vector bucket (`OSS_VECTORS_BUCKET`).
            account_id: the Alibaba Cloud account that owns it (`OSS_ACCOUNT_ID`).
            region: such as `cn-hangzhou` (`OSS_REGION`).
            index: the index used where a call names none (`OSS_VECTORS_INDEX`).
            endpoint: another address than the region's own (`OSS_ENDPOINT`).
            internal: use the region's internal network.
            credentials: `Credentials`, a tuple of id and secret, a callable, an
                alibabacloud-credentials client, or `"chain"`; by default `OSS_ACCESS_KEY_ID`,
                `OSS_ACCESS_KEY_SECRET` and `OSS_SESSION_TOKEN`, read at each use.
            max_concurrency: requests in flight at once, at most.
            timeout: seconds for a whole call, retries and reading included.
            retry: a `RetryPolicy`, or the number of attempts.
            rate_limit: requests a second, at most.
            coalesce: let concurrent fetches share API calls: on an event loop those of one turn;
                of threads none waits for company, those that come while `max_concurrency` requests
                are in flight share the next ones. A number is a window: wait so many seconds for
                others. False: each fetch makes its own calls. There is no cache.
            allow_http: allow a plain-http endpoint that is not on this machine.
            options: `connect_timeout`, `limits`, `max_reply_bytes`, `additional_headers`,
                `proxy`, `ca_file`.

        Raises:
            ConfigurationError: a setting is missing or impossible.
        """
        config = resolve_config(
            bucket=bucket,
            account_id=account_id,
            region=region,
            index=index,
            endpoint=endpoint,
            internal=internal,
            credentials=credentials,
            max_concurrency=max_concurrency,
            timeout=timeout,
            retry=retry,
            rate_limit=rate_limit,
            coalesce=coalesce,
            allow_http=allow_http,
            **options,
        )
        self._set_up(Context(config), None)

    @classmethod
    def from_config(cls, config: ClientConfig, local: LocalService | None = None) -> Self:
        """Return a client with settings that are checked already, on the network or embedded."""
        return cls.on_context(Context(config), local)

    @classmethod
    def on_context(cls, context: Context, local: LocalService | None) -> Self:
        """Return a client that shares a context: settings, clock, quota, pace and credentials."""
        client = cls.__new__(cls)
        client._set_up(context, local)
        return client

    @classmethod
    def local(
        cls, path: str | os.PathLike[str] | None = None, *, index: str | None = None, **options: Any
    ) -> Self:
        """Return a client of an embedded service, in memory or kept in the file `path`.

        The bucket is there; indexes are made by whoever writes first. `index` is `vectors` unless
        named; `options` are those of the constructor. Needs the extra `emulator`.
        """
        return cls.from_config(*open_local(path, index, **options))

    def with_options(self, **options: Any) -> Self:
        """Return a client with other options that shares the connections of this one.

        `bucket`, `index`, `coalesce`, `credentials`, `timeout` (seconds), `retry`, `limits`,
        `max_reply_bytes` and `additional_headers` can be changed.
        """
        other = type(self).__new__(type(self))
        other._context = self._context.with_options(**options)
        other._runner = self._runner
        other._local = self._local
        other._parent = self
        return other

    @property
    def config(self) -> ClientConfig:
        """Return the settings."""
        return self._context.config

    @property
    def settings(self) -> ClientSettings:
        """Return where this client points and how, without credentials, for another process.

        Raises:
            ConfigurationError: the embedded service is in memory, and ends with this process.
        """
        local = self._local
        if local is not None and local.path is None:
            raise ConfigurationError(
                "an embedded service in memory has no settings that another process could use, and "
                f"is not pickled; keep it in a file: {type(self).__name__}.local(path)."
            )
        return settings_of(self._context.config, None if local is None else local.path)

    @classmethod
    def from_settings(cls, settings: ClientSettings, credentials: object = None) -> Self:
        """Return a client that points where the settings say, whatever the environment names.

        Credentials of the environment or of the chain are configured so again. Others did not
        travel: pass `credentials`, or the first call asks for them. An embedded service is opened
        again by the path of its file.

        Raises:
            ConfigurationError: the settings are none, or the file is in use.
        """
        path = getattr(settings, "local", None)
        if path is None:
            return cls.from_config(config_from(settings, credentials))
        return cls.from_config(*reopen_local(settings, path, credentials))

    def refuse_if_closed(self) -> None:
        """Raise ConfigurationError if this client is closed, or one whose connections it shares."""
        if self._runner.closed:
            raise ConfigurationError(
                f"this {type(self).__name__} is closed; make another, or close it when all is done."
            )

    def _set_up(self, context: Context, local: LocalService | None) -> None:
        self._context = context
        self._local = local
        self._runner = self._make_runner()
        if local is not None:
            local.hold()
            self._let_go = weakref.finalize(self, local.let_go)

    def _make_runner(self) -> Any:
        raise NotImplementedError

    def _release_local(self) -> None:
        if self._local is not None and self._parent is None:
            self._let_go()

    def __repr__(self) -> str:
        if not hasattr(self, "_context"):  # shown in the traceback of its own construction
            return object.__repr__(self)
        config = self._context.config
        return (
            f"{type(self).__name__}(bucket={config.bucket!r}, account_id={config.account_id!r}, "
            f"region={config.region!r}, index={config.index!r}, endpoint={str(config.endpoint)!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_settings, (self.settings,)

    def __copy__(self) -> Self:
        # Within a process a copy shares connections, credentials and embedded service, and so all.
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


P = ParamSpec("P")
T = TypeVar("T")


class OSSVectorClient(ClientBase):
    """Fetch vectors by key, and everything else that OSS Vectors offers; safe for threads.

    with OSSVectorClient(bucket="examplebucket", account_id="123456", region="cn-hangzhou",
                         index="vectorindex1") as client:
        result = client.fetch(["doc-001", "doc-002"])
    """

    _runner: Runner

    def _make_runner(self) -> Runner:
        config = self._context.config
        local = self._local
        driver = Runner(
            BlockingExchange(settings_for(config)) if local is None else LocalExchange(local),
            config.max_concurrency,
        )
        self._finalizer = weakref.finalize(self, driver.close)
        return driver

    def run(
        self,
        flow: Callable[Concatenate[Context, P], Flow[T]],
        /,
        *arguments: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """Run a flow: what `flow(context, *arguments, **keywords)` returns."""
        self.refuse_if_closed()
        return self._runner.run(flow(self._context, *arguments, **keywords))

    def stream(
        self, keys: Iterable[str], *, on_missing: fetching.OnMissing = "omit", **options: Any
    ) -> Iterator[Vector]:
        """Fetch an unbounded iterable of keys in bounded memory; yield the vectors in order.

        Keys are read 100 at a time, a few hundred ahead of what is yielded; a key repeated within
        100 crosses the network once. The arguments are those of `fetch`; `timeout` holds for each
        100 keys.
        """
        self.refuse_if_closed()
        flows = fetch.fetch_flows(self._context, keys, on_missing=on_missing, **options)
        for result in self._runner.in_order(flows):
            yield from result

    def to_async(self) -> AsyncOSSVectorClient:
        """Return an async client with the same settings; of a local service, with its data."""
        self.refuse_if_closed()
        return AsyncOSSVectorClient.on_context(self._context, self._local)

    def close(self) -> None:
        """Close the connections, and a local service made by this client."""
        if self._parent is None:
            self._finalizer()
        self._release_local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncOSSVectorClient(ClientBase):
    """Do on an event loop what `OSSVectorClient` does; it belongs to the loop of its first use.

    async with AsyncOSSVectorClient(bucket="examplebucket", account_id="123456",
                                    region="cn-hangzhou", index="vectorindex1") as client:
        result = await client.fetch(["doc-001", "doc-002"])
    """

    _runner: AsyncRunner

    def _make_runner(self) -> AsyncRunner:
        config = self._context.config
        local = self._local
        return AsyncRunner(
            AsyncExchange(settings_for(config)) if local is None else AsyncLocalExchange(local),
            config.max_concurrency,
        )

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one this client belongs to, if any yet."""
        return self._runner.usable_here()

    async def run(
        self,
        flow: Callable[Concatenate[Context, P], Flow[T]],
        /,
        *arguments: P.args,
        **keywords: P.kwargs,
    ) -> T:
        """Run a flow: what `flow(context, *arguments, **keywords)` returns."""
        self.refuse_if_closed()
        return await self._runner.run(flow(self._context, *arguments, **keywords))

    async def stream(
        self,
        keys: Iterable[str] | AsyncIterable[str],
        *,
        on_missing: fetching.OnMissing = "omit",
        **options: Any,
    ) -> AsyncIterator[Vector]:
        """Fetch an unbounded iterable of keys, plain or async, in bounded memory, in order.

        Keys are read 100 at a time, a few hundred ahead of what is yielded; a key repeated within
        100 crosses the network once. The arguments are those of `fetch`; `timeout` holds for each
        100 keys.
        """
        self.refuse_if_closed()
        flows = fetch.async_fetch_flows(self._context, keys, on_missing=on_missing, **options)
        async for result in self._runner.in_order(flows):
            for vector in result:
                yield vector

    def to_sync(self) -> OSSVectorClient:
        """Return a sync client with the same settings; of a local service, with its data."""
        self.refuse_if_closed()
        return OSSVectorClient.on_context(self._context, self._local)

    async def close(self) -> None:
        """Close the connections, and a local service made by this client."""
        if self._parent is None:
            await self._runner.close()
        self._release_local()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
