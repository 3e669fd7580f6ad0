"""A service of records that spoil the reply, or the request, that they are in.

One function says what comes of a request, from its keys alone. It answers over sockets, and within
the process through exchanges that a client's runner uses in place of HTTP.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from oss_vector_retriever import AsyncOSSVectorClient, OSSVectorClient
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.steps import Fault, FaultKind, Send
from oss_vector_retriever.client.transport.runner import AsyncRunner, Runner
from support.replies import REQUEST_ID, http
from support.socket_server import Connection, SocketServer

LARGEST_REPLY = 40_000
# what a request with such a key meets, the first of them that it has
REFUSALS = ("refused", "quoted", "named", "blocked", "too long", "crash", "crash quoted", "reset")
# what such a record does to the reply that it is in
SPOILERS = (
    "null", "string", "boolean", "nan", "infinite", "longer", "no data", "bad metadata", "deep",
    "cut", "unasked", "twice", "huge",
)  # fmt: skip
HARMLESS = ("good", "nested", "large", "missing")
KINDS = HARMLESS + REFUSALS + SPOILERS
# what meets every request, or with "once" the first one
TROUBLES = (
    "denied", "expired", "throttled", "down", "outage", "connect", "closed", "tls", "protocol",
    "html", "moved", "down once", "outage once", "throttled once", "closed once", "html once",
)  # fmt: skip


class SpoiledService:
    """Records by key, each of a kind, and a trouble that meets all."""

    def __init__(self, kinds: Mapping[str, str], trouble: str = "", delay: float = 0.0) -> None:
        self.kinds = dict(kinds)
        self.trouble = trouble
        self.delay = delay
        self.requests: list[list[str]] = []
        self._lock = threading.Lock()

    def answer(self, body: bytes) -> Reply | Fault:
        """Return what comes of a request."""
        asked = json.loads(body)
        keys: list[str] = asked["keys"]
        with self._lock:
            self.requests.append(keys)
            first = len(self.requests) == 1
        trouble = self.trouble
        if trouble.endswith(" once"):
            trouble = trouble.removesuffix(" once") if first else ""
        if trouble:
            return _trouble(trouble)
        if asked["indexName"] == "absent":
            return _error(404, "NoSuchVectorIndex", "The specified index does not exist.")
        found = {self.kinds.get(key, "missing") for key in keys}
        for kind in REFUSALS:
            if kind in found:
                return _refusal(kind, keys)
        return self._reply(asked, keys)

    def _reply(self, asked: Mapping[str, Any], keys: list[str]) -> Reply | Fault:
        records = []
        for key in dict.fromkeys(keys):
            kind = self.kinds.get(key, "missing")
            if kind != "missing":
                records.append(_record(key, kind, asked["returnData"], asked["returnMetadata"]))
            if kind == "unasked":
                records.append(_record(f"{key}-other", "good", data=True, metadata=True))
            if kind == "twice":
                records.append(records[-1])
        body = f'{{"vectors": [{", ".join(records)}]}}'.encode()
        if any(self.kinds.get(key) == "cut" for key in keys):
            body = body[:-3]
        if len(body) > LARGEST_REPLY:
            return Fault(FaultKind.TOO_LARGE, "ReplyTooLarge")
        return _ok(body)


def _ok(body: bytes, kind: str = "application/json") -> Reply:
    headers = {
        "content-type": kind,
        "content-length": str(len(body)),
        "x-oss-request-id": REQUEST_ID,
    }
    return Reply(200, headers, body)


def _error(status: int, code: str, message: str) -> Reply:
    error = {"Error": {"Code": code, "Message": message, "RequestId": REQUEST_ID}}
    return Reply(status, _ok(b"").headers, json.dumps(error).encode())


def _refusal(kind: str, keys: list[str]) -> Reply | Fault:
    quoted = ", ".join(repr(key) for key in sorted(keys))
    page = f"<html><title>Blocked: {quoted}</title></html>".encode()
    invalid = "VectorIndexParameterInvalid"
    known = {
        "refused": _error(400, invalid, "A key is not valid."),
        "quoted": _error(400, invalid, f"Among {quoted} one is not valid."),
        # of a kind that is said of an index, were it not for the key
        "named": _error(404, "NoSuchVectorIndex", f"There is no part for {quoted}."),
        "blocked": Reply(403, {"content-type": "text/html"}, page),
        "too long": Reply(413, {"content-type": "text/html"}, b"<html></html>"),
        "crash": _error(500, "InternalError", "We encountered an internal error."),
        "crash quoted": _error(500, "InternalError", f"We stumbled over {quoted}."),
    }
    return known.get(kind, Fault(FaultKind.CLOSED, "RemoteProtocolError"))


def _trouble(trouble: str) -> Reply | Fault:
    known = {
        "denied": _error(403, "AccessDenied", "You have no right to access this."),
        "expired": _error(403, "SecurityTokenExpired", "The security token has expired."),
        "throttled": _error(503, "QpsLimitExceeded", "QPS limit exceeded."),
        "down": _error(503, "ServiceUnavailable", "Please try again later."),
        "outage": _error(500, "InternalError", "We encountered an internal error."),
        "html": _ok(b"<html>Log in</html>", "text/html"),
        "moved": Reply(302, {"location": "http://elsewhere.invalid/"}, b""),
    }
    return known.get(trouble) or Fault(FaultKind(trouble), "SomeError")


def _record(key: str, kind: str, data: bool, metadata: bool) -> str:
    number = sum(map(ord, key)) % 100
    values = {
        "null": "null", "string": '"1"', "boolean": "true", "nan": "NaN", "infinite": "1e999",
    }.get(kind, "1")  # fmt: skip
    values = f"[{number}, {values}{', 2' if kind == 'longer' else ''}]"
    members = [f'"key": {json.dumps(key)}']
    if data and kind != "no data":
        members.append(f'"data": {{"float32": {values}}}')
    if metadata:
        members.append(f'"metadata": {_metadata(key, kind)}')
    return "{" + ", ".join(members) + "}"


def _metadata(key: str, kind: str) -> str:
    depth = {"nested": 600, "deep": 3000}.get(kind, 1)
    text = "x" * {"large": LARGEST_REPLY * 2 // 5, "huge": LARGEST_REPLY * 2}.get(kind, 3)
    inner = f'{{"of": {json.dumps(key)}, "text": "{text}"}}'
    nested = "[" * depth + inner + "]" * depth
    return nested if kind == "bad metadata" else f'{{"of": {json.dumps(key)}, "all": {nested}}}'


class SpoiledServer(SocketServer):
    """A spoiled service over sockets; `gate` holds back the answer to who asks for "first"."""

    def __init__(self, service: SpoiledService) -> None:
        self.service = service
        self.gate = threading.Event()
        super().__init__()

    def handle(self, connection: Connection) -> None:
        while connection.wait_for_bytes():
            request = connection.read_request()
            if request.json()["keys"] == ["first"]:
                self.gate.wait(10)
                connection.send(http(b"{}"))
                continue
            answer = self.service.answer(request.body)
            connection.pause(self.service.delay)
            if isinstance(answer, Fault):
                # the client finds out by itself that a reply is too large
                if answer.kind is not FaultKind.TOO_LARGE:
                    connection.reset()
                    return
                answer = _ok(b" " * (LARGEST_REPLY + 1))
            headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
            connection.send(http(answer.body, status=answer.status, headers=headers))


class _Exchange:
    """The blocking way to a spoiled service in this process; `gate` holds all back while closed."""

    def __init__(self, service: SpoiledService) -> None:
        self.service = service
        self.gate = threading.Event()
        self.gate.set()

    def send(self, step: Send, _stop: object = None) -> Reply | Fault:
        self.gate.wait(10)
        time.sleep(min(self.service.delay, step.seconds))
        if self.service.delay > step.seconds:
            return Fault(FaultKind.DEADLINE, "ReadTimeout")
        return self.service.answer(step.request.body)

    def abort(self, *_: object) -> None:
        """Do nothing: what is in flight ends soon."""

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def renew_after_fork(self) -> None:
        """Do nothing: there are no connections."""


class _AsyncExchange:
    def __init__(self, service: SpoiledService) -> None:
        self.service = service

    def usable_here(self) -> bool:
        return True

    async def send(self, step: Send) -> Reply | Fault:
        await asyncio.sleep(min(self.service.delay, step.seconds))
        if self.service.delay > step.seconds:
            return Fault(FaultKind.DEADLINE, "ReadTimeout")
        return self.service.answer(step.request.body)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

    def renew_after_fork(self) -> None:
        """Do nothing: there are no connections."""


def client_of(service: SpoiledService, **options: Any) -> Any:
    """Return a blocking client of a service in this process, and its exchange."""
    exchange = _Exchange(service)

    class Client(OSSVectorClient):
        def _make_runner(self) -> Runner:
            runner = Runner(exchange, self._context.config.max_concurrency)
            self._finalizer = weakref.finalize(self, runner.close)
            return runner

    return Client(**options), exchange


def async_client_of(service: SpoiledService, **options: Any) -> AsyncOSSVectorClient:
    """Return an async client of a service in this process."""

    class Client(AsyncOSSVectorClient):
        def _make_runner(self) -> AsyncRunner:
            return AsyncRunner(_AsyncExchange(service), self._context.config.max_concurrency)

    return Client(**options)
