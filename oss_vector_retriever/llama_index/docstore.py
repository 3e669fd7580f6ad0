"""`OSSVectorDocumentStore`: LlamaIndex's document store on a vector index and its side index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack, get_args

from llama_index.core.schema import BaseNode, NodeRelationship
from llama_index.core.storage.docstore.types import BaseDocumentStore, RefDocInfo

from ..client.context import Context, Flow
from ..client.errors import quote
from ..client.holds import Hold, run_with
from ..client.models.vector import Vector
from ..client.operations.checks import check_choice, check_keys, each_of
from ..client.pair import Client, limits_of
from ..client.steps import run_all
from ..records import DecodePolicy, decode
from ..records.conditions import document_id
from ..records.decode import ENVELOPE_FIELD, RESERVED_FIELDS, SOURCE_ID_FIELD
from ..records.keys import is_key
from ..records.settings import DistanceMetric, SideIndexName, StoreSettings
from ..records.side import Row
from ..records.store import RecordStore
from .component import ConnectionOptions, _Connected, report_missing
from .document_row import DocumentRow, Entry, check_document
from .documents import DocumentRows
from .node_store import NodeStore, list_nodes, record_of
from .nodes import MetadataValues, child_ids, classes_by_name, linked_id


class OSSVectorDocumentStore(_Connected, BaseDocumentStore):
    """Nodes by id, any number of them with one batched fetch, and what is known of documents.

    Nodes with embeddings stand in the vector index, together with those of an `OSSVectorStore`;
    nodes without, and the hash and the node ids of each document, in the side index, which the
    first write makes. Both are asked at once. Where a node stands in both the vector index wins,
    and when its vector is written it is kept in the side index no longer.

    Order is the request's, duplicates are kept, and what is missing raises or is left out, as
    `raise_error` says. An index that is not there holds nothing. What is known of documents may be
    half a minute old where other processes change it.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index to use, if not the client's own.
        side_index: the index that holds what has no vector, and parts of values over 36 KB, made by
            the first of them. None: its name is that of the index and "side". The same as of the
            OSSVectorStore of the index. False: there is none; what needs one is refused.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were.
        text_nodes: make a TextNode or ImageNode of a Document or Node.
        filterable: metadata fields to copy where the service's filters see them; the same as of the
            OSSVectorStore of the index, if any. None: all that the service can hold and that fit.
        metadata_values: how metadata that JSON lacks are kept: "json", as core writes them (a date
            as its text, a set as a list), or "typed", as they are; the same as of that store.
        create_index: make each index on the first write if it is not there.
        distance_metric: of an index that is made: `cosine` or `euclidean`; one that is there must
            have it, unless this is None.
        scan: list the vector index, page by page, for `docs` and for what `get_all_...` would not
            find: documents whose nodes were written when no document store knew of them.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Examples:
        >>> from llama_index.core.schema import TextNode
        >>> store = OSSVectorDocumentStore(OSSVectorClient.local())
        >>> store.add_documents([TextNode(id_="tea", text="Green tea.")])
        >>> store.get_document("tea").text, store.document_exists("coffee")
        ('Green tea.', False)
    """

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        text_key: str | None = None,
        return_data: bool = False,
        on_decode_error: DecodePolicy = "raise",
        node_classes: Sequence[type[BaseNode]] = (),
        text_nodes: bool = False,
        filterable: Sequence[str] | None = None,
        metadata_values: MetadataValues = "json",
        create_index: bool = True,
        distance_metric: DistanceMetric | None = "cosine",
        side_index: SideIndexName = None,
        scan: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self._connect(client, connection)
        settings = StoreSettings(
            index=index,
            side_index=side_index,
            distance_metric=distance_metric,
            create_index=create_index,
            # as a vector store of the same index writes it, which then finds a document's nodes
            filterable=None if filterable is None else (*filterable, SOURCE_ID_FIELD),
            text_key=text_key,
            on_decode_error=on_decode_error,
            limits=limits_of(client),
        )
        classes = classes_by_name(node_classes)
        records = RecordStore(settings)
        check_choice("metadata_values", metadata_values, get_args(MetadataValues))
        self._store = NodeStore(
            records,
            DocumentRows(records),
            classes,
            return_data=return_data,
            text_nodes=text_nodes,
            metadata_values=metadata_values,
        )
        self._scan = scan

    @property
    def docs(self) -> dict[str, BaseNode]:
        """Return every node by id, having listed both indexes; refused unless `scan=True`."""
        return {node.node_id: node for node in self._clients.run(self._list_all)}

    def add_documents(
        self,
        docs: Sequence[BaseNode],
        allow_update: bool = True,
        batch_size: int = 1,  # noqa: ARG002 - core's; writes are batched by 500
        store_text: bool = True,
    ) -> None:
        """Write nodes, with embeddings or without.

        A node without one whose id has a vector in the index keeps that vector; another one is kept
        in the side index. With `store_text` off the nodes are not written: only what is known of
        their documents.

        Raises:
            ValueError: a node exists, and `allow_update` is False; nothing was written.
        """
        self._clients.run(self._add, docs, allow_update, store_text)

    async def async_add_documents(
        self,
        docs: Sequence[BaseNode],
        allow_update: bool = True,
        batch_size: int = 1,  # noqa: ARG002 - core's; writes are batched by 500
        store_text: bool = True,
    ) -> None:
        """Do what `add_documents` does."""
        await self._clients.arun(self._add, docs, allow_update, store_text)

    def get_document(self, doc_id: str, raise_error: bool = True) -> BaseNode | None:
        """Return a node by id; None where there is none and `raise_error` is False."""
        return next(iter(self.get_nodes([doc_id], raise_error)), None)

    async def aget_document(self, doc_id: str, raise_error: bool = True) -> BaseNode | None:
        """Do what `get_document` does."""
        return next(iter(await self.aget_nodes([doc_id], raise_error)), None)

    def get_nodes(self, node_ids: list[str], raise_error: bool = True) -> list[BaseNode]:
        """Return nodes in the order asked, duplicates kept, with one batched fetch.

        Raises:
            ValueError: a node does not exist, unless `raise_error` is False: then it is left out.
        """
        return self._clients.run(self._get_nodes, node_ids, raise_error)

    async def aget_nodes(self, node_ids: list[str], raise_error: bool = True) -> list[BaseNode]:
        """Do what `get_nodes` does."""
        return await self._clients.arun(self._get_nodes, node_ids, raise_error)

    def get_node_dict(self, node_id_dict: dict[int, str]) -> dict[int, BaseNode]:
        """Return nodes under the numbers given to their ids, with one batched fetch."""
        return self._clients.run(self._get_node_dict, node_id_dict)

    async def aget_node_dict(self, node_id_dict: dict[int, str]) -> dict[int, BaseNode]:
        """Do what `get_node_dict` does."""
        return await self._clients.arun(self._get_node_dict, node_id_dict)

    def delete_document(self, doc_id: str, raise_error: bool = True) -> None:
        """Delete a node; one that is not there is a ValueError unless `raise_error` is False.

        Of a document its own node goes, and its hash; its nodes stay.
        """
        self._clients.run(self._delete, doc_id, raise_error)

    async def adelete_document(self, doc_id: str, raise_error: bool = True) -> None:
        """Do what `delete_document` does."""
        await self._clients.arun(self._delete, doc_id, raise_error)

    def document_exists(self, doc_id: str) -> bool:
        """Tell whether there is a node."""
        return self._clients.run(self._exists, doc_id)

    async def adocument_exists(self, doc_id: str) -> bool:
        """Tell whether there is a node."""
        return await self._clients.arun(self._exists, doc_id)

    def set_document_hash(self, doc_id: str, doc_hash: str) -> None:
        """Keep the hash of a document."""
        self._clients.run(self._set_hashes, {doc_id: doc_hash})

    async def aset_document_hash(self, doc_id: str, doc_hash: str) -> None:
        """Keep the hash of a document."""
        await self._clients.arun(self._set_hashes, {doc_id: doc_hash})

    def set_document_hashes(self, doc_hashes: dict[str, str]) -> None:
        """Keep the hashes of documents, 500 a call."""
        self._clients.run(self._set_hashes, doc_hashes)

    async def aset_document_hashes(self, doc_hashes: dict[str, str]) -> None:
        """Keep the hashes of documents, 500 a call."""
        await self._clients.arun(self._set_hashes, doc_hashes)

    def get_document_hash(self, doc_id: str) -> str | None:
        """Return the hash of a document, or of the node that is stored under the id; or None."""
        return self._clients.run(self._hash, doc_id)

    async def aget_document_hash(self, doc_id: str) -> str | None:
        """Return the hash of a document, or of the node that is stored under the id; or None."""
        return await self._clients.arun(self._hash, doc_id)

    def get_all_document_hashes(self) -> dict[str, str]:
        """Return the ids of all documents by their hashes; with `scan=True` of nodes too."""
        return self._clients.run(self._all_hashes)

    async def aget_all_document_hashes(self) -> dict[str, str]:
        """Return the ids of all documents by their hashes; with `scan=True` of nodes too."""
        return await self._clients.arun(self._all_hashes)

    def get_all_ref_doc_info(self) -> dict[str, RefDocInfo]:
        """Return the nodes of each document; with `scan=True` as the whole index names them."""
        return self._clients.run(self._all_info)

    async def aget_all_ref_doc_info(self) -> dict[str, RefDocInfo]:
        """Return the nodes of each document; with `scan=True` as the whole index names them."""
        return await self._clients.arun(self._all_info)

    def get_ref_doc_info(self, ref_doc_id: str) -> RefDocInfo | None:
        """Return the nodes of a document; None for one that has none.

        Where it is not known that all of them were written through these stores the index is
        listed, with a filter. A record with the document's id adds those that it names as children.
        """
        return self._clients.run(self._info, ref_doc_id)

    async def aget_ref_doc_info(self, ref_doc_id: str) -> RefDocInfo | None:
        """Do what `get_ref_doc_info` does."""
        return await self._clients.arun(self._info, ref_doc_id)

    def delete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Delete a document: its nodes, its own node, and what is known of it.

        Raises:
            ValueError: there is no such document, unless `raise_error` is False.
        """
        self._clients.run(self._delete_document, ref_doc_id, raise_error)

    async def adelete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Do what `delete_ref_doc` does."""
        await self._clients.arun(self._delete_document, ref_doc_id, raise_error)

    def _forget_index(self, client: Client) -> None:
        settings = replace(self._store.records.settings, limits=limits_of(client))
        records = RecordStore(settings)
        self._store = replace(self._store, records=records, documents=DocumentRows(records))

    def _get_nodes(
        self, context: Context, node_ids: Sequence[str], raise_error: bool
    ) -> Flow[list[BaseNode]]:
        asked = list(each_of(node_ids))
        found = yield from self._store.get_stored(context, asked)
        if found.missing:
            if raise_error:
                raise ValueError(f"doc_id {_list_some(found.missing)} {self._not_found(context)}")
            report_missing(context, self._store.records.settings.index, found.missing)
        return found.made

    def _get_node_dict(
        self, context: Context, ids_by_number: dict[int, str]
    ) -> Flow[dict[int, BaseNode]]:
        nodes = yield from self._get_nodes(context, list(ids_by_number.values()), True)
        if len(nodes) == len(ids_by_number):
            return dict(zip(ids_by_number, nodes, strict=True))
        by_id = {node.node_id: node for node in nodes}  # some cannot be read, and are skipped
        return {number: by_id[key] for number, key in ids_by_number.items() if key in by_id}

    def _exists(self, context: Context, doc_id: str) -> Flow[bool]:
        vectors, rows = yield from self._fetch_both(context, [doc_id])
        return bool(vectors or rows)

    def _add(
        self, context: Context, docs: Sequence[BaseNode], allow_update: bool, store_text: bool
    ) -> Flow[None]:
        # of nodes with one id the last one stands, as in a dict
        last = {node.node_id: node for node in list_nodes(docs)}
        if not last:
            return
        keys = check_keys(list(last), context.config.limits)
        documents = self._store.documents
        documents.use(context)
        rows_hold = documents.hold(context, list(map(self._store.entry_of, last.values())))
        hold = self._store.records.hold(context, keys)
        adding = self._add_last(context, last, hold, allow_update, store_text)
        # always in this order, as a store of the index holds them
        within = run_with(hold, adding, context.deadline())
        yield from run_with(rows_hold, within, context.deadline())

    def _add_last(
        self,
        context: Context,
        last: Mapping[str, BaseNode],
        hold: Hold,
        allow_update: bool,
        store_text: bool,
    ) -> Flow[None]:
        # core gives documents to a docstore without embeddings: the stored vector is kept
        asked = [key for key, node in last.items() if not allow_update or node.embedding is None]
        stored: dict[str, Vector] = {}
        if asked and store_text:
            stored, rows = yield from self._fetch_both(context, asked, with_rows=not allow_update)
            if not allow_update and (there := [key for key in asked if key in {*stored, *rows}]):
                raise ValueError(
                    f"doc_id {_list_some(there)} already exists. Set allow_update to True to "
                    "overwrite."
                )
        with_vectors = [n for n in last.values() if n.embedding is not None or n.node_id in stored]
        without = [n for n in last.values() if n.embedding is None and n.node_id not in stored]
        vectors = [self._vector(node, stored.get(node.node_id)) for node in with_vectors]
        documents = self._store.documents
        named = yield from documents.name(
            context,
            list(map(self._store.entry_of, with_vectors)),
            list(map(self._store.entry_of, without)),
            {n.node_id: n.hash for n in last.values() if self._store.entry_of(n).document is None},
        )
        if not store_text:
            return
        yield from self._store.records.write(context, vectors, hold=hold)
        kept = [self._store.row_of(node) for node in without]
        if kept:
            yield from documents.side.put_rows(context, kept, fresh=not named.had_large)
        yield from documents.drop_kept(context, named.rows, [node.node_id for node in with_vectors])
        yield from documents.date(context, named.rows if with_vectors else ())

    def _vector(self, node: BaseNode, stored: Vector | None) -> Vector:
        fields = (stored and stored.metadata) or {}
        # an update keeps the copies by which a record of this package is filtered
        copies = [
            name for name in fields if name not in RESERVED_FIELDS and ENVELOPE_FIELD in fields
        ]
        data = stored.data if node.embedding is None and stored is not None else node.embedding
        return self._store.vector(node, data, kept=copies)

    def _delete(self, context: Context, doc_id: str, raise_error: bool) -> Flow[None]:
        [key] = check_keys([doc_id], context.config.limits)
        documents, is_gone = self._store.documents, True
        row = yield from documents.find(context, key)
        if row is None or not row.is_kept:
            is_gone = yield from self._delete_node(context, key)
        if row is not None:
            hold = documents.hold(context, [Entry(key, None, {})])
            yield from run_with(hold, documents.forget_own(context, row), context.deadline())
        elif raise_error and not is_gone:
            raise ValueError(f"doc_id {quote(doc_id)} {self._not_found(context)}")

    def _delete_node(self, context: Context, key: str) -> Flow[bool]:
        documents = self._store.documents
        # the service says nothing of keys that it does not hold: only a get tells
        vectors, rows = yield from self._fetch_both(context, [key])
        yield from self._store.records.delete(context, list(vectors))
        yield from documents.delete_kept(context, list(rows))
        records = [decode(one, on_decode_error="raw") for one in vectors.values()]
        records += map(record_of, rows.values())
        source = next(map(document_id, records), None)
        if isinstance(source, str) and source and source != key:
            yield from documents.leave_out(context, source, key)
        return bool(vectors or rows)

    def _set_hashes(self, context: Context, hashes: Mapping[str, str]) -> Flow[None]:
        for key in hashes:
            check_document(key)
        yield from self._store.documents.set_hashes(context, hashes)

    def _hash(self, context: Context, doc_id: str) -> Flow[str | None]:
        check_document(doc_id)
        documents = self._store.documents
        documents.use(context)
        documents.note_asked(context, doc_id)
        row = yield from documents.find(context, doc_id)
        if row is not None and row.hash is not None:
            return row.hash
        if (row is not None and row.is_whole) or not is_key(doc_id):
            return None
        # of the node that is stored: core computes it the same way when it writes
        node = yield from self._stored_node(context, doc_id)
        return None if node is None else node.hash

    def _stored_node(self, context: Context, key: str) -> Flow[BaseNode | None]:
        documents, store = self._store.documents, self._store
        vector = yield from documents.vector(context, key)
        if vector is not None:
            record = store.records.decode(vector)
            return None if record is None else store.node(record)
        if not documents.may_keep(context, key):
            return None
        rows = yield from documents.kept_nodes(context, [key])
        return store.node(record_of(rows[key])) if key in rows else None

    def _all_hashes(self, context: Context) -> Flow[dict[str, str]]:
        documents = self._store.documents
        documents.use(context)
        rows = yield from documents.list_all(context)
        hashes = {row.hash: key for key, row in rows.items() if row.hash is not None}
        if self._scan:
            nodes = yield from self._list_all(context)
            hashes |= {node.hash: node.node_id for node in nodes if node.node_id not in rows}
        return hashes

    def _list_all(self, context: Context) -> Flow[list[BaseNode]]:
        if not self._scan:
            raise NotImplementedError(
                "this would list the whole index; ask for nodes by id, or make the store with "
                "scan=True"
            )
        nodes = yield from self._store.list_all(context)
        there = {node.node_id for node in nodes}
        rows = yield from self._store.documents.all_kept_nodes(context)
        kept = [self._store.node(record_of(row)) for row in rows if row.key not in there]
        return [*nodes, *(node for node in kept if node is not None)]

    def _all_info(self, context: Context) -> Flow[dict[str, RefDocInfo]]:
        rows = yield from self._store.documents.list_all(context)
        infos = {key: _info_of(row) for key, row in rows.items() if row.nodes or row.kept}
        for node in (yield from self._list_all(context)) if self._scan else ():
            source = linked_id(node, NodeRelationship.SOURCE)
            if source is not None:
                info = infos.setdefault(source, RefDocInfo(metadata=dict(node.metadata)))
                if node.node_id not in info.node_ids:
                    info.node_ids.append(node.node_id)
        return infos

    def _info(self, context: Context, ref_doc_id: str) -> Flow[RefDocInfo | None]:
        check_document(ref_doc_id)
        return (yield from self._find_document(context, ref_doc_id)).info

    def _find_document(self, context: Context, key: str) -> Flow["_Document"]:
        documents = self._store.documents
        row = yield from documents.find(context, key)
        if row is not None and row.is_whole:
            return _Document(row, _info_of(row) if row.nodes or row.kept else None)
        vectors = yield from documents.nodes_of(context, row, key)
        info = _info_of(row) if row is not None else RefDocInfo()
        found = next(iter((yield from self._own_node(context, key))), None)
        names = [*vectors, *([] if found is None else child_ids(found))]
        info.node_ids = list(dict.fromkeys([*info.node_ids, *names]))
        if not info.metadata:
            records = [decode(one, on_decode_error="raw") for one in vectors.values()]
            first = found.metadata if found is not None else next((r.metadata for r in records), {})
            info.metadata = dict(first)
        # a part of another document is no source
        is_there = bool(info.node_ids) or _is_source(found, key)
        return _Document(row, info if is_there else None, tuple(vectors))

    def _own_node(self, context: Context, key: str) -> Flow[list[BaseNode]]:
        if not is_key(key):
            return []
        return (yield from self._get_nodes(context, [key], False))

    def _delete_document(self, context: Context, ref_doc_id: str, raise_error: bool) -> Flow[None]:
        check_document(ref_doc_id)
        documents = self._store.documents
        hold = documents.hold(context, [Entry(ref_doc_id, None, {})])
        deleting = self._delete_found(context, ref_doc_id)
        is_gone = yield from run_with(hold, deleting, context.deadline())
        if raise_error and not is_gone:
            raise ValueError(f"ref_doc_id {quote(ref_doc_id)} {self._not_found(context)}")

    def _delete_found(self, context: Context, key: str) -> Flow[bool]:
        store = self._store
        row = yield from store.documents.find(context, key)
        if row is None:
            # a record of the document's own may name nodes that do not name it
            found = yield from self._find_document(context, key)
            if found.info is None:
                return False
            own = [key] if is_key(key) else []
            yield from store.records.delete(context, [*own, *found.info.node_ids])
        else:
            has_own = is_key(key) and not row.is_kept
            yield from store.documents.drop_hash(context, row)
            yield from store.take_nodes(context, row, key, own=has_own)
        yield from store.documents.drop(context, row, key)
        return True

    def _fetch_both(
        self, context: Context, keys: Sequence[str], *, with_rows: bool = True
    ) -> Flow[tuple[dict[str, Vector], dict[str, Row]]]:
        """Fetch vectors by key, and the nodes that are kept without one."""
        fetching = self._store.records.fetch(context, keys, return_data=True)
        if not with_rows:
            return dict((yield from fetching).by_key), {}
        kept = self._store.documents.kept_nodes(context, keys)
        found: list[Any] = yield from run_all([fetching, kept])
        return dict(found[0].by_key), found[1]

    def _not_found(self, context: Context) -> str:
        index = context.config.index_or(self._store.records.settings.index)
        return f"not found. Looked for in index {quote(index)}."


@dataclass(frozen=True, slots=True)
class _Document:
    """What was found of a document: its row, what core is told of it, its nodes in the index."""

    row: DocumentRow | None
    info: RefDocInfo | None
    nodes: tuple[str, ...] = ()


def _is_source(node: BaseNode | None, key: str) -> bool:
    return node is not None and linked_id(node, NodeRelationship.SOURCE) in {None, key}


def _info_of(row: DocumentRow) -> RefDocInfo:
    return RefDocInfo(node_ids=[*row.nodes, *row.kept], metadata=dict(row.metadata))


# an error that names 100,000 ids would bury what it says
def _list_some(keys: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(quote(key) for key in keys[:limit]) + more
