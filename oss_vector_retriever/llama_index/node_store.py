"""`NodeStore`: what the vector store and the document store do with the records of an index."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeVar

from llama_index.core.schema import BaseNode

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote, with_article
from ..client.holds import Hold, run_with
from ..client.models import FetchResult
from ..client.models.vector import Vector
from ..records import DecodeError, Record, decode
from ..records.conditions import Condition, can_pass, document_id
from ..records.lookup import Found, MissingPolicy
from ..records.settings import is_row
from ..records.store import RecordStore
from ..records.typed import as_python
from .component import call_function
from .nodes import MetadataValues, NodeClasses, as_text_node, node_fields, node_from

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeStore:
    """Nodes in an index, each method a flow; the settings are the stores' own arguments."""

    records: RecordStore
    classes: NodeClasses
    return_data: bool = True
    on_missing: MissingPolicy = "omit"
    text_nodes: bool = False
    metadata_values: MetadataValues = "json"

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
        data_later = self.return_data and condition is not None  # of those alone that pass
        records = yield from self._scan(
            context,
            lambda vector: self._record_passing(vector, condition),
            return_data=self.return_data and not data_later,
        )
        if data_later:
            records = yield from self.add_data(context, records)
        nodes = (self.node(record) for record in records)
        return [node for node in nodes if node is not None]

    def delete(
        self, context: Context, ids: Sequence[str], condition: Condition | None = None
    ) -> Flow[None]:
        """Delete by id, of records that pass."""
        keys = list(ids)
        if condition is None:
            yield from self.records.delete(context, keys)
            return
        reading = self.records.fetch(context, keys)  # the keys are checked here
        hold = self.records.hold(context, keys)
        deleting = self._delete_those_passing(context, reading, condition, hold)
        yield from run_with(hold, deleting, context.deadline())

    def _delete_those_passing(
        self, context: Context, reading: Flow[FetchResult], condition: Condition, hold: Hold
    ) -> Flow[None]:
        found = yield from reading
        # what the filters do not pass stays, though its id was named
        passing = [self._record_passing(one, condition) for one in found.by_key.values()]
        keys = [record.key for record in passing if record is not None]
        yield from self.records.delete(context, keys, hold=hold)

    def delete_passing(self, context: Context, condition: Condition | None) -> Flow[None]:
        """Delete whatever passes, whatever page it is on."""
        if not can_pass(condition):
            return

        def key_of(vector: Vector) -> str | None:
            return None if self._record_passing(vector, condition) is None else vector.key

        yield from self._delete_scanned(context, key_of)

    def delete_document(self, context: Context, doc_id: str) -> Flow[None]:
        """Delete the records of a document, whatever page they are on."""
        if not isinstance(doc_id, str) or not doc_id:
            raise InvalidRequestError(
                "{argument} is the id of a document, not {value}.",
                argument="ref_doc_id",
                value=doc_id,
            )

        def key_of(vector: Vector) -> str | None:
            # a damaged record is none of the document's, or still says so beside its envelope
            record = decode(vector, on_decode_error="raw")
            return vector.key if document_id(record) == doc_id else None

        yield from self._delete_scanned(context, key_of)

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

    def add_data(self, context: Context, records: Sequence[Record]) -> Flow[list[Record]]:
        """Return records with their embeddings; those deleted in the meantime are left out."""
        # the service's search returns no data: it takes a get of its own
        keys = [record.key for record in records]
        result = yield from self.records.fetch(
            context, keys, return_data=True, return_metadata=False
        )
        data = {key: vector.data for key, vector in result.by_key.items()}
        return [
            replace(record, embedding=data[record.key]) for record in records if record.key in data
        ]

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

    def _record_passing(self, vector: Vector, condition: Condition | None) -> Record | None:
        record = self.records.decode(vector)
        return record if self.records.passes(record, vector.metadata, condition) else None

    def _delete_scanned(
        self, context: Context, key_of: Callable[[Vector], str | None]
    ) -> Flow[None]:
        # all pages first: a list moves on while what it has listed is deleted
        keys = yield from self._scan(context, key_of)
        yield from self.records.delete(context, keys)

    def _scan(
        self, context: Context, use: Callable[[Vector], T | None], *, return_data: bool = False
    ) -> Flow[list[T]]:
        """Return what is made of each record of the index, page by page, without the Nones."""
        used: list[T] = []
        token: str | None = None
        while True:
            page = yield from self.records.list_page(
                context, token, return_data=return_data, return_metadata=True
            )
            # an index may hold the rows of a key-value store, which are no nodes
            made = (use(vector) for vector in page if not is_row(vector.metadata))
            used += [one for one in made if one is not None]
            if (token := page.next_token) is None:
                return used


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
