"""`OSSVectorDocumentStore`: LlamaIndex's document store straight off a vector index."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack, get_args

from llama_index.core.schema import BaseNode, NodeRelationship
from llama_index.core.storage.docstore.types import BaseDocumentStore, RefDocInfo

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, quote
from ..client.holds import Hold, run_with
from ..client.models.vector import Vector
from ..client.operations.checks import check_choice, check_keys, each_of
from ..client.pair import Client, limits_of
from ..records import DecodePolicy
from ..records.decode import ENVELOPE_FIELD, RESERVED_FIELDS, SOURCE_ID_FIELD
from ..records.settings import DistanceMetric, StoreSettings
from ..records.store import RecordStore
from .component import ConnectionOptions, _Connected, report_missing
from .node_store import NodeStore, list_nodes
from .nodes import MetadataValues, child_ids, classes_by_name, linked_id

_NO_HASHES = (
    "a vector index keeps no hashes of its records: a node's hash is computed from the stored "
    "node. For a pipeline's bookkeeping use a SimpleDocumentStore"
)


class OSSVectorDocumentStore(_Connected, BaseDocumentStore):
    """Nodes by id from a vector index, any number of them with one batched fetch.

    Order is the request's, duplicates are kept, and what is missing raises or is left out, as
    `raise_error` says. An index that is not there holds nothing.

    An index holds vectors, so writing takes nodes with embeddings; a node without one keeps the
    vector that is stored under its id, or is refused. Whatever has to list the whole index (`docs`,
    all hashes, all source documents) is refused unless `scan=True`.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index to use, if not the client's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        return_data: set `node.embedding` from the stored float32 data.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were.
        text_nodes: make a TextNode or ImageNode of a Document or Node.
        filterable: metadata fields to copy where the service's filters see them; the same as of the
            OSSVectorStore of the index, if any. None: all that the service can hold and that fit.
        metadata_values: how metadata that JSON lacks are kept: "json", as core writes them (a date
            as its text, a set as a list), or "typed", as they are; the same as of that store.
        create_index: make the index on the first write if it is not there.
        distance_metric: of an index that is made: `cosine` or `euclidean`; one that is there must
            have it, unless this is None.
        scan: allow what lists the whole index, page by page.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.
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
        scan: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self._connect(client, connection)
        settings = StoreSettings(
            index=index,
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
            classes,
            return_data=return_data,
            text_nodes=text_nodes,
            metadata_values=metadata_values,
        )
        self._scan = scan

    @property
    def docs(self) -> dict[str, BaseNode]:
        """Return every node by id, having listed the whole index; refused unless `scan=True`."""
        return {node.node_id: node for node in self._clients.run(self._list_all)}

    def add_documents(
        self,
        docs: Sequence[BaseNode],
        allow_update: bool = True,
        batch_size: int = 1,  # noqa: ARG002 - core's; writes are batched by 500
        store_text: bool = True,
    ) -> None:
        """Write nodes with their embeddings; those without keep what is stored under their id.

        Raises:
            InvalidRequestError: no vector is known for a node; nothing was written.
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
        """Delete a node; one that is not there is a ValueError unless `raise_error` is False."""
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

    # pipelines keep their books here, which takes a store of its own: the message says so
    def set_document_hash(self, doc_id: str, doc_hash: str) -> None:
        """Refuse: an index keeps no hashes."""
        raise NotImplementedError(_NO_HASHES)

    async def aset_document_hash(self, doc_id: str, doc_hash: str) -> None:
        """Refuse: an index keeps no hashes."""
        raise NotImplementedError(_NO_HASHES)

    def set_document_hashes(self, doc_hashes: dict[str, str]) -> None:
        """Refuse: an index keeps no hashes."""
        raise NotImplementedError(_NO_HASHES)

    async def aset_document_hashes(self, doc_hashes: dict[str, str]) -> None:
        """Refuse: an index keeps no hashes."""
        raise NotImplementedError(_NO_HASHES)

    def get_document_hash(self, doc_id: str) -> str | None:
        """Return the hash of the stored node, None where there is none."""
        # computed, not kept: core computes it the same way when it writes
        node = self.get_document(doc_id, raise_error=False)
        return None if node is None else node.hash

    async def aget_document_hash(self, doc_id: str) -> str | None:
        """Return the hash of the stored node, None where there is none."""
        node = await self.aget_document(doc_id, raise_error=False)
        return None if node is None else node.hash

    def get_all_document_hashes(self) -> dict[str, str]:
        """Return the ids of all nodes by their hashes; refused unless `scan=True`."""
        return {node.hash: node.node_id for node in self._clients.run(self._list_all)}

    async def aget_all_document_hashes(self) -> dict[str, str]:
        """Return the ids of all nodes by their hashes; refused unless `scan=True`."""
        return {node.hash: node.node_id for node in await self._clients.arun(self._list_all)}

    def get_all_ref_doc_info(self) -> dict[str, RefDocInfo]:
        """Return the nodes of each source document; refused unless `scan=True`."""
        return self._clients.run(self._group_by_source)

    async def aget_all_ref_doc_info(self) -> dict[str, RefDocInfo]:
        """Return the nodes of each source document; refused unless `scan=True`."""
        return await self._clients.arun(self._group_by_source)

    def get_ref_doc_info(self, ref_doc_id: str) -> RefDocInfo | None:
        """Return the nodes of a source document: those its record names as children.

        None where there is no such record. With `scan=True` the index is listed for those that name
        it as their source.
        """
        return self._clients.run(self._source_info, ref_doc_id)

    async def aget_ref_doc_info(self, ref_doc_id: str) -> RefDocInfo | None:
        """Do what `get_ref_doc_info` does."""
        return await self._clients.arun(self._source_info, ref_doc_id)

    def delete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Delete a source document's record and the nodes that `get_ref_doc_info` names."""
        self._clients.run(self._delete_source, ref_doc_id, raise_error)

    async def adelete_ref_doc(self, ref_doc_id: str, raise_error: bool = True) -> None:
        """Do what `delete_ref_doc` does."""
        await self._clients.arun(self._delete_source, ref_doc_id, raise_error)

    def _forget_index(self, client: Client) -> None:
        settings = replace(self._store.records.settings, limits=limits_of(client))
        self._store = replace(self._store, records=RecordStore(settings))

    def _get_nodes(
        self, context: Context, node_ids: Sequence[str], raise_error: bool
    ) -> Flow[list[BaseNode]]:
        found = yield from self._store.get(context, list(each_of(node_ids)))
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
        return bool((yield from self._fetch_stored(context, [doc_id])))

    def _add(
        self, context: Context, docs: Sequence[BaseNode], allow_update: bool, store_text: bool
    ) -> Flow[None]:
        if not store_text:
            raise NotImplementedError("a vector index holds nodes whole; store_text must be True")
        # of nodes with one id the last one stands, as in a dict
        last = list({node.node_id: node for node in list_nodes(docs)}.values())
        hold = self._store.records.hold(
            context, check_keys((n.node_id for n in last), context.config.limits)
        )
        adding = self._add_last(context, last, allow_update, hold)
        yield from run_with(hold, adding, context.deadline())

    def _add_last(
        self, context: Context, last: list[BaseNode], allow_update: bool, hold: Hold
    ) -> Flow[None]:
        if not allow_update:
            existing = yield from self._fetch_stored(context, [node.node_id for node in last])
            if existing:
                raise ValueError(
                    f"doc_id {_list_some(list(existing))} already exists. Set allow_update to True "
                    "to overwrite."
                )
        vectors = yield from self._encode(context, last)
        yield from self._store.records.write(context, vectors, hold=hold)

    def _encode(self, context: Context, docs: Sequence[BaseNode]) -> Flow[list[Vector]]:
        # core gives documents to a docstore without embeddings: the stored vector is kept
        without = [node.node_id for node in docs if node.embedding is None]
        stored = yield from self._fetch_stored(context, without, data=True)
        absent = [key for key in without if key not in stored]
        if absent:
            raise InvalidRequestError(
                f"a vector index holds no node without a vector: {_list_some(absent)} "
                f"{'has' if len(absent) == 1 else 'have'} no embedding, and none is stored under "
                "that id. Embed them first, or keep them in a SimpleDocumentStore"
            )
        return [self._vector(node, stored.get(node.node_id)) for node in docs]

    def _vector(self, node: BaseNode, stored: Vector | None) -> Vector:
        fields = (stored and stored.metadata) or {}
        # an update keeps the copies by which a record of this package is filtered
        copies = [
            name for name in fields if name not in RESERVED_FIELDS and ENVELOPE_FIELD in fields
        ]
        data = stored.data if node.embedding is None and stored is not None else node.embedding
        return self._store.vector(node, data, kept=copies)

    def _delete(self, context: Context, doc_id: str, raise_error: bool) -> Flow[None]:
        # the service says nothing of keys that it does not hold: only a get tells
        if raise_error and not (yield from self._exists(context, doc_id)):
            raise ValueError(f"doc_id {quote(doc_id)} {self._not_found(context)}")
        yield from self._store.delete(context, [doc_id])

    def _list_all(self, context: Context) -> Flow[list[BaseNode]]:
        if not self._scan:
            raise NotImplementedError(
                "this would list the whole index; ask for nodes by id, or make the store with "
                "scan=True"
            )
        return (yield from self._store.list_all(context))

    def _group_by_source(self, context: Context) -> Flow[dict[str, RefDocInfo]]:
        infos: dict[str, RefDocInfo] = {}
        for node in (yield from self._list_all(context)):
            source = linked_id(node, NodeRelationship.SOURCE)
            if source is not None:
                info = infos.setdefault(source, RefDocInfo(metadata=dict(node.metadata)))
                info.node_ids.append(node.node_id)
        return infos

    def _source_info(self, context: Context, ref_doc_id: str) -> Flow[RefDocInfo | None]:
        if self._scan:
            return (yield from self._group_by_source(context)).get(ref_doc_id)
        found = yield from self._get_nodes(context, [ref_doc_id], False)
        if not found:
            return None
        # without a listing, the source's own record is all that knows its nodes
        return RefDocInfo(node_ids=child_ids(found[0]), metadata=dict(found[0].metadata))

    def _delete_source(self, context: Context, ref_doc_id: str, raise_error: bool) -> Flow[None]:
        info = yield from self._source_info(context, ref_doc_id)
        if info is not None:
            yield from self._store.delete(context, [ref_doc_id, *info.node_ids])
        elif raise_error:
            raise ValueError(f"ref_doc_id {quote(ref_doc_id)} {self._not_found(context)}")

    def _fetch_stored(
        self, context: Context, keys: list[str], *, data: bool = False
    ) -> Flow[dict[str, Vector]]:
        found = yield from self._store.records.fetch(
            context, keys, return_data=data, return_metadata=data
        )
        return dict(found.by_key)

    def _not_found(self, context: Context) -> str:
        index = context.config.index_or(self._store.records.settings.index)
        return f"not found. Looked for in index {quote(index)}."


# an error that names 100,000 ids would bury what it says
def _list_some(keys: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(quote(key) for key in keys[:limit]) + more
