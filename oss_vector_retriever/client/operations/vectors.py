"""Operations on vectors: get, put, delete, list, query (reference section 4)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, TypeVar

from ..context import Context, Deadline, Flow
from ..errors import InvalidRequestError
from ..flow import Operation, call
from ..holds import Hold, run_with
from ..models import Reply, Vector, results
from ..recent import Mark
from ..wire import VectorReader, refuse, reply_object, reply_token
from .checks import (
    as_vector,
    check_count,
    check_data,
    check_filter,
    check_keys,
    check_top_k,
    check_whole,
    json_body,
    refuse_repeated,
)

T = TypeVar("T")
# how a call is made that writes
MakeCall = Callable[
    [Context, Operation[results.Acknowledgement], Deadline], Flow[results.Acknowledgement]
]
_WRITTEN_AT_ONCE = 25  # vectors; of the largest they take ten milliseconds
_VECTORS = b'{"vectors":['
_KEY = attrgetter("key")


def get_vectors(
    context: Context,
    keys: Iterable[str],
    index: str | None = None,
    return_data: bool = False,
    return_metadata: bool = False,
) -> Flow[results.GetVectorsResult]:
    limits = context.config.limits
    keys = check_keys(keys, limits)
    check_count("get_vectors", "keys", len(keys), limits.keys_per_get, "fetch()")
    name = context.config.index_or(index)
    return call(context, get_operation(name, keys, return_data, return_metadata))


def get_operation(
    index: str, keys: list[str], return_data: bool, return_metadata: bool
) -> Operation[results.GetVectorsResult]:
    """Return the GetVectors operation for keys that are checked already."""
    # Whether a key asked for twice is answered once or twice is undocumented: both are taken.
    requested = Counter(keys)
    wanted = {"with_data": return_data, "with_metadata": return_metadata}

    def decode(reply: Reply) -> results.GetVectorsResult:
        reader = VectorReader(reply, "GetVectors", requested, **wanted)
        _, vectors = reader.read()
        return results.GetVectorsResult(tuple(vectors), request_id=reply.request_id)

    def count_missing(result: results.GetVectorsResult) -> int:
        return len(requested) - len(set(map(_KEY, result.items)))

    members = {"returnData": bool(return_data), "returnMetadata": bool(return_metadata)}
    return post(
        "GetVectors", decode, count_missing=count_missing, indexName=index, keys=keys, **members
    )


def post(
    name: str,
    decode: Callable[[Reply], T],
    *,
    idempotent: bool = True,
    count_missing: Callable[[T], int] | None = None,
    **members: Any,
) -> Operation[T]:
    """Return an operation whose arguments are the members of a JSON object, None for no member."""
    return Operation(
        name,
        decode,
        query=name[0].lower() + name[1:],
        body=json_body(**members),
        index=members.get("indexName"),
        idempotent=idempotent,
        key_count=len(members.get("keys") or members.get("vectors") or ()),
        count_missing=count_missing,
    )


def put_vectors(
    context: Context,
    vectors: Iterable[Vector | Mapping[str, Any]],
    index: str | None = None,
    make_call: MakeCall = call,
) -> Flow[results.Acknowledgement]:
    limits = context.config.limits
    given = list(vectors)
    deadline = context.deadline()  # checks and encoding count; how the caller's items come does not
    check_count("put_vectors", "vectors", len(given), limits.vectors_per_put, "upsert()")
    checked: list[Vector] = []
    for item in given:
        deadline.check("PutVectors")
        checked.append(as_vector(item, limits))
    refuse_repeated(vector.key for vector in checked)
    name = context.config.index_or(index)
    hold = Hold(context, name, (vector.key for vector in checked))
    writing = make_call(context, put_operation(name, checked, deadline), deadline)
    return run_with(hold, writing, deadline)


def put_operation(
    index: str, vectors: list[Vector], deadline: Deadline
) -> Operation[results.Acknowledgement]:
    """Return the PutVectors operation for vectors that are checked already.

    Raises:
        DeadlineExceededError: the body was not written before the deadline.
    """
    members = [
        # Without metadata there is no member: an empty object would say no more.
        {"key": vector.key, "data": {"float32": vector.data}}
        | ({"metadata": vector.metadata} if vector.metadata else {})
        for vector in vectors
    ]
    # in slices: the whole may take a second, which nothing could interrupt
    parts: list[bytes | memoryview] = [json_body(indexName=index)[:-1]]
    for start in range(0, len(members), _WRITTEN_AT_ONCE):
        deadline.check("PutVectors")
        part = json_body(vectors=members[start : start + _WRITTEN_AT_ONCE])
        # views, so that megabytes are copied once
        parts += b"," if start else b"," + _VECTORS[1:], memoryview(part)[len(_VECTORS) : -2]
    body = b"".join([*parts, b"]}"])
    return Operation(
        "PutVectors",
        lambda reply: acknowledge(reply, "PutVectors"),
        query="putVectors",
        body=body,
        index=index,
        written={vector.key: vector.data for vector in vectors},
    )


def acknowledge(reply: Reply, operation: str) -> results.Acknowledgement:
    """Read a reply without contents: that it came is all it says.

    Raises:
        ResponseError: it has contents that are no JSON object: whoever sent that, such as the page
            of a proxy, need not have passed the request on.
    """
    if reply.body and not reply.body.isspace():
        reply_object(reply, operation)
    return results.Acknowledgement(reply.request_id)


def delete_vectors(
    context: Context, keys: Iterable[str], index: str | None = None, make_call: MakeCall = call
) -> Flow[results.Acknowledgement]:
    limits = context.config.limits
    unique = list(dict.fromkeys(check_keys(keys, limits)))
    check_count("delete_vectors", "keys", len(unique), limits.keys_per_delete, "delete()")
    name, deadline = context.config.index_or(index), context.deadline()
    hold = Hold(context, name, unique)
    deleting = make_call(context, delete_operation(name, unique), deadline)
    return run_with(hold, deleting, deadline)


def delete_operation(index: str, keys: list[str]) -> Operation[results.Acknowledgement]:
    """Return the DeleteVectors operation for keys that are checked already."""
    name = "DeleteVectors"
    deleting = post(name, lambda reply: acknowledge(reply, name), indexName=index, keys=keys)
    return replace(deleting, written=dict.fromkeys(keys, Mark.DELETED))


def list_vectors(
    context: Context,
    index: str | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
    return_data: bool = False,
    return_metadata: bool = False,
    segment_count: int | None = None,
    segment_index: int | None = None,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the API's own name
) -> Flow[results.ListVectorsResult]:
    limits = context.config.limits
    if max_results is not None:
        check_whole("max_results", max_results, 1, limits.list_page)
    if segment_count is not None:
        check_whole("segment_count", segment_count, 1, limits.list_segments)
        check_whole("segment_index", segment_index, 0, segment_count - 1)
    elif segment_index is not None:
        message = "{argument} needs {segment_count}."
        raise InvalidRequestError(message, argument="segment_index", value=segment_index)
    wanted = {"with_data": return_data, "with_metadata": return_metadata}

    def decode(reply: Reply) -> results.ListVectorsResult:
        found, vectors = VectorReader(reply, "ListVectors", None, **wanted).read()
        token = reply_token(reply, "ListVectors", found, asked=next_token)
        return results.ListVectorsResult(tuple(vectors), token, reply.request_id)

    operation = post(
        "ListVectors",
        decode,
        indexName=context.config.index_or(index),
        maxResults=max_results,
        nextToken=next_token,
        returnData=bool(return_data),
        returnMetadata=bool(return_metadata),
        segmentCount=segment_count,
        segmentIndex=segment_index,
        filter=check_filter(filter),
    )
    return call(context, operation)


def query_vectors(
    context: Context,
    query_vector: Iterable[float] | Mapping[str, Iterable[float]],
    top_k: int = 10,
    index: str | None = None,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the API's own name
    return_distance: bool = True,
    return_metadata: bool = False,
) -> Flow[results.QueryVectorsResult]:
    check_top_k("top_k", top_k, context.config.limits)
    # as in the API, and as `put_vectors` takes data
    numbers = query_vector.get("float32", ()) if isinstance(query_vector, Mapping) else query_vector

    def decode(reply: Reply) -> results.QueryVectorsResult:
        reader = VectorReader(reply, "QueryVectors", with_metadata=return_metadata)
        items = reader.items(reply_object(reply, "QueryVectors"))
        if len(items) > top_k:
            what = f"with {len(items)} vectors, though at most {top_k} were asked for"
            raise refuse(reply, "QueryVectors", what)
        hits = [
            results.ScoredVector(
                hit["key"],
                reader.number(hit, "distance") if return_distance else None,
                reader.metadata(hit),
            )
            for hit in items
        ]
        return results.QueryVectorsResult(tuple(hits), request_id=reply.request_id)

    operation = post(
        "QueryVectors",
        decode,
        indexName=context.config.index_or(index),
        queryVector={"float32": check_data("query_vector", numbers)},
        topK=top_k,
        filter=check_filter(filter),
        returnDistance=bool(return_distance),
        returnMetadata=bool(return_metadata),
    )
    return call(context, operation)


def put_vector_index_fusion(
    context: Context, schema_configuration: Mapping[str, Any], index: str | None = None
) -> Flow[results.Acknowledgement]:
    if not isinstance(schema_configuration, Mapping) or "fields" not in schema_configuration:
        message = "{argument} is {mapping} with a list under 'fields'."
        raise InvalidRequestError(message, argument="schema_configuration")
    operation = post(
        "PutVectorIndexFusion",
        lambda reply: acknowledge(reply, "PutVectorIndexFusion"),
        idempotent=False,  # repeated, it would find its own first effect and be refused
        indexName=context.config.index_or(index),
        mode="fusion",
        schemaConfiguration=dict(schema_configuration),
    )
    return call(context, operation)


def query_vectors_fusion(
    context: Context,
    index: str | None = None,
    knn: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    query: Mapping[str, Any] | None = None,
    retriever: Mapping[str, Any] | None = None,
    limit: int | None = None,
    next_token: str | None = None,
    partition_keys: Sequence[str] | None = None,
    return_metadata: bool = False,
    return_metadata_fields: Sequence[str] | None = None,
    sort: Sequence[Mapping[str, Any]] | None = None,
) -> Flow[results.QueryVectorsFusionResult]:
    # Naming fields is asking for metadata, whatever the flag says.
    with_metadata = return_metadata or return_metadata_fields is not None

    def decode(reply: Reply) -> results.QueryVectorsFusionResult:
        found = reply_object(reply, "QueryVectorsFusion")
        reader = VectorReader(reply, "QueryVectorsFusion", with_metadata=with_metadata)
        hits = [
            results.FusedVector(hit["key"], reader.number(hit, "score"), reader.metadata(hit))
            for hit in reader.items(found)
        ]
        token = reply_token(reply, "QueryVectorsFusion", found, asked=next_token)
        return results.QueryVectorsFusionResult(tuple(hits), token, reply.request_id)

    operation = post(
        "QueryVectorsFusion",
        decode,
        indexName=context.config.index_or(index),
        knn=knn,
        query=query,
        retriever=retriever,
        limit=limit,
        nextToken=next_token,
        partitionKeys=partition_keys,
        returnMetadata=bool(return_metadata),
        returnMetadataFields=return_metadata_fields,
        sort=sort,
    )
    return call(context, operation)
