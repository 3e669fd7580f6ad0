"""The emulator's service in OpenAPI 3.1, from which schemathesis generates requests.

All operations share the path `/`, and a key of the query chooses one. OpenAPI knows no such paths,
so each has a fragment of its own, as in `/#getVectors`, and a required query parameter of that name
(section 1 of the API reference).
"""

from __future__ import annotations

from typing import Any

from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS, Limits
from oss_vector_retriever.emulator.operations.table import OPERATIONS, Operation

Schema = dict[str, Any]

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
    return {str(operation.status): success, "default": {"description": "refused", "content": error}}


_INDEX_PATTERN = "^[A-Za-z][A-Za-z0-9]*$"
_NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"
_FLAG: Schema = {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": False}
_TEXT: Schema = {"type": "string"}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(needed: str = "", /, **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return schema | ({"required": needed.split()} if needed else {})


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _integer(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _array(items: Schema, least: int = 0, most: int | None = None, **more: Any) -> Schema:
    schema: Schema = {"type": "array", "items": items, **more}
    bounds = {"minItems": least} if most is None else {"minItems": least, "maxItems": most}
    return schema | bounds


def shared_schemas(limits: Limits) -> dict[str, Schema]:
    """Return the schemas that requests and replies refer to."""
    numbers = _array({"type": "number"}, 1, limits.dimension)
    value: Schema = {
        "anyOf": [_TEXT, {"type": "number"}, {"type": "boolean"}, _array({"type": "string"})]
    }
    key: Schema = {"type": "string", "minLength": 1, "maxLength": limits.key_characters}
    return {
        "IndexName": {
            "type": "string",
            "pattern": _INDEX_PATTERN,
            "minLength": 1,
            "maxLength": limits.index_name_characters,
        },
        "Key": key,
        "Float32": _object("float32", float32=numbers),
        "Metadata": {"type": "object", "additionalProperties": value},
        "Filter": {"type": "object"},
        "Vector": _object(
            "key",
            key=_reference("Key"),
            data=_reference("Float32"),
            metadata=_reference("Metadata"),
        ),
        "Index": _object(
            "indexName mode createTime dataType dimension distanceMetric status",
            indexName=_reference("IndexName"),
            mode={"const": "standard"},
            createTime={"type": "string", "format": "date-time"},
            dataType={"const": "float32"},
            dimension=_integer(1, limits.dimension),
            distanceMetric={"enum": ["euclidean", "cosine"]},
            status={"enum": ["creating", "enable", "deleting"]},
            metadata={"type": "object"},
        ),
        "Bucket": _object(
            "Name Location Region CreationDate ExtranetEndpoint IntranetEndpoint",
            Name={"type": "string", "pattern": "^acs:ossvector:"},
            Location=_TEXT,
            Region=_TEXT,
            CreationDate={"type": "string", "format": "date-time"},
            ExtranetEndpoint=_TEXT,
            IntranetEndpoint=_TEXT,
        ),
    }


def request_schemas(limits: Limits) -> dict[str, Schema]:
    """Return the schema of each operation's request body, by the operation's name."""
    index: dict[str, Schema] = {"indexName": _reference("IndexName")}
    shown: dict[str, Schema] = {"returnData": _FLAG, "returnMetadata": _FLAG}
    chosen: dict[str, Schema] = {"filter": _or_null(_reference("Filter"))}
    hidden = _array(
        {"type": "string", "pattern": _NAME_PATTERN, "maxLength": limits.metadata_name_bytes},
        1,
        limits.non_filterable_keys,
        uniqueItems=True,
    )
    vector = _object(
        "key data",
        key=_reference("Key"),
        data=_reference("Float32"),
        metadata=_or_null(_reference("Metadata")),
    )
    return {
        "PutVectorIndex": _object(
            "indexName dataType dimension distanceMetric",
            **index,
            dataType={"const": "float32"},
            dimension=_integer(1, limits.dimension),
            distanceMetric={"enum": ["euclidean", "cosine"]},
            metadata=_or_null(_object(nonFilterableMetadataKeys=_or_null(hidden))),
        ),
        "GetVectorIndex": _object("indexName", **index),
        "DeleteVectorIndex": _object("indexName", **index),
        "ListVectorIndexes": _object(
            maxResults=_or_null(_integer(0, limits.index_list_page)),
            prefix=_or_null(_TEXT),
            nextToken=_token(limits.token_bytes),
        ),
        "PutVectors": _object(
            "indexName vectors", **index, vectors=_array(vector, 1, limits.vectors_per_put)
        ),
        "GetVectors": _object(
            "indexName keys", **index, keys=_keys(1, limits.keys_per_get), **shown
        ),
        # Of the keys of a deletion the distinct ones are counted, which a schema cannot say.
        "DeleteVectors": _object("indexName keys", **index, keys=_keys(1, None)),
        "ListVectors": _object(
            "indexName",
            **index,
            maxResults=_or_null(_integer(1, limits.list_page)),
            nextToken=_token(limits.vector_token_bytes),
            **shown,
            segmentCount=_or_null(_integer(1, limits.list_segments)),
            segmentIndex=_or_null(_integer(0, limits.list_segments - 1)),
            **chosen,
        ),
        "QueryVectors": _object(
            "indexName queryVector topK",
            **index,
            queryVector=_reference("Float32"),
            topK=_integer(1, limits.top_k),
            **chosen,
            returnDistance=_FLAG,
            returnMetadata=_FLAG,
        ),
        "PutBucketPolicy": _object(
            "Version Statement", Version={"const": "1"}, Statement=_array({"type": "object"}, 1)
        ),
        "PutBucketLogging": _object("BucketLoggingStatus", BucketLoggingStatus={"type": "object"}),
        "PutVectorIndexFusion": _object("indexName", **index),
        "QueryVectorsFusion": _object("indexName", **index),
    }


def _keys(least: int, most: int | None) -> Schema:
    return _array(_reference("Key"), least, most)


def _token(most: int) -> Schema:
    return _or_null({"type": "string", "maxLength": most})


_FOUND = _object("vectors", vectors=_array(_reference("Vector")), nextToken=_TEXT)
_HIT = _object(
    "key", key=_reference("Key"), distance={"type": "number"}, metadata=_reference("Metadata")
)
REPLIES: dict[str, Schema] = {
    "GetVectors": _FOUND,
    "ListVectors": _FOUND,
    "QueryVectors": _object("vectors", vectors=_array(_HIT)),
    "GetVectorIndex": _object("index", index=_reference("Index")),
    "ListVectorIndexes": _object("indexes", indexes=_array(_reference("Index")), nextToken=_TEXT),
    "GetVectorBucket": _object("BucketInfo", BucketInfo=_reference("Bucket")),
    "ListVectorBuckets": _object(
        "ListAllMyBucketsResult",
        ListAllMyBucketsResult=_object("Buckets", Buckets=_array(_reference("Bucket"))),
    ),
    "GetBucketPolicy": {"type": "object"},
    "GetBucketLogging": {"type": "object"},
}
ERROR: Schema = _object(
    "Error",
    Error=_object(
        "Code Message RequestId HostId",
        Code={"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
        Message=_TEXT,
        RequestId={"type": "string", "pattern": "^[0-9A-F]{24}$"},
        HostId=_TEXT,
        EC=_TEXT,
    ),
)
