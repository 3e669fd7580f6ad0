"""What a `VectorStoreQuery` and its options ask for, checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.operations.checks import check_data, check_whole, each_of
from oss_vector_retriever.embeddings.arrays import check_share
from oss_vector_retriever.llama_index.store_queries import Variety, Wanted
from oss_vector_retriever.llama_index.store_selection import selection
from oss_vector_retriever.records.filters import Filter

_THRESHOLD = 0.5
_FACTOR = 4
_MOST = 2**31


def wanted(
    query: VectorStoreQuery,
    beside_text: Collection[str],
    *,
    filter: Filter | None = None,  # noqa: A002 - the other framework's name for it
    honour_node_ids: bool | None = None,
    mmr_threshold: float | None = None,
    mmr_prefetch_factor: float | None = None,
    mmr_prefetch_k: int | None = None,
) -> Wanted:
    """Return what a query asks for; `OSSVectorStore.query` describes the options.

    Raises:
        InvalidRequestError: the mode is not DEFAULT or MMR, there is no embedding, or an argument
            is impossible.
    """
    if query.mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
        raise InvalidRequestError(
            f"mode {query.mode.value!r} is not possible: the service searches by vector. Use "
            "DEFAULT or MMR."
        )
    if query.query_embedding is None:
        raise InvalidRequestError("the query has no query_embedding; the service needs one.")
    if query.embedding_field is not None:
        raise InvalidRequestError("embedding_field: a record of this store has one embedding.")
    variety = None
    if query.mode is VectorStoreQueryMode.MMR:
        threshold = query.mmr_threshold if mmr_threshold is None else mmr_threshold
        prefetch = _prefetch(query.similarity_top_k, mmr_prefetch_factor, mmr_prefetch_k)
        share = check_share("mmr_threshold", _THRESHOLD if threshold is None else threshold, 0, 1)
        variety = Variety(share, prefetch)
    return Wanted(
        check_data("query_embedding", query.query_embedding),
        query.similarity_top_k,
        selection(query.filters, query.doc_ids),
        restriction(query.node_ids, beside_text, honour=honour_node_ids),
        variety,
        query.output_fields,
        filter,
    )


def restriction(
    node_ids: Sequence[str] | None, beside_text: Collection[str], *, honour: bool | None
) -> Sequence[str] | None:
    """Return the ids that a query is restricted to, or None.

    `VectorStoreIndex.as_retriever` puts the ids of all image and index nodes that were inserted
    through it into each query, and of no others: taken at its word, that would hide all text. So a
    list of exactly those that this store was given is no restriction. An index that was loaded
    again has them too, where the store has not: there pass
    `as_retriever(vector_store_kwargs={"honour_node_ids": False})`.

    Args:
        node_ids: of the query; none of them is no restriction.
        beside_text: the image and index nodes that the store was given.
        honour: True takes any list at its word, False none.
    """
    if not node_ids or honour is False:
        return None
    ids = list(each_of(node_ids))
    return None if honour is None and set(ids) == set(beside_text) else ids


def _prefetch(k: int, factor: float | None, prefetch: int | None) -> int:
    if factor is not None and prefetch is not None:
        raise InvalidRequestError("give mmr_prefetch_factor or mmr_prefetch_k, not both.")
    if prefetch is not None:
        return check_whole("mmr_prefetch_k", prefetch, 1, _MOST)
    return int(k * (_FACTOR if factor is None else factor))
