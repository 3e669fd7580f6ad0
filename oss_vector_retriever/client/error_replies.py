"""Error replies: from whatever came back to the error that names the cause.

The service answers in JSON (reference section 6); older parts of OSS in XML, sometimes in a header;
proxies and portals on the way in HTML.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from oss_vector_retriever.client.errors import (
    OSSVectorError,
    ResponseError,
    service_error_class,
)
from oss_vector_retriever.client.models.messages import Reply, printable
from oss_vector_retriever.client.wire import parse_json

_READ_AT_MOST = 64 * 1024
_SHOWN_AT_MOST = 500
_SHORTEST_SECRET = 8
_TITLE = re.compile(rb"<title[^>]*>(.{0,200}?)</title>", re.IGNORECASE | re.DOTALL)
_REDIRECTIONS = range(300, 400)
_UNKNOWN_CODE = "BadErrorResponse"


def error_from(reply: Reply, secrets: Iterable[str] = ()) -> OSSVectorError:
    """Return the error for a reply whose status is not 2xx; `secrets` are cut out of its words."""
    request_id = _clean(reply.request_id or "", secrets) or None
    if reply.status in _REDIRECTIONS:
        return ResponseError(
            "the reply is a redirection, which is never followed: a signed request belongs to one "
            "host. Check the endpoint and the region.",
            reply.status,
            request_id,
        )
    fields = _fields(reply)
    if not fields.get("Code"):
        fields = {**fields, "Code": _UNKNOWN_CODE, "Message": _describe(reply)}
    said = {name: _clean(value, secrets) for name, value in fields.items()}
    error_class = service_error_class(said["Code"], reply.status)
    return error_class(
        said["Code"],
        reply.status,
        said.get("Message", ""),
        said.get("RequestId") or request_id,
        said.get("EC") or _clean(reply.headers.get("x-oss-ec", ""), secrets) or None,
    )


def _fields(reply: Reply) -> dict[str, str]:
    body = reply.body or _from_header(reply.headers.get("x-oss-err", ""))
    body = body[:_READ_AT_MOST].strip()
    if body.startswith(b"{"):
        return _json_fields(body)
    if body.startswith(b"<") and b"<Error>" in body:
        return _xml_fields(body)
    return {}


def _from_header(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _json_fields(body: bytes) -> dict[str, str]:
    try:
        value: Any = parse_json(body)
    except ValueError:
        return {}
    inner = value.get("Error", value) if isinstance(value, dict) else None
    found: Mapping[str, Any] = inner if isinstance(inner, dict) else {}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _xml_fields(body: bytes) -> dict[str, str]:
    text = body.decode(errors="replace")
    names = ("Code", "Message", "RequestId", "EC")
    found = {name: re.search(rf"<{name}>([^<]*)</{name}>", text) for name in names}
    return {name: html.unescape(match[1]) for name, match in found.items() if match}


def _describe(reply: Reply) -> str:
    if not reply.body:
        return f"HTTP {reply.status} with an empty body"
    kind = reply.headers.get("content-type", "no content type")
    title = _TITLE.search(reply.body[:_READ_AT_MOST])
    headed = f" titled {title[1].decode(errors='replace').strip()!r}" if title else ""
    origin = (
        "" if reply.request_id else "; it comes from a proxy or gateway on the way, not from OSS"
    )
    return f"the error reply is no OSS error but {kind}{headed}{origin}"


def _clean(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:  # no real one is shorter, and words hold short ones
            text = text.replace(secret, "***")
    return printable(text, _SHOWN_AT_MOST)
