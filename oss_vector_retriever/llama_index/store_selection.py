"""Which records a store's caller means: by their metadata, and by the document they are of."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from llama_index.core.vector_stores.types import MetadataFilters

from oss_vector_retriever.client.errors import InvalidRequestError
from oss_vector_retriever.client.models.limits import Limits
from oss_vector_retriever.llama_index.filters import Test, matcher, restricts
from oss_vector_retriever.llama_index.filters_pushed import Pushed, Service, fits, pushed
from oss_vector_retriever.records import Record
from oss_vector_retriever.records.nodes import SOURCE_ID_FIELD, SOURCE_ID_FIELDS, source_id


@dataclass(frozen=True, slots=True)
class Selection:
    """Hold checked filters and document ids; both must hold, and None is no restriction."""

    filters: MetadataFilters | None
    doc_ids: frozenset[str] | None
    test: Test

    @property
    def restricts(self) -> bool:
        """Tell whether there is anything to restrict by."""
        return self.filters is not None or self.doc_ids is not None

    def passes(self, record: Record) -> bool:
        """Tell whether a record is meant."""
        document = document_of(record)
        of_a_document = self.doc_ids is None or document in self.doc_ids
        return of_a_document and self.test(_seen(record.metadata, document))

    def pushed(self, fields: Collection[str], *, native_scalars: bool, limits: Limits) -> Pushed:
        """Return what the service can check of it, and whether that is all of it."""
        own = [name for name in fields if name not in SOURCE_ID_FIELDS]
        whole = pushed(self.filters, own, native_scalars=native_scalars)
        parts: list[Service] = [] if whole.filter is None else [whole.filter]
        if self.doc_ids is not None and SOURCE_ID_FIELD in fields:
            parts.append({SOURCE_ID_FIELD: {"$in": sorted(self.doc_ids)}})
        elif self.doc_ids is not None:
            whole = Pushed(whole.filter, complete=False)
        joined = {"$and": parts} if len(parts) > 1 else next(iter(parts), None)
        if joined is None or fits(joined, limits):
            return Pushed(joined, whole.complete)
        return Pushed(None, complete=False)


def selection(
    filters: MetadataFilters | None = None, doc_ids: Iterable[str] | None = None
) -> Selection:
    """Check filters and document ids; empty ones are no restriction.

    Raises:
        InvalidRequestError: these are no `MetadataFilters`, or a filter's operator or operand means
            nothing.
    """
    if filters is not None and not isinstance(filters, MetadataFilters):
        raise InvalidRequestError(
            f"filters must be MetadataFilters, not {type(filters).__name__}, as in "
            "MetadataFilters(filters=[MetadataFilter(key=..., value=...)])."
        )
    test = matcher(filters)
    documents = frozenset(doc_ids or ()) or None
    return Selection(filters if restricts(filters) else None, documents, test)


def document_of(record: Record) -> Any:
    """Return the id of the document that a record is of, as whoever wrote it says; or None."""
    return source_id(record.node) or record.metadata.get(SOURCE_ID_FIELD)


def _seen(metadata: dict[str, Any], document: Any) -> dict[str, Any]:
    """Return what filters see: core's writer puts the document's id beside the metadata."""
    return {**dict.fromkeys(SOURCE_ID_FIELDS, document), **metadata} if document else metadata
