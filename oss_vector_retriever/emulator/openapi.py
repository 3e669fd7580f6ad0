"""`describe`: the service in OpenAPI 3.1, for tools that generate requests or clients.

All operations share the path `/`, and a key of the query chooses one. OpenAPI knows no such paths,
so each has a fragment of its own, as in `/#getVectors`, and a required query parameter of that name
(reference section 1).
"""

from __future__ import annotations

from typing import Any

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.emulator.openapi_schemas import (
    ERROR,
    REPLIES,
    Schema,
    request_schemas,
    shared_schemas,
)
from oss_vector_retriever.emulator.operations.table import OPERATIONS, Operation

_TITLE = "OSS Vectors, as the emulator understands it"
_SERVERS = (
    (
        "https://{bucket}-{account}.{region}.oss-vectors.aliyuncs.com",
        "a bucket",
        {"bucket": "examplebucket", "account": "123456", "region": "cn-hangzhou"},
    ),
    (
        "https://{region}.oss-vectors.aliyuncs.com",
        "a region, for ListVectorBuckets",
        {"region": "cn-hangzhou"},
    ),
    (
        "http://127.0.0.1:{port}/{bucket}",
        "the emulator, in path style",
        {"port": "9000", "bucket": "development-bucket"},
    ),
)
_SIGNATURE = (
    "OSS4-HMAC-SHA256 Credential=.../aliyun_v4_request,Signature=... "
    "(or the same in the query of a presigned URL)"
)


def describe(limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a service that keeps some limits, as a JSON value."""
    requests = request_schemas(limits)
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        where = paths.setdefault(f"/#{operation.query}" if operation.query else "/", {})
        where[operation.method.lower()] = _operation(operation, requests.get(operation.name))
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": "1"},
        "servers": [_server(*server) for server in _SERVERS],
        "paths": paths,
        "components": {
            "schemas": shared_schemas(limits) | {"Error": ERROR},
            "securitySchemes": {
                "signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": _SIGNATURE,
                }
            },
        },
        "security": [{"signature": []}],
    }


def _server(url: str, what: str, variables: dict[str, str]) -> dict[str, Any]:
    defaults = {name: {"default": value} for name, value in variables.items()}
    return {"url": url, "description": what, "variables": defaults}


def _operation(operation: Operation, body: Schema | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if body is not None:
        described["requestBody"] = {
            "required": not operation.body_may_be_empty,
            "content": {"application/json": {"schema": body}},
        }
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    if operation.query:
        return [
            {
                "name": operation.query,
                "in": "query",
                "required": True,
                "allowEmptyValue": True,
                "schema": {"const": ""},
            }
        ]
    if operation.level != "region":
        return []
    return [
        {"name": "prefix", "in": "query", "schema": {"type": "string"}},
        {"name": "marker", "in": "query", "schema": {"type": "string"}},
        {
            "name": "max-keys",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 1000},
        },
    ]


def _responses(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "done"}
    if operation.name in REPLIES:
        success["content"] = {"application/json": {"schema": REPLIES[operation.name]}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        str(operation.status): success,
        "default": {"description": "refused", "content": error},
    }
