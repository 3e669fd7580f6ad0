"""Put, get, list and delete of indexes; reference section 7."""

from typing import Any

from ..rules.refusals import Refusal
from ..storage import indexes as table
from ..storage.indexes import Index
from .call import Answer, Call, iso_time


def put_vector_index(call: Call) -> Answer:
    """Make an index; one that exists is not changed."""
    members = call.parameters
    members.one_of("dataType", ("float32",))
    name = members.index_name()
    dimension = members.integer("dimension", 1, call.core.limits.dimension)
    # Required: the pages call euclidean the default, and every SDK sends it all the same.
    metric = members.one_of("distanceMetric", ("euclidean", "cosine"))
    non_filterable = members.non_filterable()
    bucket = call.bucket.id
    with call.core.database.write() as db:
        if table.find(db, bucket, name) is not None:
            raise Refusal("VectorBucketIndexAlreadyExist")
        if table.count(db, bucket) >= call.core.limits.indexes_per_bucket:
            raise Refusal("VectorBucketIndexExceedLimit")
        if not table.create(
            db,
            bucket,
            name,
            dimension=dimension,
            metric=metric,
            non_filterable=non_filterable,
            created=call.milliseconds,
        ):
            raise Refusal("NoSuchBucket")  # it was deleted meanwhile
    return Answer()


def get_vector_index(call: Call) -> Answer:
    """Return an index's description."""
    name = call.parameters.index_name()
    with call.core.database.read() as db:
        return Answer.of({"index": _describe(call, call.index(db, name))})


def list_vector_indexes(call: Call) -> Answer:
    """Return a page of indexes in alphabetical order; the page token is the page's last name."""
    members = call.parameters
    # 0 is documented to mean the default, as an absent one does (section 7.3).
    limits = call.core.limits
    limit = members.integer("maxResults", 0, limits.index_list_page, 0)
    limit = limit or limits.index_list_page_default
    after = members.text("nextToken", limits.token_bytes)
    prefix = members.text("prefix", limits.token_bytes)
    with call.core.database.read() as db:
        found = table.page(db, call.bucket.id, prefix, after, limit + 1)
    answer: dict[str, Any] = {"indexes": [_describe(call, index) for index in found[:limit]]}
    if len(found) > limit:
        answer["nextToken"] = found[limit - 1].name
    return Answer.of(answer)


def delete_vector_index(call: Call) -> Answer:
    """Delete an index with all its vectors."""
    name = call.parameters.index_name()
    with call.core.database.write() as db:
        table.delete(db, call.index(db, name).id)
    return Answer()


def _describe(call: Call, index: Index) -> dict[str, Any]:
    members: dict[str, Any] = {
        "indexName": index.name,
        "mode": "standard",  # as the newest SDKs' tests have it (section 16)
        "createTime": iso_time(index.created),
        "dataType": "float32",
        "dimension": index.dimension,
        "distanceMetric": index.metric,
        "status": "creating" if call.is_creating(index) else "enable",
        "vectorBucketName": call.bucket.name,
        "bucketArn": call.bucket.arn,
    }
    if index.non_filterable:
        members["metadata"] = {"nonFilterableMetadataKeys": list(index.non_filterable)}
    return members
