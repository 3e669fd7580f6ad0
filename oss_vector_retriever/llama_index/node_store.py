"""`NodeStore`: what the vector store and the document store do with the records of an index."""

import json
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote, with_article
from ..client.holds import run_with
from ..client.models.limits import Limits
from ..client.models.vector import Float32Array, Vector
from ..client.operations.checks import as_vector
from ..client.recent import count_writes
from ..client.steps import run_all
from ..records import BadRecordPolicy, BadRecordsReport, DecodeError, Record, WrittenIds, decode
from ..records.bad_records import make_each
from ..records.conditions import Condition, Operator, Test, can_pass
from ..records.decode import SOURCE_ID_FIELD
from ..records.listing import delete_passing, delete_read, delete_those_passing, list_passing
from ..records.lookup import Found, MissingPolicy
from ..records.side import Row
from ..records.store import RecordStore
from ..records.typed import as_python
from .component import call_function
from .document_row import NODE_KIND, DocumentRow, Entry, check_document, is_of
from .documents import DocumentRows
from .nodes import (
    MetadataValues,
    NodeClasses,
    as_text_node,
    bare_node_from,
    embed,
    kept_metadata,
    linked_id,
    node_fields,
    node_from,
)
from .recent_nodes import content_hash, is_deleted_used, recent_nodes

_SMALL = 20_000  # bytes of text and metadata of a node that surely has no parts

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeStore:
    """Nodes in an index, each method a flow; the settings are the stores' own arguments."""

    records: RecordStore
    documents: DocumentRows
    classes: NodeClasses
    return_data: bool = True
    on_missing: MissingPolicy = "omit"
    text_nodes: bool = False
    metadata_values: MetadataValues = "json"

    def add(
        self, context: Context, nodes: Sequence[BaseNode], policy: BadRecordPolicy
    ) -> Flow[WrittenIds]:
        """Write nodes under their ids and return all these; of nodes with one the last one stands.

        What was read a moment ago, and is the same, is not written.
        """
        # off the event loop: a thousand nodes take as long to encode as a call takes
        made: tuple[list[Vector], BadRecordsReport] = yield from call_function(
            self._vectors, nodes, policy, context.config.limits
        )
        vectors, report = made
        writing = self._write(context, vectors)
        if vectors and (yield from self.documents.are_kept(context)):
            last = {node.node_id: node for node in nodes}
            entries = [self.entry_of(last[vector.key]) for vector in vectors]
            yield from self.documents.write(context, entries, writing)
        else:
            yield from writing
        return WrittenIds((node.node_id for node in nodes), report)

    def _write(self, context: Context, vectors: Sequence[Vector]) -> Flow[None]:
        index, now = self.records.settings.index, context.monotonic()
        recent, count = recent_nodes(context, index), count_writes(context, index)
        changed = [vector for vector in vectors if not recent.is_stored(vector, count, now)]
        # what this process has just deleted has no parts left that would have to be looked for
        fresh = recent.are_gone((vector.key for vector in changed), now)
        yield from self.records.write(context, changed, fresh=fresh)
        recent.forget([vector.key for vector in changed])

    def get(
        self, context: Context, ids: Sequence[str], condition: Condition | None = None
    ) -> Flow[Found[BaseNode]]:
        """Return the nodes by id that pass, in the order asked, repeated where an id is."""
        found: Found[tuple[BaseNode, Float32Array | None]] = yield from self.records.fetch_records(
            context,
            ids,
            self._node_and_floats,
            return_data=self.return_data,
            on_missing=self.on_missing,
            condition=condition,
        )
        # after all nodes are made: every few hundred new objects the garbage collector looks at all
        # that are new, and would look at each of the lists' floats, a third of what a list costs
        return Found([embed(node, floats) for node, floats in found.made], found.missing)

    def get_stored(self, context: Context, ids: Sequence[str]) -> Flow[Found[BaseNode]]:
        """Return nodes by id, also those that are kept without a vector, as `get` does."""
        documents, found_rows = self.documents, dict[str, Row]()
        found: Found[BaseNode]
        if documents.are_seen:
            rows = documents.kept_nodes(context, ids)
            both: list[Any] = yield from run_all([self.get(context, ids), rows])
            found, found_rows = both
        else:
            found = yield from self.get(context, ids)
            if found.missing:
                found_rows = yield from documents.kept_nodes(context, found.missing)
        missing = set(found.missing)
        kept = {key: row for key, row in found_rows.items() if key in missing}
        documents.are_seen = documents.are_seen or bool(kept)
        if not kept:
            return found
        stored, nodes = list(reversed(found.made)), list[BaseNode]()
        for key in ids:
            if key in kept:
                node = self.node(record_of(kept[key]))
                nodes += [] if node is None else [node]
            elif stored and stored[-1].node_id == key:
                nodes.append(stored.pop())
        return Found(nodes, tuple(key for key in found.missing if key not in kept))

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
        keys = list(ids)
        yield from delete_those_passing(context, self.records, keys, condition)

    def delete_passing(self, context: Context, condition: Condition | None) -> Flow[None]:
        """Delete whatever passes, whatever page it is on."""
        yield from delete_passing(context, self.records, condition, "clear()")

    def delete_document(self, context: Context, doc_id: str) -> Flow[None]:
        """Delete the nodes of a document, and its row if there is one."""
        check_document(doc_id)
        documents = self.documents
        if (yield from documents.are_kept(context)):
            hold = documents.hold(context, [Entry(doc_id, None, {})])
            yield from run_with(hold, self._delete_known(context, doc_id), context.deadline())
        elif is_deleted_used(context, self.records.settings.index):
            yield from self.take_nodes(context, None, doc_id)
        else:

            def read(vector: Vector) -> Vector | None:
                return vector if is_of(vector, doc_id) else None

            of_document = Test(SOURCE_ID_FIELD, Operator.EQ, doc_id)
            pushed = self.records.push(context, of_document).filter
            yield from delete_read(context, self.records, read, pushed)

    def _delete_known(self, context: Context, doc_id: str) -> Flow[None]:
        documents = self.documents
        row = yield from documents.find(context, doc_id)
        if row is None and documents.was_emptied(context, doc_id):
            return  # by this process, a moment ago
        yield from documents.drop_hash(context, row)
        yield from self.take_nodes(context, row or documents.left_by(context, doc_id), doc_id)
        yield from documents.forget_nodes_of(context, row, doc_id)

    def take_nodes(
        self, context: Context, row: DocumentRow | None, doc_id: str, *, own: bool = False
    ) -> Flow[None]:
        """Delete a document's nodes, with `own` also that under its id; the row is the caller's.

        Their embeddings are kept a while, where something in this process uses them.
        """
        recent = recent_nodes(context, self.records.settings.index)
        keeps = is_deleted_used(context, self.records.settings.index)
        nodes = self.documents.nodes_of(context, row, doc_id, own=own, return_data=keeps)
        vectors = yield from nodes
        if keeps:
            yield from call_function(self._keep_deleted, context, vectors.values())
        keys = list(vectors)
        # of small records, which these are nearly always, no parts need be looked for
        are_small = not any(self.records.is_large(context, one) for one in vectors.values())
        yield from self.records.delete(context, keys, read=() if are_small else None)
        recent.note_gone(keys, context.monotonic())

    def _keep_deleted(self, context: Context, vectors: Iterable[Vector]) -> None:
        recent, now = recent_nodes(context, self.records.settings.index), context.monotonic()
        for vector in vectors:
            record = decode(vector, on_decode_error="skip")
            if record is not None and vector.data is not None:
                with suppress(DecodeError):  # what cannot be read is embedded anew
                    node = node_from(record, self.classes)
                    recent.keep(vector.key, content_hash(node), vector.data, now)

    def clear(self, context: Context) -> Flow[None]:
        """Delete every vector of the index, and what is known of their documents."""
        yield from self.records.delete_all(context)
        if (yield from self.documents.are_kept(context)):
            yield from self.documents.forget_nodes(context)

    def vector(
        self, node: BaseNode, data: Iterable[float] | None, kept: Iterable[str] = ()
    ) -> Vector:
        """Return the vector that holds a node."""
        text, metadata, payload = node_fields(node, self.metadata_values)
        # filters compare dates as such, in whatever form they are kept
        dates = {
            name: value
            for name, value in node.metadata.items()
            if isinstance(as_python(value), date)
        }
        return self.records.encode(
            node.node_id,
            data,
            text=text,
            metadata=metadata,
            node=payload,
            kept=kept,
            visible={**metadata, **dates},
        )

    def entry_of(self, node: BaseNode) -> Entry:
        """Return what the row of its document keeps of a node."""
        source = linked_id(node, NodeRelationship.SOURCE)
        # a document that names itself is none of its own nodes
        document = None if source in {"", node.node_id} else source
        metadata = kept_metadata(node.metadata, self.metadata_values)
        # as JSON escapes it, which takes no less than what is stored
        size = len(json.dumps([node.get_content(MetadataMode.NONE), metadata], default=str))
        return Entry(node.node_id, document, metadata, size > _SMALL)

    def row_of(self, node: BaseNode) -> Row:
        """Return the row that keeps a node without a vector."""
        text, metadata, payload = node_fields(node, self.metadata_values)
        return Row(NODE_KIND, node.node_id, {"metadata": metadata, "node": payload}, text=text)

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

    def _vectors(
        self, nodes: Sequence[BaseNode], policy: BadRecordPolicy, limits: Limits
    ) -> tuple[list[Vector], BadRecordsReport]:
        # a write that names a key twice is refused
        last = {node.node_id: position for position, node in enumerate(nodes)}

        def make(position: int) -> Vector | None:
            node = nodes[position]
            if last[node.node_id] != position:
                return None
            if node.embedding is None:
                raise InvalidRequestError(
                    "node {node} has no embedding; let VectorStoreIndex or an IngestionPipeline "
                    "with an embed_model make it, or set node.embedding. Nothing was written.",
                    argument="embedding",
                    fields={"node": quote(node.node_id)},
                )
            vector = self.vector(node, node.embedding)
            # what the writing would refuse, and all others with it
            return vector if policy == "raise" else as_vector(vector, limits)

        made, report = make_each(policy, [node.node_id for node in nodes], make)
        return [vector for vector in made.values() if vector is not None], report

    def _node(self, record: Record) -> BaseNode:
        return embed(*self._node_and_floats(record))

    def _node_and_floats(self, record: Record) -> tuple[BaseNode, Float32Array | None]:
        node = bare_node_from(record, self.classes)
        return as_text_node(node) if self.text_nodes else node, record.embedding


def record_of(row: Row) -> Record:
    """Return a node that is kept without a vector as the record that it would be with one."""
    metadata, node = row.value.get("metadata"), row.value.get("node")
    if not isinstance(metadata, dict) or not isinstance(node, dict):
        raise DecodeError(row.key, NODE_KIND, "it is no node of this package")
    return Record(row.key, row.text, metadata, None, node, "envelope")


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
