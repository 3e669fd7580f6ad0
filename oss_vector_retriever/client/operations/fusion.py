"""Fusion mode, a preview whose grammar still moves: passed on as dicts (reference section 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oss_vector_retriever.client.attempts import Operation
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.flow import call
from oss_vector_retriever.client.models.messages import Reply
from oss_vector_retriever.client.models.results import (
    Acknowledgement,
    FusedVector,
    QueryVectorsFusionResult,
)
from oss_vector_retriever.client.operations.bodies import json_body
from oss_vector_retriever.client.operations.vectors import acknowledged
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.client.vector_reader import VectorReader
from oss_vector_retriever.client.wire import reply_object


def put_vector_index_fusion(
    context: Context, schema_configuration: Mapping[str, Any], *, index: str | None = None
) -> Flow[Acknowledgement]:
    """Make an index in fusion mode; `schema_configuration` holds a list under `fields`.

    Source: page PutVectorIndexFusion; the service checks the fields.
    """
    if not isinstance(schema_configuration, Mapping) or "fields" not in schema_configuration:
        raise InvalidRequestError("schema_configuration is a dict with a list under 'fields'.")
    name = context.config.index_or(index)
    body = json_body(
        indexName=name,
        mode="fusion",
        schemaConfiguration=dict(schema_configuration),
    )
    return call(
        context,
        Operation(
            "PutVectorIndexFusion",
            acknowledged,
            query="putVectorIndexFusion",
            body=body,
            index=name,
            idempotent=False,
        ),
    )


def query_vectors_fusion(
    context: Context,
    *,
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
) -> Flow[QueryVectorsFusionResult]:
    """Search an index in fusion mode by vectors, text and fields together.

    The clauses are dicts as the page QueryVectorsFusion has them; the service checks them. A hit's
    `score` is higher the better it fits.
    """
    name = context.config.index_or(index)
    body = json_body(
        indexName=name,
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
    with_metadata = return_metadata or return_metadata_fields is not None

    def decode(reply: Reply) -> QueryVectorsFusionResult:
        found = reply_object(reply, "QueryVectorsFusion")
        reader = VectorReader(reply, "QueryVectorsFusion", with_metadata=with_metadata)
        hits = tuple(
            FusedVector(
                item["key"],
                reader.number(item, "score"),
                reader.metadata(item),
            )
            for item in reader.items(found)
        )
        return QueryVectorsFusionResult(hits, found.get("nextToken") or None, reply.request_id)

    operation = Operation(
        "QueryVectorsFusion", decode, query="queryVectorsFusion", body=body, index=name
    )
    return call(context, operation)
