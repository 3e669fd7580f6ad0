"""Never run: mypy --strict checks here that the public API has the types that it promises.

A line with `type: ignore` must be wrong: `warn_unused_ignores` fails the check where it is not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt

from oss_vector_retriever import (
    Acknowledgement,
    AsyncOSSVectorClient,
    AsyncVectorStream,
    ClientSettings,
    ClientStats,
    ConfigurationError,
    Credentials,
    DeadlineExceededError,
    FetchResult,
    FinishedCall,
    Float32Array,
    GetVectorsResult,
    Limits,
    ListVectorBucketsResult,
    ListVectorIndexesResult,
    ListVectorsResult,
    MissingKeysError,
    NoSuchVectorIndexError,
    OperationStats,
    OSSVectorClient,
    OSSVectorError,
    Page,
    QueryVectorsResult,
    RetryPolicy,
    ScoredVector,
    ServiceError,
    TransportError,
    Vector,
    VectorBucket,
    VectorIndex,
    VectorStream,
    __version__,
)


def construction() -> None:
    """Settings are keywords; credentials come in several kinds."""
    shown: str = __version__
    _ = shown
    OSSVectorClient()
    OSSVectorClient(bucket="b", account_id="1", region="r", index="i", timeout=1, retry=3)
    OSSVectorClient(retry=RetryPolicy(attempts=2, cap=1.0), limits=Limits(keys_per_get=10))
    OSSVectorClient(credentials=Credentials("id", "secret", "token", datetime.now(UTC)))
    OSSVectorClient(credentials=lambda: ("id", "secret"))
    OSSVectorClient("b")  # type: ignore[call-arg]
    OSSVectorClient(bucket=5)  # type: ignore[arg-type]
    OSSVectorClient(timeout="5")  # type: ignore[arg-type]
    OSSVectorClient(max_concurrency=None)  # type: ignore[arg-type]
    AsyncOSSVectorClient(account_id=123456)  # type: ignore[arg-type]
    OSSVectorClient(buckt="b")  # type: ignore[call-arg]
    OSSVectorClient(retry="3")  # type: ignore[arg-type]
    OSSVectorClient(credentials=5)  # type: ignore[arg-type]
    OSSVectorClient(credentials="chains")  # type: ignore[arg-type]
    AsyncOSSVectorClient(credentials=_asks, additional_headers=["host"], proxy="proxy:3128")
    OSSVectorClient(user_agent_extra="my-app/1.2").with_options(user_agent_extra="other")
    OSSVectorClient(user_agent_extra=1.2)  # type: ignore[arg-type]
    OSSVectorClient(on_call=lambda call: (call.operation, call.seconds))
    OSSVectorClient(on_call=lambda: None)  # type: ignore[misc, arg-type]
    OSSVectorClient.local("vectors.db", index="i", timeout=3)
    OSSVectorClient.local(timeot=3)  # type: ignore[call-arg]
    Credentials("id")  # type: ignore[call-arg]
    RetryPolicy(attempts="3")  # type: ignore[arg-type]


def counters(client: OSSVectorClient | AsyncOSSVectorClient) -> None:
    """Both clients tell at once what they have done; nothing of it is to be awaited."""
    assert_type(client.stats(), ClientStats)
    assert_type(client.stats().operations["GetVectors"], OperationStats)
    assert_type(client.stats().seconds, float)
    client.stats().calls = 0  # type: ignore[misc]
    call = FinishedCall(
        operation="GetVectors",
        index=None,
        error=None,
        attempts=1,
        refusals=0,
        keys=1,
        missing=0,
        bytes_sent=1,
        bytes_received=1,
        seconds=0.1,
    )
    assert_type(call.error, str | None)


async def _asks() -> Credentials:
    return Credentials("id", "secret")


def settings(client: OSSVectorClient | AsyncOSSVectorClient) -> None:
    """What travels of a client is a value, and makes either client."""
    assert_type(client.settings, ClientSettings)
    assert_type(client.settings.bucket, str | None)
    assert_type(client.settings.omitted, tuple[str, ...])
    saved = client.settings.to_dict()
    again = ClientSettings.from_dict(saved)
    assert_type(OSSVectorClient.from_settings(again), OSSVectorClient)
    assert_type(
        AsyncOSSVectorClient.from_settings(again, credentials="chain"), AsyncOSSVectorClient
    )
    OSSVectorClient.from_settings(saved)  # type: ignore[arg-type]
    again.bucket = "b"  # type: ignore[misc]


def blocking(client: OSSVectorClient) -> None:
    """Each method of the sync client returns its result."""
    with client as same:
        assert_type(same, OSSVectorClient)
    result = client.fetch(["a"], return_data=True, on_missing="raise", timeout=1.5)
    assert_type(result, FetchResult)
    assert_type(client.get_vectors(["a"], return_metadata=True), GetVectorsResult)
    assert_type(client.put_vectors([Vector("a", [0.5])]), Acknowledgement)
    assert_type(client.put_vectors([{"key": "a", "data": [0.5]}]), Acknowledgement)
    assert_type(client.delete_vectors(["a"]), Acknowledgement)
    assert_type(client.list_vectors(max_results=10, filter={}), ListVectorsResult)
    assert_type(client.query_vectors([0.5], top_k=3), QueryVectorsResult)
    assert_type(client.query_vectors(Float32Array([0.5]))[0], ScoredVector)
    assert_type(client.put_vector_index(dimension=3), Acknowledgement)
    assert_type(client.get_vector_index(), VectorIndex)
    assert_type(client.list_vector_indexes(), ListVectorIndexesResult)
    assert_type(client.put_vector_bucket(tagging={"team": "search"}), Acknowledgement)
    assert_type(client.list_vector_buckets(resource_group_id="rg-1"), ListVectorBucketsResult)
    assert_type(client.iter_vectors(return_data=True), Iterator[Vector])
    assert_type(client.iter_vector_buckets(), Iterator[VectorBucket])
    pages: list[Page[VectorIndex]] = [client.list_vector_indexes(max_results=5)]
    assert_type(pages[0].items, tuple[VectorIndex, ...])
    stream: Iterator[Vector] = client.stream(iter(["a"]))
    assert_type(client.stream(["a"]), VectorStream)
    assert_type(next(client.stream(["a"])), Vector)
    assert_type([vector for vector in stream], list[Vector])  # noqa: C416 - the element's type
    client.stream(["a"]).to_arrow_batches(rows="5")  # type: ignore[arg-type]
    assert_type(client.with_options(timeout=1.0), OSSVectorClient)
    assert_type(client.to_async(), AsyncOSSVectorClient)
    assert_type(OSSVectorClient.local("vectors.db"), OSSVectorClient)


def refused(client: OSSVectorClient) -> None:
    """Arguments that do not fit are found by the type checker."""
    client.get_vectors(5)  # type: ignore[arg-type]
    client.get_vectors([5])  # type: ignore[list-item]
    client.get_vectors(["a"], return_data="yes")  # type: ignore[arg-type]
    client.get_vectors(["a"], index=5)  # type: ignore[arg-type]
    client.get_vectors(["a"], "vectorindex1")  # type: ignore[call-arg]
    client.get_vectors(["a"], return_dat=True)  # type: ignore[call-arg]
    client.get_vectors()  # type: ignore[call-arg]
    client.fetch(["a"], timeout="5")  # type: ignore[arg-type]
    client.fetch(["a"], on_missing=5)  # type: ignore[arg-type]
    client.fetch(["a"], on_missing="rase")  # type: ignore[arg-type]
    client.stream(["a"], indx="i")  # type: ignore[call-arg]
    client.with_options(timout=3)  # type: ignore[call-arg]
    client.upsert([], on_error="ignore")  # type: ignore[arg-type]
    client.put_vector_index(dimension=3, distance_metric="dot")  # type: ignore[arg-type]
    client.put_vectors(["a"])  # type: ignore[list-item]
    client.query_vectors(["a"])  # type: ignore[list-item]
    client.put_vector_index()  # type: ignore[call-arg]
    client.delete_vector_index()  # type: ignore[call-arg]
    client.get_vektors(["a"])  # type: ignore[attr-defined]


async def nonblocking(client: AsyncOSSVectorClient) -> None:
    """Each method of the async client is a coroutine function of the same arguments."""
    async with client as same:
        assert_type(same, AsyncOSSVectorClient)
    assert_type(await client.fetch(["a"]), FetchResult)
    assert_type(await client.get_vectors(["a"], return_data=True), GetVectorsResult)
    assert_type(await client.put_vectors([Vector("a", [0.5])]), Acknowledgement)
    assert_type(await client.query_vectors([0.5]), QueryVectorsResult)
    assert_type(await client.get_vector_index(index="i"), VectorIndex)
    stream: AsyncIterator[Vector] = client.stream(["a"])
    assert_type(client.stream(["a"]), AsyncVectorStream)
    assert_type(await anext(stream), Vector)
    client.stream(["a"]).to_arrow_batches(rows="5")  # type: ignore[arg-type]
    assert_type(client.iter_vector_indexes(), AsyncIterator[VectorIndex])
    assert_type(client.with_options(timeout=1.0), AsyncOSSVectorClient)
    assert_type(client.to_sync(), OSSVectorClient)
    async for vector in client.stream(["a"]):
        assert_type(vector, Vector)
    len(client.fetch(["a"]))  # type: ignore[arg-type]
    await client.fetch([5])  # type: ignore[list-item]
    await client.get_vectors(["a"], index=5)  # type: ignore[arg-type]


def results(result: FetchResult) -> None:
    """A result is a sequence of vectors with all else beside it."""
    assert_type(result[0], Vector)
    assert_type(result[:1], tuple[Vector, ...])
    assert_type([vector for vector in result], list[Vector])  # noqa: C416 - the element's type
    assert_type(result.aligned(), list[Vector | None])
    assert_type(result.by_key, Mapping[str, Vector])
    assert_type(result.missing, tuple[str, ...])
    assert_type(result.request_ids, tuple[str, ...])
    assert_type(result.calls, int)
    assert_type(result.matrix(), npt.NDArray[np.float32])
    assert_type(result.matrix(out=result.matrix()), npt.NDArray[np.float32])
    result.calls = 5  # type: ignore[misc]


def values(vector: Vector) -> None:
    """A vector's parts may be absent."""
    assert_type(vector.key, str)
    assert_type(vector.data, Float32Array | None)
    assert_type(vector.metadata, dict[str, Any] | None)
    vector.key = "b"  # type: ignore[misc]
    vector.data.tolist()  # type: ignore[union-attr]
    if vector.data is not None:
        assert_type(vector.data.numpy(), npt.NDArray[np.float32])
        memoryview(vector.data)
        len(vector.data)
    Vector("a", np.zeros(3, dtype=np.float32), {"x": ["y"]})
    Vector("a", "0.5")  # type: ignore[arg-type]
    Vector(5)  # type: ignore[arg-type]


def errors(error: OSSVectorError) -> None:
    """Errors carry what is known of the call."""
    assert_type(error.attempts, int)
    assert_type(error.elapsed, float)
    assert_type(error.errors, tuple[OSSVectorError, ...])
    if isinstance(error, NoSuchVectorIndexError):
        assert_type(error.code, str)
        assert_type(error.request_id, str | None)
        assert_type(error.ec, str | None)
    if isinstance(error, MissingKeysError):
        assert_type(error.missing, tuple[str, ...])
    as_service: type[ServiceError] = NoSuchVectorIndexError
    as_transport: type[TransportError] = DeadlineExceededError
    as_value: type[ValueError] = ConfigurationError
    as_timeout: type[TimeoutError] = DeadlineExceededError
    _ = (as_service, as_transport, as_value, as_timeout)
