"""What a batch of vectors must have in common, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oss_vector_retriever.client.errors import (
    InvalidRequestError,
    NoSuchVectorIndexError,
    VectorIndexParameterInvalidError,
    shown,
)
from oss_vector_retriever.client.models.reports import WriteReport
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.records.settings import ROW_FIELD


def is_row(stored: Mapping[str, Any] | None) -> bool:
    """Tell whether stored metadata are those of a row of a key-value store."""
    return stored is not None and ROW_FIELD in stored


def one_dimension(vectors: list[Vector]) -> int:
    """Return the dimension that all vectors share.

    Raises:
        InvalidRequestError: one has another.
    """
    first, *others = vectors
    dimension = len(first.data or ())
    for vector in others:
        if len(vector.data or ()) != dimension:
            raise InvalidRequestError(
                f"the embedding of {shown(vector.key)} has {len(vector.data or ())} numbers, that "
                f"of {shown(first.key)} {dimension}; an index has one dimension. Nothing was "
                "written."
            )
    return dimension


def refuse_zeros(vectors: list[Vector]) -> None:
    """Refuse embeddings of zeros alone, which have no direction to compare.

    Raises:
        InvalidRequestError: naming the key.
    """
    for vector in vectors:
        if not any(vector.data or ()):
            raise InvalidRequestError(
                f"the embedding of {shown(vector.key)} is all zeros, which an index with the "
                "metric cosine does not take. Nothing was written."
            )


def without_index(report: WriteReport) -> set[str]:
    """Return the keys that were not written because the index is not there."""
    return {
        key
        for batch in report.batches
        if isinstance(batch.error, NoSuchVectorIndexError)
        for key in batch.keys
    }


def was_refused(report: WriteReport) -> bool:
    """Tell whether nothing was written because the service refused the vectors themselves."""
    refused = [isinstance(b.error, VectorIndexParameterInvalidError) for b in report.batches]
    return not report.written and any(refused)


def written_again(report: WriteReport, again: WriteReport) -> WriteReport:
    """Return the report of a write whose batches without an index were written again."""
    kept = [b for b in report.batches if not isinstance(b.error, NoSuchVectorIndexError)]
    return WriteReport((*kept, *again.batches))
