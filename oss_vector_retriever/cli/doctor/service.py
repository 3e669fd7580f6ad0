"""What the service says: of the signature, of permissions, of bucket, index and vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator

from oss_vector_retriever.cli.doctor.findings import Finding, failed, ok, skipped, warning
from oss_vector_retriever.cli.transfer.job import count
from oss_vector_retriever.client.clients import OSSVectorClient
from oss_vector_retriever.client.errors import (
    AccessDeniedError,
    NoSuchBucketError,
    NoSuchVectorIndexError,
    OSSVectorError,
    ServiceError,
)
from oss_vector_retriever.client.models.results import FetchResult, VectorIndex
from oss_vector_retriever.records.decode import ENVELOPE_KEYS

SIGNATURE, PERMISSION, BUCKET, INDEX, VECTORS = (
    "signature",
    "permission",
    "bucket",
    "index",
    "vectors",
)
_SOME_KEY = "doctor"
_FULL = "enable"
_ANY = "try again; if it stays, the request id helps Alibaba Cloud's support to find out why"


class Examination:
    """Ask the service, and read from each answer all that it says."""

    def __init__(self, client: OSSVectorClient, key: str | None) -> None:
        self._client = client
        self._config = client.config
        self._key = key

    def findings(self) -> Iterator[Finding]:
        """Yield what the service says, as far as it goes."""
        asked = "GetVectorIndex" if self._config.index else "ListVectorIndexes"
        try:
            found = self._ask()
        except ServiceError as error:
            yield from self._refused(error, asked)
            return
        except OSSVectorError as error:
            yield failed(SIGNATURE, error, _ANY)
            return
        yield ok(SIGNATURE, "accepted")
        yield ok(PERMISSION, f"{asked} is allowed")
        yield ok(BUCKET, f"{self._config.bucket} is there")
        if found is None:
            yield skipped(INDEX, "none is named")
            return
        yield _judged(found)
        yield from self._vectors()

    def _ask(self) -> VectorIndex | None:
        if self._config.index:
            return self._client.get_vector_index()
        self._client.list_vector_indexes(max_results=1)
        return None

    def _refused(self, error: ServiceError, asked: str) -> Iterator[Finding]:
        if not isinstance(error, NoSuchBucketError | NoSuchVectorIndexError) and (
            error.code != "AccessDenied"
        ):
            yield failed(SIGNATURE, f"{error.code}: {error.message}", error.advice or _ANY)
            return
        yield ok(SIGNATURE, "accepted")
        if isinstance(error, AccessDeniedError):
            yield failed(PERMISSION, f"{asked} is denied: {error.message}", self._allow(asked))
            yield from self._vectors()
            return
        yield ok(PERMISSION, f"{asked} is allowed")
        if isinstance(error, NoSuchBucketError):
            yield self._no_bucket()
            return
        yield ok(BUCKET, f"{self._config.bucket} is there")
        yield self._no_index()

    def _no_bucket(self) -> Finding:
        config = self._config
        return failed(
            BUCKET,
            f"account {config.account_id} has no bucket {config.bucket} in {config.region}",
            "check --bucket, --account-id and --region, or make it: oss-vectors put-vector-bucket",
        )

    def _no_index(self) -> Finding:
        todo = "check --index-name, or make it: oss-vectors put-vector-index --dimension N"
        try:
            there = [found.index_name for found in self._client.list_vector_indexes(max_results=10)]
        except OSSVectorError:
            return failed(INDEX, f"{self._config.index} is not there", todo)
        others = f"; there are {', '.join(there)}" if there else "; the bucket has none"
        return failed(INDEX, f"{self._config.index} is not there{others}", todo)

    def _allow(self, action: str) -> str:
        """Return the advice to allow an action; GetVectors is about what is in the index."""
        config = self._config
        bucket = f"acs:ossvector:{config.region}:{config.account_id}:{config.bucket}"
        inside = "/*" if action == "GetVectors" else ""
        resource = f"{bucket}/{config.index}{inside}" if config.index else bucket
        return (
            f"allow oss:{action} on {resource} in the RAM policy, and in the bucket's if it has one"
        )

    def _vectors(self) -> Iterator[Finding]:
        if self._config.index is None:
            yield skipped(VECTORS, "no index is named")
            return
        key = self._key or self._first_key()
        started = time.monotonic()
        try:
            result = self._client.fetch([key or _SOME_KEY])
        except AccessDeniedError as error:
            yield failed(
                VECTORS, f"GetVectors is denied: {error.message}", self._allow("GetVectors")
            )
        except OSSVectorError as error:
            yield failed(VECTORS, error, _ANY)
        else:
            took = f"{(time.monotonic() - started) * 1000:.1f} ms"
            yield ok(VECTORS, f"GetVectors of one key in {took}: {_shown(key, result)}")

    def _first_key(self) -> str | None:
        try:
            return next((found.key for found in self._client.list_vectors(max_results=1)), None)
        except OSSVectorError:
            return None


def _shown(key: str | None, result: FetchResult) -> str:
    if key is None:
        return "no vector is known to be there"
    if not result:
        return f"{key!r} is not there"
    numbers, fields = len(result[0].data or ()), len(result[0].metadata or {})
    return f"{key!r} has {numbers} float32 and {count(fields, 'metadata field')}"


def _judged(index: VectorIndex) -> Finding:
    hidden = index.non_filterable_metadata_keys
    found = (
        f"{index.index_name}: dimension {index.dimension}, {index.distance_metric}, "
        f"non-filterable {', '.join(hidden) or 'none'}, {index.status or 'no status'}"
    )
    if index.status not in ("", _FULL):
        return warning(INDEX, found, "wait until its status is enable; writes may fail before")
    if filterable := [name for name in ENVELOPE_KEYS if name not in hidden]:
        return warning(
            INDEX,
            found,
            f"{' and '.join(filterable)} can be filtered by, so records of this package over 2 KB "
            "are refused; that is fixed for the life of an index: make another, with "
            + " ".join(f"--non-filterable-key {name}" for name in ENVELOPE_KEYS),
        )
    return ok(INDEX, found)
