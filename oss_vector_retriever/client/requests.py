"""From an operation to a request: address, headers, signature. Made anew for each attempt."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

from oss_vector_retriever.client import signing
from oss_vector_retriever.client.attempts import Operation
from oss_vector_retriever.client.config import ClientConfig
from oss_vector_retriever.client.credentials import Credentials
from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.version import USER_AGENT


def signed_request(
    config: ClientConfig, operation: Operation[Any], credentials: Credentials, moment: datetime
) -> Request:
    """Return the request of an operation, signed for a moment."""
    moment = moment.replace(microsecond=0)
    bucket = config.bucket_or_raise() if operation.on_bucket else None
    origin, path = config.endpoint.locate(bucket, config.account_id)
    headers = _headers(operation, origin, moment, credentials)
    stamp = signing.timestamp(moment)
    signable = signing.Signable(
        operation.method,
        signing.resource_name(config.region, config.account_id, bucket),
        operation.query,
        headers,
        config.additional_headers,
    )
    headers["authorization"] = signing.authorization(
        signable,
        credentials.access_key_id,
        credentials.access_key_secret,
        stamp,
        signing.Scope(stamp[:8], config.region),
    )
    return Request(operation.method, origin, path, operation.query, headers, operation.body)


def _headers(
    operation: Operation[Any], origin: str, moment: datetime, credentials: Credentials
) -> dict[str, str]:
    headers = {
        "host": origin.partition("://")[2],
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": USER_AGENT,
        **dict(operation.headers),
        **signing.dated_headers(moment, credentials.security_token),
    }
    if operation.body:
        headers["content-type"] = "application/json"
        headers["content-md5"] = _md5(operation.body)
    if operation.body or operation.method in {"POST", "PUT"}:
        headers["content-length"] = str(len(operation.body))
    return headers


def _md5(body: bytes) -> str:
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
