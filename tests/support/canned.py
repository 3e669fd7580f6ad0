"""Clients whose requests never leave the process: a test says what comes back of each operation.

Everything of a client is at work but the network: flows, both runners, signing, both readers.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.retry import RetryPolicy
from oss_vector_retriever.client.steps import Fault, Send
from oss_vector_retriever.client.transport.runner import AsyncRunner, Runner
from support.embedded import let_writes_grow_old

REQUEST_ID = "6800C0FFEE00000000000001"
HEADERS = {
    "x-oss-request-id": REQUEST_ID,
    "date": "Fri, 27 Nov 2026 08:00:00 GMT",
    "content-type": "application/json",
}
OPTIONS: dict[str, Any] = {
    "bucket": "examplebucket",
    "account_id": "123456",
    "region": "cn-hangzhou",
    "index": "docs",
    "endpoint": "http://127.0.0.1:1",
    "credentials": ("id", "a-long-secret"),
    "retry": RetryPolicy(attempts=1),
}
_BUCKET_OPERATIONS = {
    ("GET", "bucketInfo"): "GetVectorBucket",
    ("GET", ""): "ListVectorBuckets",
    ("PUT", ""): "PutVectorBucket",
    ("DELETE", ""): "DeleteVectorBucket",
    **{
        (method.upper(), word): f"{method}Bucket{word.capitalize()}"
        for method in ("Put", "Get", "Delete")
        for word in ("policy", "logging")
    },
}


def json_reply(body: object, status: int = 200, headers: Mapping[str, str] = HEADERS) -> Reply:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, headers, text)


class CannedService:
    """The answers by operation: a reply, or a function of the request's JSON and query."""

    def __init__(self) -> None:
        self.answers: dict[str, Reply | Callable[[dict[str, Any], str], Reply]] = {}
        self.asked: list[str] = []

    def answer(self, request: Request) -> Reply:
        name = operation_of(request)
        self.asked.append(name)
        known = self.answers[name]
        if isinstance(known, Reply):
            return known
        return known(json.loads(request.body) if request.body else {}, request.query)


def operation_of(request: Request) -> str:
    """Return the API's name of the operation that a request is for."""
    word = request.query.partition("=")[0]
    if request.method == "POST":
        return word[0].upper() + word[1:]
    listing = ("marker", "max-keys", "prefix")
    return _BUCKET_OPERATIONS[request.method, "" if word in listing else word]


class _Exchange:
    def __init__(self, service: CannedService) -> None:
        self.service = service

    def send(self, step: Send, _stop: object = None) -> Reply | Fault:
        return self.service.answer(step.request)

    def abort(self, *_: object) -> None:
        """Do nothing: nothing is in flight."""

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def renew_after_fork(self) -> None:
        """Do nothing: there are no connections."""


class _AsyncExchange:
    def __init__(self, service: CannedService) -> None:
        self.service = service

    def usable_here(self) -> bool:
        return True

    async def send(self, step: Send) -> Reply | Fault:
        return self.service.answer(step.request)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def renew_after_fork(self) -> None:
        """Do nothing: there are no connections."""


def blocking_client(service: CannedService, **options: Any) -> OSSVectorClient:
    class Client(OSSVectorClient):
        def _make_runner(self) -> Runner:
            runner = Runner(_Exchange(service), self._context.config.max_concurrency)
            self._finalizer = weakref.finalize(self, runner.close)
            return runner

    return Client(**{**OPTIONS, **options})


def async_client(service: CannedService, **options: Any) -> AsyncOSSVectorClient:
    class Client(AsyncOSSVectorClient):
        def _make_runner(self) -> AsyncRunner:
            return AsyncRunner(_AsyncExchange(service), self._context.config.max_concurrency)

    return Client(**{**OPTIONS, **options})


def call_blocking(client: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
    """Call a method of the blocking client; what it yields comes as a list."""
    found = getattr(client, name)(*arguments, **keywords)
    return list(found) if inspect.isgenerator(found) else found


def call_awaited(
    loop: asyncio.Runner, client: Any, name: str, *arguments: Any, **keywords: Any
) -> Any:
    """Call a method of the async client on a loop; what it yields comes as a list."""
    found = getattr(client, name)(*arguments, **keywords)

    async def collect() -> Any:
        if hasattr(found, "__aiter__"):
            return [one async for one in found]
        return await found

    return loop.run(collect())


class Canned:
    """A canned service, and a client of the kind that a face is made with."""

    def __init__(self, *, awaited: bool) -> None:
        self.service = CannedService()
        self.awaited = awaited
        self.client: Any
        self.describe()

    @property
    def answers(self) -> dict[str, Any]:
        return self.service.answers

    def describe(self, **members: object) -> None:
        """Have the index described to a new client; the members replace the usual ones."""
        # what an earlier one was told it believes for minutes
        self.client = (async_client if self.awaited else blocking_client)(self.service)
        # of the same place, as far as this process knows
        let_writes_grow_old(self.client)
        index = {"indexName": "docs", "distanceMetric": "cosine", "status": "enable", **members}
        self.answers["GetVectorIndex"] = json_reply({"index": index})

    def call(self, thing: Any, name: str, *arguments: Any, **keywords: Any) -> Any:
        """Call a method, or await its async twin; what it yields comes as a list."""
        if not self.awaited:
            return call_blocking(thing, name, *arguments, **keywords)
        with asyncio.Runner() as loop:
            return call_awaited(loop, thing, f"a{name}", *arguments, **keywords)
