"""What the document store does, written once for sync and async."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.types import RefDocInfo

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, shown
from oss_vector_retriever.client.models.vector import Vector
from oss_vector_retriever.client.operations.checks import each_of
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.llama_index.nodes import node_fields
from oss_vector_retriever.llama_index.source import tell_missing
from oss_vector_retriever.llama_index.store_records import NodeStore, listed
from oss_vector_retriever.llama_index.store_selection import selection
from oss_vector_retriever.llama_index.text_nodes import as_text_node
from oss_vector_retriever.records.envelope import ENVELOPE_FIELD, ENVELOPE_KEYS
from oss_vector_retriever.records.removing import delete


@dataclass(frozen=True, slots=True)
class DocumentFlows:
    """Be what a document store does.

    Attributes:
        store: how nodes are written and read.
        text_nodes: make a TextNode, or an ImageNode, of a Document or a Node.
        scan: whether the whole index may be listed.
    """

    store: NodeStore
    text_nodes: bool
    scan: bool

    def get(
        self, node_ids: Sequence[str], raise_error: bool, context: Context
    ) -> Flow[list[BaseNode]]:
        """Get nodes in order, duplicates kept; no ids, no call."""
        found = yield from self.store.get(list(each_of(node_ids)), selection())(context)
        if found.missing and raise_error:
            raise ValueError(f"doc_id {_listed(found.missing)} {self._not_found(context)}")
        tell_missing(self._index(context), found.missing)
        return self._as_wanted(found.made)

    def get_dict(self, numbered: dict[int, str], context: Context) -> Flow[dict[int, BaseNode]]:
        """Get nodes by number; each that is asked for must be there."""
        nodes = yield from self.get(list(numbered.values()), True, context)
        by_id = {node.node_id: node for node in nodes}
        if len(nodes) != len(numbered):  # some could not be read, and are skipped
            return {number: by_id[key] for number, key in numbered.items() if key in by_id}
        return dict(zip(numbered, nodes, strict=True))

    def exists(self, doc_id: str, context: Context) -> Flow[bool]:
        """Tell whether there is a record, without its contents."""
        return bool((yield from self._stored(context, [doc_id])))

    def add(
        self, docs: Sequence[BaseNode], allow_update: bool, store_text: bool, context: Context
    ) -> Flow[None]:
        """Write nodes, all or, as far as can be known before, none."""
        if not store_text:
            raise NotImplementedError("a vector index holds nodes whole; store_text must be True")
        last = list({node.node_id: node for node in listed(docs)}.values())
        if not allow_update:
            yield from self._refuse_existing(context, last)
        vectors = yield from self._encoded(context, last)
        yield from self.store.records.write(vectors)(context)

    def delete(self, doc_id: str, raise_error: bool, context: Context) -> Flow[None]:
        """Delete a record."""
        if raise_error and not (yield from self.exists(doc_id, context)):
            raise ValueError(f"doc_id {shown(doc_id)} {self._not_found(context)}")
        yield from delete(self.store.records, [doc_id])(context)

    def all(self, context: Context) -> Flow[list[BaseNode]]:
        """List the whole index as nodes."""
        if not self.scan:
            raise NotImplementedError(
                "this would list the whole index; ask for nodes by id, or make the store with "
                "scan=True"
            )
        found = yield from self.store.get(None, selection())(context)
        return self._as_wanted(found.made)

    def all_sources(self, context: Context) -> Flow[dict[str, RefDocInfo]]:
        """Group all nodes by the source document that they name."""
        infos: dict[str, RefDocInfo] = {}
        for node in (yield from self.all(context)):
            if node.ref_doc_id is not None:
                info = infos.setdefault(node.ref_doc_id, RefDocInfo(metadata=dict(node.metadata)))
                info.node_ids.append(node.node_id)
        return infos

    def source_info(self, ref_doc_id: str, context: Context) -> Flow[RefDocInfo | None]:
        """Find a source document's nodes."""
        if self.scan:
            return (yield from self.all_sources(context)).get(ref_doc_id)
        found = yield from self.get([ref_doc_id], False, context)
        if not found:
            return None
        children = [child.node_id for child in found[0].child_nodes or []]
        return RefDocInfo(node_ids=children, metadata=dict(found[0].metadata))

    def delete_source(self, ref_doc_id: str, raise_error: bool, context: Context) -> Flow[None]:
        """Delete a source document's record and its nodes."""
        info = yield from self.source_info(ref_doc_id, context)
        if info is not None:
            yield from delete(self.store.records, [ref_doc_id, *info.node_ids])(context)
        elif raise_error:
            raise ValueError(f"ref_doc_id {shown(ref_doc_id)} {self._not_found(context)}")

    def _encoded(self, context: Context, docs: Sequence[BaseNode]) -> Flow[list[Vector]]:
        without = [node.node_id for node in docs if node.embedding is None]
        stored = yield from self._stored(context, without, data=True)
        absent = [key for key in without if key not in stored]
        if absent:
            raise InvalidRequestError(
                f"a vector index holds no node without a vector: {_listed(absent)} "
                f"{'has' if len(absent) == 1 else 'have'} no embedding, and none is stored under "
                "that id. Embed them first, or keep them in a SimpleDocumentStore"
            )
        return [self._vector(node, stored) for node in docs]

    def _vector(self, node: BaseNode, stored: dict[str, Vector]) -> Vector:
        text, metadata, payload = node_fields(node)
        old = stored.get(node.node_id)
        return self.store.records.encoded(
            node.node_id,
            old.data if node.embedding is None and old is not None else node.embedding,
            text=text,
            metadata=metadata,
            node=payload,
            also_filterable=_copies(old),
        )

    def _stored(
        self, context: Context, keys: list[str], *, data: bool = False
    ) -> Flow[dict[str, Vector]]:
        found = yield from self.store.records.fetch(keys, return_data=data, return_metadata=data)(
            context
        )
        return dict(found.by_key)

    def _refuse_existing(self, context: Context, docs: Sequence[BaseNode]) -> Flow[None]:
        there = yield from self._stored(context, [node.node_id for node in docs])
        if there:
            raise ValueError(
                f"doc_id {_listed(list(there))} already exists. Set allow_update to True to "
                "overwrite."
            )

    def _index(self, context: Context) -> str:
        return context.config.index_or(self.store.records.settings.index)

    def _not_found(self, context: Context) -> str:
        return f"not found. Looked for in index {shown(self._index(context))}."

    def _as_wanted(self, nodes: list[BaseNode]) -> list[BaseNode]:
        return [as_text_node(node) for node in nodes] if self.text_nodes else nodes


def _copies(stored: Vector | None) -> list[str]:
    """Return the fields that a record of this package is filtered by, which an update keeps."""
    fields = (stored and stored.metadata) or {}
    return (
        [name for name in fields if name not in ENVELOPE_KEYS] if ENVELOPE_FIELD in fields else []
    )


def _listed(keys: Sequence[str], most: int = 3) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(shown(key) for key in keys[:most]) + more
