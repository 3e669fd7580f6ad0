"""`OSSVectorClient` and `AsyncOSSVectorClient`: the same methods, blocking or to be awaited."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any, Self, TypeVar

from oss_vector_retriever.client import fetch as fetching
from oss_vector_retriever.client import streams
from oss_vector_retriever.client.base import ClientBase
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.drive.blocking import BlockingExchange
from oss_vector_retriever.client.drive.exchange import settings_for
from oss_vector_retriever.client.drive.nonblocking import AsyncExchange
from oss_vector_retriever.client.drive.pumps import AsyncDriver, Driver
from oss_vector_retriever.client.local import AsyncLocalExchange, LocalExchange
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.steps import Flow

T = TypeVar("T")


class OSSVectorClient(ClientBase):
    """Fetch vectors by key, and everything else that OSS Vectors offers; safe for threads.

    with OSSVectorClient(bucket="examplebucket", account_id="123456", region="cn-hangzhou",
                         index="vectorindex1") as client:
        result = client.fetch(["doc-001", "doc-002"])
    """

    _driver: Driver

    def _make_driver(self) -> Driver:
        config = self._context.config
        local = self._local
        driver = Driver(
            BlockingExchange(settings_for(config)) if local is None else LocalExchange(local),
            config.max_concurrency,
        )
        self._finalizer = weakref.finalize(self, driver.close)
        return driver

    def run_flow(self, start: Callable[[Context], Flow[T]], /) -> T:
        """Run a flow that is made for this client's context."""
        self.refuse_if_closed()
        return self._driver.run(start(self._context))

    def stream(
        self, keys: Iterable[str], *, on_missing: fetching.OnMissing = "omit", **options: Any
    ) -> Iterator[Vector]:
        """Fetch an unbounded iterable of keys in bounded memory; yield the vectors in order.

        Keys are read 100 at a time, a few hundred ahead of what is yielded; a key repeated within
        100 crosses the network once. The arguments are those of `fetch`; `timeout` holds for each
        100 keys.
        """
        self.refuse_if_closed()
        flows = streams.fetch_flows(self._context, keys, on_missing=on_missing, **options)
        for result in self._driver.in_order(flows):
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

    _driver: AsyncDriver

    def _make_driver(self) -> AsyncDriver:
        config = self._context.config
        local = self._local
        return AsyncDriver(
            AsyncExchange(settings_for(config)) if local is None else AsyncLocalExchange(local),
            config.max_concurrency,
        )

    def usable_here(self) -> bool:
        """Tell whether the running event loop is the one this client belongs to, if any yet."""
        return self._driver.usable_here()

    async def run_flow(self, start: Callable[[Context], Flow[T]], /) -> T:
        """Run a flow that is made for this client's context."""
        self.refuse_if_closed()
        return await self._driver.run(start(self._context))

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
        flows = streams.async_fetch_flows(self._context, keys, on_missing=on_missing, **options)
        async for result in self._driver.in_order(flows):
            for vector in result:
                yield vector

    def to_sync(self) -> OSSVectorClient:
        """Return a sync client with the same settings; of a local service, with its data."""
        self.refuse_if_closed()
        return OSSVectorClient.on_context(self._context, self._local)

    async def close(self) -> None:
        """Close the connections, and a local service made by this client."""
        if self._parent is None:
            await self._driver.close()
        self._release_local()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
