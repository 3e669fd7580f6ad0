"""The service's limits on metadata, checked in bytes before a vector is sent (reference 5.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import AccessDeniedError, InvalidRequestError, shown
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.client.models.sizes import largest, metadata_bytes
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.indexes import get_vector_index
from oss_vector_retriever.client.steps import Flow


def check_total(vector: Vector, limits: Limits) -> int:
    """Return the bytes of a vector's metadata, or refuse more than the service takes in all."""
    if not vector.metadata:
        return 0
    try:
        size = metadata_bytes(vector.metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"metadata of {shown(vector.key)} cannot be written as JSON: {error}."
        ) from None
    if size > limits.metadata_bytes:
        raise InvalidRequestError(
            f"metadata of {shown(vector.key)} takes {size:,} bytes, over the limit of "
            f"{limits.metadata_bytes:,}; {largest(vector.metadata)}. Split it over several "
            "vectors, or keep it elsewhere and store where it is."
        )
    return size


def check_filterable(context: Context, index: str, vectors: Iterable[Vector]) -> Flow[None]:
    """Refuse metadata that exceeds what the index lets filters see.

    Which fields those are, only the index can tell: it is asked, once, where a vector's metadata
    are large enough for it to matter, and the caller is allowed to ask.
    """
    limits = context.config.limits
    doubtful = [vector for vector in vectors if _doubtful(vector, limits)]
    if not doubtful:
        return
    try:
        described = yield from get_vector_index(context, index=index)
    except AccessDeniedError:
        return
    for vector in doubtful:
        _check_visible(vector, described.non_filterable_metadata_keys, limits)


def _doubtful(vector: Vector, limits: Limits) -> bool:
    many = len(vector.metadata or ()) > limits.filterable_keys
    return many or check_total(vector, limits) > limits.filterable_bytes


def _check_visible(vector: Vector, hidden: Collection[str], limits: Limits) -> None:
    visible: Mapping[str, Any] = {
        name: value for name, value in (vector.metadata or {}).items() if name not in hidden
    }
    if len(visible) > limits.filterable_keys:
        raise InvalidRequestError(
            f"metadata of {shown(vector.key)} has {len(visible)} filterable fields "
            f"({', '.join(sorted(visible))}); the service takes {limits.filterable_keys}. {_MEND}"
        )
    if visible and (size := metadata_bytes(dict(visible))) > limits.filterable_bytes:
        raise InvalidRequestError(
            f"metadata of {shown(vector.key)} takes {size:,} filterable bytes, over the limit of "
            f"{limits.filterable_bytes:,}; {largest(visible)}. {_MEND}"
        )


_MEND = (
    "Name large fields in non_filterable_metadata_keys when the index is made; that cannot be "
    "changed later."
)
