"""Requests of OSS Vectors, written byte by byte, and replies; nothing of the package is used.

The signer follows the API reference (section 11) by itself, so that it can judge the package's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlsplit

ALGORITHM = "OSS4-HMAC-SHA256"
EMPTY_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
Change = Callable[[str], str]


@dataclass(frozen=True)
class Signer:
    """Who signs: a key, and the account and region that the resource names."""

    key: str
    secret: str
    account: str
    region: str
    token: str = ""

    def scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/oss/aliyun_v4_request"

    def sign(  # noqa: PLR0917 - the parts in their order
        self,
        method: str,
        bucket: str | None,
        query: str,
        headers: Mapping[str, str],
        stamp: str,
        additional: Iterable[str] = (),
    ) -> str:
        """Return the signature of a request, whose headers have lower-case names."""
        whose = f"{self.account}:{bucket}" if bucket else ":"
        names = sorted(additional)
        covered = [
            f"{name}:{headers[name].strip()}\n"
            for name in sorted(headers)
            if name.startswith("x-oss-") or name in {"content-type", "content-md5"} or name in names
        ]
        pairs = sorted(pair.partition("=") for pair in query.split("&") if pair)
        canonical = "\n".join(
            (
                method,
                quote(f"/acs:ossvector:{self.region}:{whose}/", safe="/"),
                "&".join(name + (f"={value}" if value else "") for name, _, value in pairs),
                "".join(covered),
                ";".join(names),
                "UNSIGNED-PAYLOAD",
            )
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = "\n".join((ALGORITHM, stamp, self.scope(stamp), digest))
        key = f"aliyun_v4{self.secret}".encode()
        for part in (*self.scope(stamp).split("/"), text):
            last = hmac.new(key, part.encode(), hashlib.sha256)
            key = last.digest()
        return last.hexdigest()


@dataclass(frozen=True)
class RawReply:
    """A reply as it came; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        return self.json["Error"] if self.body else {}


@dataclass
class Ask:
    """One request: what is asked, and what is odd about how.

    `change` is made to the Authorization, or to the query of a presigned request, after signing.
    `headers` of None are left out. `expires` makes the request presigned.
    """

    method: str = "POST"
    query: str = ""
    body: bytes = b""
    bucket: str | None = "rules"
    host: str | None = None
    style: str = "host"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    as_key: str = "owner"
    late: timedelta = timedelta()
    additional: tuple[str, ...] = ()
    change: Change = str
    sign: bool = True
    expires: int | None = None
    chunks: bool = False
    region: str | None = None


_IDLE = 1.0  # seconds; servers close what is idle for some more


class Wire:
    """One connection to a server, made anew where it was closed, or may have been."""

    def __init__(self, endpoint: str, signers: Mapping[str, Signer]) -> None:
        parts = urlsplit(endpoint)
        self._address = (parts.hostname, parts.port)
        self._signers = signers
        self._socket: socket.socket | None = None
        self._last = 0.0

    def send(self, ask: Ask) -> RawReply:
        """Return the reply to a request."""
        head = self.head(ask)
        body = _chunked(ask.body) if ask.chunks else ask.body
        return self.exchange(head + body, no_body=ask.method == "HEAD")

    def exchange(self, data: bytes, *, no_body: bool = False) -> RawReply:
        """Return the reply to bytes."""
        if time.monotonic() - self._last > _IDLE:  # other tests were run meanwhile
            self.close()
        if self._socket is None:
            self._socket = socket.create_connection(self._address, timeout=30)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(data)
        reply = _read(self._socket.makefile("rb"), no_body=no_body)
        self._last = time.monotonic()
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def head(self, ask: Ask) -> bytes:
        """Return the head of a signed request, blank line included."""
        signer = self._signers[ask.as_key]
        region = ask.region or signer.region
        domain = f"{region}.oss-vectors.aliyuncs.com"
        in_path = ask.style == "path"
        label = f"{ask.bucket}-{signer.account}." if ask.bucket and not in_path else ""
        host = ask.host or label + domain
        moment = datetime.now(UTC).replace(microsecond=0) + ask.late
        stamp = f"{moment:%Y%m%dT%H%M%SZ}"
        headers = {
            "content-type": "application/json",
            "content-md5": base64.b64encode(hashlib.md5(ask.body).digest()).decode(),
        }
        query = ask.query
        if ask.expires is None:
            headers |= {"x-oss-date": stamp, "date": format_datetime(moment, usegmt=True)}
            headers |= {"x-oss-content-sha256": "UNSIGNED-PAYLOAD"}
            headers |= {"x-oss-security-token": signer.token} if signer.token else {}
        given = {name.lower(): value for name, value in ask.headers.items()}
        sent = {name: value for name, value in (headers | given).items() if value is not None}
        signable = {"host": host, **sent}
        if ask.expires is not None:
            query = self._presign(ask, signer, signable, stamp)
        elif ask.sign:
            signature = signer.sign(ask.method, ask.bucket, query, signable, stamp, ask.additional)
            extra = f",AdditionalHeaders={';'.join(ask.additional)}" if ask.additional else ""
            credential = f"Credential={signer.key}/{signer.scope(stamp)}"
            sent["authorization"] = ask.change(
                f"{ALGORITHM} {credential}{extra},Signature={signature}"
            )
        path = f"/{ask.bucket}/" if in_path and ask.bucket else "/"
        origin = f"http://{host}" if ask.style == "absolute" else ""
        if ask.chunks:
            sent["transfer-encoding"] = "chunked"
        elif ask.body or ask.method in {"POST", "PUT"}:
            sent["content-length"] = str(len(ask.body))
        lines = [f"{ask.method} {origin}{path}{'?' if query else ''}{query} HTTP/1.1"]
        lines += [f"host: {host}", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")

    @staticmethod
    def _presign(ask: Ask, signer: Signer, signable: Mapping[str, str], stamp: str) -> str:
        added = {
            "x-oss-signature-version": ALGORITHM,
            "x-oss-date": stamp,
            "x-oss-expires": str(ask.expires),
            "x-oss-credential": f"{signer.key}/{signer.scope(stamp)}",
            "x-oss-security-token": signer.token,
            "x-oss-additional-headers": ";".join(ask.additional),
        }
        pairs = [f"{name}={quote(text, safe='')}" for name, text in added.items() if text]
        query = "&".join(filter(None, (ask.query, *pairs)))
        signature = signer.sign(ask.method, ask.bucket, query, signable, stamp, ask.additional)
        return ask.change(f"{query}&x-oss-signature={signature}")


def _chunked(body: bytes, size: int = 64) -> bytes:
    """Return a body in chunks, none of which ends where a line does."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


def _read(file: Any, *, no_body: bool) -> RawReply:
    status = int(file.readline().split()[1])
    headers: dict[str, str] = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        assert name.lower() not in headers, f"{name} twice"
        headers[name.lower()] = value.strip()
    assert "transfer-encoding" not in headers
    length = 0 if no_body or status == 204 else int(headers["content-length"])
    return RawReply(status, headers, file.read(length))
