"""JSON schemas of requests and replies; reference sections 4 to 8."""

from __future__ import annotations

from typing import Any

from oss_vector_retriever.client.models.limits import Limits

Schema = dict[str, Any]

_INDEX_PATTERN = "^[A-Za-z][A-Za-z0-9]*$"
_NAME_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"
_BOOLEAN: Schema = {"type": "boolean", "default": False}
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
            "indexName createTime dataType dimension distanceMetric status",
            indexName=_reference("IndexName"),
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
    shown: dict[str, Schema] = {"returnData": _BOOLEAN, "returnMetadata": _BOOLEAN}
    token: dict[str, Schema] = {"nextToken": {"type": "string", "maxLength": limits.token_bytes}}
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
            maxResults=_integer(0, limits.index_list_page), prefix=_TEXT, **token
        ),
        "PutVectors": _object(
            "indexName vectors", **index, vectors=_array(vector, 1, limits.vectors_per_put)
        ),
        "GetVectors": _object(
            "indexName keys", **index, keys=_keys(1, limits.keys_per_get), **shown
        ),
        "DeleteVectors": _object(
            "indexName keys", **index, keys=_keys(1, limits.keys_per_delete, uniqueItems=True)
        ),
        "ListVectors": _object(
            "indexName",
            **index,
            maxResults=_integer(1, limits.list_page),
            **token,
            **shown,
            segmentCount=_integer(1, limits.list_segments),
            segmentIndex=_integer(0, limits.list_segments - 1),
            **chosen,
        ),
        "QueryVectors": _object(
            "indexName queryVector topK",
            **index,
            queryVector=_reference("Float32"),
            topK=_integer(1, limits.top_k),
            **chosen,
            returnDistance=_BOOLEAN,
            returnMetadata=_BOOLEAN,
        ),
        "PutBucketPolicy": _object(
            "Version Statement", Version={"const": "1"}, Statement=_array({"type": "object"}, 1)
        ),
        "PutBucketLogging": _object("BucketLoggingStatus", BucketLoggingStatus={"type": "object"}),
        "PutVectorIndexFusion": _object("indexName", **index),
        "QueryVectorsFusion": _object("indexName", **index),
    }


def _keys(least: int, most: int, **more: Any) -> Schema:
    return _array(_reference("Key"), least, most, **more)


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
