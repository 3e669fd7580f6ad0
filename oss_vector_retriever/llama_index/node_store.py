"""`NodeStore`: what the vector store and the document store do with the records of an index."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from llama_index.core.schema import BaseNode

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote, with_article
from ..client.models.vector import Vector
from ..records import DecodeError, Record, decode
from ..records.conditions import Condition, Operator, Test, can_pass, document_id
from ..records.decode import SOURCE_ID_FIELD
from ..records.listing import delete_passing, delete_read, delete_those_passing, list_passing
from ..records.lookup import Found, MissingPolicy
from ..records.store import RecordStore
from .component import call_function
from .nodes import NodeClasses, as_text_node, node_fields, node_from

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeStore:
    """Nodes in an index, each method a flow; the settings are the stores' own arguments."""

    records: RecordStore
    classes: NodeClasses
    return_data: bool = True
    on_missing: MissingPolicy = "omit"
    text_nodes: bool = False

    def add(self, context: Context, nodes: Sequence[BaseNode]) -> Flow[list[str]]:
        """Write nodes under their ids; of those with one id the last one stands."""
        # off the event loop: a thousand nodes take as long to encode as a call takes
        vectors: list[Vector] = yield from call_function(self._vectors, nodes)
        yield from self.records.write(context, vectors)
        return [node.node_id for node in nodes]

    def get(
        self, context: Context, ids: Sequence[str], condition: Condition | None = None
    ) -> Flow[Found[BaseNode]]:
        """Return the nodes by id that pass, in the order asked, repeated where an id is."""
        return self.records.fetch_records(
            context,
            ids,
            self._node,
            return_data=self.return_data,
            on_missing=self.on_missing,
            condition=condition,
        )

    def list_all(
        self, context: Context, condition: Condition | None = None
    ) -> Flow[list[BaseNode]]:
        """Return all nodes of the index that pass, read page by page."""
        if not can_pass(condition):
            return []
        records = yield from list_passing(
            context, self.records, condition, return_data=self.return_data
        )
        nodes = (self.node(record) for record in records)
        return [node for node in nodes if node is not None]

    def delete(
        self, context: Context, ids: Sequence[str], condition: Condition | None = None
    ) -> Flow[None]:
        """Delete by id, of records that pass."""
        yield from delete_those_passing(context, self.records, ids, condition)

    def delete_passing(self, context: Context, condition: Condition | None) -> Flow[None]:
        """Delete whatever passes, whatever page it is on."""
        yield from delete_passing(context, self.records, condition, "clear()")

    def delete_document(self, context: Context, doc_id: str) -> Flow[None]:
        """Delete the records of a document, whatever page they are on."""
        if not isinstance(doc_id, str) or not doc_id:
            raise InvalidRequestError(
                "{argument} is the id of a document, not {value}.",
                argument="ref_doc_id",
                value=doc_id,
            )

        def read(vector: Vector) -> Record | None:
            # a damaged record is none of the document's, or still says so beside its envelope
            record = decode(vector, on_decode_error="raw")
            return record if document_id(record) == doc_id else None

        of_document = Test(SOURCE_ID_FIELD, Operator.EQ, doc_id)
        pushed = self.records.push(context, of_document).filter
        yield from delete_read(context, self.records, read, pushed)

    def vector(
        self, node: BaseNode, data: Iterable[float] | None, kept: Iterable[str] = ()
    ) -> Vector:
        """Return the vector that holds a node."""
        text, metadata, payload = node_fields(node)
        return self.records.encode(
            node.node_id, data, text=text, metadata=metadata, node=payload, kept=kept
        )

    def node(self, record: Record) -> BaseNode | None:
        """Return a record as a node; None for one that can be none, under "skip"."""
        try:
            return self._node(record)
        except DecodeError as error:
            if self.records.settings.on_decode_error == "raise":
                raise
            if self.records.settings.on_decode_error == "raw":
                return self._node(replace(record, node=None, source="raw"))
            _log.warning("skipped: %s", error)
            return None

    def _vectors(self, nodes: Sequence[BaseNode]) -> list[Vector]:
        # a write that names a key twice is refused
        last = {node.node_id: node for node in nodes}
        for node in last.values():
            if node.embedding is None:
                raise InvalidRequestError(
                    f"node {quote(node.node_id)} has no embedding; let VectorStoreIndex or an "
                    "IngestionPipeline with an embed_model make it, or set node.embedding. Nothing "
                    "was written."
                )
        return [self.vector(node, node.embedding) for node in last.values()]

    def _node(self, record: Record) -> BaseNode:
        node = node_from(record, self.classes)
        return as_text_node(node) if self.text_nodes else node


def list_nodes(nodes: Iterable[BaseNode]) -> list[BaseNode]:
    """Return nodes to write as a list; refuse a single one, and what is no node."""
    if isinstance(nodes, BaseNode):
        raise InvalidRequestError("nodes are written as a list; put a single one into a list.")
    given = list(nodes)
    for one in given:
        if not isinstance(one, BaseNode):
            raise InvalidRequestError(
                f"only nodes are written, not {with_article(type(one).__name__)}."
            )
    return given
