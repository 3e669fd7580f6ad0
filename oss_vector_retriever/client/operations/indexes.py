"""Operations on indexes (reference section 7)."""

from collections.abc import Iterable
from typing import Literal, get_args

from ..context import Context, Flow
from ..endpoint import check_index
from ..errors import InvalidRequestError
from ..flow import Operation, call
from ..holds import Hold, run_with
from ..models import Acknowledgement, ListVectorIndexesResult, Reply, VectorIndex
from ..wire import refuse, reply_list, reply_member, reply_object, reply_token
from .checks import check_choice, check_field_names, check_whole
from .vectors import acknowledge, post

DistanceMetric = Literal["cosine", "euclidean"]


def put_vector_index(
    context: Context,
    dimension: int,
    index: str | None = None,
    distance_metric: DistanceMetric = "cosine",
    non_filterable_metadata_keys: Iterable[str] = (),
    *,
    may_exist: bool = False,
) -> Flow[Acknowledgement]:
    limits = context.config.limits
    names = check_field_names("non_filterable_metadata_keys", non_filterable_metadata_keys, limits)
    if len(names) > limits.non_filterable_keys:
        raise InvalidRequestError(
            "an index has at most {limit} non-filterable keys, not {count}.",
            argument="non_filterable_metadata_keys",
            limit=limits.non_filterable_keys,
            fields={"count": len(names)},
        )
    operation = post(
        "PutVectorIndex",
        lambda reply: acknowledge(reply, "PutVectorIndex"),
        # a repeated request finds what the first one has made: no harm, if any will do
        idempotent=may_exist,
        indexName=context.config.index_or(index),
        dataType="float32",
        dimension=check_whole("dimension", dimension, 1, limits.dimension),
        distanceMetric=check_choice("distance_metric", distance_metric, get_args(DistanceMetric)),
        metadata={"nonFilterableMetadataKeys": names} if names else None,
    )
    # one user saw it answer 500 under load, which lasts
    return call(context, operation, policy=context.config.retry.for_bulk if may_exist else None)


def get_vector_index(context: Context, index: str | None = None) -> Flow[VectorIndex]:
    return call(context, get_operation(context.config.index_or(index)))


def get_operation(name: str) -> Operation[VectorIndex]:
    """Return the GetVectorIndex operation for an index."""

    def decode(reply: Reply) -> VectorIndex:
        body = reply_object(reply, "GetVectorIndex")
        found = reply_member(reply, "GetVectorIndex", body, "index")
        if not found:
            raise refuse(reply, "GetVectorIndex", "without a description under index")
        # Where the reply leaves the name out, it is the one that was asked for.
        unnamed = found.get("indexName") in (None, "")
        return _index(reply, "GetVectorIndex", {**found, "indexName": name} if unnamed else found)

    return post("GetVectorIndex", decode, indexName=name)


def list_vector_indexes(
    context: Context,
    prefix: str | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> Flow[ListVectorIndexesResult]:
    if max_results is not None:
        check_whole("max_results", max_results, 1, context.config.limits.index_list_page)

    def decode(reply: Reply) -> ListVectorIndexesResult:
        found = reply_object(reply, "ListVectorIndexes")
        items = reply_list(reply, "ListVectorIndexes", found, "indexes")
        indexes = tuple(_index(reply, "ListVectorIndexes", item) for item in items)
        token = reply_token(reply, "ListVectorIndexes", found, asked=next_token)
        return ListVectorIndexesResult(indexes, token, reply.request_id)

    operation = post(
        "ListVectorIndexes", decode, maxResults=max_results, nextToken=next_token, prefix=prefix
    )
    return call(context, operation)


def delete_vector_index(context: Context, index: str) -> Flow[Acknowledgement]:
    # Never the client's own index: there is no way back.
    name = check_index(index)
    operation = post(
        "DeleteVectorIndex",
        lambda reply: acknowledge(reply, "DeleteVectorIndex"),
        idempotent=False,
        indexName=name,
    )
    deadline = context.deadline()
    return run_with(Hold(context, name, None), call(context, operation, deadline), deadline)


def _index(reply: Reply, operation: str, item: object) -> VectorIndex:
    try:
        found = VectorIndex.from_api(item)
    except ValueError as error:
        raise refuse(reply, operation, f"with an index description off at {error}") from None
    if not found.index_name:
        raise refuse(reply, operation, "with an index description without indexName")
    return found
