"""Replies as the service sends them: common headers, and errors as JSON; reference 3 and 6."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime

from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.refusals import Refusal


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


def refusal(cause: Refusal, request: Request, host: str, request_id: str, now: datetime) -> Reply:
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
