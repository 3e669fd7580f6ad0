"""What the service says: of the signature, of permissions, of bucket, index and vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator

from oss_vector_retriever.cli.doctor.findings import Finding, failure, ok, skip, warning
from oss_vector_retriever.cli.errors import word
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


class ServiceChecks:
    """Checks that ask the service, and read from each answer all that it says.

    The service looks at signature, permission, bucket and index in this order, so that one refusal
    also tells what is right.
    """

    def __init__(self, client: OSSVectorClient, key: str | None) -> None:
        self._client = client
        self._config = client.config
        self._key = key

    def findings(self) -> Iterator[Finding]:
        """Yield what the service says, as far as it goes."""
        action = "GetVectorIndex" if self._config.index else "ListVectorIndexes"
        try:
            found = self._describe()
        except ServiceError as error:
            yield from self._read_refusal(error, action)
            return
        except OSSVectorError as error:
            yield failure(SIGNATURE, error, _ANY)
            return
        yield ok(SIGNATURE, "accepted")
        yield ok(PERMISSION, f"{action} is allowed")
        yield ok(BUCKET, f"{self._config.bucket} is there")
        if found is None:
            yield skip(INDEX, "none is named")
            return
        yield _describe_index(found)
        yield from self._check_vectors()

    def _describe(self) -> VectorIndex | None:
        if self._config.index:
            return self._client.get_vector_index()
        self._client.list_vector_indexes(max_results=1)
        return None

    def _read_refusal(self, error: ServiceError, action: str) -> Iterator[Finding]:
        if not isinstance(error, NoSuchBucketError | NoSuchVectorIndexError) and (
            error.code != "AccessDenied"
        ):
            yield failure(
                SIGNATURE, f"{error.code}: {error.message}", error.render_advice(word) or _ANY
            )
            return
        yield ok(SIGNATURE, "accepted")
        if isinstance(error, AccessDeniedError):
            yield failure(
                PERMISSION, f"{action} is denied: {error.message}", self._permission_hint(action)
            )
            yield from self._check_vectors()
            return
        yield ok(PERMISSION, f"{action} is allowed")
        if isinstance(error, NoSuchBucketError):
            yield self._missing_bucket()
            return
        yield ok(BUCKET, f"{self._config.bucket} is there")
        yield self._missing_index()

    def _missing_bucket(self) -> Finding:
        config = self._config
        return failure(
            BUCKET,
            f"account {config.account_id} has no bucket {config.bucket} in {config.region}",
            "check --bucket, --account-id and --region, or make it: oss-vectors put-vector-bucket",
        )

    def _missing_index(self) -> Finding:
        hint = "check --index-name, or make it: oss-vectors put-vector-index --dimension N"
        try:
            there = [found.index_name for found in self._client.list_vector_indexes(max_results=10)]
        except OSSVectorError:
            return failure(INDEX, f"{self._config.index} is not there", hint)
        others = f"; there are {', '.join(there)}" if there else "; the bucket has none"
        return failure(INDEX, f"{self._config.index} is not there{others}", hint)

    def _permission_hint(self, action: str) -> str:
        """Return the advice to allow an action; GetVectors is about what is in the index."""
        config = self._config
        bucket = f"acs:ossvector:{config.region}:{config.account_id}:{config.bucket}"
        inside = "/*" if action == "GetVectors" else ""
        resource = f"{bucket}/{config.index}{inside}" if config.index else bucket
        return (
            f"allow oss:{action} on {resource} in the RAM policy, and in the bucket's if it has one"
        )

    def _check_vectors(self) -> Iterator[Finding]:
        if self._config.index is None:
            yield skip(VECTORS, "no index is named")
            return
        key = self._key or self._first_key()
        started = time.monotonic()
        try:
            result = self._client.fetch([key or _SOME_KEY])
        except AccessDeniedError as error:
            yield failure(
                VECTORS,
                f"GetVectors is denied: {error.message}",
                self._permission_hint("GetVectors"),
            )
        except OSSVectorError as error:
            yield failure(VECTORS, error, _ANY)
        else:
            took = f"{(time.monotonic() - started) * 1000:.1f} ms"
            yield ok(VECTORS, f"GetVectors of one key in {took}: {_describe_vector(key, result)}")

    def _first_key(self) -> str | None:
        try:
            return next((found.key for found in self._client.list_vectors(max_results=1)), None)
        except OSSVectorError:
            return None


def _describe_vector(key: str | None, result: FetchResult) -> str:
    if key is None:
        return "no vector is known to be there"
    if not result:
        return f"{key!r} is not there"
    numbers, fields = len(result[0].data or ()), len(result[0].metadata or {})
    return f"{key!r} has {numbers} float32 and {count(fields, 'metadata field')}"


def _describe_index(index: VectorIndex) -> Finding:
    hidden = index.non_filterable_metadata_keys
    detail = (
        f"{index.index_name}: dimension {index.dimension}, {index.distance_metric}, "
        f"non-filterable {', '.join(hidden) or 'none'}, {index.status or 'no status'}"
    )
    if index.status not in ("", _FULL):
        return warning(INDEX, detail, "wait until its status is enable; writes may fail before")
    if filterable := [name for name in ENVELOPE_KEYS if name not in hidden]:
        return warning(
            INDEX,
            detail,
            f"{' and '.join(filterable)} can be filtered by, so records of this package over 2 KB "
            "are refused; that is fixed for the life of an index: make another, with "
            + " ".join(f"--non-filterable-key {name}" for name in ENVELOPE_KEYS),
        )
    return ok(INDEX, detail)
