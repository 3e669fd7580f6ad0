"""`Service`: an OSS Vectors service in one process, from a request to a reply, without a socket.

Order of refusals: size of the body, authentication, rate, operation, authorisation by policy,
NoSuchBucket (which is known to come before the parameters, section 6), MalformedJson, the form of
the parameters, NoSuchVectorIndex, then what only the index can tell, such as the dimension.
"""

from __future__ import annotations

import base64
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Self, TypedDict, Unpack

from ..client.errors import ConfigurationError
from ..client.models import DEFAULT_LIMITS, Limits, Reply, Request
from . import json_text
from .accounts import DEVELOPMENT_KEY, DEVELOPMENT_REGION, AccessKey
from .behaviour import DEFAULT_BEHAVIOUR, Behaviour
from .clock import ManualClock, RequestRate, utc_now
from .faults import Faults, Outcome, RequestFaults
from .http import addressing
from .operations.buckets import is_bucket_name
from .operations.call import Answer, Call, Core
from .operations.table import Operation, operation_of, select
from .rules import policy
from .rules.authentication import identify
from .rules.refusals import Refusal, not_signed, too_long
from .storage import buckets
from .storage.database import Database

MAX_BODY_BYTES = 64 * 1024 * 1024
SEARCH_BYTES = 1024 * 1024 * 1024

logger = logging.getLogger(__name__)


class ServiceOptions(TypedDict, total=False):
    """The options of a `Service`, which describes them."""

    access_keys: Iterable[AccessKey]
    region: str
    limits: Limits
    behaviour: Behaviour
    clock: Callable[[], datetime]
    max_body_bytes: int
    search_bytes: int


class Service:
    """An OSS Vectors service that answers requests; safe for threads.

    Args:
        path: the file that keeps the data, made where there is none; None for memory.
        access_keys: the keys that are known; the published development key by default.
        region: of requests whose host name does not say.
        limits: what is accepted.
        behaviour: switches for what is not documented, or documented in two ways.
        clock: returns the service's time, with a time zone: a `ManualClock` for tests of what takes
            its time. By any other function the dates of requests are checked too.
        max_body_bytes: longest request body that is read.
        search_bytes: memory for the matrices that QueryVectors keeps; a larger index is read from
            the database each time.

    Attributes:
        access_keys: the keys that are known, by id; `set_access_keys` changes them.
        region, behaviour, clock, max_body_bytes: as they were given.
        faults: what happens to requests, for users' tests; none until they are added.

    Raises:
        ConfigurationError: the file is in use, or is not a database of this emulator, or the
            behaviour is none.

    Examples:
        >>> with Service.in_memory() as service, Server(service) as server:
        ...     _ = service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        ...     with OSSVectorClient(index="notes", **server.settings) as client:
        ...         _ = client.put_vector_index(dimension=2)
        ...         client.upsert([{"key": "a", "data": [1, 2]}])
        WriteReport(1 acknowledged, 0 failed, calls=1)
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        access_keys: Iterable[AccessKey] = (DEVELOPMENT_KEY,),
        region: str = DEVELOPMENT_REGION,
        limits: Limits = DEFAULT_LIMITS,
        behaviour: Behaviour = DEFAULT_BEHAVIOUR,
        clock: Callable[[], datetime] = utc_now,
        max_body_bytes: int = MAX_BODY_BYTES,
        search_bytes: int = SEARCH_BYTES,
    ) -> None:
        self.access_keys: Mapping[str, AccessKey] = _by_id(access_keys)
        if not isinstance(behaviour, Behaviour):
            message = "{argument}= takes an emulator.Behaviour, not {a_kind}."
            raise ConfigurationError(message, argument="behaviour", value=behaviour)
        self.behaviour = behaviour
        rate = behaviour.requests_per_second
        self._rate = None if rate is None else RequestRate(rate)
        self.region = region
        self.clock = clock
        self.max_body_bytes = max_body_bytes
        self.faults = Faults()
        self._database = Database(None if path is None else Path(path))
        known = buckets.KnownBuckets(self._database)
        self._core = Core(self._database, known, limits, behaviour, region, search_bytes)

    @classmethod
    def in_memory(cls, **options: Unpack[ServiceOptions]) -> Self:
        """Return a service whose data ends with it."""
        return cls(**options)

    @classmethod
    def open(cls, path: str | Path, **options: Unpack[ServiceOptions]) -> Self:
        """Return a service on a database file, which is made where there is none."""
        return cls(path, **options)

    def close(self) -> None:
        """Close the database; closing twice does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_bucket(self, account_id: str, bucket: str, *, region: str | None = None) -> bool:
        """Make a bucket without a request; tell whether it was new.

        Raises:
            ValueError: the name breaks the rule of section 8.
        """
        if not is_bucket_name(bucket):
            raise ValueError("a bucket name is 3 to 32 of a-z, 0-9 and -, no - at either end")
        created = int(self.clock().timestamp() * 1000)
        namespace = buckets.Namespace(account_id, region or self.region)
        with self._core.buckets.write() as db:
            return buckets.create(db, namespace, bucket, created)

    def set_access_keys(self, access_keys: Iterable[AccessKey]) -> None:
        """Know these keys, and no others, from the next request on: keys are rotated so."""
        # In one step: a request in another thread sees all of the old ones or all of the new.
        self.access_keys = _by_id(access_keys)

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request; nothing is raised, whatever the request holds.

        No fault is applied to it: `respond` is what transports call.
        """
        return self._handle(self._open_exchange(request))

    def respond(self, request: Request) -> Outcome:
        """Return the reply to a request, and how it arrives; faults are applied to it."""
        # Through `handle`, which users' tests replace to watch or to answer requests themselves.
        if not self.faults.pending:
            return Outcome(self.handle(request))
        operation = operation_of(request)
        faults = RequestFaults(self.faults.take(operation.name if operation else None))
        exchange = self._open_exchange(request, faults.skew)
        reply = self._handle(exchange) if faults.performs else None
        if faults.code:
            reply = exchange.refusal(Refusal(faults.code))
        return faults.outcome(reply)

    def signer_of(self, request: Request) -> AccessKey | Reply:
        """Return the key that signed a request of which only the head is there, or the refusal.

        Clocks are not checked: a fault may set the service's.
        """
        try:
            key = self._identify(request, addressing.resolve(request), None, None)
        except Refusal as refusal:
            return self._refuse(request, refusal)
        return self._refuse(request, not_signed()) if key is None else key

    def refuse_unread(self, request: Request, code: str, detail: str = "") -> Reply:
        """Return the reply to a request whose body was not read; the connection ends with it."""
        return self._refuse(request, Refusal(code, detail))

    def _refuse(self, request: Request, cause: Refusal) -> Reply:
        reply = self._open_exchange(request).refusal(cause)
        # What is left of the body would be read as the next request.
        return replace(reply, headers={**reply.headers, "connection": "close"})

    def _open_exchange(self, request: Request, ahead: timedelta = timedelta()) -> _Exchange:
        # 24 characters, as every integration test of the SDKs asserts (section 3).
        request_id = secrets.token_hex(12).upper()
        now = self.clock().astimezone(UTC)
        # Clients sign by the machine's clock, and would set theirs by a date that is not checked.
        date = utc_now() if isinstance(self.clock, ManualClock) else now
        return _Exchange(request, request_id, now + ahead, date + ahead)

    def _handle(self, exchange: _Exchange) -> Reply:
        try:
            operation, call = self._admit(exchange)
            return exchange.success(operation, operation.run(call))
        except Refusal as refusal:
            return exchange.refusal(refusal)
        except Exception:
            # The real service never drops a request because of a defect, so no defect here may
            # reach a client as an exception; the log has the traceback.
            logger.exception("request %s failed inside the emulator", exchange.request_id)
            return exchange.refusal(Refusal("InternalError"))

    def _identify(
        self,
        request: Request,
        address: addressing.Address,
        now: datetime | None,
        date: datetime | None,
    ) -> AccessKey | None:
        return identify(
            request,
            address,
            now,
            date,
            keys=self.access_keys,
            region=self.region,
            skew_seconds=self._core.limits.clock_skew_seconds,
        )

    def _has_policy(self, address: addressing.Address) -> bool:
        # Nothing but the host names the account of an anonymous caller's bucket.
        if address.bucket is None or address.account is None:
            return False
        namespace = buckets.Namespace(address.account, address.region or self.region)
        bucket = self._core.buckets.find(namespace, address.bucket)
        return bucket is not None and bucket.policy is not None

    def _admit(self, exchange: _Exchange) -> tuple[Operation, Call]:
        """Return the operation and the call, once the caller may make it."""
        request, now = exchange.request, exchange.now
        if len(request.body) > self.max_body_bytes:
            raise too_long(self.max_body_bytes)
        address = addressing.resolve(request)
        key = self._identify(request, address, now, exchange.date)
        query = addressing.parameters(request.query)
        if key is None and not self._has_policy(address):
            raise not_signed()  # before anything is said of the request
        if self._rate is not None and not self._rate.take(now):
            raise Refusal("QpsLimitExceeded")
        if address.rest:
            raise Refusal("MethodNotAllowed")
        operation = select(request.method, query, has_bucket=address.bucket is not None)
        call = Call(self._core, request, address, key, now, query, operation.body_may_be_empty)
        _authorise(call, operation)
        if operation.level != "region" and operation.name != "PutVectorBucket":
            _ = call.bucket  # raises NoSuchBucket, before any parameter is looked at (section 6)
        return operation, call


def _by_id(access_keys: Iterable[AccessKey]) -> dict[str, AccessKey]:
    return {key.id: key for key in access_keys}


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One request with what its reply needs, whatever becomes of it.

    `now` is the service's time, `date` that by which requests are dated.
    """

    request: Request
    began: float = field(default_factory=time.perf_counter, kw_only=True)
    request_id: str
    now: datetime
    date: datetime

    def success(self, operation: Operation, answer: Answer) -> Reply:
        """Return the reply of an operation that was done."""
        headers = {**self._headers(), **answer.headers}
        if answer.body:
            # The SDK for Go refuses a body that is called anything else (section 6).
            headers["content-type"] = "application/json"
        return Reply(operation.status, headers, answer.body)

    def refusal(self, cause: Refusal) -> Reply:
        """Return an error reply: `{"Error": {...}}`, for HEAD in a header."""
        error = {
            "Code": cause.code,
            "Message": cause.message,
            "RequestId": self.request_id,
            "HostId": addressing.host_of(self.request),
        }
        headers = self._headers()
        if cause.ec:
            error["EC"] = headers["x-oss-ec"] = cause.ec
        error |= cause.members
        # A host or a path may hold a lone surrogate, which is no JSON.
        members = {name: text.encode(errors="replace").decode() for name, text in error.items()}
        body = json_text.dumps({"Error": members})
        if self.request.method == "HEAD":
            return Reply(cause.status, headers | {"x-oss-err": base64.b64encode(body).decode()})
        # Byte for byte: with a charset behind it the SDK for Python reads the body as XML.
        headers["content-type"] = "application/json"
        return Reply(cause.status, headers, body)

    def _headers(self) -> dict[str, str]:
        return {
            "server": "AliyunOSS",
            # Without a date the SDK for Python cannot read an error (section 6).
            "date": format_datetime(self.date, usegmt=True),
            "connection": "keep-alive",
            "x-oss-request-id": self.request_id,
            # In milliseconds, as samples of the pages have it (section 3).
            "x-oss-server-time": str(int((time.perf_counter() - self.began) * 1000)),
        }


def _authorise(call: Call, operation: Operation) -> None:
    bucket = call.bucket_or_none
    document = bucket.policy if bucket else None
    # The ARN that policies see (section 10).
    resource = f"acs:ossvector:{call.region}:{call.account}:{call.address.bucket or '*'}"
    # The index's name is in the body, which is only read early where a policy may ask for it.
    if document is not None and operation.level in ("index", "vectors"):
        resource += f"/{_index_name(call)}{'/*' if operation.level == 'vectors' else ''}"
    owner = call.account if call.address.bucket else None
    policy.authorise(call.key, operation.name, resource, owner, document)


def _index_name(call: Call) -> str:
    try:
        name = call.members.get("indexName")
    except Refusal:
        return "*"
    return name if isinstance(name, str) else "*"
