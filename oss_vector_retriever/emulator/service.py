"""`Service`: an OSS Vectors service in one process, from a request to a reply, without a socket.

Order of refusals: size of the body, authentication, operation, authorisation by policy,
NoSuchBucket (which is known to come before the parameters, section 6), MalformedJson, the form of
the parameters, NoSuchVectorIndex, then what only the index can tell, such as the dimension.
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.accounts import (
    DEVELOPMENT_KEY,
    DEVELOPMENT_REGION,
    AccessKey,
    KeyRing,
)
from oss_vector_retriever.emulator.behaviour import DEFAULT_BEHAVIOUR, Behaviour
from oss_vector_retriever.emulator.faults.applied import Faults, Mishap, Outcome
from oss_vector_retriever.emulator.http import addressing
from oss_vector_retriever.emulator.operations.buckets import is_bucket_name
from oss_vector_retriever.emulator.operations.call import Call, Core
from oss_vector_retriever.emulator.operations.table import Operation, name_of, select
from oss_vector_retriever.emulator.rules import policy
from oss_vector_retriever.emulator.rules.authentication import Authenticator
from oss_vector_retriever.emulator.rules.refusals import Refusal
from oss_vector_retriever.emulator.search.changes import Changes
from oss_vector_retriever.emulator.storage import buckets
from oss_vector_retriever.emulator.storage.buckets import KnownBuckets
from oss_vector_retriever.emulator.storage.database import Database

if TYPE_CHECKING:
    from oss_vector_retriever.emulator.search.nearest import Search


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ticket:
    """Hold what a reply needs, whatever becomes of the request."""

    request_id: str
    now: datetime


class Service:
    """Answer OSS Vectors requests; safe for threads. `options` are the fields of `Settings`.

    Attributes:
        settings: its options.
        access_keys: the keys that it knows.
        faults: what befalls requests, for users' tests; none until they are added.
    """

    def __init__(self, path: str | Path | None = None, **options: Unpack[Options]) -> None:
        """Keep the data in a file, made where there is none, or without a path in memory.

        Raises:
            ConfigurationError: the file is in use, or is not a database of this emulator.
        """
        settings = Settings(**options)
        self.settings = settings
        self.faults = Faults()
        self.access_keys = KeyRing(settings.access_keys)
        self._authenticator = Authenticator(
            self.access_keys, settings.region, settings.limits.clock_skew_seconds
        )
        self._database = Database(None if path is None else Path(path).absolute())
        changes = Changes()
        search = lru_cache(maxsize=1)(lambda: _load_search(settings.search_bytes, changes))
        self._core = Core(
            self._database,
            KnownBuckets(self._database),
            settings.limits,
            settings.behaviour,
            settings.region,
            changes,
            search,
        )

    @classmethod
    def in_memory(cls, **options: Unpack[Options]) -> Self:
        """Return a service whose data ends with it."""
        return cls(None, **options)

    @classmethod
    def open(cls, path: str | Path, **options: Unpack[Options]) -> Self:
        """Return a service on a database file, which is made where there is none."""
        return cls(path, **options)

    def close(self) -> None:
        """Close the database; closing twice does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def create_bucket(self, account_id: str, bucket: str, *, region: str | None = None) -> bool:
        """Make a bucket without a request; tell whether it was new.

        Raises:
            ValueError: the name breaks the rule of section 8.
        """
        if not is_bucket_name(bucket):
            raise ValueError("a bucket name is 3 to 32 of a-z, 0-9 and -, no - at either end")
        created = int(self.settings.clock().timestamp() * 1000)
        place = buckets.Place(account_id, region or self.settings.region)
        with self._core.buckets.write() as db:
            return buckets.create(db, place, bucket, created)

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request; nothing is raised, whatever the request holds.

        No fault befalls it: `respond` is what transports call.
        """
        return self._handle(request, self._ticket())

    def respond(self, request: Request) -> Outcome:
        """Return the reply to a request, and how it arrives; faults befall it."""
        if not self.faults.pending:
            return Outcome(self.handle(request))
        mishap = Mishap(self.faults.take(name_of(request)))
        ticket = self._ticket(mishap.skew)
        reply = self._handle(request, ticket) if mishap.performs else None
        if mishap.code:
            reply = self._refuse(Refusal(mishap.code), request, ticket)
        return mishap.outcome(reply)

    def _handle(self, request: Request, ticket: _Ticket) -> Reply:
        try:
            return self._answer(request, ticket)
        except Exception:
            logger.exception("request %s failed inside the emulator", ticket.request_id)
            return self._refuse(Refusal("InternalError"), request, ticket)

    def refuse_length(self, request: Request) -> Reply:
        """Return the refusal of a body that is too long to be read; the connection ends with it."""
        return self._refuse_unread(self._too_long(), request)

    def refuse_for_now(self, request: Request) -> Reply:
        """Return the refusal of a body that there is no room for; the connection ends with it."""
        return self._refuse_unread(Refusal("QpsLimitExceeded"), request)

    def _refuse_unread(self, refusal: Refusal, request: Request) -> Reply:
        reply = self._refuse(refusal, request, self._ticket())
        return replace(reply, headers={**reply.headers, "connection": "close"})

    def _ticket(self, ahead: timedelta = timedelta()) -> _Ticket:
        return _Ticket(new_request_id(), self.settings.clock().astimezone(UTC) + ahead)

    def _too_long(self) -> Refusal:
        return Refusal("EntityTooLarge", f"At most {self.settings.max_body_bytes} bytes are read.")

    def _answer(self, request: Request, ticket: _Ticket) -> Reply:
        try:
            operation, call = self._admit(request, ticket.now)
            answer = operation.run(call)
        except Refusal as refusal:
            return self._refuse(refusal, request, ticket)
        return success(operation.status, answer.body, answer.headers, ticket.request_id, ticket.now)

    def _refuse(self, refusal: Refusal, request: Request, ticket: _Ticket) -> Reply:
        host = addressing.host_of(request)
        return refusal_reply(refusal, request, host, ticket.request_id, ticket.now)

    def _admit(self, request: Request, now: datetime) -> tuple[Operation, Call]:
        """Return the operation and the call, once the caller may make it."""
        if len(request.body) > self.settings.max_body_bytes:
            raise self._too_long()
        address = addressing.resolve(request)
        key = self._authenticator.identify(request, address, now)
        query = addressing.parameters(request.query)
        if address.rest:
            raise Refusal("MethodNotAllowed")
        operation = select(request.method, query, has_bucket=address.bucket is not None)
        call = Call(self._core, request, address, key, now, operation.body_may_be_empty)
        _authorise(call, operation)
        if operation.needs_bucket:
            _ = call.bucket
        return operation, call


def _authorise(call: Call, operation: Operation) -> None:
    bucket = call.found_bucket
    stated = bucket.policy if bucket else None
    resource = _resource(call, operation, exactly=stated is not None)
    owner = call.account if call.address.bucket else None
    policy.authorise(call.key, operation.name, resource, owner, stated)


def _resource(call: Call, operation: Operation, *, exactly: bool) -> str:
    """Return the ARN that policies see; the body is only read for it where there is a policy."""
    bucket = f"acs:ossvector:{call.region}:{call.account}:{call.address.bucket or '*'}"
    if operation.level in ("region", "bucket") or not exactly:
        return bucket
    index = f"{bucket}/{_index_name(call)}"
    return index if operation.level == "index" else f"{index}/*"


def _index_name(call: Call) -> str:
    try:
        name = call.members.get("indexName")
    except Refusal:
        return "*"
    return name if isinstance(name, str) else "*"


def _load_search(memory: int, changes: Changes) -> Search:
    try:
        from oss_vector_retriever.emulator.search.nearest import Search  # noqa: PLC0415 - numpy comes with an extra
    except ImportError:
        raise Refusal(
            "NotImplemented",
            "QueryVectors needs numpy: pip install 'oss-vector-retriever[emulator]'.",
        ) from None
    return Search(memory, changes)


def utc_now() -> datetime:
    """Return the machine's time."""
    return datetime.now(UTC)


class Options(TypedDict, total=False):
    """Name the keyword arguments of `Service`; `Settings` says what they mean."""

    access_keys: Iterable[AccessKey]
    region: str
    limits: Limits
    behaviour: Behaviour
    clock: Callable[[], datetime]
    max_body_bytes: int
    search_bytes: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold the options of a service.

    Attributes:
        access_keys: the keys that are known; the published development key by default.
        region: of requests whose host name does not say.
        limits: what is accepted.
        behaviour: switches for what is not documented.
        clock: returns the service's time, with a time zone.
        max_body_bytes: longest request body that is read.
        search_bytes: memory for the matrices that QueryVectors keeps; a larger index is read from
            the database each time.
    """

    access_keys: Iterable[AccessKey] = field(default=(DEVELOPMENT_KEY,), repr=False)
    region: str = DEVELOPMENT_REGION
    limits: Limits = DEFAULT_LIMITS
    behaviour: Behaviour = DEFAULT_BEHAVIOUR
    clock: Callable[[], datetime] = utc_now
    max_body_bytes: int = 64 * 1024 * 1024
    search_bytes: int = 1024 * 1024 * 1024


def new_request_id() -> str:
    """Return a request id: 24 characters, as every integration test asserts (section 3)."""
    return secrets.token_hex(12).upper()


def _headers(request_id: str, now: datetime) -> dict[str, str]:
    return {
        "server": "AliyunOSS",
        "date": format_datetime(now, usegmt=True),
        "connection": "keep-alive",
        "x-oss-request-id": request_id,
    }


def success(
    status: int, body: bytes, headers: Mapping[str, str], request_id: str, now: datetime
) -> Reply:
    """Return the reply of an operation that was done."""
    common = _headers(request_id, now)
    if body:
        common["content-type"] = "application/json"
    return Reply(status, common | dict(headers), body)


def refusal_reply(
    cause: Refusal, request: Request, host: str, request_id: str, now: datetime
) -> Reply:
    """Return an error reply: `{"Error": {...}}`, for HEAD in a header."""
    error = {"Code": cause.code, "Message": cause.message, "RequestId": request_id, "HostId": host}
    if cause.ec:
        error["EC"] = cause.ec
    # A host or a path may hold a lone surrogate, which is no JSON.
    shown = {n: v.encode(errors="replace").decode() for n, v in (error | cause.members).items()}
    body = json_text.dumps({"Error": shown})
    headers = _headers(request_id, now)
    if cause.ec:
        headers["x-oss-ec"] = cause.ec
    if request.method == "HEAD":
        return Reply(cause.status, headers | {"x-oss-err": base64.b64encode(body).decode()})
    headers["content-type"] = "application/json"
    return Reply(cause.status, headers, body)
