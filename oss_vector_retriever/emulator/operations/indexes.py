"""Put, get, list and delete of indexes; reference section 7."""

from __future__ import annotations

from typing import Any

from oss_vector_retriever.emulator.operations.call import Answer, Call, iso_time
from oss_vector_retriever.emulator.rules.refusals import Refusal
from oss_vector_retriever.emulator.storage import indexes as table
from oss_vector_retriever.emulator.storage.indexes import Index, NewIndex

METRICS = ("euclidean", "cosine")


def put_vector_index(call: Call) -> Answer:
    """Make an index; one that exists is not changed."""
    wanted = call.parameters
    wanted.one_of("dataType", ("float32",))
    new = NewIndex(
        name=wanted.index_name(),
        dimension=wanted.integer("dimension", 1, call.limits.dimension),
        metric=wanted.one_of("distanceMetric", METRICS),
        non_filterable=wanted.non_filterable(),
        created=call.milliseconds,
    )
    bucket = call.bucket.id
    with call.database.write() as db:
        if table.find(db, bucket, new.name) is not None:
            raise Refusal("VectorBucketIndexAlreadyExist")
        if table.count(db, bucket) >= call.limits.indexes_per_bucket:
            raise Refusal("VectorBucketIndexExceedLimit")
        if not table.create(db, bucket, new):
            raise Refusal("NoSuchBucket")
    return Answer()


def get_vector_index(call: Call) -> Answer:
    """Return an index's description."""
    name = call.parameters.index_name()
    with call.database.read() as db:
        return Answer({"index": _describe(call, call.index(db, name))})


def list_vector_indexes(call: Call) -> Answer:
    """Return a page of indexes in alphabetical order; the token is the last name of the page."""
    wanted = call.parameters
    most = wanted.integer("maxResults", 0, call.limits.index_list_page, 0)
    most = most or call.limits.index_list_page_default
    after = wanted.text("nextToken", call.limits.token_bytes)
    prefix = wanted.text("prefix", call.limits.token_bytes)
    with call.database.read() as db:
        found = table.page(db, call.bucket.id, prefix, after, most + 1)
    answer: dict[str, Any] = {"indexes": [_describe(call, index) for index in found[:most]]}
    if len(found) > most:
        answer["nextToken"] = found[most - 1].name
    return Answer(answer)


def delete_vector_index(call: Call) -> Answer:
    """Delete an index with all its vectors."""
    name = call.parameters.index_name()
    with call.database.write() as db:
        table.delete(db, call.index(db, name).id)
    return Answer()


def _describe(call: Call, index: Index) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "indexName": index.name,
        "createTime": iso_time(index.created),
        "dataType": "float32",
        "dimension": index.dimension,
        "distanceMetric": index.metric,
        "status": "creating" if call.is_creating(index) else "enable",
        "vectorBucketName": call.bucket.name,
        "bucketArn": call.bucket.arn,
    }
    if index.non_filterable:
        shown["metadata"] = {"nonFilterableMetadataKeys": list(index.non_filterable)}
    return shown
