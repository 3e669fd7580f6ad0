"""What a LlamaIndex store does with records, each written once as a flow: add, get, delete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from llama_index.core.schema import BaseNode

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index.component import called
from oss_vector_retriever.llama_index.filters import Selection, document_of
from oss_vector_retriever.llama_index.nodes import NodeClasses, node_fields, node_from
from oss_vector_retriever.records import DecodeError, Record, decode
from oss_vector_retriever.records.lookup import Found, MissingPolicy
from oss_vector_retriever.records.store import RecordStore, Start, delete, is_row

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeStore:
    """Say how nodes are written and read.

    Attributes:
        records: the index, and how records stand in it.
        classes: the node classes, by stored name.
        return_data: set `node.embedding` from the stored data.
        on_missing: what becomes of ids that do not exist.
    """

    records: RecordStore
    classes: NodeClasses
    return_data: bool = True
    on_missing: MissingPolicy = "omit"

    def add(self, nodes: Sequence[BaseNode]) -> Start[list[str]]:
        """Write nodes under their ids; of those with one id the last one stands."""

        def start(context: Context) -> Flow[list[str]]:
            vectors: list[Vector] = yield from called(self._vectors, nodes)
            yield from self.records.write(vectors)(context)
            return [node.node_id for node in nodes]

        return start

    def get(self, ids: Sequence[str] | None, chosen: Selection) -> Start[Found[BaseNode]]:
        """Return nodes by id, in the order asked, or all, of which those that pass."""
        if ids is None:
            return lambda context: self._listed(context, chosen)
        return lambda context: self._found(context, ids, chosen)

    def delete_document(self, doc_id: str) -> Start[None]:
        """Delete the records of a document, whatever page they are on."""
        if not isinstance(doc_id, str) or not doc_id:
            raise InvalidRequestError(f"ref_doc_id is the id of a document, not {shown(doc_id)}.")

        def key_of(vector: Vector) -> str | None:
            # a damaged record is none of the document's, or still says so beside its envelope
            record = decode(vector, on_decode_error="raw")
            return vector.key if document_of(record) == doc_id else None

        return lambda context: self._delete_scanned(context, key_of)

    def delete_chosen(self, ids: Sequence[str] | None, chosen: Selection) -> Start[None]:
        """Delete by id, by filter, or where both hold."""
        if ids is None:
            return lambda context: self._delete_scanned(
                context, lambda vector: None if self._chosen(vector, chosen) is None else vector.key
            )
        return lambda context: self._delete_found(context, ids, chosen)

    def nodes(self, records: Iterable[Record]) -> list[BaseNode]:
        """Return records as nodes, those that can be none as `on_decode_error` says."""
        made = (self.node(record) for record in records)
        return [node for node in made if node is not None]

    def node(self, record: Record) -> BaseNode | None:
        """Return a record as a node; None for one that can be none, under "skip".

        Raises:
            DecodeError: it can be none, under "raise".
        """
        try:
            return node_from(record, self.classes)
        except DecodeError as error:
            if self.records.settings.on_decode_error == "raise":
                raise
            if self.records.settings.on_decode_error == "raw":
                return node_from(replace(record, node=None, source="raw"), self.classes)
            _log.warning("skipped: %s", error)
            return None

    def with_data(self, context: Context, records: Sequence[Record]) -> Flow[list[Record]]:
        """Return records with their embeddings; those deleted in the meantime are left out."""
        keys = [record.key for record in records]
        result = yield from self.records.fetch(keys, return_data=True, return_metadata=False)(
            context
        )
        data = {key: vector.data for key, vector in result.by_key.items()}
        return [
            replace(record, embedding=data[record.key]) for record in records if record.key in data
        ]

    def _vectors(self, nodes: Sequence[BaseNode]) -> list[Vector]:
        last = {node.node_id: node for node in nodes}
        return [self._vector(node) for node in last.values()]

    def _vector(self, node: BaseNode) -> Vector:
        if node.embedding is None:
            raise InvalidRequestError(
                f"node {shown(node.node_id)} has no embedding; let VectorStoreIndex or an "
                "IngestionPipeline with an embed_model make it, or set node.embedding. Nothing "
                "was written."
            )
        text, metadata, payload = node_fields(node)
        return self.records.encoded(
            node.node_id, node.embedding, text=text, metadata=metadata, node=payload
        )

    def _found(
        self, context: Context, ids: Sequence[str], chosen: Selection
    ) -> Flow[Found[BaseNode]]:
        def make(record: Record) -> BaseNode:
            return node_from(record, self.classes)

        def make_if_chosen(record: Record) -> BaseNode | None:
            return make(record) if chosen.passes(record) else None

        found = yield from self.records.found(
            ids,
            make_if_chosen if chosen.restricts else make,
            return_data=self.return_data,
            on_missing=self.on_missing,
        )(context)
        return Found([node for node in found.made if node is not None], found.missing)

    def _listed(self, context: Context, chosen: Selection) -> Flow[Found[BaseNode]]:
        later = self.return_data and chosen.restricts  # of those alone that pass
        records = yield from self._scan(
            context,
            lambda vector: self._chosen(vector, chosen),
            return_data=self.return_data and not later,
        )
        if later:
            records = yield from self.with_data(context, records)
        return Found(self.nodes(records), ())

    def _chosen(self, vector: Vector, chosen: Selection) -> Record | None:
        record = self.records.decoded(vector)
        return record if record is not None and chosen.passes(record) else None

    def _delete_found(self, context: Context, ids: Sequence[str], chosen: Selection) -> Flow[None]:
        keys = list(ids)
        if chosen.restricts:
            found = yield from self.records.fetch(keys)(context)
            there = found.by_key.values()
            keys = [one.key for one in there if self._chosen(one, chosen) is not None]
        yield from delete(self.records, keys)(context)

    def _delete_scanned(
        self, context: Context, key_of: Callable[[Vector], str | None]
    ) -> Flow[None]:
        # all pages first: a list moves on while what it has listed is deleted
        keys = yield from self._scan(context, key_of)
        yield from delete(self.records, keys)(context)

    def _scan(
        self, context: Context, use: Callable[[Vector], T | None], *, return_data: bool = False
    ) -> Flow[list[T]]:
        """Return what is made of each record of the index, page by page, without the Nones."""
        used: list[T] = []
        token, more = None, True
        while more:
            page = yield from self.records.page(token, return_data=return_data, metadata=True)(
                context
            )
            made = (use(vector) for vector in page if not is_row(vector.metadata))
            used += [one for one in made if one is not None]
            token = page.next_token
            more = token is not None
        return used


def listed(nodes: Iterable[BaseNode]) -> list[BaseNode]:
    """Return nodes to write as a list.

    Raises:
        InvalidRequestError: it is a single one, or something is no node.
    """
    if isinstance(nodes, BaseNode):
        raise InvalidRequestError("nodes are written as a list; put a single one into a list.")
    given = list(nodes)
    for one in given:
        if not isinstance(one, BaseNode):
            raise InvalidRequestError(f"only nodes are written, not a {type(one).__name__}.")
    return given
