"""HTTP replies as bytes, and the vectors that they carry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

REQUEST_ID = "6800C0FFEE00000000000001"
DIMENSION = 3


def data_of(key: str) -> list[float]:
    """Return numbers that belong to one key only, exact in float32."""
    number = int(key.rpartition("-")[2])
    return [float(number), number + 0.5, -float(number)]


def record(key: str) -> dict[str, Any]:
    return {"key": key, "data": {"float32": data_of(key)}, "metadata": {"name": key}}


def vectors_body(keys: Iterable[str]) -> bytes:
    return json.dumps({"vectors": [record(key) for key in keys]}).encode()


def http(
    body: bytes = b"",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
    framed: bool = True,
) -> bytes:
    """Return a whole reply; `length` may lie, and without `framed` only the end ends the body."""
    fields = {"Content-Type": "application/json", "x-oss-request-id": REQUEST_ID, **(headers or {})}
    if framed:
        fields["Content-Length"] = str(len(body) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def error_body(code: str, message: str) -> bytes:
    return json.dumps(
        {"Error": {"Code": code, "Message": message, "RequestId": REQUEST_ID}}
    ).encode()
